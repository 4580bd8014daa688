//! Our words as requests of the wire.

use kvproto::v1::{self, batch_write_operation::Operation as Item, operation::Operation as Call};

use super::actions::exactly;
use super::ops::{
    Action, Change, Compare, Condition, Expiry, Increment, Moment, Number, Operator, Range, Target,
    Txn, TxnOp, When, Write,
};

pub(super) fn range(range: &Range) -> v1::KeyRange {
    use v1::key_range::Range as Named;
    let range = match range {
        Range::All => Named::All(v1::AllKeys {}),
        Range::Key(key) => Named::Key(key.0.clone().into()),
        Range::Prefix(prefix) => Named::Prefix(prefix.0.clone().into()),
        Range::Span(start, end) => Named::Span(v1::Span {
            start: start.0.clone().into(),
            end: end.0.clone().into(),
        }),
    };
    v1::KeyRange { range: Some(range) }
}

fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn number(number: Number) -> i64 {
    signed(exactly(number))
}

fn expiry(expiry: Expiry) -> Option<v1::Expiry> {
    use v1::expiry::When as Ends;
    let when = match expiry {
        Expiry::Never => return None,
        Expiry::After(ms) => Ends::TtlMs(signed(ms)),
        Expiry::At(moment) => Ends::AtMs(wall(moment)),
        Expiry::Keep => Ends::Keep(v1::KeepExpiry {}),
    };
    Some(v1::Expiry { when: Some(when) })
}

fn wall(moment: Moment) -> i64 {
    match moment {
        Moment::Wall(ms) => signed(ms),
        Moment::FromNow(_) => unreachable!("it was made a moment of the clock"),
    }
}

fn condition(condition: &Condition) -> v1::Condition {
    use v1::condition::Test;
    let test = match condition {
        Condition::Exists(wanted) => Test::Exists(*wanted),
        Condition::Modified(wanted) => Test::ModRevision(number(*wanted)),
        Condition::Created(wanted) => Test::CreateRevision(number(*wanted)),
        Condition::Version(wanted) => Test::Version(number(*wanted)),
        Condition::Value(value) => Test::Value(value.0.clone().into()),
    };
    v1::Condition { test: Some(test) }
}

fn increment(key: &[u8], by: &Increment) -> v1::IncrementRequest {
    v1::IncrementRequest {
        key: key.to_vec().into(),
        delta: Some(by.delta),
        initial: by.initial,
        min: Some(by.min),
        max: Some(by.max),
        saturate: by.saturate,
        expiry: expiry(by.expiry),
        options: None,
    }
}

fn expire(key: &[u8], to: Expiry, when: When) -> v1::ExpireRequest {
    use v1::expire_request::Expiry as Ends;
    let condition = match when {
        When::Always => v1::ExpireCondition::Unspecified,
        When::IfNone => v1::ExpireCondition::Nx,
        When::IfSome => v1::ExpireCondition::Xx,
        When::IfLater => v1::ExpireCondition::Gt,
        When::IfEarlier => v1::ExpireCondition::Lt,
    };
    v1::ExpireRequest {
        key: key.to_vec().into(),
        expiry: Some(match to {
            Expiry::After(ms) => Ends::TtlMs(signed(ms)),
            Expiry::At(moment) => Ends::AtMs(wall(moment)),
            Expiry::Never | Expiry::Keep => Ends::Persist(v1::Persist {}),
        }),
        condition: condition.into(),
        options: None,
    }
}

/// One change, and whether it shows what was there before.
fn item(change: &Change, show: bool) -> Item {
    let key = &change.key.0;
    let condition = change.condition.as_ref().map(condition);
    match &change.action {
        Action::Set { value, expiry: to } => Item::Set(v1::SetRequest {
            key: key.clone().into(),
            value: value.0.clone().into(),
            expiry: expiry(*to),
            condition,
            return_previous: show,
            options: None,
        }),
        Action::Delete => Item::Delete(v1::DeleteRequest {
            key: key.clone().into(),
            condition,
            return_previous: show,
            options: None,
        }),
        Action::Increment(by) => Item::Increment(increment(key, by)),
        Action::Expire { to, when } => Item::Expire(expire(key, *to, *when)),
    }
}

