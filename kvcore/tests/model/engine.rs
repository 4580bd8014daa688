//! From our words to the engine's, and back.

use kvcore::{
    Condition, Error, Expire, ExpireCondition, Expiry, Increment, KeyRange, Mutation, Operator,
    Outcome, RangeDeleted, Record, RequestId, Revision, Target, Txn, TxnBranch, TxnOp, TxnOutcome,
    TxnResult, UnitOutcome,
};

use crate::actions::exactly;
use crate::answers::{Answer, Branch, Done, Rec, Refusal};
use crate::ops::{self, Bytes, Moment, Range, When};

pub(crate) fn range(range: &Range) -> KeyRange {
    match range {
        Range::All => KeyRange::all(),
        Range::Key(key) => KeyRange::key(&key.0),
        Range::Prefix(prefix) => KeyRange::prefix(&prefix.0),
        Range::Span(start, end) => KeyRange::span(&start.0, &end.0),
    }
}

fn expiry(expiry: ops::Expiry) -> Expiry {
    match expiry {
        ops::Expiry::Never => Expiry::Never,
        ops::Expiry::After(ms) => Expiry::After(ms),
        ops::Expiry::At(Moment::Wall(ms)) => Expiry::At(ms),
        ops::Expiry::At(Moment::FromNow(_)) => unreachable!("it was made a moment of the clock"),
        ops::Expiry::Keep => Expiry::Keep,
    }
}

fn increment(increment: &ops::Increment) -> Increment {
    Increment {
        delta: increment.delta,
        initial: increment.initial,
        min: increment.min,
        max: increment.max,
        saturate: increment.saturate,
        expiry: expiry(increment.expiry),
    }
}

fn expire(to: ops::Expiry, when: When) -> Expire {
    Expire {
        to: expiry(to),
        condition: match when {
            When::Always => ExpireCondition::Always,
            When::IfNone => ExpireCondition::IfNone,
            When::IfSome => ExpireCondition::IfSome,
            When::IfLater => ExpireCondition::IfLater,
            When::IfEarlier => ExpireCondition::IfEarlier,
        },
    }
}

fn condition(condition: &ops::Condition) -> Condition<'_> {
    let revision = |number| Revision(exactly(number));
    match condition {
        ops::Condition::Exists(wanted) => Condition::Exists(*wanted),
        ops::Condition::Modified(number) => Condition::ModRevision(revision(*number)),
        ops::Condition::Created(number) => Condition::CreateRevision(revision(*number)),
        ops::Condition::Version(number) => Condition::Version(exactly(*number)),
        ops::Condition::Value(value) => Condition::Value(&value.0),
    }
}

pub(crate) fn mutation(change: &ops::Change) -> Mutation<'_> {
    Mutation {
        key: &change.key.0,
        action: match &change.action {
            ops::Action::Set { value, expiry: to } => kvcore::Action::Set {
                value: &value.0,
                expiry: expiry(*to),
            },
            ops::Action::Delete => kvcore::Action::Delete,
            ops::Action::Increment(by) => kvcore::Action::Increment(increment(by)),
            ops::Action::Expire { to, when } => kvcore::Action::Expire(expire(*to, *when)),
        },
        condition: change.condition.as_ref().map(condition),
    }
}

pub(crate) fn txn(txn: &ops::Txn) -> Txn<'_> {
    Txn {
        compares: txn.compares.iter().map(compare).collect(),
        success: txn.success.iter().map(txn_op).collect(),
        failure: txn.failure.iter().map(txn_op).collect(),
    }
}

fn compare(compare: &ops::Compare) -> kvcore::Compare<'_> {
    let revision = |number| Revision(exactly(number));
    kvcore::Compare {
        range: range(&compare.range),
        operator: match compare.operator {
            ops::Operator::Equal => Operator::Equal,
            ops::Operator::NotEqual => Operator::NotEqual,
            ops::Operator::Greater => Operator::Greater,
            ops::Operator::Less => Operator::Less,
        },
        target: match &compare.target {
            ops::Target::Version(number) => Target::Version(exactly(*number)),
            ops::Target::Created(number) => Target::CreateRevision(revision(*number)),
            ops::Target::Modified(number) => Target::ModRevision(revision(*number)),
            ops::Target::Value(value) => Target::Value(&value.0),
            ops::Target::Lease(lease) => Target::Lease(*lease),
            ops::Target::Exists(wanted) => Target::Exists(*wanted),
        },
    }
}

