//! Transactions: one branch, whole, under one revision; nested, and over ranges.

use super::super::support::model::{increment, key, prefix, step, txn};
use super::super::support::{Running, get, set};
use kvproto::v1::{self, txn_operation::Operation as Step, txn_result::Result as StepResult};

fn compare(key_name: &str, target: v1::compare::Target) -> v1::Compare {
    v1::Compare {
        range: Some(key(key_name)),
        operator: v1::CompareOperator::Equal.into(),
        target: Some(target),
    }
}

#[tokio::test]
async fn a_transaction_takes_one_branch_whole_under_one_revision() {
    use v1::compare::Target;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let move_money = v1::TxnRequest {
        compares: vec![compare("from", Target::Value("10".into()))],
        success: vec![
            step(Step::Increment(v1::IncrementRequest {
                delta: Some(-10),
                ..increment("from")
            })),
            step(Step::Increment(v1::IncrementRequest {
                delta: Some(10),
                ..increment("to")
            })),
            step(Step::Get(get("to"))),
        ],
        failure: vec![step(Step::Get(get("from")))],
        options: None,
    };
    let reply = kv.txn(move_money.clone()).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (false, 0));
    kv.set(set("from", "10")).await.unwrap();
    let reply = kv.txn(move_money.clone()).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (true, 3));
    assert!(reply.header.unwrap().durable);
    let results: Vec<_> = reply
        .responses
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        StepResult::Increment(from),
        StepResult::Increment(to),
        StepResult::Get(read),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!(
        (from.value, to.value, from.revision, to.revision),
        (0, 10, 3, 3)
    );
    let read = read.record.as_ref().unwrap();
    assert_eq!((&read.value[..], read.mod_revision), (&b"10"[..], 3));
    let reply = kv.txn(move_money).await.unwrap().into_inner();
    assert!(!reply.succeeded);
    let Some(StepResult::Get(from)) = &reply.responses[0].result else {
        panic!("{reply:?}");
    };
    assert_eq!(from.record.as_ref().unwrap().value, "0");
}

#[tokio::test]
async fn transactions_nest_and_span_ranges() {
    use v1::compare::Target;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        kv.set(set(name, "v")).await.unwrap();
    }
    let inner = v1::TxnRequest {
        // Of the state before the whole, in which a/2 is there.
        compares: vec![compare("a/2", Target::Exists(true))],
        success: vec![step(Step::Set(set("seen", "yes")))],
        failure: vec![step(Step::Set(set("seen", "no")))],
        options: None,
    };
    let range_get = |reverse, limit, keys_only| {
        Step::RangeGet(v1::RangeGet {
            range: Some(prefix("a/")),
            limit,
            reverse,
            keys_only,
        })
    };
    let request = v1::TxnRequest {
        compares: vec![v1::Compare {
            range: Some(prefix("a/")),
            operator: v1::CompareOperator::Less.into(),
            target: Some(Target::ModRevision(5)),
        }],
        ..txn(vec![
            range_get(true, 2, true),
            Step::RangeDelete(v1::RangeDelete {
                range: Some(prefix("a/")),
            }),
            range_get(false, 0, false),
            Step::Txn(inner),
        ])
    };
    let reply = kv.txn(request).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (true, 6));
    let results: Vec<_> = reply
        .responses
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        StepResult::RangeGet(before),
        StepResult::RangeDelete(deleted),
        StepResult::RangeGet(after),
        StepResult::Txn(nested),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    let keys: Vec<_> = before
        .records
        .iter()
        .map(|r| (&r.key[..], r.value.len()))
        .collect();
    assert_eq!(keys, [(&b"a/3"[..], 0), (b"a/2", 0)]);
    assert!(before.more && after.records.is_empty() && !after.more);
    assert_eq!(deleted.deleted, 3);
    assert!(nested.succeeded && nested.revision == 6 && nested.header.is_none());
    let seen = kv
        .get(get("seen"))
        .await
        .unwrap()
        .into_inner()
        .record
        .unwrap();
    assert_eq!((&seen.value[..], seen.create_revision), (&b"yes"[..], 6));
}

#[tokio::test]
async fn eight_transactions_nest_and_branches_may_repeat_each_other() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let deep = (0..8).fold(txn(vec![Step::Set(set("deep", "v"))]), |inner, _| {
        txn(vec![Step::Txn(inner)])
    });
    assert_eq!(kv.txn(deep).await.unwrap().into_inner().revision, 2);
    // Both branches may change the same key, and a key may be read and changed.
    let branches = v1::TxnRequest {
        failure: vec![step(Step::Set(set("x", "2")))],
        ..txn(vec![
            Step::Get(get("x")),
            Step::Set(set("x", "1")),
            Step::Get(get("x")),
        ])
    };
    let reply = kv.txn(branches).await.unwrap().into_inner();
    let found: Vec<_> = reply
        .responses
        .iter()
        .filter_map(|response| match &response.result {
            Some(StepResult::Get(reply)) => Some(reply.found),
            _ => None,
        })
        .collect();
    assert_eq!(found, [false, true]);
}
