//! The command line, and nothing but: which flag is which setting.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::Sources;
use crate::config::value::{Size, Value as _};

/// A durable in-memory key-value store that speaks gRPC.
#[derive(Debug, Parser)]
#[command(
    name = "kvd",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command kvd serves. Every setting can also be given as \
                  --set section.key=value, as KVD_SECTION__KEY=value in the environment, or in \
                  the file of --config; flags win over environment over file over defaults.\n\
                  Exit codes: 0 in order, 2 usage, 65 damaged files, 69 address in use, \
                  74 I/O error, 75 directory locked, 78 configuration."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a store (the default).
    Serve(ServeArgs),
    /// Check the files of a store that no kvd has open, without changing them.
    /// Exits with 0 if they are clean or end in a torn write, 65 if they are damaged.
    Check {
        /// The data directory.
        dir: PathBuf,
        /// For people or for programs.
        #[arg(short, long, value_enum, default_value_t)]
        output: ReportForm,
    },
    /// Show what the log of a store holds that no kvd has open, change by change, without
    /// changing anything. Exits with 0, or 65 if damage hides a part of it.
    Dump(DumpArgs),
    /// Make a whole store out of a damaged one, in a new directory. The damaged one is read
    /// and not changed. Without a way, --plan tells what each of them would keep.
    /// Exits with 0, 65 if it cannot be repaired so, 75 if it is in use, 78 if the new
    /// directory is not empty.
    Repair(RepairArgs),
    /// Make a store out of a backup and the increments that follow it, in a new directory.
    /// Exits with 0, 65 if a file is damaged or does not belong to the others, 78 if what
    /// is asked for is not in them or the directory is not empty.
    Restore(RestoreArgs),
    /// Look at settings: a sample of the file, what is wrong with one, what counts.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions { shell: Shell },
    /// Print the manual page, or write all of them.
    #[command(hide = true)]
    Man {
        /// Write kvd.1 and a page for each command into this directory.
        #[arg(long, value_name = "PATH")]
        dir: Option<PathBuf>,
    },
}

#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// The data directory.
    pub dir: PathBuf,
    /// From this revision on [default: the first in the log].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub from_revision: u64,
    /// Up to this revision [default: the last in the log].
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub to_revision: u64,
    /// Only this key.
    #[arg(long, value_name = "KEY", conflicts_with = "prefix")]
    pub key: Option<std::ffi::OsString>,
    /// Only keys that begin so.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<std::ffi::OsString>,
    /// Show the records of the newest snapshot before the log.
    #[arg(long)]
    pub snapshot: bool,
    /// A line per change for people, or an object per change for programs.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DumpForm,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DumpForm {
    #[default]
    Text,
    Jsonl,
}

#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The files, in any order: one full backup, and increments.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub from: Vec<PathBuf>,
    /// The new data directory: empty, or not there yet.
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The state of this revision [default: the last one in the files].
    #[arg(long, value_name = "N", conflicts_with = "at_time")]
    pub at_revision: Option<u64>,
    /// The state of this moment: 2026-11-25T09:30:00Z, or ms since 1970.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at_time: Option<u64>,
    /// Only keys that begin so.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<std::ffi::OsString>,
    /// Segments of the new store: the same as log.segment_bytes.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = segment_size)]
    pub segment_bytes: u64,
}