fn compare(compare: &Compare) -> v1::Compare {
    use v1::compare::Target as Wanted;
    let operator = match compare.operator {
        Operator::Equal => v1::CompareOperator::Equal,
        Operator::NotEqual => v1::CompareOperator::NotEqual,
        Operator::Greater => v1::CompareOperator::Greater,
        Operator::Less => v1::CompareOperator::Less,
    };
    let target = match &compare.target {
        Target::Version(wanted) => Wanted::Version(number(*wanted)),
        Target::Created(wanted) => Wanted::CreateRevision(number(*wanted)),
        Target::Modified(wanted) => Wanted::ModRevision(number(*wanted)),
        Target::Value(value) => Wanted::Value(value.0.clone().into()),
        Target::Lease(wanted) => Wanted::LeaseId(signed(*wanted)),
        Target::Exists(wanted) => Wanted::Exists(*wanted),
    };
    v1::Compare {
        range: Some(range(&compare.range)),
        operator: operator.into(),
        target: Some(target),
    }
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).expect("small")
}

fn step(op: &TxnOp) -> v1::TxnOperation {
    use v1::txn_operation::Operation as Step;
    let operation = match op {
        TxnOp::Get(key) => Step::Get(v1::GetRequest {
            key: key.0.clone().into(),
            options: None,
        }),
        TxnOp::Change {
            key,
            action,
            show_previous,
        } => {
            let change = Change {
                key: key.clone(),
                action: action.clone(),
                condition: None,
            };
            match item(&change, *show_previous) {
                Item::Set(set) => Step::Set(set),
                Item::Delete(delete) => Step::Delete(delete),
                Item::Increment(increment) => Step::Increment(increment),
                Item::Expire(expire) => Step::Expire(expire),
            }
        }
        TxnOp::RangeGet {
            range: of,
            limit: most,
            reverse,
        } => Step::RangeGet(v1::RangeGet {
            range: Some(range(of)),
            limit: limit(*most),
            reverse: *reverse,
            keys_only: false,
        }),
        TxnOp::RangeDelete { range: of, .. } => Step::RangeDelete(v1::RangeDelete {
            range: Some(range(of)),
        }),
        TxnOp::Txn(inner) => Step::Txn(txn(inner)),
    };
    v1::TxnOperation {
        operation: Some(operation),
    }
}

fn txn(txn: &Txn) -> v1::TxnRequest {
    v1::TxnRequest {
        compares: txn.compares.iter().map(compare).collect(),
        success: txn.success.iter().map(step).collect(),
        failure: txn.failure.iter().map(step).collect(),
        options: None,
    }
}

/// A write as a call, without options. Several changes are a batch.
pub(super) fn write(write: &Write, show: bool) -> Call {
    match write {
        Write::One(change) => match item(change, show) {
            Item::Set(set) => Call::Set(set),
            Item::Delete(delete) => Call::Delete(delete),
            Item::Increment(increment) => Call::Increment(increment),
            Item::Expire(expire) => Call::Expire(expire),
        },
        Write::All(changes) => Call::BatchWrite(v1::BatchWriteRequest {
            operations: changes
                .iter()
                .map(|change| v1::BatchWriteOperation {
                    operation: Some(item(change, show)),
                })
                .collect(),
            options: None,
        }),
        Write::Txn(one) => Call::Txn(txn(one)),
        Write::DeleteRange { range: of, limit } | Write::Chunk { range: of, limit } => {
            Call::DeleteRange(v1::DeleteRangeRequest {
                range: Some(range(of)),
                atomic: Some(matches!(write, Write::DeleteRange { .. })),
                dry_run: false,
                limit: self::limit(*limit),
                options: None,
            })
        }
    }
}

/// Gives a call a request id.
pub(super) fn name(call: &mut Call, id: &[u8]) {
    let options = Some(v1::WriteOptions {
        request_id: id.to_vec().into(),
        ..v1::WriteOptions::default()
    });
    match call {
        Call::Set(request) => request.options = options,
        Call::Delete(request) => request.options = options,
        Call::Increment(request) => request.options = options,
        Call::Expire(request) => request.options = options,
        Call::BatchWrite(request) => request.options = options,
        Call::Txn(request) => request.options = options,
        Call::DeleteRange(request) => request.options = options,
        Call::Get(_) | Call::BatchGet(_) | Call::Count(_) => {}
    }
}
