//! The flags, as clap sees them. What they mean together is [`crate::settings`].

use std::{ffi::OsString, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use clap::{
    Args, Parser, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser as _},
};
use kvproto::v1::{self, Capability};

use crate::{
    command::{Command, Invocation, PromptCommand},
    endpoint::Endpoint,
    output::{Format, paint::Colour},
    settings::parse_duration,
};

const AFTER_HELP: &str = "\
Without a command, kvcli talks with you on a terminal, and elsewhere reads a
script from standard input: one command a line, 'literal' and \"escaped\" fields, # comments. Lines run strictly in order. A
transaction takes several lines, see kvcli txn --help.

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
    pub(crate) command: Option<Invocation>,
}

/// What holds for the whole run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of any command")]
pub(crate) struct Flags {
    /// Server: host:port or unix:/path. Repeatable: the first that can be
    /// reached is used [env: KVCLI_ENDPOINT, comma-separated] [default:
    /// 127.0.0.1:7500]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    pub(crate) endpoint: Vec<Endpoint>,
    /// Longest wait for an answer, as in 250ms, 5s, 1m. A server that is still
    /// loading is asked again until then, and so is one whose answer to a write
    /// with a request id got lost
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s",
        value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// Output format [default: table on a terminal, raw otherwise]
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Colours in table, json and jsonl, by the type of what is shown
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Colour,
    /// Lines sent ahead of the last answer [default: 1024]
    #[arg(long, help_heading = "Options of a script", value_name = "LINES", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) window: Option<u16>,
    /// Go on after a line that is refused or has a syntax error
    #[arg(long, help_heading = "Options of a script")]
    pub(crate) continue_on_error: bool,
    /// Give every write a request id, and after a broken connection send the
    /// unanswered lines again, until --timeout passes without progress
    #[arg(
        long,
        help_heading = "Options of a script",
        conflicts_with = "no_request_id"
    )]
    pub(crate) retry: bool,
}

/// What may also be set on a single line of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Options of any command")]
pub(crate) struct CallFlags {
    /// When a write is answered [default: as the server is configured]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
    /// Which state a read may show [default: as the server is configured]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) read_level: Option<ReadLevel>,
    /// Read the state as of this revision
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) at_revision: Option<i64>,
    /// Read only from a state that includes this position, as json shows it
    #[arg(long, global = true, value_name = "BASE64", value_parser = parse_base64)]
    pub(crate) min_position: Option<Bytes>,
    /// Be refused by a server that lacks this capability, as in
    /// request-id. Repeatable
    #[arg(long, global = true, value_name = "CAPABILITY", value_parser = parse_capability)]
    pub(crate) require: Vec<Capability>,
    /// Name a write by 1-64 bytes: while the server remembers them, the same
    /// command with the same id is applied once [default: drawn at random, so
    /// that a write whose answer got lost can be sent again]
    #[arg(long, global = true, value_name = "ID", conflicts_with = "no_request_id",
        value_parser = OsStringValueParser::new().try_map(parse_request_id))]
    pub(crate) request_id: Option<Bytes>,
    /// Send writes without a request id, and each at most once
    #[arg(long, global = true)]
    pub(crate) no_request_id: bool,
}

impl CallFlags {
    /// These flags where given, else those. What is required adds up.
    pub(crate) fn or(self, outer: &Self) -> Self {
        let mut require = outer.require.clone();
        require.extend(self.require);
        Self {
            durability: self.durability.or(outer.durability),
            read_level: self.read_level.or(outer.read_level),
            at_revision: self.at_revision.or(outer.at_revision),
            min_position: self.min_position.or_else(|| outer.min_position.clone()),
            require,
            request_id: self.request_id.or_else(|| outer.request_id.clone()),
            no_request_id: self.no_request_id || outer.no_request_id,
        }
    }

    fn require(&self) -> Vec<i32> {
        self.require.iter().map(|known| (*known).into()).collect()
    }

    /// Absent if the server's defaults are wanted.
    pub(crate) fn write_options(&self) -> Option<v1::WriteOptions> {
        let durability = match self.durability {
            None => v1::Durability::Unspecified,
            Some(Durability::None) => v1::Durability::None,
            Some(Durability::Logged) => v1::Durability::Logged,
            Some(Durability::Synced) => v1::Durability::Synced,
        };
        let options = v1::WriteOptions {
            durability: durability.into(),
            request_id: self.request_id.clone().unwrap_or_default(),
            require: self.require(),
        };
        (options != v1::WriteOptions::default()).then_some(options)
    }

    /// Absent if the server's defaults are wanted.
    pub(crate) fn read_options(&self) -> Option<v1::ReadOptions> {
        let level = match self.read_level {
            None => v1::ReadLevel::Unspecified,
            Some(ReadLevel::Durable) => v1::ReadLevel::Durable,
            Some(ReadLevel::Latest) => v1::ReadLevel::Latest,
        };
        let options = v1::ReadOptions {
            level: level.into(),
            at_revision: self.at_revision.unwrap_or_default(),
            min_position: self.min_position.clone().unwrap_or_default(),
            require: self.require(),
        };
        (options != v1::ReadOptions::default()).then_some(options)
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

/// One line at the prompt: as in a script, and what a person waits for besides.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct PromptLine {
    #[command(flatten)]
    pub(crate) call: CallFlags,
    #[command(subcommand)]
    pub(crate) command: PromptCommand,
}

/// Says in one line what clap found wrong with a script line.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let text = words.join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// Bytes that json shows in base64, such as a position.
pub(crate) fn parse_base64(text: &str) -> Result<Bytes, String> {
    match BASE64.decode(text) {
        Ok(bytes) if bytes.is_empty() => Err("has to hold something".to_owned()),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!("no base64: {error}")),
    }
}

/// `request-id`, `REQUEST_ID` or the name in the protocol.
fn parse_capability(text: &str) -> Result<Capability, String> {
    let name = text.to_uppercase().replace('-', "_");
    let name = name.strip_prefix("CAPABILITY_").unwrap_or(&name);
    Capability::from_str_name(&format!("CAPABILITY_{name}"))
        .filter(|known| *known != Capability::Unspecified)
        .ok_or_else(|| "this kvcli knows no capability of that name".to_owned())
}

fn parse_request_id(argument: OsString) -> Result<Bytes, String> {
    let id = bytes_of(argument);
    if id.is_empty() {
        return Err("has at least one byte; leave it out to have one drawn".to_owned());
    }
    Ok(id)
}

/// The bytes of an argument; on Unix an argument may hold any.
pub(crate) fn bytes_of(argument: OsString) -> Bytes {
    use std::os::unix::ffi::OsStringExt as _;
    argument.into_vec().into()
}
