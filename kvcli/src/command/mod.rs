//! The commands, one file each.
//!
//! A command is turned into an [`Ask`], which says what the server is asked, and
//! a [`Pending`], which remembers what is needed to read the answer. Both ways
//! of asking, the single call and the script's pipeline, work on these.

mod ask;
mod condition;
mod config;
pub(crate) mod confirm;
mod count;
pub(crate) mod del;
mod expire;
mod expiry;
pub(crate) mod get;
mod hash;
pub(crate) mod incr;
mod mget;
mod range;
mod record;
pub(crate) mod rm;
pub(crate) mod scan;
pub(crate) mod set;
mod snapshot;
mod status;
mod ttl;
pub(crate) mod txn;

use clap::Subcommand;
use kvproto::v1;

pub(crate) use self::{
    ask::{Answer, Ask, Identity},
    range::{RangeArgs, all as all_keys},
    record::insert_header,
    status::state_name,
};
use crate::{
    args::CallFlags,
    failure::{Exit, Failure, Refusal},
    output::Report,
};

/// What can follow `kvcli`: the commands, and what runs only alone.
#[derive(Debug, Subcommand)]
pub(crate) enum Invocation {
    #[command(flatten)]
    Command(Command),
    /// Save the store, or what came after a revision, in a file
    ///
    /// The store goes on. `kvd restore` makes a new one of the file, and of the increments
    /// that follow it: the state of its last moment, or of any that an increment holds.
    Backup(crate::backup::Args),
    /// Have the server read its files and check every checksum
    ///
    /// The store goes on. Exits with 0 if nothing is damaged, 1 if something is.
    Verify(crate::verify::Args),
    Watch(crate::watch::Args),
    /// Say that you know what `kvd repair` left out of this store
    AcknowledgeRepair(crate::acknowledge::Args),
    Bench(crate::bench::Args),
    Top(crate::top::Args),
    #[command(hide = true)]
    Completions(crate::package::CompletionArgs),
    #[command(hide = true)]
    Man(crate::package::ManArgs),
}

impl Invocation {
    /// Whether the output must be the value's bytes and nothing else.
    pub(crate) fn wants_exact_bytes(&self) -> bool {
        matches!(self, Self::Command(command) if command.wants_exact_bytes())
    }
}

/// What can begin a line at the prompt: the commands, and what goes on until Ctrl-C.
#[derive(Debug, Subcommand)]
pub(crate) enum PromptCommand {
    #[command(flatten)]
    Command(Command),
    Watch(crate::watch::Args),
}

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
    /// Add to a counter, kept as decimal text, and print the sum
    ///
    /// An existing key keeps its expiry; a new one gets the expiry given here.
    Incr(incr::Args),
    /// Change or remove the expiry of a key
    Expire(expire::Args),
    /// Print how long a key still lives
    ///
    /// In ms; -1 for a key without an expiry. The server says when the key ends,
    /// this machine's clock how long that is from now.
    Ttl(ttl::Args),
    /// Print the records of a range in key order, all without an argument
    ///
    /// Not a snapshot: each record was there at some moment during the scan, and
    /// a key that is there from its start to its end comes exactly once. After a
    /// broken connection the scan goes on behind the last page.
    Scan(scan::Args),
    /// Count the keys of a range, all without an argument
    Count(count::Args),
    /// Remove the keys of a range
    ///
    /// On a terminal it shows how many keys would go and asks first; elsewhere it
    /// needs --yes or --dry-run. Without --chunked all keys go in one step, or
    /// none.
    Rm(rm::Args),
    /// Test, then run one of two lists of commands, all or nothing
    #[command(long_about = txn::LONG_ABOUT)]
    Txn(txn::Args),
    /// Print a digest of the keys and values of a range, all without an argument
    Hash(hash::Args),
    /// Show how the server is
    Status(status::Args),
    /// Print the settings of the server, and where each comes from
    Config(config::Args),
    /// Have the server read its settings again
    ///
    /// As SIGHUP does: what can change while it runs changes, the rest is named. If
    /// anything is wrong with them, it says what, and nothing changes.
    Reload(config::ReloadArgs),
    /// Have the server write a snapshot now
    ///
    /// The answer comes when it counts: give a large store time with --timeout. One
    /// that was begun goes on although nobody waits for it.
    Snapshot(snapshot::Args),
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Alone, on the command line.
    CommandLine,
    /// At the prompt of a session.
    Prompt,
    /// On a line of a script, which may have to be sent again or not.
    Script { retry: bool },
    /// On a line of a transaction.
    Transaction,
}

