//! What is sent, and the sending of it.

use super::super::support::{Running, get, raw, set};
use bytes::Bytes;
use kvproto::v1::{self, batch_write_operation::Operation as Item, condition::Test, expiry::When};
use tonic::Status;

/// What is sent.
pub(super) enum Call {
    Get(v1::GetRequest),
    Set(v1::SetRequest),
    Delete(v1::DeleteRequest),
    BatchGet(v1::BatchGetRequest),
    BatchWrite(v1::BatchWriteRequest),
    WaitDurable(v1::WaitDurableRequest),
    Pipeline(Vec<v1::PipelineRequest>),
    Count(v1::CountRequest),
    Scan(v1::ScanRequest),
    DeleteRange(v1::DeleteRangeRequest),
    Grant,
    Compact,
    Raw {
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: Bytes,
    },
}

pub(super) async fn send(running: &Running, call: Call) -> Result<(), Status> {
    let mut kv = running.kv().await;
    match call {
        Call::Get(request) => kv.get(request).await.map(drop),
        Call::Set(request) => kv.set(request).await.map(drop),
        Call::Delete(request) => kv.delete(request).await.map(drop),
        Call::BatchGet(request) => kv.batch_get(request).await.map(drop),
        Call::BatchWrite(request) => kv.batch_write(request).await.map(drop),
        Call::WaitDurable(request) => kv.wait_durable(request).await.map(drop),
        Call::Count(request) => kv.count(request).await.map(drop),
        Call::Scan(request) => kv.scan(request).await.map(drop),
        Call::DeleteRange(request) => kv.delete_range(request).await.map(drop),
        Call::Pipeline(messages) => {
            let mut replies = kv
                .pipeline(tokio_stream::iter(messages))
                .await?
                .into_inner();
            while replies.message().await?.is_some() {}
            Ok(())
        }
        Call::Grant => {
            let channel = running.channel().await;
            let mut lease = v1::lease_service_client::LeaseServiceClient::new(channel);
            lease.grant(v1::GrantRequest::default()).await.map(drop)
        }
        Call::Compact => running
            .admin()
            .await
            .compact(v1::CompactRequest::default())
            .await
            .map(drop),
        Call::Raw {
            path,
            headers,
            body,
        } => raw::call(running.address(), path, headers, body)
            .await
            .map(drop),
    }
}

pub(super) fn batch(operations: Vec<Option<Item>>) -> Call {
    let item = |operation| v1::BatchWriteOperation { operation };
    Call::BatchWrite(v1::BatchWriteRequest {
        operations: operations.into_iter().map(item).collect(),
        options: None,
    })
}

pub(super) fn write(options: v1::WriteOptions) -> Call {
    Call::Set(v1::SetRequest {
        options: Some(options),
        ..set("k", "v")
    })
}

pub(super) fn read(options: v1::ReadOptions) -> Call {
    Call::Get(v1::GetRequest {
        options: Some(options),
        ..get("k")
    })
}

pub(super) fn expiring(when: Option<When>) -> Call {
    Call::Set(v1::SetRequest {
        expiry: Some(v1::Expiry { when }),
        ..set("k", "v")
    })
}

pub(super) fn on_condition(test: Option<Test>) -> Call {
    Call::Set(v1::SetRequest {
        condition: Some(v1::Condition { test }),
        ..set("k", "v")
    })
}
