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
        }
    }
}
