//! What became of a transaction, for the wire.

use bytes::Bytes;
use kvproto::v1::{self, txn_operation::Operation as Op, txn_result::Result as Item};

use super::super::convert::{self, numbers, record, signed};
use crate::backend::{Record, Store, TxnBranch, TxnOutcome, TxnResult};

pub(super) fn reply<S: Store>(
    store: &S,
    request: &v1::TxnRequest,
    outcome: &TxnOutcome,
) -> v1::TxnResponse {
    let encoder = Encoder {
        store,
        revision: signed(outcome.revision.0),
        replayed: outcome.replayed,
    };
    v1::TxnResponse {
        revision: encoder.revision,
        ..encoder.branch(request, &outcome.branch)
    }
}

struct Encoder<'a, S> {
    store: &'a S,
    revision: i64,
    replayed: bool,
}

impl<S: Store> Encoder<'_, S> {
    fn branch(&self, request: &v1::TxnRequest, branch: &TxnBranch) -> v1::TxnResponse {
        let asked = if branch.succeeded {
            &request.success
        } else {
            &request.failure
        };
        // A remembered transaction may have kept no results.
        let both = asked.iter().zip(&branch.results);
        v1::TxnResponse {
            header: None,
            succeeded: branch.succeeded,
            responses: both
                .map(|(operation, result)| v1::TxnResult {
                    result: operation
                        .operation
                        .as_ref()
                        .and_then(|operation| self.item(operation, result)),
                })
                .collect(),
            revision: self.revision_if(changed(branch)),
            replayed: self.replayed,
        }
    }

    /// The transaction's revision for a step that changed something.
    fn revision_if(&self, changed: bool) -> i64 {
        if changed { self.revision } else { 0 }
    }

    fn full(&self, key: &Bytes, of: Option<&Record>) -> Option<v1::Record> {
        of.map(|of| record(self.store, key.clone(), of))
    }

    fn numbers(&self, of: Option<&Record>) -> Option<v1::Record> {
        of.map(|of| numbers(self.store, of))
    }

    /// None: the result is not of this operation, which cannot be.
    fn item(&self, operation: &Op, result: &TxnResult) -> Option<Item> {
        Some(match (operation, result) {
            (Op::Get(get), TxnResult::Get(found)) => Item::Get(v1::GetResponse {
                header: None,
                found: found.is_some(),
                record: self.full(&get.key, found.as_ref()),
            }),
            (Op::Set(set), TxnResult::Set { record, previous }) => Item::Set(v1::SetResponse {
                applied: true,
                revision: self.revision,
                record: self.numbers(record.as_ref()),
                previous: self.full(&set.key, previous.as_ref()).map(Box::new),
                replayed: self.replayed,
                ..v1::SetResponse::default()
            }),
            (Op::Delete(delete), TxnResult::Delete { deleted, previous }) => {
                Item::Delete(v1::DeleteResponse {
                    deleted: *deleted,
                    revision: self.revision_if(*deleted),
                    previous: self.full(&delete.key, previous.as_ref()).map(Box::new),
                    replayed: self.replayed,
                    ..v1::DeleteResponse::default()
                })
            }
            (Op::Increment(_), TxnResult::Increment { value, record }) => {
                Item::Increment(v1::IncrementResponse {
                    header: None,
                    value: *value,
                    revision: self.revision,
                    record: self.numbers(record.as_ref()),
                    replayed: self.replayed,
                })
            }
            (
                Op::Expire(_),
                TxnResult::Expire {
                    applied,
                    found,
                    record,
                },
            ) => Item::Expire(v1::ExpireResponse {
                header: None,
                found: *found,
                applied: *applied,
                record: self.numbers(record.as_ref()),
                revision: self.revision_if(*applied),
                replayed: self.replayed,
            }),
            (Op::RangeGet(get), TxnResult::RangeGet { records, more }) => {
                Item::RangeGet(v1::RangeGetResult {
                    records: records.iter().map(|record| self.row(get, record)).collect(),
                    more: *more,
                })
            }
            // Remembered: what was read is not repeated.
            (Op::RangeGet(_), TxnResult::Get(None)) => {
                Item::RangeGet(v1::RangeGetResult::default())
            }
            (Op::RangeDelete(_), TxnResult::RangeDelete { deleted, .. }) => {
                Item::RangeDelete(v1::RangeDeleteResult {
                    deleted: signed(*deleted),
                })
            }
            (Op::Txn(txn), TxnResult::Txn(branch)) => Item::Txn(self.branch(txn, branch)),
            _ => return None,
        })
    }

    fn row(&self, get: &v1::RangeGet, record: &Record) -> v1::Record {
        let key = Bytes::copy_from_slice(record.key());
        if get.keys_only {
            return v1::Record {
                key,
                ..numbers(self.store, record)
            };
        }
        convert::record(self.store, key, record)
    }
}

/// Whether any step changed something.
fn changed(branch: &TxnBranch) -> bool {
    branch.results.iter().any(|result| match result {
        TxnResult::Get(_) | TxnResult::RangeGet { .. } => false,
        TxnResult::Set { .. } | TxnResult::Increment { .. } => true,
        TxnResult::Delete { deleted, .. } => *deleted,
        TxnResult::Expire { applied, .. } => *applied,
        TxnResult::RangeDelete { deleted, .. } => *deleted > 0,
        TxnResult::Txn(branch) => changed(branch),
    })
}
