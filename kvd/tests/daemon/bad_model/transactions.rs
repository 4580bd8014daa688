//! Transactions and batches.

use kvproto::v1::{
    self, ErrorReason as Reason, condition::Test, operation::Operation as Op,
    txn_operation::Operation as Step,
};
use tonic::Code;

use super::super::support::model::{all, delete, increment, key, prefix, step, txn};
use super::super::support::{get, set};
use super::{Row, bad, row};

fn compare(change: impl FnOnce(&mut v1::Compare)) -> Op {
    let mut compare = v1::Compare {
        range: Some(key("k")),
        operator: v1::CompareOperator::Equal.into(),
        target: Some(v1::compare::Target::Version(1)),
    };
    change(&mut compare);
    Op::Txn(v1::TxnRequest {
        compares: vec![compare],
        ..v1::TxnRequest::default()
    })
}

pub(super) fn compares() -> Vec<Row> {
    use v1::compare::Target;
    vec![
        bad(
            "compare of no range",
            compare(|c| c.range = None),
            Reason::BadRange,
            "compares[0].range",
        ),
        bad(
            "no operator",
            compare(|c| c.operator = 0),
            Reason::MissingField,
            "compares[0].operator",
        ),
        bad(
            "unknown operator",
            compare(|c| c.operator = 99),
            Reason::UnsupportedOption,
            "compares[0].operator",
        ),
        bad(
            "no target",
            compare(|c| c.target = None),
            Reason::UnsupportedOption,
            "compares[0].target",
        ),
        bad(
            "greater than existing",
            compare(|c| {
                c.operator = v1::CompareOperator::Greater.into();
                c.target = Some(Target::Exists(true));
            }),
            Reason::OptionConflict,
            "compares[0].operator",
        ),
        bad(
            "negative revision to compare with",
            compare(|c| c.target = Some(Target::ModRevision(-1))),
            Reason::BadNumber,
            "compares[0].mod_revision",
        ),
    ]
}

fn in_txn(steps: Vec<Step>) -> Op {
    Op::Txn(txn(steps))
}

