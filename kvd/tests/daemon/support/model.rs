//! Requests of the data model, and one way to send any of them.

use kvproto::v1::{
    self, kv_service_client::KvServiceClient, operation::Operation as Op,
    operation_result::Result as OpResult, txn_operation::Operation as Step,
};
use tonic::Status;
use tonic::transport::Channel;

use super::set;

pub(crate) type Kv = KvServiceClient<Channel>;

fn range(range: v1::key_range::Range) -> v1::KeyRange {
    v1::KeyRange { range: Some(range) }
}

pub(crate) fn all() -> v1::KeyRange {
    range(v1::key_range::Range::All(v1::AllKeys {}))
}

pub(crate) fn prefix(prefix: &str) -> v1::KeyRange {
    range(v1::key_range::Range::Prefix(prefix.to_owned().into()))
}

pub(crate) fn key(key: &str) -> v1::KeyRange {
    range(v1::key_range::Range::Key(key.to_owned().into()))
}

pub(crate) fn span(start: &str, end: &str) -> v1::KeyRange {
    range(v1::key_range::Range::Span(v1::Span {
        start: start.to_owned().into(),
        end: end.to_owned().into(),
    }))
}

pub(crate) fn delete(key: &str) -> v1::DeleteRequest {
    v1::DeleteRequest {
        key: key.to_owned().into(),
        ..v1::DeleteRequest::default()
    }
}

pub(crate) fn increment(key: &str) -> v1::IncrementRequest {
    v1::IncrementRequest {
        key: key.to_owned().into(),
        ..v1::IncrementRequest::default()
    }
}

pub(crate) fn expire(key: &str, to: v1::expire_request::Expiry) -> v1::ExpireRequest {
    v1::ExpireRequest {
        key: key.to_owned().into(),
        expiry: Some(to),
        ..v1::ExpireRequest::default()
    }
}

pub(crate) fn expiring(key: &str, when: v1::expiry::When) -> v1::SetRequest {
    v1::SetRequest {
        expiry: Some(v1::Expiry { when: Some(when) }),
        ..set(key, "v")
    }
}

pub(crate) fn step(operation: Step) -> v1::TxnOperation {
    v1::TxnOperation {
        operation: Some(operation),
    }
}

/// A transaction without compares.
pub(crate) fn txn(steps: Vec<Step>) -> v1::TxnRequest {
    v1::TxnRequest {
        success: steps.into_iter().map(step).collect(),
        ..v1::TxnRequest::default()
    }
}

/// Options with a request id.
pub(crate) fn named(request_id: &str) -> v1::WriteOptions {
    v1::WriteOptions {
        request_id: request_id.to_owned().into(),
        ..v1::WriteOptions::default()
    }
}

/// Sets `count` keys behind `prefix`, in order.
pub(crate) async fn fill(kv: &mut Kv, prefix: &str, count: usize) {
    let keys: Vec<_> = (0..count).map(|i| format!("{prefix}{i:05}")).collect();
    for keys in keys.chunks(1024) {
        let operations = keys.iter().map(|key| v1::BatchWriteOperation {
            operation: Some(v1::batch_write_operation::Operation::Set(set(
                key,
                key.clone(),
            ))),
        });
        let request = v1::BatchWriteRequest {
            operations: operations.collect(),
            options: None,
        };
        kv.batch_write(request).await.expect("written");
    }
}

/// Its field in a pipeline.
pub(crate) fn kind(operation: &Op) -> &'static str {
    match operation {
        Op::Get(_) => "get",
        Op::Set(_) => "set",
        Op::Delete(_) => "delete",
        Op::Increment(_) => "increment",
        Op::Expire(_) => "expire",
        Op::BatchGet(_) => "batch_get",
        Op::BatchWrite(_) => "batch_write",
        Op::Txn(_) => "txn",
        Op::Count(_) => "count",
        Op::DeleteRange(_) => "delete_range",
    }
}

/// Sends it as a call of its own.
pub(crate) async fn call(kv: &mut Kv, operation: Op) -> Result<OpResult, Status> {
    Ok(match operation {
        Op::Get(request) => OpResult::Get(kv.get(request).await?.into_inner()),
        Op::Set(request) => OpResult::Set(kv.set(request).await?.into_inner()),
        Op::Delete(request) => OpResult::Delete(kv.delete(request).await?.into_inner()),
        Op::Increment(request) => OpResult::Increment(kv.increment(request).await?.into_inner()),
        Op::Expire(request) => OpResult::Expire(kv.expire(request).await?.into_inner()),
        Op::BatchGet(request) => OpResult::BatchGet(kv.batch_get(request).await?.into_inner()),
        Op::BatchWrite(request) => {
            OpResult::BatchWrite(kv.batch_write(request).await?.into_inner())
        }
        Op::Txn(request) => OpResult::Txn(kv.txn(request).await?.into_inner()),
        Op::Count(request) => OpResult::Count(kv.count(request).await?.into_inner()),
        Op::DeleteRange(request) => {
            OpResult::DeleteRange(kv.delete_range(request).await?.into_inner())
        }
    })
}

/// Sends it as the only operation of a pipeline.
pub(crate) async fn pipelined(kv: &mut Kv, operation: Op) -> Result<OpResult, v1::Error> {
    let request = v1::PipelineRequest {
        operations: vec![v1::Operation {
            id: 7,
            operation: Some(operation),
        }],
        require: Vec::new(),
    };
    let replies = kv.pipeline(tokio_stream::once(request)).await;
    let mut replies = replies.expect("a stream").into_inner();
    let reply = replies.message().await.expect("a message");
    let mut results = reply.expect("one message").results;
    let result = results.pop().expect("one result");
    assert!(results.is_empty() && result.id == 7);
    match result.result.expect("a result") {
        OpResult::Error(error) => Err(error),
        result => Ok(result),
    }
}
