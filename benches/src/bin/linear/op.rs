//! What a client asked for and what it was told, as the checkers see it.
//!
//! Keys are small numbers here, values are text. The value that a Set writes is the
//! number of that Set times [`TOKEN`], or `w` and its number: so a value names the Set
//! that it comes from, also after increments.

use std::fmt;

/// Place of an operation in its history.
pub(crate) type Id = usize;
pub(crate) type Key = usize;

/// Sum of all increments of one key stays below this.
pub(crate) const TOKEN: i64 = 1_000_000;

/// Numbers of a record without its value. `expires` is 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) version: i64,
    pub(crate) expires: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) value: String,
    pub(crate) meta: Meta,
}

/// What a test compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Exists(bool),
    Modified(i64),
    Created(i64),
    Version(i64),
    Value(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
}

/// A condition of a write, which is a test for equality, or a compare of a Txn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) target: Target,
    pub(crate) operator: Operator,
}

impl Test {
    pub(crate) fn equal(target: Target) -> Self {
        let operator = Operator::Equal;
        Self { target, operator }
    }
}

/// The expiry that a Set gives. All ends are far away: nothing expires in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Never,
    Keep,
    At(i64),
    Within(i64),
}

/// What Expire does to an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    At(i64),
    Within(i64),
    Persist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Nx,
    Xx,
}

/// One thing done to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Get,
    Set { value: String, until: Until },
    Delete,
    Increment(i64),
    Expire(Change, When),
}

impl Step {
    pub(crate) fn writes(&self) -> bool {
        *self != Self::Get
    }
}

/// A step of a Txn. `Range` reads all keys of the run by their prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxnStep {
    On(Key, Step),
    Range,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// `previous` asks a Set or Delete for the record that it replaced.
    One {
        key: Key,
        step: Step,
        condition: Option<Target>,
        previous: bool,
    },
    BatchGet(Vec<Key>),
    Txn {
        compares: Vec<(Key, Test)>,
        success: Vec<TxnStep>,
        failure: Vec<TxnStep>,
    },
}

impl Action {
    /// Whether it can change anything.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::One { step, .. } => step.writes(),
            Self::BatchGet(_) => false,
            Self::Txn {
                success, failure, ..
            } => success
                .iter()
                .chain(failure)
                .any(|step| matches!(step, TxnStep::On(_, step) if step.writes())),
        }
    }
}

/// A record that came with the answer to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    NotAsked,
    Absent,
    Record(Record),
}

/// Outcome of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Got(Option<Record>),
    /// Applied or not; beside it what was replaced, or what stood in the way.
    Set(Option<Meta>, Beside),
    /// The revision if something was removed; beside it what that was, or what stands.
    Delete(Option<i64>, Beside),
    Increment(i64, Meta),
    /// Refused because of what the key holds.
    NotAnInteger,
    Expire {
        applied: bool,
        meta: Option<Meta>,
    },
    Range(Vec<(Key, Record)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    One(Answer),
    BatchGet(Vec<Option<Record>>),
    /// `revision` is 0 if nothing was changed.
    Txn {
        succeeded: bool,
        answers: Vec<Answer>,
        revision: i64,
    },
    /// It contradicts itself or the request.
    Garbled(String),
}

/// The revisions in the header of a reply; 0 if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: i64,
    pub(crate) durable: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answered(Reply, Header),
    /// Certainly not applied, with the reason.
    Refused(String),
    /// Applied or not: nobody said.
    Undecided(String),
}

/// One operation of one process. Times are ns of one monotonic clock; no two events
/// have the same. An undecided operation has as `returned` the moment from which on it
/// can no longer take effect: its daemon was dead.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) process: usize,
    /// Number of the daemon that it was sent to; the next one starts when it is dead.
    pub(crate) daemon: usize,
    pub(crate) action: Action,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    /// Wall clock in ms at invocation, for expiries that are relative.
    pub(crate) wall: i64,
    pub(crate) outcome: Outcome,
}

impl Op {
    pub(crate) fn reply(&self) -> Option<&Reply> {
        match &self.outcome {
            Outcome::Answered(reply, _) => Some(reply),
            _ => None,
        }
    }

    pub(crate) fn undecided(&self) -> bool {
        matches!(self.outcome, Outcome::Undecided(_))
    }

    /// The revision that it took, as far as anybody was told.
    pub(crate) fn revision(&self) -> Option<i64> {
        let revision = match self.reply()? {
            Reply::One(
                Answer::Set(Some(meta), _)
                | Answer::Increment(_, meta)
                | Answer::Expire {
                    applied: true,
                    meta: Some(meta),
                },
            ) => meta.modified,
            Reply::One(Answer::Delete(Some(revision), _)) | Reply::Txn { revision, .. } => {
                *revision
            }
            _ => 0,
        };
        (revision != 0).then_some(revision)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} [{}, ", self.process, self.invoked)?;
        if self.returned == u64::MAX {
            write!(f, "never")?;
        } else {
            write!(f, "{}", self.returned)?;
        }
        write!(f, "] {:?} -> {:?}", self.action, self.outcome)
    }
}
