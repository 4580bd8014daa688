//! What a transaction asks, and what became of it.

use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::mutation::{Expire, Expiry, Increment};
use crate::store::Record;

/// Compares, then one of two lists of operations, all or nothing, under one revision.
///
/// All compares, also those of nested transactions, are judged on the state before the
/// transaction; reads see what earlier operations of it have written.
#[derive(Clone, Debug, Default)]
pub struct Txn<'a> {
    /// All must hold; none hold trivially.
    pub compares: Vec<Compare<'a>>,
    pub success: Vec<TxnOp<'a>>,
    pub failure: Vec<TxnOp<'a>>,
}

/// One test. It must hold for every key of the range; a range without keys is judged
/// like one absent key.
#[derive(Clone, Debug)]
pub struct Compare<'a> {
    pub range: KeyRange,
    pub operator: Operator,
    pub target: Target<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
}

/// What is compared, and with what. An absent key has 0 for every number and fails
/// every test of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Version(u64),
    CreateRevision(Revision),
    ModRevision(Revision),
    /// In byte order.
    Value(&'a [u8]),
    Lease(u64),
    /// For [`Operator::Equal`] and [`Operator::NotEqual`] only.
    Exists(bool),
}

#[derive(Clone, Debug)]
pub enum TxnOp<'a> {
    Get {
        key: &'a [u8],
    },
    Set {
        key: &'a [u8],
        value: &'a [u8],
        expiry: Expiry,
        /// The result shows what was replaced.
        return_previous: bool,
    },
    Delete {
        key: &'a [u8],
        /// The result shows what was removed.
        return_previous: bool,
    },
    Increment {
        key: &'a [u8],
        increment: Increment,
    },
    Expire {
        key: &'a [u8],
        expire: Expire,
    },
    RangeGet {
        range: KeyRange,
        /// 0 = none.
        limit: usize,
        reverse: bool,
    },
    RangeDelete {
        range: KeyRange,
        /// 0 = none.
        limit: usize,
    },
    Txn(Txn<'a>),
}

/// What one operation did.
#[derive(Clone, Debug)]
pub enum TxnResult {
    Get(Option<Record>),
    Set {
        /// None: its expiry had passed, so the key is gone.
        record: Option<Record>,
        previous: Option<Record>,
    },
    Delete {
        deleted: bool,
        previous: Option<Record>,
    },
    Increment {
        value: i64,
        record: Option<Record>,
    },
    Expire {
        applied: bool,
        found: bool,
        record: Option<Record>,
    },
    RangeGet {
        records: Vec<Record>,
        /// The limit cut the list.
        more: bool,
    },
    RangeDelete {
        deleted: u64,
        /// The limit left keys behind.
        more: bool,
    },
    Txn(TxnBranch),
}

/// Which list ran, and its results in order.
#[derive(Clone, Debug, Default)]
pub struct TxnBranch {
    pub succeeded: bool,
    /// Empty if the outcome is replayed and was too large to remember.
    pub results: Vec<TxnResult>,
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub struct TxnOutcome {
    pub branch: TxnBranch,
    /// [`Revision::NONE`] if nothing changed.
    pub revision: Revision,
    /// What a reply gives away: its own revision, or all that it saw.
    pub revealed: Revision,
    pub store_revision: Revision,
    /// Remembered from an earlier request with the same id: what was read is not repeated.
    pub replayed: bool,
}
