//! What a store answers, in words of our own: neither the engine's nor the wire's.

use super::ops::Bytes;

/// A key with all that is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rec {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) version: u64,
    /// On the store's own clock, ms; 0 = never.
    pub(crate) deadline: u64,
}

/// A refusal: what kind, and which operation of a transaction it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    /// As `success[2].txn.failure[0]`.
    pub(crate) place: String,
}

impl Refusal {
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            place: String::new(),
        }
    }

    /// As that of an operation of a transaction.
    pub(crate) fn within(self, list: &str, index: usize) -> Self {
        let place = if self.place.is_empty() {
            format!("{list}[{index}]")
        } else {
            format!("{list}[{index}].txn.{}", self.place)
        };
        Self { place, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Get(Option<Rec>),
    Set {
        record: Option<Rec>,
        previous: Option<Rec>,
    },
    Delete {
        deleted: bool,
        previous: Option<Rec>,
    },
    Increment {
        value: i64,
        record: Option<Rec>,
    },
    Expire {
        applied: bool,
        found: bool,
        record: Option<Rec>,
    },
    RangeGet {
        records: Vec<Rec>,
        more: bool,
    },
    RangeDelete {
        deleted: u64,
        more: bool,
    },
    Txn(Branch),
}

/// Which list ran, and what its operations did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) succeeded: bool,
    pub(crate) results: Vec<Done>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    One {
        applied: bool,
        revision: u64,
        record: Option<Rec>,
        previous: Option<Rec>,
        value: Option<i64>,
        replayed: bool,
    },
    All {
        revision: u64,
        previous: Vec<Option<Rec>>,
        unmet: Option<(usize, Option<Rec>)>,
        replayed: bool,
    },
    Txn {
        branch: Branch,
        revision: u64,
        replayed: bool,
    },
    Range {
        deleted: u64,
        more: bool,
        revision: u64,
        replayed: bool,
    },
    /// A chunk of a range without keys.
    NoChunk,
    Refused(Refusal),
}

impl Answer {
    /// The store knew the request's id.
    pub(crate) fn remembers(&self) -> bool {
        match self {
            Self::One { replayed, .. }
            | Self::All { replayed, .. }
            | Self::Txn { replayed, .. }
            | Self::Range { replayed, .. } => *replayed,
            Self::NoChunk => false,
            Self::Refused(refusal) => refusal.kind == "RequestIdReused",
        }
    }
}

/// The newest revision that an answer gives away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reveals {
    Exactly(u64),
    /// A store may wait for more than it has to.
    AtLeast(u64),
}

impl Reveals {
    pub(crate) fn fits(self, revealed: u64) -> bool {
        match self {
            Self::Exactly(wanted) => revealed == wanted,
            Self::AtLeast(least) => revealed >= least,
        }
    }
}

/// What the model expects of a write: one of these answers.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) answers: Vec<Answer>,
    pub(crate) reveals: Reveals,
}

impl Expected {
    pub(crate) fn one(answer: Answer, reveals: Reveals) -> Self {
        Self {
            answers: vec![answer],
            reveals,
        }
    }
}
