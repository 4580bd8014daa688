//! What the data model refuses, one row each: alone and in a pipeline with the same
//! code, reason and field, and a write that succeeds after it.

use super::support::model::{self, all, delete, increment, key, prefix, span, step, txn};
use super::support::{Running, get, reason, set};
use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason as Reason, condition::Test, expiry::When, operation::Operation as Op,
    txn_operation::Operation as Step,
};
use tonic::Code;
use tonic_types::StatusExt as _;

struct Row {
    name: &'static str,
    call: Op,
    code: Code,
    reason: Reason,
    field: &'static str,
}

fn row(name: &'static str, call: Op, code: Code, reason: Reason, field: &'static str) -> Row {
    Row {
        name,
        call,
        code,
        reason,
        field,
    }
}

fn bad(name: &'static str, call: Op, reason: Reason, field: &'static str) -> Row {
    row(name, call, Code::InvalidArgument, reason, field)
}

fn expiring(when: Option<When>) -> Op {
    Op::Set(v1::SetRequest {
        expiry: Some(v1::Expiry { when }),
        ..set("k", "v")
    })
}

fn expire(expiry: Option<v1::expire_request::Expiry>, condition: i32) -> Op {
    Op::Expire(v1::ExpireRequest {
        key: "k".into(),
        expiry,
        condition,
        options: None,
    })
}

fn on_condition(test: Option<Test>) -> Op {
    Op::Set(v1::SetRequest {
        condition: Some(v1::Condition { test }),
        ..set("k", "v")
    })
}

fn counter(change: impl FnOnce(&mut v1::IncrementRequest)) -> Op {
    let mut request = increment("n");
    change(&mut request);
    Op::Increment(request)
}

fn write_options(options: v1::WriteOptions) -> Op {
    Op::Set(v1::SetRequest {
        options: Some(options),
        ..set("k", "v")
    })
}

