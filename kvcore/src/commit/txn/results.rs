//! Results between the run and the reply: records that this transaction writes are known
//! by their change only, since they have no revision before the ticket.

use super::request::{TxnBranch, TxnResult};
use crate::base::remembered::{RangeCount, RememberedBranch, RememberedResult};
use crate::commit::evaluate::Step;
use crate::store::Record;

/// What a read inside the transaction saw.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Nothing,
    Stored(Record),
    /// What the change of this number makes of the key.
    Own(usize),
}

#[derive(Debug)]
pub(super) enum Draft {
    Get(Seen),
    Set {
        seen: Seen,
        previous: Option<Record>,
    },
    Delete {
        deleted: bool,
        previous: Option<Record>,
    },
    Increment {
        value: i64,
        seen: Seen,
    },
    Expire {
        applied: bool,
        found: bool,
        seen: Seen,
    },
    RangeGet {
        seen: Vec<Seen>,
        more: bool,
    },
    RangeDelete {
        deleted: u64,
        more: bool,
    },
    Txn(DraftBranch),
}

#[derive(Debug)]
pub(super) struct DraftBranch {
    pub succeeded: bool,
    pub results: Vec<Draft>,
}

impl DraftBranch {
    /// What is remembered of it.
    pub(super) fn remembered(&self) -> RememberedBranch {
        let results = self.results.iter().map(|draft| match draft {
            Draft::Get(_) | Draft::RangeGet { .. } => RememberedResult::Read,
            Draft::Set { .. } => RememberedResult::Set,
            Draft::Delete { deleted, .. } => RememberedResult::Delete(*deleted),
            Draft::Increment { value, .. } => RememberedResult::Counter(*value),
            Draft::Expire { applied, found, .. } => RememberedResult::Expire {
                found: *found,
                applied: *applied,
            },
            Draft::RangeDelete { deleted, more } => RememberedResult::Range(RangeCount {
                deleted: *deleted,
                more: *more,
            }),
            Draft::Txn(branch) => RememberedResult::Txn(branch.remembered()),
        });
        RememberedBranch {
            succeeded: self.succeeded,
            results: Some(results.collect()),
        }
    }

    /// The results for the caller, now that the changes are stamped.
    pub(super) fn finish(self, steps: &[Step]) -> TxnBranch {
        let one = |seen: Seen| match seen {
            Seen::Nothing => None,
            Seen::Stored(record) => Some(record),
            Seen::Own(step) => steps[step].record().cloned(),
        };
        let results = self.results.into_iter().map(|draft| match draft {
            Draft::Get(seen) => TxnResult::Get(one(seen)),
            Draft::Set { seen, previous } => TxnResult::Set {
                record: one(seen),
                previous,
            },
            Draft::Delete { deleted, previous } => TxnResult::Delete { deleted, previous },
            Draft::Increment { value, seen } => TxnResult::Increment {
                value,
                record: one(seen),
            },
            Draft::Expire {
                applied,
                found,
                seen,
            } => TxnResult::Expire {
                applied,
                found,
                record: one(seen),
            },
            Draft::RangeGet { seen, more } => TxnResult::RangeGet {
                records: seen.into_iter().filter_map(one).collect(),
                more,
            },
            Draft::RangeDelete { deleted, more } => TxnResult::RangeDelete { deleted, more },
            Draft::Txn(branch) => TxnResult::Txn(branch.finish(steps)),
        });
        TxnBranch {
            succeeded: self.succeeded,
            results: results.collect(),
        }
    }
}

/// The results of a transaction that was applied before; what it read is not repeated.
pub(super) fn replayed(branch: &RememberedBranch) -> TxnBranch {
    let results = branch.results.iter().flatten().map(|result| match result {
        RememberedResult::Read => TxnResult::Get(None),
        RememberedResult::Set => TxnResult::Set {
            record: None,
            previous: None,
        },
        RememberedResult::Delete(deleted) => TxnResult::Delete {
            deleted: *deleted,
            previous: None,
        },
        RememberedResult::Counter(value) => TxnResult::Increment {
            value: *value,
            record: None,
        },
        RememberedResult::Expire { found, applied } => TxnResult::Expire {
            applied: *applied,
            found: *found,
            record: None,
        },
        RememberedResult::Range(count) => TxnResult::RangeDelete {
            deleted: count.deleted,
            more: count.more,
        },
        RememberedResult::Txn(branch) => TxnResult::Txn(replayed(branch)),
    });
    TxnBranch {
        succeeded: branch.succeeded,
        results: results.collect(),
    }
}
