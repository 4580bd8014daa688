//! What the model expects, as replies of the wire without headers.

use kvproto::v1::{
    self, ErrorReason as Reason, batch_write_result::Result as Item,
    operation_result::Result as Reply, txn_result::Result as Step,
};

use super::answers::{Answer, Branch, Done, Rec};
use super::ops::{Action, Change, Txn, TxnOp, Write};

/// The wire's name of a refusal in our words.
pub(super) fn kind(reason: Reason) -> String {
    match reason {
        Reason::BatchTooLarge => "UnitTooLarge".to_owned(),
        Reason::EmptyBatch => "TooManyOperations".to_owned(),
        // Of these only an existence that is to be greater or less comes from here.
        Reason::OptionConflict => "BadNumber".to_owned(),
        reason => format!("{reason:?}"),
    }
}

fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn full(rec: &Rec) -> v1::Record {
    v1::Record {
        key: rec.key.0.clone().into(),
        value: rec.value.0.clone().into(),
        ..numbers(rec)
    }
}

fn numbers(rec: &Rec) -> v1::Record {
    v1::Record {
        create_revision: signed(rec.created),
        mod_revision: signed(rec.modified),
        version: signed(rec.version),
        expires_at_ms: signed(rec.deadline),
        ..v1::Record::default()
    }
}

/// A change of one key.
pub(super) fn item(change: &Change, show: bool, answer: &Answer) -> Item {
    let Answer::One {
        applied,
        revision,
        record,
        previous,
        value,
        replayed,
    } = answer
    else {
        unreachable!("the answer to one change")
    };
    let (applied, revision, replayed) = (*applied, signed(*revision), *replayed);
    let record = record.as_ref();
    let boxed = |record| Box::new(full(record));
    let previous = previous.as_ref().filter(|_| show).map(boxed);
    match &change.action {
        Action::Set { .. } => Item::Set(v1::SetResponse {
            header: None,
            applied,
            revision,
            record: record.filter(|_| applied).map(numbers),
            previous,
            current: record.filter(|_| !applied).map(boxed),
            replayed,
        }),
        Action::Delete => Item::Delete(v1::DeleteResponse {
            header: None,
            deleted: applied,
            revision,
            previous,
            current: record.filter(|_| !applied).map(boxed),
            replayed,
        }),
        Action::Increment(_) => Item::Increment(v1::IncrementResponse {
            header: None,
            value: value.unwrap_or(0),
            revision,
            record: record.map(numbers),
            replayed,
        }),
        Action::Expire { .. } => Item::Expire(v1::ExpireResponse {
            header: None,
            found: applied || record.is_some(),
            applied,
            record: record.map(numbers),
            revision,
            replayed,
        }),
    }
}

/// Of everything but a batch, whose items are judged one by one.
pub(super) fn reply(write: &Write, show: bool, answer: &Answer) -> Reply {
    match (write, answer) {
        (Write::One(change), answer) => match item(change, show, answer) {
            Item::Set(reply) => Reply::Set(reply),
            Item::Delete(reply) => Reply::Delete(reply),
            Item::Increment(reply) => Reply::Increment(reply),
            Item::Expire(reply) => Reply::Expire(reply),
            Item::Error(error) => Reply::Error(error),
        },
        (
            Write::Txn(txn),
            Answer::Txn {
                branch,
                revision,
                replayed,
            },
        ) => {
            let steps = Steps {
                revision: signed(*revision),
                replayed: *replayed,
            };
            Reply::Txn(v1::TxnResponse {
                revision: steps.revision,
                ..steps.branch(txn, branch)
            })
        }
        (_, Answer::NoChunk) => Reply::DeleteRange(v1::DeleteRangeResponse::default()),
        (
            _,
            Answer::Range {
                deleted,
                more,
                revision,
                replayed,
            },
        ) => Reply::DeleteRange(v1::DeleteRangeResponse {
            header: None,
            deleted: signed(*deleted),
            first_revision: signed(*revision),
            last_revision: signed(*revision),
            more: *more,
            replayed: *replayed,
        }),
        (write, answer) => unreachable!("{answer:?} to {write:?}"),
    }
}

struct Steps {
    revision: i64,
    replayed: bool,
}

impl Steps {
    fn branch(&self, txn: &Txn, branch: &Branch) -> v1::TxnResponse {
        let ops = if branch.succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        let steps = ops.iter().zip(&branch.results);
        v1::TxnResponse {
            header: None,
            succeeded: branch.succeeded,
            responses: steps
                .map(|(op, done)| v1::TxnResult {
                    result: Some(self.step(op, done)),
                })
                .collect(),
            revision: self.revision_if(changed(branch)),
            replayed: self.replayed,
        }
    }

    fn revision_if(&self, changed: bool) -> i64 {
        if changed { self.revision } else { 0 }
    }

    fn step(&self, op: &TxnOp, done: &Done) -> Step {
        let replayed = self.replayed;
        match (op, done) {
            (TxnOp::RangeGet { .. }, Done::Get(None)) => {
                Step::RangeGet(v1::RangeGetResult::default())
            }
            (_, Done::Get(record)) => Step::Get(v1::GetResponse {
                header: None,
                found: record.is_some(),
                record: record.as_ref().map(full),
            }),
            (_, Done::Set { record, previous }) => Step::Set(v1::SetResponse {
                applied: true,
                revision: self.revision,
                record: record.as_ref().map(numbers),
                previous: previous.as_ref().map(full).map(Box::new),
                replayed,
                ..v1::SetResponse::default()
            }),
            (_, Done::Delete { deleted, previous }) => Step::Delete(v1::DeleteResponse {
                deleted: *deleted,
                revision: self.revision_if(*deleted),
                previous: previous.as_ref().map(full).map(Box::new),
                replayed,
                ..v1::DeleteResponse::default()
            }),
            (_, Done::Increment { value, record }) => Step::Increment(v1::IncrementResponse {
                header: None,
                value: *value,
                revision: self.revision,
                record: record.as_ref().map(numbers),
                replayed,
            }),
            (
                _,
                Done::Expire {
                    applied,
                    found,
                    record,
                },
            ) => Step::Expire(v1::ExpireResponse {
                header: None,
                found: *found,
                applied: *applied,
                record: record.as_ref().map(numbers),
                revision: self.revision_if(*applied),
                replayed,
            }),
            (_, Done::RangeGet { records, more }) => Step::RangeGet(v1::RangeGetResult {
                records: records.iter().map(full).collect(),
                more: *more,
            }),
            (_, Done::RangeDelete { deleted, .. }) => Step::RangeDelete(v1::RangeDeleteResult {
                deleted: signed(*deleted),
            }),
            (TxnOp::Txn(inner), Done::Txn(branch)) => Step::Txn(self.branch(inner, branch)),
            (op, Done::Txn(_)) => unreachable!("the branch of {op:?}"),
        }
    }
}

/// Whether a list has changed anything.
fn changed(branch: &Branch) -> bool {
    branch.results.iter().any(|done| match done {
        Done::Get(_) | Done::RangeGet { .. } => false,
        Done::Set { .. } | Done::Increment { .. } => true,
        Done::Delete { deleted, .. } => *deleted,
        Done::Expire { applied, .. } => *applied,
        Done::RangeDelete { deleted, .. } => *deleted > 0,
        Done::Txn(branch) => changed(branch),
    })
}