#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    group = ArgGroup::new("what").args(["plan", "apply"]).required(true),
    group = ArgGroup::new("way").args(["truncate_at_revision", "from_older_snapshot", "salvage"])
)]
pub struct RepairArgs {
    /// The damaged data directory.
    pub dir: PathBuf,
    /// The new data directory: empty, or not there yet.
    #[arg(long, value_name = "NEW")]
    pub into: Option<PathBuf>,
    /// Tell every hole, every key concerned and what would be kept; write nothing.
    #[arg(long)]
    pub plan: bool,
    /// Write the new store.
    #[arg(long, requires = "into", requires = "way")]
    pub apply: bool,
    /// Keep the state of this revision, if all up to it is whole.
    #[arg(long, value_name = "N")]
    pub truncate_at_revision: Option<u64>,
    /// Begin with an older snapshot: keeps all if that and the log behind it are whole.
    #[arg(long)]
    pub from_older_snapshot: bool,
    /// Keep whatever is whole.
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a file with every setting in it: what it does, unit, range and default.
    Default {
        /// As a file for --config, as JSON, or as the page of the documentation.
        #[arg(short, long, value_enum, default_value_t)]
        output: SampleForm,
    },
    /// Name everything that is wrong with a file, and with the environment and the flags
    /// given, without starting anything. Exits with 0, or with 78 if anything is wrong.
    Check {
        /// The file; the same as --config.
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        serve: ServeArgs,
        /// For people or for programs.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Print every value that kvd would serve with, and where it comes from.
    Show {
        #[command(flatten)]
        serve: ServeArgs,
        /// For people or for programs.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SampleForm {
    #[default]
    Toml,
    Json,
    Markdown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    #[default]
    Text,
    Json,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use this profile of the file [default: the one of KVD_PROFILE, if that is set].
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Directory of the store [default: ./kvd-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Address of the gRPC side; may be given more than once [default: 127.0.0.1:7500].
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Vec<String>,
    /// Address of /metrics, /healthz and /readyz, or off [default: 127.0.0.1:7501].
    #[arg(long, value_name = "IP:PORT")]
    pub http_listen: Option<String>,
    /// When the log is synced: always, interval:250ms (any duration) or never [default: always].
    #[arg(long, value_name = "POLICY")]
    pub sync: Option<String>,
    /// How long a stop waits for calls in flight [default: 20s].
    #[arg(long, value_name = "DURATION")]
    pub drain_timeout: Option<String>,
    /// Accept a data directory that does not survive power loss, such as tmpfs.
    #[arg(long)]
    pub allow_volatile: bool,
    /// Listen on other than loopback addresses although nobody has to log in.
    #[arg(long)]
    pub allow_unauthenticated: bool,
    /// Set any setting; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

impl ServeArgs {
    /// The flags as settings, beside the file they name and the environment.
    pub fn sources(&self) -> Sources {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let yes = |given: bool| given.then(|| "true".to_owned());
        let named = [
            ("store.data_dir", "--data-dir", self.data_dir.clone()),
            ("server.listen", "--listen", listen),
            (
                "server.http_listen",
                "--http-listen",
                self.http_listen.clone(),
            ),
            ("log.sync", "--sync", self.sync.clone()),
            (
                "server.drain_timeout",
                "--drain-timeout",
                self.drain_timeout.clone(),
            ),
            (
                "store.allow_volatile",
                "--allow-volatile",
                yes(self.allow_volatile),
            ),
            (
                "server.allow_unauthenticated",
                "--allow-unauthenticated",
                yes(self.allow_unauthenticated),
            ),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, flag, value)| Some((key.to_owned(), value?, flag.to_owned())));
        let set = self
            .set
            .iter()
            .map(|(key, value)| (key.clone(), value.clone(), format!("--set {key}={value}")));
        Sources {
            file: self.config.clone(),
            profile: self.profile.clone(),
            environment: std::env::vars_os().collect(),
            flags: named.chain(set).collect(),
        }
    }
}

/// ms since the Unix epoch.
fn moment(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let moment = humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("expected 2026-11-25T09:30:00Z, or ms since 1970: {error}"))?;
    let since = moment.duration_since(std::time::UNIX_EPOCH);
    let since = since.map_err(|_| "it lies before 1970".to_owned())?;
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn segment_size(text: &str) -> Result<u64, String> {
    let size = Size::parse(text)?.0;
    if (16 << 10..=1 << 30).contains(&size) && size.is_multiple_of(4096) {
        return Ok(size);
    }
    Err(format!(
        "{text} is not a multiple of 4KiB from 16KiB to 1GiB"
    ))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "expected KEY=VALUE, such as log.sync=always".to_owned())
}
