//! The flags, as clap sees them. What they mean together is [`crate::settings`].

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, ValueEnum};
use kvproto::v1;

use crate::{command::Command, endpoint::Endpoint, output::Format, settings::parse_duration};

const AFTER_HELP: &str = "\
Without a command, kvcli reads a script from standard input: one command a line,
'literal' and \"escaped\" fields, # comments. Lines run strictly in order.

Exit codes: 0 done, 1 not found or condition not met, 2 usage, 3 unreachable
(nothing was sent), 4 refused by the server, 5 undecided (sent, and not known
whether it was applied), 130 Ctrl-C. In a script a missing key is a result, not
a failure.";

/// Talks to kvd, a durable in-memory key-value store.
#[derive(Debug, Parser)]
#[command(name = "kvcli", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(flatten)]
    pub(crate) call: CallFlags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What holds for the whole run.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Server: host:port or unix:/path. Repeatable: the first that can be
    /// reached is used [env: KVCLI_ENDPOINT, comma-separated] [default:
    /// 127.0.0.1:7500]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    pub(crate) endpoint: Vec<Endpoint>,
    /// Longest wait for an answer, as in 250ms, 5s, 1m. A server that is still
    /// loading is asked again until then
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s",
        value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// Output format [default: table on a terminal, raw otherwise]
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Script: lines sent ahead of the last answer [default: 1024]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) window: Option<u16>,
    /// Script: go on after a line that is refused or has a syntax error
    #[arg(long)]
    pub(crate) continue_on_error: bool,
}

/// What may also be set on a single line of a script.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct CallFlags {
    /// When a write is answered [default: as the server is configured]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
    /// Which state a read may show [default: as the server is configured]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) read_level: Option<ReadLevel>,
}

impl CallFlags {
    /// These flags where given, else those.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            durability: self.durability.or(outer.durability),
            read_level: self.read_level.or(outer.read_level),
        }
    }

    /// Absent if the server's defaults are wanted.
    pub(crate) fn write_options(self) -> Option<v1::WriteOptions> {
        let durability = match self.durability? {
            Durability::None => v1::Durability::None,
            Durability::Logged => v1::Durability::Logged,
            Durability::Synced => v1::Durability::Synced,
        };
        Some(v1::WriteOptions {
            durability: durability.into(),
            ..Default::default()
        })
    }

    /// Absent if the server's defaults are wanted.
    pub(crate) fn read_options(self) -> Option<v1::ReadOptions> {
        let level = match self.read_level? {
            ReadLevel::Durable => v1::ReadLevel::Durable,
            ReadLevel::Latest => v1::ReadLevel::Latest,
        };
        Some(v1::ReadOptions {
            level: level.into(),
            ..Default::default()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Once it is applied in memory; may be lost with the process
    None,
    /// Once it is in the log file; survives the process
    Logged,
    /// Once it is on stable storage; survives power loss
    Synced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadLevel {
    /// Only what is on stable storage
    Durable,
    /// The newest, which power loss may still take back
    Latest,
}

/// One line of a script: a command with its flags.
///
/// `--help` is not special here, so that it can be a value.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) call: CallFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Says in one line what clap found wrong with a script line.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let text = words.join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// The bytes of an argument; on Unix an argument may hold any.
pub(crate) fn bytes_of(argument: OsString) -> bytes::Bytes {
    use std::os::unix::ffi::OsStringExt as _;
    argument.into_vec().into()
}
