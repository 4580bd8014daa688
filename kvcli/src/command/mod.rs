//! The commands, one file each.
//!
//! A command is turned into an [`Ask`], which says what the server is asked, and
//! a [`Pending`], which remembers what is needed to read the answer. Both ways
//! of asking, the single call and the script's pipeline, work on these.

pub(crate) mod del;
pub(crate) mod get;
mod mget;
mod record;
pub(crate) mod set;
mod status;

use clap::Subcommand;
use kvproto::v1::{self, operation::Operation, operation_result::Result as ItemResult};

use crate::{
    args::CallFlags,
    failure::{Exit, Failure, Refusal},
    output::Report,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the value of a key
    Get(get::Args),
    /// Print the values of many keys, read in one consistent view
    Mget(mget::Args),
    /// Write a value
    Set(set::Args),
    /// Delete keys
    Del(del::Args),
    /// Show how the server is
    Status(status::Args),
}

/// What the server is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Get(v1::GetRequest),
    Set(v1::SetRequest),
    Delete(v1::DeleteRequest),
    BatchGet(v1::BatchGetRequest),
    BatchWrite(v1::BatchWriteRequest),
    Status(v1::GetStatusRequest),
}

/// What the server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Get(v1::GetResponse),
    Set(v1::SetResponse),
    Delete(v1::DeleteResponse),
    BatchGet(v1::BatchGetResponse),
    BatchWrite(v1::BatchWriteResponse),
    Status(Box<v1::GetStatusResponse>),
}

/// What has to be remembered of a command until its answer is there.
#[derive(Debug)]
pub(crate) enum Pending {
    Get(get::Pending),
    Mget(mget::Pending),
    Set(set::Pending),
    Del(del::Pending),
    Status,
}

/// A command, ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) ask: Ask,
    pub(crate) pending: Pending,
}

impl Command {
    /// Whether the output must be the value's bytes and nothing else.
    pub(crate) fn wants_exact_bytes(&self) -> bool {
        matches!(self, Self::Get(args) if args.no_newline)
    }

    /// Builds the request. In a script, standard input is the script.
    pub(crate) fn prepare(self, flags: CallFlags, in_script: bool) -> Result<Prepared, Failure> {
        match self {
            Self::Get(args) => Ok(args.prepare(flags)),
            Self::Mget(args) => Ok(args.prepare(flags)),
            Self::Set(args) => args.prepare(flags, in_script),
            Self::Del(args) => Ok(args.prepare(flags)),
            Self::Status(args) => Ok(args.prepare()),
        }
    }
}

impl Prepared {
    /// What to add to "interrupted" when no answer had come.
    pub(crate) fn interrupted(&self) -> String {
        let text = if self.ask.changes() {
            ": whether it was applied is not known"
        } else {
            ""
        };
        text.to_owned()
    }
}

impl Ask {
    /// Whether this may change anything.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Delete(_) | Self::BatchWrite(_))
    }

    /// The same as an operation of a pipeline, if it can be one. Keys and values
    /// are shared, not copied.
    pub(crate) fn to_operation(&self) -> Option<Operation> {
        Some(match self.clone() {
            Self::Get(request) => Operation::Get(request),
            Self::Set(request) => Operation::Set(request),
            Self::Delete(request) => Operation::Delete(request),
            Self::BatchGet(request) => Operation::BatchGet(request),
            Self::BatchWrite(request) => Operation::BatchWrite(request),
            Self::Status(_) => return None,
        })
    }
}

impl Answer {
    /// The answer in a pipeline's slot.
    pub(crate) fn from_result(result: Option<ItemResult>) -> Result<Self, Failure> {
        Ok(match result {
            Some(ItemResult::Get(reply)) => Self::Get(reply),
            Some(ItemResult::Set(reply)) => Self::Set(reply),
            Some(ItemResult::Delete(reply)) => Self::Delete(reply),
            Some(ItemResult::BatchGet(reply)) => Self::BatchGet(reply),
            Some(ItemResult::BatchWrite(reply)) => Self::BatchWrite(reply),
            Some(ItemResult::Error(error)) => {
                return Err(Failure::from_refusal(Refusal::from_item(&error)));
            }
            _ => return Err(mismatch()),
        })
    }
}

impl Pending {
    /// Reads the answer to the command.
    pub(crate) fn read(self, answer: Answer) -> Result<Box<dyn Report>, Failure> {
        Ok(match (self, answer) {
            (Self::Get(pending), Answer::Get(reply)) => Box::new(pending.read(reply)),
            (Self::Mget(pending), Answer::BatchGet(reply)) => Box::new(pending.read(reply)?),
            (Self::Set(pending), Answer::Set(reply)) => Box::new(pending.read(reply)),
            (Self::Del(pending), Answer::Delete(reply)) => Box::new(pending.read_one(reply)?),
            (Self::Del(pending), Answer::BatchWrite(reply)) => Box::new(pending.read_many(reply)?),
            (Self::Status, Answer::Status(reply)) => Box::new(status::Report::new(*reply)),
            _ => return Err(mismatch()),
        })
    }
}

/// An answer to something else than was asked decides nothing.
fn mismatch() -> Failure {
    Failure::Undecided("the server's answer does not fit the request".to_owned())
}

/// How a command over many keys ended.
fn exit_of_items(refusals: &[&Refusal], all_found: bool) -> Exit {
    if refusals.iter().any(|refusal| refusal.is_undecided()) {
        Exit::Undecided
    } else if !refusals.is_empty() {
        Exit::Refused
    } else if all_found {
        Exit::Success
    } else {
        Exit::Negative
    }
}
