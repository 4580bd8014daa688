//! An operation answers the same alone, in a pipeline, in a batch and in a transaction.

use super::super::support::model::{
    self, call, delete, expire, expiring, increment, pipelined, txn,
};
use super::super::support::{Running, get, set};
use super::far;
use kvproto::v1::{
    self, batch_write_operation::Operation as Item, batch_write_result::Result as ItemResult,
    expire_request::Expiry as To, expiry::When, operation::Operation as Op,
    operation_result::Result as OpResult, txn_operation::Operation as Step,
    txn_result::Result as StepResult,
};

/// Operations of one key each, and of every kind that a transaction takes.
fn script(far: i64) -> Vec<Op> {
    let returning = |request: v1::DeleteRequest| v1::DeleteRequest {
        return_previous: true,
        ..request
    };
    let bounded = v1::IncrementRequest {
        delta: Some(-20),
        min: Some(-10),
        saturate: true,
        ..increment("n")
    };
    vec![
        Op::Get(get("a")),
        Op::Set(set("a", "1")),
        Op::Set(v1::SetRequest {
            return_previous: true,
            ..expiring("a", When::AtMs(far))
        }),
        Op::Get(get("a")),
        Op::Expire(expire("a", To::AtMs(far + 1000))),
        Op::Expire(expire("a", To::Persist(v1::Persist {}))),
        Op::Expire(expire("none", To::TtlMs(1000))),
        Op::Increment(increment("n")),
        Op::Increment(v1::IncrementRequest {
            delta: Some(41),
            ..increment("n")
        }),
        Op::Increment(v1::IncrementRequest {
            initial: 100,
            expiry: Some(v1::Expiry {
                when: Some(When::AtMs(far)),
            }),
            ..increment("m")
        }),
        Op::Increment(bounded),
        Op::Get(get("n")),
        Op::Delete(returning(delete("n"))),
        Op::Delete(returning(delete("n"))),
        Op::Expire(expire("a", To::AtMs(1))),
        Op::Get(get("a")),
        Op::Set(expiring("b", When::AtMs(1))),
        Op::Get(get("b")),
    ]
}

/// One step alone in a transaction.
async fn in_txn(kv: &mut model::Kv, operation: Op) -> OpResult {
    let step = match operation {
        Op::Get(request) => Step::Get(request),
        Op::Set(request) => Step::Set(request),
        Op::Delete(request) => Step::Delete(request),
        Op::Increment(request) => Step::Increment(request),
        Op::Expire(request) => Step::Expire(request),
        other => panic!("{other:?}"),
    };
    let mut reply = kv.txn(txn(vec![step])).await.unwrap().into_inner();
    assert!(reply.succeeded && reply.responses.len() == 1);
    match reply.responses.remove(0).result.unwrap() {
        StepResult::Get(reply) => OpResult::Get(reply),
        StepResult::Set(reply) => OpResult::Set(reply),
        StepResult::Delete(reply) => OpResult::Delete(reply),
        StepResult::Increment(reply) => OpResult::Increment(reply),
        StepResult::Expire(reply) => OpResult::Expire(reply),
        other => panic!("{other:?}"),
    }
}

/// One write alone in a batch; a read is a call.
async fn in_batch(kv: &mut model::Kv, operation: Op) -> OpResult {
    let item = match operation {
        Op::Set(request) => Item::Set(request),
        Op::Delete(request) => Item::Delete(request),
        Op::Increment(request) => Item::Increment(request),
        Op::Expire(request) => Item::Expire(request),
        other => return call(kv, other).await.unwrap(),
    };
    let request = v1::BatchWriteRequest {
        operations: vec![v1::BatchWriteOperation {
            operation: Some(item),
        }],
        options: None,
    };
    let mut reply = kv.batch_write(request).await.unwrap().into_inner();
    match reply.results.remove(0).result.unwrap() {
        ItemResult::Set(reply) => OpResult::Set(reply),
        ItemResult::Delete(reply) => OpResult::Delete(reply),
        ItemResult::Increment(reply) => OpResult::Increment(reply),
        ItemResult::Expire(reply) => OpResult::Expire(reply),
        ItemResult::Error(error) => panic!("{error:?}"),
    }
}

/// Without the header, which speaks of the store.
fn bare(mut result: OpResult) -> OpResult {
    match &mut result {
        OpResult::Get(reply) => reply.header = None,
        OpResult::Set(reply) => reply.header = None,
        OpResult::Delete(reply) => reply.header = None,
        OpResult::Increment(reply) => reply.header = None,
        OpResult::Expire(reply) => reply.header = None,
        other => panic!("{other:?}"),
    }
    result
}

#[tokio::test]
async fn alone_in_a_pipeline_in_a_batch_and_in_a_transaction_it_is_the_same() {
    let stores = [
        Running::start(&[]).await,
        Running::start(&[]).await,
        Running::start(&[]).await,
        Running::start(&[]).await,
    ];
    let mut clients = Vec::new();
    for store in &stores {
        clients.push(store.kv().await);
    }
    for operation in script(far()) {
        let alone = bare(call(&mut clients[0], operation.clone()).await.unwrap());
        let others = [
            pipelined(&mut clients[1], operation.clone()).await.unwrap(),
            in_batch(&mut clients[2], operation.clone()).await,
            in_txn(&mut clients[3], operation.clone()).await,
        ];
        for other in others {
            assert_eq!(bare(other), alone, "{operation:?}");
        }
    }
}