/// What has to be remembered of a command until its answer is there.
#[derive(Debug)]
pub(crate) enum Pending {
    Get(get::Pending),
    Mget(mget::Pending),
    Set(set::Pending),
    Del(del::Pending),
    Incr(incr::Pending),
    Expire(expire::Pending),
    Ttl(ttl::Pending),
    Scan(scan::Pending),
    Count,
    Rm(rm::Pending),
    Txn(txn::Pending),
    Hash,
    Status,
    Config(config::Pending),
    Reload,
    Snapshot,
}

/// A command, ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) ask: Ask,
    pub(crate) pending: Pending,
    pub(crate) identity: Identity,
    /// What somebody has to be asked first.
    pub(crate) confirm: Option<confirm::Doubt>,
}

impl Command {
    /// Whether the output must be the value's bytes and nothing else.
    pub(crate) fn wants_exact_bytes(&self) -> bool {
        matches!(self, Self::Get(args) if args.no_newline)
    }

    /// Builds the request.
    pub(crate) fn prepare(self, flags: &CallFlags, place: Place) -> Result<Prepared, Failure> {
        let mut prepared = match self {
            Self::Get(args) => args.prepare(flags),
            Self::Mget(args) => args.prepare(flags),
            Self::Set(args) => args.prepare(flags, place)?,
            Self::Del(args) => args.prepare(flags)?,
            Self::Incr(args) => args.prepare(flags),
            Self::Expire(args) => args.prepare(flags),
            Self::Ttl(args) => args.prepare(flags),
            Self::Scan(args) => args.prepare(flags)?,
            Self::Count(args) => args.prepare(flags)?,
            Self::Rm(args) => args.prepare(flags, place)?,
            Self::Txn(args) => args.prepare(flags, place)?,
            Self::Hash(args) => args.prepare(flags)?,
            Self::Status(args) => args.prepare(),
            Self::Config(args) => args.prepare(),
            Self::Reload(args) => args.prepare(),
            Self::Snapshot(args) => args.prepare(),
        };
        prepared.identify(flags, place)?;
        Ok(prepared)
    }
}

impl Prepared {
    fn new(ask: Ask, pending: Pending) -> Self {
        Self {
            ask,
            pending,
            identity: Identity::Absent,
            confirm: None,
        }
    }

    /// What the server is asked for how it is.
    pub(crate) fn status() -> Self {
        Self::new(Ask::Status(v1::GetStatusRequest {}), Pending::Status)
    }

    /// A command whose answer is taken as it is.
    pub(crate) fn unread(ask: Ask) -> Self {
        Self::new(ask, Pending::Count)
    }

    /// Sees to it that a write can be told from another, where it may have to be
    /// sent again.
    pub(crate) fn identify(&mut self, flags: &CallFlags, place: Place) -> Result<(), Failure> {
        if flags.request_id.is_some() {
            if !self.ask.changes() {
                return Err(Failure::usage("--request-id is for writes"));
            }
            self.identity = Identity::Given;
            return Ok(());
        }
        let wanted = match place {
            Place::CommandLine | Place::Prompt => true,
            Place::Script { retry } => retry,
            Place::Transaction => false,
        };
        if wanted && !flags.no_request_id {
            self.identity = self.ask.identify()?;
        }
        Ok(())
    }

    /// What to add to "interrupted" when no answer had come.
    pub(crate) fn interrupted(&self) -> &'static str {
        if self.ask.changes() {
            ": whether it was applied is not known"
        } else {
            ""
        }
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
            (Self::Incr(pending), Answer::Increment(reply)) => Box::new(pending.read(reply)),
            (Self::Expire(pending), Answer::Expire(reply)) => Box::new(pending.read(reply)),
            (Self::Ttl(pending), Answer::Get(reply)) => Box::new(pending.read(reply)),
            (Self::Scan(pending), Answer::RangeGet(result)) => Box::new(pending.read(result)),
            (Self::Count, Answer::Count(reply)) => Box::new(count::Report::new(reply)),
            (Self::Rm(pending), Answer::DeleteRange(reply)) => Box::new(pending.read(reply)),
            (Self::Rm(_), Answer::RangeDelete(result)) => Box::new(rm::Step::new(result)),
            (Self::Txn(pending), Answer::Txn(reply)) => Box::new(pending.read(reply)?),
            (Self::Hash, Answer::Hash(reply)) => Box::new(hash::Report::new(reply)),
            (Self::Config(pending), Answer::Config(reply)) => Box::new(pending.read(reply)),
            (Self::Reload, Answer::Reload(reply)) => Box::new(config::ReloadReport::new(reply)),
            (Self::Snapshot, Answer::Snapshot(reply)) => Box::new(snapshot::Report::new(reply)),
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
