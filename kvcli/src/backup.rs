//! `backup FILE`: the store as one file, or what came after a revision.
//!
//! The pieces go into `FILE.part`, which is synced and renamed when the last one has come: a
//! file under its own name is whole. Nothing is asked twice: a backup that broke off is
//! begun again by whoever wants it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kvproto::v1;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    command::insert_header,
    connect,
    failure::{Exit, Failure, Refusal},
    output::{self, Output, Rows},
    progress::Progress,
    settings::Settings,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it goes; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only what came after this revision, for a backup that reaches it
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    after: Option<i64>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// Runs alone: its output may be the backup itself.
pub(crate) async fn run(
    settings: &Settings,
    args: Args,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let to_stdout = args.file == Path::new("-");
    let mut target = if to_stdout {
        Target::Stdout(io::stdout())
    } else {
        Target::create(&args.file, args.force)?
    };
    let taken = take(settings, args.after.unwrap_or_default(), &mut target).await;
    let taken = match taken {
        Ok(taken) => taken,
        Err(failure) => {
            target.give_up();
            return Err(failure);
        }
    };
    target
        .finish()
        .map_err(|error| problem(&args.file, &error))?;
    if !to_stdout {
        output.print(&taken)?;
        output.flush()?;
    }
    Ok(Exit::Success)
}

/// Takes every piece.
async fn take(settings: &Settings, after: i64, target: &mut Target) -> Result<Taken, Failure> {
    let mut caller = connect::connect(settings).await?;
    let request = v1::BackupRequest {
        after_revision: after,
        ..v1::BackupRequest::default()
    };
    let refused = |status: &tonic::Status| Failure::from_refusal(Refusal::from_status(status));
    // The time limit is for each piece, not for all of them.
    let late = |_| Failure::Undecided("no piece of the backup came within --timeout".into());
    let begun = timeout(settings.timeout, caller.admin.backup(request)).await;
    let begun = begun.map_err(late)?.map_err(|status| refused(&status))?;
    let mut pieces = begun.into_inner();
    let mut progress = Progress::of_wait();
    let mut bytes = 0_u64;
    loop {
        let piece = timeout(settings.timeout, pieces.message()).await;
        let piece = piece.map_err(late)?.map_err(|status| refused(&status))?;
        let Some(piece) = piece else {
            let what = "the backup ended before its last piece: it is of no use";
            return Err(Failure::Undecided(what.into()));
        };
        // Whoever closes the pipe of a backup has not got what they wanted.
        let written = target.write(&piece.chunk);
        written.map_err(|error| Failure::usage(format!("cannot write the backup: {error}")))?;
        bytes += piece.chunk.len() as u64;
        progress.count(&format!("{} MiB", bytes >> 20));
        if piece.last {
            progress.clear();
            return Ok(Taken {
                bytes,
                header: piece.header,
            });
        }
    }
}

/// Where the pieces go.
enum Target {
    Stdout(io::Stdout),
    File {
        file: File,
        part: PathBuf,
        path: PathBuf,
    },
}

impl Target {
    fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        if !force && path.exists() {
            let what = format!(
                "{} is there already: --force writes over it",
                path.display()
            );
            return Err(Failure::usage(what));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        // It holds what the store holds.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.write(true).create(true).truncate(true).open(&part);
        let file = opened.map_err(|error| problem(&part, &error))?;
        Ok(Self::File {
            file,
            part,
            path: path.to_owned(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::File { file, part, path } => {
                file.sync_all()?;
                std::fs::rename(&part, &path)?;
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
            }
        }
    }

    fn give_up(self) {
        if let Self::File { part, .. } = self {
            // The failure that led here is the one to tell.
            let _left = std::fs::remove_file(part);
        }
    }
}

fn problem(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}

/// What came.
struct Taken {
    bytes: u64,
    header: Option<v1::ResponseHeader>,
}

const HEADER: &[&str] = &["bytes", "revision"];

impl Taken {
    /// The store was there at least when the last piece was made.
    fn revision(&self) -> i64 {
        self.header
            .as_ref()
            .map_or(0, |header| header.store_revision)
    }
}

impl output::Report for Taken {
    fn raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("bytes={}\n", self.bytes).as_bytes());
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("bytes".into(), self.bytes.into());
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        Rows::one(
            HEADER,
            vec![self.bytes.to_string(), self.revision().to_string()],
        )
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
