//! What is done to a store, as plain data: it can be printed, cut short and done again.
//! Knows neither an engine nor the model.

use std::fmt;

/// Bytes that are printed as text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len() > 40 {
            return write!(f, "<{} bytes>", self.len());
        }
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    All,
    Key(Bytes),
    Prefix(Bytes),
    /// From the one to before the other; an empty end is no end.
    Span(Bytes, Bytes),
}

impl Range {
    pub(crate) fn contains(&self, key: &Bytes) -> bool {
        match self {
            Self::All => true,
            Self::Key(one) => one == key,
            Self::Prefix(prefix) => key.0.starts_with(&prefix.0),
            Self::Span(start, end) => start <= key && (end.is_empty() || key < end),
        }
    }
}

/// A moment that users name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In ms since the Unix epoch.
    Wall(u64),
    /// Seen from when the operation is done.
    FromNow(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    After(u64),
    At(Moment),
    Keep,
}

/// A number that is compared with one of a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Exactly(u64),
    /// That of the key at the moment, and so much more.
    Current(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Exists(bool),
    Modified(Number),
    Created(Number),
    Version(Number),
    Value(Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Increment {
    pub(crate) delta: i64,
    pub(crate) initial: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) saturate: bool,
    pub(crate) expiry: Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    IfNone,
    IfSome,
    IfLater,
    IfEarlier,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Set { value: Bytes, expiry: Expiry },
    Delete,
    Increment(Increment),
    Expire { to: Expiry, when: When },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Bytes,
    pub(crate) action: Action,
    pub(crate) condition: Option<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Version(Number),
    Created(Number),
    Modified(Number),
    Value(Bytes),
    Lease(u64),
    Exists(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compare {
    pub(crate) range: Range,
    pub(crate) operator: Operator,
    pub(crate) target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TxnOp {
    Get(Bytes),
    Change {
        key: Bytes,
        action: Action,
        /// For a set and a delete.
        show_previous: bool,
    },
    RangeGet {
        range: Range,
        /// 0 = none, also below.
        limit: usize,
        reverse: bool,
    },
    RangeDelete {
        range: Range,
        limit: usize,
    },
    Txn(Txn),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Txn {
    pub(crate) compares: Vec<Compare>,
    pub(crate) success: Vec<TxnOp>,
    pub(crate) failure: Vec<TxnOp>,
}

/// A client's name for a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: Bytes,
    pub(crate) fingerprint: u64,
    pub(crate) item: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    One(Change),
    /// All or none.
    All(Vec<Change>),
    Txn(Txn),
    /// In one step.
    DeleteRange {
        range: Range,
        limit: usize,
    },
    /// The first keys of a range.
    Chunk {
        range: Range,
        limit: usize,
    },
}

/// How much of a range is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageOf {
    pub(crate) range: Range,
    pub(crate) reverse: bool,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Get(Bytes),
    Batch(Vec<Bytes>),
    /// One page, from anywhere.
    Page(PageOf, Option<Bytes>),
    /// Page by page to the end.
    Scan(PageOf),
    Count {
        range: Range,
        keys: usize,
    },
    Hash(Range),
}

/// How a run of the store ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    /// The process goes, the machine stays.
    Kill,
    /// Power goes, with everything durable or as it is.
    Crash {
        durable: bool,
    },
    /// Power goes while the log is written, after so many operations of the disk.
    Cut {
        after: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Write(Write, Option<Request>),
    Look(Look),
    Advance(u64),
    /// Somebody sets the wall clock.
    SetWall(i64),
    Sweep,
    /// The log's writer does what there is to do.
    Turn,
    /// The next run begins so many ms later. The seed is that of what a crash leaves.
    Restart {
        end: End,
        away: u64,
        seed: u64,
    },
}

impl Op {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Write(write, request) => {
                if request.is_some() {
                    return "writes with an id";
                }
                match write {
                    Write::One(change) => match change.action {
                        Action::Set { .. } => "sets",
                        Action::Delete => "deletes",
                        Action::Increment(_) => "increments",
                        Action::Expire { .. } => "expires",
                    },
                    Write::All(_) => "writes of several keys",
                    Write::Txn(_) => "transactions",
                    Write::DeleteRange { .. } => "range deletes",
                    Write::Chunk { .. } => "chunks of range deletes",
                }
            }
            Self::Look(look) => match look {
                Look::Get(_) => "gets",
                Look::Batch(_) => "batch gets",
                Look::Page(..) => "pages",
                Look::Scan(_) => "scans",
                Look::Count { .. } => "counts",
                Look::Hash(_) => "digests",
            },
            Self::Advance(_) => "clock advances",
            Self::SetWall(_) => "wall clock jumps",
            Self::Sweep => "sweeper turns",
            Self::Turn => "log turns",
            Self::Restart { end, .. } => match end {
                End::Close => "orderly restarts",
                End::Kill => "kills",
                End::Crash { durable: true } => "crashes with everything durable",
                End::Crash { durable: false } => "crashes with a part lost",
                End::Cut { .. } => "power cuts while the log is written",
            },
        }
    }
}
