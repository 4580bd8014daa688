//! Why an operation was refused. Every message says what, where, and what to do.

use crate::base::revision::Revision;

/// What the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    EmptyKey,
    KeyTooLarge,
    ValueTooLarge,
    TooManyOperations,
    UnitTooLarge,
    DuplicateKey,
    MemoryLimit,
    NoLogSpace,
    Overloaded,
    Draining,
    LogFailed,
    UnknownOutcome,
    FutureRevision,
    RevisionLost,
    TimedOut,
    BadTtl,
    BadNumber,
    BadRequestId,
    RequestIdReused,
    NestedTooDeep,
    NotAnInteger,
    OutOfBounds,
    RangeTooLarge,
    ReplyTooLarge,
}

/// A refusal. Unless its kind is [`ErrorKind::UnknownOutcome`] or
/// [`ErrorKind::TimedOut`], nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the key is empty; a key has at least one byte")]
    EmptyKey,
    #[error("the key has {len} bytes, the limit is {max} (limits.key_bytes)")]
    KeyTooLarge { len: usize, max: usize },
    #[error("the value has {len} bytes, the limit is {max} (limits.value_bytes)")]
    ValueTooLarge { len: usize, max: usize },
    #[error("{count} operations in one unit, the limit is {max}; split it")]
    TooManyOperations { count: usize, max: usize },
    #[error("the unit has {len} bytes of keys and values, the limit is {max}; split it")]
    UnitTooLarge { len: usize, max: usize },
    #[error("operations {first} and {second} name the same key; a unit may change a key once")]
    DuplicateKey { first: usize, second: usize },
    #[error(
        "the write needs {growth} more bytes, {used} of {max} are used (memory.max_bytes); \
         delete keys or raise the limit"
    )]
    MemoryLimit { growth: u64, used: u64, max: u64 },
    #[error(
        "the log has no room: the disk is full; deletes are still accepted, free space on the \
         data directory's file system"
    )]
    NoLogSpace,
    #[error("too many writes are in flight; try again later")]
    Overloaded,
    #[error("the store is shutting down; try another time or another server")]
    Draining,
    #[error("{0}; writes are refused until a restart")]
    LogFailed(String),
    #[error("it is not known whether the write took effect: {0}; read it back after a restart")]
    UnknownOutcome(String),
    #[error("revision {asked} is in the future, the store is at {newest}")]
    FutureRevision { asked: Revision, newest: Revision },
    #[error("revision {asked} was lost at an unclean start and names nothing")]
    RevisionLost { asked: Revision },
    #[error(
        "the wait for revision {0} timed out; the write is applied and may still become durable"
    )]
    TimedOut(Revision),
    #[error("a time to live of {0} ms; it is 1 ms to 100 years")]
    BadTtl(u64),
    #[error("{0}")]
    BadNumber(&'static str),
    #[error("the request id has {0} bytes; it has 1 to 64")]
    BadRequestId(usize),
    #[error(
        "the request id was used for another request, applied at revision {revision}; \
         give every request an id of its own"
    )]
    RequestIdReused { revision: Revision },
    #[error("transactions are nested deeper than {max}")]
    NestedTooDeep { max: usize },
    #[error(
        "the value is not the decimal text of a 64-bit integer, so nothing can be added to it; \
         nothing was changed"
    )]
    NotAnInteger { revealed: Revision },
    #[error("{current} and {delta} give what is not within {min} to {max}; nothing was changed")]
    OutOfBounds {
        current: i64,
        delta: i64,
        min: i64,
        max: i64,
        revealed: Revision,
    },
    #[error(
        "the range holds more than {max} keys, which is what one atomic step may touch; \
             take a smaller range, a limit, or chunks"
    )]
    RangeTooLarge { max: usize, revealed: Revision },
    #[error("the reply would have more than {max} bytes; nothing was changed; read less")]
    ReplyTooLarge { max: usize, revealed: Revision },
    #[error("{place}: {error}")]
    InTxn {
        /// Index in the list of the outermost transaction.
        index: usize,
        /// Which operation, as `success[2].txn.failure[0]`.
        place: String,
        error: Box<Self>,
    },
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::EmptyKey => ErrorKind::EmptyKey,
            Self::KeyTooLarge { .. } => ErrorKind::KeyTooLarge,
            Self::ValueTooLarge { .. } => ErrorKind::ValueTooLarge,
            Self::TooManyOperations { .. } => ErrorKind::TooManyOperations,
            Self::UnitTooLarge { .. } => ErrorKind::UnitTooLarge,
            Self::DuplicateKey { .. } => ErrorKind::DuplicateKey,
            Self::MemoryLimit { .. } => ErrorKind::MemoryLimit,
            Self::NoLogSpace => ErrorKind::NoLogSpace,
            Self::Overloaded => ErrorKind::Overloaded,
            Self::Draining => ErrorKind::Draining,
            Self::LogFailed(_) => ErrorKind::LogFailed,
            Self::UnknownOutcome(_) => ErrorKind::UnknownOutcome,
            Self::FutureRevision { .. } => ErrorKind::FutureRevision,
            Self::RevisionLost { .. } => ErrorKind::RevisionLost,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::BadTtl(_) => ErrorKind::BadTtl,
            Self::BadNumber(_) => ErrorKind::BadNumber,
            Self::BadRequestId(_) => ErrorKind::BadRequestId,
            Self::RequestIdReused { .. } => ErrorKind::RequestIdReused,
            Self::NestedTooDeep { .. } => ErrorKind::NestedTooDeep,
            Self::NotAnInteger { .. } => ErrorKind::NotAnInteger,
            Self::OutOfBounds { .. } => ErrorKind::OutOfBounds,
            Self::RangeTooLarge { .. } => ErrorKind::RangeTooLarge,
            Self::ReplyTooLarge { .. } => ErrorKind::ReplyTooLarge,
            Self::InTxn { error, .. } => error.kind(),
        }
    }

    /// The newest revision that can be inferred from the refusal itself;
    /// [`Revision::NONE`] if it does not depend on what is stored.
    pub fn revealed(&self) -> Revision {
        match self {
            Self::NotAnInteger { revealed }
            | Self::OutOfBounds { revealed, .. }
            | Self::RangeTooLarge { revealed, .. }
            | Self::ReplyTooLarge { revealed, .. } => *revealed,
            Self::RequestIdReused { revision } => *revision,
            Self::InTxn { error, .. } => error.revealed(),
            _ => Revision::NONE,
        }
    }

    /// The same refusal, given away by `more` as well.
    pub(crate) fn reveals_also(mut self, more: Revision) -> Self {
        match &mut self {
            Self::NotAnInteger { revealed }
            | Self::OutOfBounds { revealed, .. }
            | Self::RangeTooLarge { revealed, .. }
            | Self::ReplyTooLarge { revealed, .. } => *revealed = more.max(*revealed),
            Self::InTxn { error, .. } => **error = error.clone().reveals_also(more),
            _ => {}
        }
        self
    }

    /// Which operation of a transaction it is about, as `success[2].txn.failure[0]`.
    pub fn place(&self) -> &str {
        match self {
            Self::InTxn { place, .. } => place,
            _ => "",
        }
    }

    /// Its index in the list of the outermost transaction.
    pub fn operation_index(&self) -> Option<usize> {
        match self {
            Self::InTxn { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// This error as that of an operation of a transaction.
    pub(crate) fn in_txn(self, list: &str, index: usize) -> Self {
        match self {
            Self::InTxn { place, error, .. } => Self::InTxn {
                index,
                place: format!("{list}[{index}].txn.{place}"),
                error,
            },
            error => Self::InTxn {
                index,
                place: format!("{list}[{index}]"),
                error: Box::new(error),
            },
        }
    }
}