/// Longer by one than a request id may be.
fn long_id() -> v1::WriteOptions {
    v1::WriteOptions {
        request_id: vec![b'r'; 65].into(),
        ..v1::WriteOptions::default()
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn one_key() -> Vec<Row> {
    use v1::expire_request::Expiry as To;
    let century = 100 * 366 * 86_400_000_i64;
    vec![
        bad(
            "ttl 0",
            expiring(Some(When::TtlMs(0))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "ttl -1",
            expiring(Some(When::TtlMs(-1))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "over a century",
            expiring(Some(When::TtlMs(century + 1))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "ttl overflows",
            expiring(Some(When::TtlMs(i64::MAX))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "moment overflows",
            expiring(Some(When::AtMs(i64::MAX))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "moment before the epoch",
            expiring(Some(When::AtMs(-1))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "moment 0",
            expiring(Some(When::AtMs(0))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "empty expiry",
            expiring(None),
            Reason::UnsupportedOption,
            "expiry",
        ),
        bad(
            "lease",
            expiring(Some(When::LeaseId(7))),
            Reason::UnsupportedOption,
            "expiry.lease_id",
        ),
        bad(
            "expire without a variant",
            expire(None, 0),
            Reason::UnsupportedOption,
            "expiry",
        ),
        bad(
            "expire ttl 0",
            expire(Some(To::TtlMs(0)), 0),
            Reason::BadTtl,
            "ttl_ms",
        ),
        bad(
            "expire at -1",
            expire(Some(To::AtMs(-1)), 0),
            Reason::BadTtl,
            "at_ms",
        ),
        bad(
            "unknown expire condition",
            expire(Some(To::TtlMs(5)), 9),
            Reason::UnsupportedOption,
            "condition",
        ),
        bad(
            "empty condition",
            on_condition(None),
            Reason::UnsupportedOption,
            "condition",
        ),
        bad(
            "negative version",
            on_condition(Some(Test::Version(-1))),
            Reason::BadNumber,
            "condition.version",
        ),
        bad(
            "negative creation",
            on_condition(Some(Test::CreateRevision(-1))),
            Reason::BadNumber,
            "condition.create_revision",
        ),
        bad(
            "condition on a long value",
            on_condition(Some(Test::Value(vec![0; (1 << 20) + 1].into()))),
            Reason::ValueTooLarge,
            "condition.value",
        ),
        bad(
            "delta 0",
            counter(|n| n.delta = Some(0)),
            Reason::BadNumber,
            "delta",
        ),
        bad(
            "min above max",
            counter(|n| (n.min, n.max) = (Some(2), Some(1))),
            Reason::BadNumber,
            "min",
        ),
        bad(
            "counter without a key",
            counter(|n| n.key = Bytes::new()),
            Reason::EmptyKey,
            "key",
        ),
        row(
            "not a counter",
            Op::Increment(increment("text")),
            Code::FailedPrecondition,
            Reason::NotAnInteger,
            "",
        ),
        row(
            "counter overflows",
            counter(|n| n.initial = i64::MAX),
            Code::OutOfRange,
            Reason::OutOfBounds,
            "",
        ),
        row(
            "counter passes its bound",
            counter(|n| (n.delta, n.max) = (Some(11), Some(10))),
            Code::OutOfRange,
            Reason::OutOfBounds,
            "",
        ),
        bad(
            "long request id",
            write_options(long_id()),
            Reason::BadRequestId,
            "options.request_id",
        ),
        row(
            "request id of another body",
            write_options(model::named("used")),
            Code::AlreadyExists,
            Reason::RequestIdReused,
            "options.request_id",
        ),
        row(
            "request id of another call",
            Op::DeleteRange(v1::DeleteRangeRequest {
                range: Some(key("k")),
                options: Some(model::named("used")),
                ..v1::DeleteRangeRequest::default()
            }),
            Code::AlreadyExists,
            Reason::RequestIdReused,
            "options.request_id",
        ),
    ]
}

fn count(range: Option<v1::KeyRange>) -> Op {
    Op::Count(v1::CountRequest {
        range,
        options: None,
    })
}

fn delete_range(change: impl FnOnce(&mut v1::DeleteRangeRequest)) -> Op {
    let mut request = v1::DeleteRangeRequest {
        range: Some(prefix("none/")),
        ..v1::DeleteRangeRequest::default()
    };
    change(&mut request);
    Op::DeleteRange(request)
}

fn ranges() -> Vec<Row> {
    let long = "k".repeat(4097);
    vec![
        bad("no range", count(None), Reason::BadRange, "range"),
        bad(
            "range without a variant",
            count(Some(v1::KeyRange::default())),
            Reason::BadRange,
            "range",
        ),
        bad(
            "empty prefix",
            count(Some(prefix(""))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "empty key as range",
            count(Some(key(""))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "upside down",
            count(Some(span("b", "a"))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "span of nothing",
            count(Some(span("a", "a"))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "long prefix",
            count(Some(prefix(&long))),
            Reason::KeyTooLarge,
            "range.prefix",
        ),
        bad(
            "long key as range",
            count(Some(key(&long))),
            Reason::KeyTooLarge,
            "range.key",
        ),
        bad(
            "long start",
            count(Some(span(&"k".repeat(4098), ""))),
            Reason::KeyTooLarge,
            "range.span.start",
        ),
        bad(
            "delete of no range",
            delete_range(|d| d.range = None),
            Reason::BadRange,
            "range",
        ),
        bad(
            "negative limit",
            delete_range(|d| d.limit = -1),
            Reason::BadNumber,
            "limit",
        ),
        bad(
            "long request id of a range",
            delete_range(|d| d.options = Some(long_id())),
            Reason::BadRequestId,
            "options.request_id",
        ),
    ]
}

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

fn compares() -> Vec<Row> {
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
fn transactions() -> Vec<Row> {
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

fn batches() -> Vec<Row> {
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

/// The field that a status names, wherever it does.
fn field(status: &tonic::Status) -> String {
    let details = status.get_error_details();
    let violation = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first());
    let named = || details.error_info()?.metadata.get("field").cloned();
    let field = violation.map(|violation| violation.field.clone());
    field.or_else(named).unwrap_or_default()
}

#[tokio::test]
async fn what_the_data_model_refuses_is_named_and_harms_nothing() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("text", "twelve")).await.unwrap();
    for i in 0..4 {
        kv.set(set(&format!("big/{i}"), vec![0; 1 << 20]))
            .await
            .unwrap();
    }
    let used = v1::SetRequest {
        options: Some(model::named("used")),
        ..set("used", "v")
    };
    let mut revision = kv.set(used).await.unwrap().into_inner().revision;
    let tables = [one_key(), ranges(), compares(), transactions(), batches()];
    for row in tables.into_iter().flatten() {
        let name = row.name;
        let status = model::call(&mut kv, row.call.clone())
            .await
            .expect_err(name);
        let found = (status.code(), reason(&status), field(&status));
        let expected = (row.code, Some(row.reason), row.field.to_owned());
        assert_eq!(found, expected, "{name}: {status:?}");
        if row.reason == Reason::BatchTooLarge {
            // In a pipeline the message that brings it is too large itself.
            continue;
        }
        let kind = model::kind(&row.call);
        let error = model::pipelined(&mut kv, row.call).await.expect_err(name);
        let place = match row.field {
            "" => kind.to_owned(),
            field => format!("{kind}.{field}"),
        };
        assert_eq!(
            (Code::from(error.code), error.reason(), &error.field),
            (row.code, row.reason, &place),
            "{name}: {error:?}"
        );
        let reply = kv.set(set("after", name)).await;
        revision += 1;
        let reply = reply.unwrap_or_else(|e| panic!("{name}: {e}")).into_inner();
        assert_eq!(reply.revision, revision, "{name} changed something");
    }
}

fn scan(range: v1::KeyRange) -> v1::ScanRequest {
    v1::ScanRequest {
        range: Some(range),
        page_size: 1,
        ..v1::ScanRequest::default()
    }
}

fn resumed(range: v1::KeyRange, token: &Bytes) -> v1::ScanRequest {
    v1::ScanRequest {
        token: token.clone(),
        ..scan(range)
    }
}

/// The token of the first page of `a/`.
async fn token(running: &Running) -> Bytes {
    let mut kv = running.kv().await;
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        kv.set(set(name, "v")).await.unwrap();
    }
    let mut pages = kv.scan(scan(prefix("a/"))).await.unwrap().into_inner();
    pages.message().await.unwrap().unwrap().token
}

async fn refused_scan(running: &Running, name: &str, request: v1::ScanRequest) -> (Reason, String) {
    let mut kv = running.kv().await;
    let status = kv.scan(request).await.expect_err(name);
    assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    kv.set(set("after", name.to_owned())).await.unwrap();
    (reason(&status).unwrap(), field(&status))
}

#[tokio::test]
async fn bad_scans_are_refused_before_they_begin() {
    let running = Running::start(&[]).await;
    let limit = v1::ScanRequest {
        limit: -1,
        ..scan(all())
    };
    let page = v1::ScanRequest {
        page_size: -1,
        ..scan(all())
    };
    let rows = [
        ("negative limit", limit, Reason::BadNumber, "limit"),
        ("negative page", page, Reason::BadNumber, "page_size"),
        (
            "no range",
            v1::ScanRequest::default(),
            Reason::BadRange,
            "range",
        ),
    ];
    for (name, request, expected, field) in rows {
        let refused = refused_scan(&running, name, request).await;
        assert_eq!(refused, (expected, field.to_owned()), "{name}");
    }
    let mut admin = running.admin().await;
    let hash = admin.hash(v1::HashRequest::default()).await.unwrap_err();
    assert_eq!(reason(&hash), Some(Reason::BadRange));
}

#[tokio::test]
async fn a_token_goes_with_its_store_its_range_and_its_direction() {
    let running = Running::start(&[]).await;
    let other = Running::start(&[]).await;
    let (mine, foreign) = (token(&running).await, token(&other).await);
    let garbled: Bytes = mine.iter().map(|byte| byte ^ 1).collect::<Vec<_>>().into();
    let reversed = v1::ScanRequest {
        reverse: true,
        ..resumed(prefix("a/"), &mine)
    };
    let rows = [
        ("another range", resumed(prefix("a"), &mine)),
        ("another direction", reversed),
        ("another store", resumed(prefix("a/"), &foreign)),
        ("garbled", resumed(prefix("a/"), &garbled)),
        ("cut", resumed(prefix("a/"), &mine.slice(..9))),
        ("text", resumed(prefix("a/"), &"next".into())),
    ];
    for (name, request) in rows {
        let refused = refused_scan(&running, name, request).await;
        assert_eq!(refused, (Reason::BadToken, "token".to_owned()), "{name}");
    }
    let mut kv = running.kv().await;
    let rest = kv.scan(resumed(prefix("a/"), &mine)).await.unwrap();
    let page = rest.into_inner().message().await.unwrap().unwrap();
    assert_eq!(page.records[0].key, "a/2");
}

#[tokio::test]
async fn a_range_of_too_many_keys_is_refused_whole() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    model::fill(&mut kv, "k/", 4097).await;
    let atomic = v1::DeleteRangeRequest {
        range: Some(prefix("k/")),
        ..v1::DeleteRangeRequest::default()
    };
    let status = kv.delete_range(atomic.clone()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, Some(Reason::RangeTooLarge))
    );
    let limited = v1::DeleteRangeRequest {
        limit: 4096,
        ..atomic
    };
    let reply = kv.delete_range(limited).await.unwrap().into_inner();
    assert_eq!((reply.deleted, reply.more), (4096, true));
    assert_eq!(reply.first_revision, reply.last_revision);
}