fn txn_op(op: &ops::TxnOp) -> TxnOp<'_> {
    match op {
        ops::TxnOp::Get(key) => TxnOp::Get { key: &key.0 },
        ops::TxnOp::Change {
            key,
            action,
            show_previous,
        } => {
            let (key, return_previous) = (&key.0, *show_previous);
            match action {
                ops::Action::Set { value, expiry: to } => TxnOp::Set {
                    key,
                    value: &value.0,
                    expiry: expiry(*to),
                    return_previous,
                },
                ops::Action::Delete => TxnOp::Delete {
                    key,
                    return_previous,
                },
                ops::Action::Increment(by) => TxnOp::Increment {
                    key,
                    increment: increment(by),
                },
                ops::Action::Expire { to, when } => TxnOp::Expire {
                    key,
                    expire: expire(*to, *when),
                },
            }
        }
        ops::TxnOp::RangeGet {
            range: of,
            limit,
            reverse,
        } => TxnOp::RangeGet {
            range: range(of),
            limit: *limit,
            reverse: *reverse,
        },
        ops::TxnOp::RangeDelete { range: of, limit } => TxnOp::RangeDelete {
            range: range(of),
            limit: *limit,
        },
        ops::TxnOp::Txn(inner) => TxnOp::Txn(txn(inner)),
    }
}

pub(crate) fn request(request: &ops::Request) -> RequestId<'_> {
    RequestId {
        id: &request.id.0,
        fingerprint: request.fingerprint.into(),
        item: request.item,
    }
}

pub(crate) fn rec(record: &Record) -> Rec {
    Rec {
        key: Bytes::from(record.key()),
        value: Bytes::from(record.value()),
        created: record.create_revision().0,
        modified: record.mod_revision().0,
        version: record.version(),
        deadline: record.deadline_ms(),
    }
}

pub(crate) fn recs(records: &[Record]) -> Vec<Rec> {
    records.iter().map(rec).collect()
}

fn maybe(record: Option<&Record>) -> Option<Rec> {
    record.map(rec)
}

pub(crate) fn one(outcome: &Outcome) -> Answer {
    Answer::One {
        applied: outcome.applied,
        revision: outcome.revision.0,
        record: maybe(outcome.record.as_ref()),
        previous: maybe(outcome.previous.as_ref()),
        value: outcome.value,
        replayed: outcome.replayed,
    }
}

pub(crate) fn all(outcome: &UnitOutcome) -> Answer {
    let unmet = outcome.unmet.as_ref();
    Answer::All {
        revision: outcome.revision.0,
        previous: outcome.previous.iter().map(|p| maybe(p.as_ref())).collect(),
        unmet: unmet.map(|unmet| (unmet.index, maybe(unmet.current.as_ref()))),
        replayed: outcome.replayed,
    }
}

pub(crate) fn range_deleted(outcome: &RangeDeleted) -> Answer {
    Answer::Range {
        deleted: outcome.deleted,
        more: outcome.more,
        revision: outcome.revision.0,
        replayed: outcome.replayed,
    }
}

pub(crate) fn txn_outcome(outcome: &TxnOutcome) -> Answer {
    Answer::Txn {
        branch: branch(&outcome.branch),
        revision: outcome.revision.0,
        replayed: outcome.replayed,
    }
}

fn branch(branch: &TxnBranch) -> Branch {
    Branch {
        succeeded: branch.succeeded,
        results: branch.results.iter().map(done).collect(),
    }
}

fn done(result: &TxnResult) -> Done {
    match result {
        TxnResult::Get(record) => Done::Get(maybe(record.as_ref())),
        TxnResult::Set { record, previous } => Done::Set {
            record: maybe(record.as_ref()),
            previous: maybe(previous.as_ref()),
        },
        TxnResult::Delete { deleted, previous } => Done::Delete {
            deleted: *deleted,
            previous: maybe(previous.as_ref()),
        },
        TxnResult::Increment { value, record } => Done::Increment {
            value: *value,
            record: maybe(record.as_ref()),
        },
        TxnResult::Expire {
            applied,
            found,
            record,
        } => Done::Expire {
            applied: *applied,
            found: *found,
            record: maybe(record.as_ref()),
        },
        TxnResult::RangeGet { records, more } => Done::RangeGet {
            records: recs(records),
            more: *more,
        },
        TxnResult::RangeDelete { deleted, more } => Done::RangeDelete {
            deleted: *deleted,
            more: *more,
        },
        TxnResult::Txn(inner) => Done::Txn(branch(inner)),
    }
}

pub(crate) fn refusal(error: &Error) -> Refusal {
    Refusal {
        kind: format!("{:?}", error.kind()),
        place: error.place().to_owned(),
    }
}
