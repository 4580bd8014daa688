//! What is kept of a request with an id, so that a repeat can be answered: what was
//! decided and counted, never what was read.

/// The outcome of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// A set, a delete, an expiry: that it was applied is all.
    Single,
    /// The counter after an increment.
    Counter(i64),
    /// Keys that a range delete, or a chunk of one, took away.
    Range(RangeCount),
    Txn(RememberedBranch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeCount {
    pub deleted: u64,
    /// The limit left keys behind.
    pub more: bool,
}

/// Which list of a transaction ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedBranch {
    pub succeeded: bool,
    /// None: they were too many to keep.
    pub results: Option<Vec<RememberedResult>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RememberedResult {
    Read,
    Set,
    Delete(bool),
    Counter(i64),
    Expire { found: bool, applied: bool },
    Range(RangeCount),
    Txn(RememberedBranch),
}
