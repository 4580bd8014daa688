//! `kvd restore --from FILE... --into DIR`.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use kvcore::{LoadProgress, RestoreOptions, Revision};

use super::say;
use crate::args::RestoreArgs;
use crate::backend::embedded;
use crate::exit::Failure;

pub(super) fn run(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let options = RestoreOptions {
        at_revision: args.at_revision.map(Revision),
        at_time_ms: args.at_time,
        prefix: args.prefix.clone().map(OsStringExt::into_vec),
        segment_bytes: Some(args.segment_bytes),
    };
    let progress = Progress::default();
    let done = kvcore::restore(&args.from, &options, &args.into, &|read| {
        progress.show(read);
    });
    progress.clear();
    let restored = done.map_err(embedded::failure)?;
    say(&format!(
        "restored {} records as of revision {} into {}: store {}, which goes on at revision {}\n\
         start it with: kvd --data-dir {}",
        restored.records,
        restored.revision,
        args.into.display(),
        restored.store_id,
        restored.next_revision,
        args.into.display(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// How far a file was read, on a terminal: one line that is written over.
#[derive(Default)]
struct Progress {
    percent: Cell<Option<u64>>,
}

impl Progress {
    fn show(&self, read: LoadProgress) {
        let percent = read.bytes_done.saturating_mul(100) / read.bytes_total.max(1);
        let mut err = std::io::stderr().lock();
        if self.percent.get() == Some(percent) || !err.is_terminal() {
            return;
        }
        self.percent.set(Some(percent));
        let _ = write!(err, "\rreading {percent:>3} %");
    }

    fn clear(&self) {
        if self.percent.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