/// `depth` transactions around nothing.
fn nested(depth: usize) -> v1::TxnRequest {
    (0..depth).fold(v1::TxnRequest::default(), |inner, _| {
        txn(vec![Step::Txn(inner)])
    })
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn transactions() -> Vec<Row> {
    let conditional = v1::SetRequest {
        condition: Some(v1::Condition {
            test: Some(Test::Exists(true)),
        }),
        ..set("k", "v")
    };
    let own = v1::GetRequest {
        options: Some(v1::ReadOptions::default()),
        ..get("k")
    };
    let requiring = v1::SetRequest {
        options: Some(v1::WriteOptions {
            require: vec![v1::Capability::Txn.into()],
            ..v1::WriteOptions::default()
        }),
        ..set("k", "v")
    };
    let inner_options = v1::TxnRequest {
        options: Some(v1::WriteOptions::default()),
        ..v1::TxnRequest::default()
    };
    let failing = v1::TxnRequest {
        compares: vec![v1::Compare {
            range: Some(key("text")),
            operator: v1::CompareOperator::Equal.into(),
            target: Some(v1::compare::Target::Exists(false)),
        }],
        failure: vec![step(Step::Increment(increment("text")))],
        ..v1::TxnRequest::default()
    };
    let range_delete = |range| Step::RangeDelete(v1::RangeDelete { range: Some(range) });
    let big = |name: &str, size| Step::Set(set(name, vec![0; size]));
    vec![
        bad(
            "empty step",
            Op::Txn(v1::TxnRequest {
                success: vec![v1::TxnOperation::default()],
                ..v1::TxnRequest::default()
            }),
            Reason::UnsupportedOption,
            "success[0]",
        ),
        bad(
            "condition inside",
            in_txn(vec![Step::Set(conditional)]),
            Reason::OptionConflict,
            "success[0].set.condition",
        ),
        bad(
            "options inside",
            in_txn(vec![Step::Get(own)]),
            Reason::OptionConflict,
            "success[0].get.options",
        ),
        bad(
            "require inside",
            in_txn(vec![Step::Set(requiring)]),
            Reason::OptionConflict,
            "success[0].set.options",
        ),
        bad(
            "options of an inner transaction",
            in_txn(vec![Step::Txn(inner_options)]),
            Reason::OptionConflict,
            "success[0].txn.options",
        ),
        bad(
            "bad number inside",
            in_txn(vec![
                Step::Get(get("k")),
                Step::Txn(v1::TxnRequest {
                    failure: vec![step(Step::Increment(v1::IncrementRequest {
                        delta: Some(0),
                        ..increment("n")
                    }))],
                    ..v1::TxnRequest::default()
                }),
            ]),
            Reason::BadNumber,
            "success[1].txn.failure[0].increment.delta",
        ),
        bad(
            "one key twice",
            in_txn(vec![Step::Set(set("a", "1")), Step::Delete(delete("a"))]),
            Reason::DuplicateKey,
            "success[1].delete.key",
        ),
        bad(
            "one key twice, once in a range",
            in_txn(vec![Step::Set(set("a/1", "1")), range_delete(prefix("a/"))]),
            Reason::DuplicateKey,
            "success[1].range_delete.key",
        ),
        bad(
            "one key twice, once nested",
            in_txn(vec![
                Step::Set(set("a", "1")),
                Step::Txn(txn(vec![Step::Increment(increment("a"))])),
            ]),
            Reason::DuplicateKey,
            "success[1].txn.key",
        ),
        bad("nine deep", Op::Txn(nested(9)), Reason::NestedTooDeep, NINE),
        bad(
            "1,025 steps",
            Op::Txn(v1::TxnRequest {
                success: (0..1000)
                    .map(|i| step(Step::Get(get(&format!("k{i}")))))
                    .collect(),
                failure: (0..25)
                    .map(|i| step(Step::Get(get(&format!("k{i}")))))
                    .collect(),
                ..v1::TxnRequest::default()
            }),
            Reason::TooManyOperations,
            "success",
        ),
        bad(
            "1,025 steps, most of them nested",
            in_txn(vec![
                Step::Txn(txn((0..512)
                    .map(|i| Step::Get(get(&format!("k{i}"))))
                    .collect())),
                Step::Txn(txn((0..511)
                    .map(|i| Step::Get(get(&format!("l{i}"))))
                    .collect())),
            ]),
            Reason::TooManyOperations,
            "success",
        ),
        bad(
            "large transaction",
            in_txn(vec![big("a", 1 << 20), big("b", 78 << 10)]),
            Reason::BatchTooLarge,
            "",
        ),
        bad(
            "negative limit inside",
            in_txn(vec![Step::RangeGet(v1::RangeGet {
                range: Some(all()),
                limit: -1,
                ..v1::RangeGet::default()
            })]),
            Reason::BadNumber,
            "success[0].range_get.limit",
        ),
        row(
            "a step that fails",
            in_txn(vec![
                Step::Set(set("never", "seen")),
                Step::Get(get("k")),
                Step::Txn(failing),
            ]),
            Code::FailedPrecondition,
            Reason::NotAnInteger,
            "success[2].txn.failure[0].increment",
        ),
        row(
            "a reply of 4 MiB",
            in_txn(vec![
                Step::Set(set("never", "seen")),
                Step::RangeGet(v1::RangeGet {
                    range: Some(prefix("big/")),
                    ..v1::RangeGet::default()
                }),
            ]),
            Code::ResourceExhausted,
            Reason::ReplyTooLarge,
            "success[1].range_get",
        ),
    ]
}

/// Where the ninth transaction inside another is.
const NINE: &str = "success[0].txn.success[0].txn.success[0].txn.success[0].txn.success[0].txn.\
                    success[0].txn.success[0].txn.success[0].txn.success[0].txn";

pub(super) fn batches() -> Vec<Row> {
    use v1::batch_write_operation::Operation as Item;
    let batch = |item| {
        Op::BatchWrite(v1::BatchWriteRequest {
            operations: vec![v1::BatchWriteOperation {
                operation: Some(item),
            }],
            options: None,
        })
    };
    vec![
        bad(
            "options of an item",
            batch(Item::Increment(v1::IncrementRequest {
                options: Some(v1::WriteOptions::default()),
                ..increment("n")
            })),
            Reason::OptionConflict,
            "operations[0].increment.options",
        ),
        bad(
            "bad number in an item",
            batch(Item::Increment(v1::IncrementRequest {
                delta: Some(0),
                ..increment("n")
            })),
            Reason::BadNumber,
            "operations[0].increment.delta",
        ),
        bad(
            "item that expires at no time",
            batch(Item::Expire(v1::ExpireRequest {
                key: "k".into(),
                ..v1::ExpireRequest::default()
            })),
            Reason::UnsupportedOption,
            "operations[0].expire.expiry",
        ),
    ]
}
