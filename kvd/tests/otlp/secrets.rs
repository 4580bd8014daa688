//! No byte of a key, a value or a header reaches the collector, whatever comes of a call.

use kvproto::v1::watch_service_client::WatchServiceClient;
use kvproto::v1::{self, batch_write_operation::Operation as Item, operation::Operation as Op};
use prost::Message as _;
use tonic::transport::Channel;

use super::collector::Collector;
use super::support::{Traced, child_of, get, set};

const KEY: &str = "SECRET-key-9b1f";
const VALUE: &str = "SECRET-value-77c0";
const HEADER: &str = "SECRET-header-41aa";

type Kv = v1::kv_service_client::KvServiceClient<Channel>;

fn range() -> v1::KeyRange {
    let range = v1::key_range::Range::Prefix(KEY.into());
    v1::KeyRange { range: Some(range) }
}

async fn well(kv: &mut Kv) {
    kv.set(set(KEY, VALUE)).await.expect("set");
    let mut with_headers = child_of("00-SECRET-01", get(KEY));
    for name in ["authorization", "baggage", "tracestate", "x-request-id"] {
        let header = HEADER.parse().expect("ASCII");
        with_headers.metadata_mut().insert(name, header);
    }
    kv.get(with_headers).await.expect("read");
    kv.batch_get(v1::BatchGetRequest {
        keys: vec![KEY.into()],
        ..v1::BatchGetRequest::default()
    })
    .await
    .expect("read");
    let operation = Some(Op::Set(set(KEY, VALUE)));
    let request = v1::PipelineRequest {
        operations: vec![v1::Operation { id: 1, operation }],
        require: Vec::new(),
    };
    let replies = kv.pipeline(tokio_stream::once(request)).await;
    let mut replies = replies.expect("begun").into_inner();
    while replies.message().await.expect("answers").is_some() {}
    let scan = v1::ScanRequest {
        range: Some(range()),
        ..v1::ScanRequest::default()
    };
    let mut pages = kv.scan(scan).await.expect("begun").into_inner();
    while pages.message().await.expect("pages").is_some() {}
    kv.count(v1::CountRequest {
        range: Some(range()),
        ..v1::CountRequest::default()
    })
    .await
    .expect("counted");
}

/// Refusals name what they are about.
async fn refused(kv: &mut Kv) {
    let increment = v1::IncrementRequest {
        key: KEY.into(),
        ..v1::IncrementRequest::default()
    };
    kv.increment(increment).await.expect_err("no number");
    let twice = [(); 2].map(|()| v1::BatchWriteOperation {
        operation: Some(Item::Set(set(KEY, VALUE))),
    });
    let twice = v1::BatchWriteRequest {
        operations: twice.to_vec(),
        options: None,
    };
    // Refused, or done with an error of one item: both may name the key.
    let _ = kv.batch_write(twice).await;
    let long = KEY.repeat(1000);
    kv.set(set(&long, VALUE)).await.expect_err("too long");
    let steps = [(); 2].map(|()| v1::TxnOperation {
        operation: Some(v1::txn_operation::Operation::Set(set(KEY, VALUE))),
    });
    let txn = v1::TxnRequest {
        success: steps.to_vec(),
        ..v1::TxnRequest::default()
    };
    let _ = kv.txn(txn).await;
}

#[tokio::test]
async fn neither_keys_nor_values_are_sent() {
    let collector = Collector::start().await;
    let all = [("telemetry.otlp_sample", "1")];
    let traced = Traced::start(&collector.endpoint(), &all).await;
    let mut kv = traced.kv().await;
    well(&mut kv).await;
    refused(&mut kv).await;
    let create = v1::WatchCreate {
        range: Some(range()),
        ..v1::WatchCreate::default()
    };
    let request = v1::WatchRequest {
        request: Some(v1::watch_request::Request::Create(create)),
    };
    let mut watch = WatchServiceClient::new(traced.channel().await);
    let replies = watch.watch(tokio_stream::once(request)).await;
    let mut replies = replies.expect("begun").into_inner();
    replies.message().await.expect("goes on").expect("answers");
    let delete = v1::DeleteRequest {
        key: KEY.into(),
        ..v1::DeleteRequest::default()
    };
    kv.delete(delete).await.expect("deleted");
    drop((replies, watch, kv));
    traced.stop().await;

    let names: Vec<_> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    for rpc in [
        "KvService/Set",
        "KvService/Get",
        "KvService/BatchGet",
        "KvService/Pipeline",
        "KvService/Scan",
        "KvService/Count",
        "KvService/Increment",
        "KvService/BatchWrite",
        "KvService/Txn",
        "KvService/Delete",
        "WatchService/Watch",
    ] {
        assert!(names.contains(&format!("kvd.v1.{rpc}")), "{rpc}: {names:?}");
    }
    for request in collector.requests() {
        let bytes = request.encode_to_vec();
        let found = bytes.windows(6).any(|window| window == b"SECRET");
        assert!(!found, "{request:#?}");
    }
}
