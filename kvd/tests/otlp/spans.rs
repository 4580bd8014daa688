//! Which spans there are, and what they say.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvd::config::Sources;
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::{self, operation::Operation as Op, txn_operation::Operation as Step};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::Code;

use super::collector::{Collector, attribute};
use super::support::{Traced, child_of, get, set};

const TRACE: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];
const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

const ALL: (&str, &str) = ("telemetry.otlp_sample", "1");
const NONE: (&str, &str) = ("telemetry.otlp_sample", "0");

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    match named(spans, name)[..] {
        [span] => span,
        ref found => panic!("{} of {name} in {spans:#?}", found.len()),
    }
}

fn operation(id: u64, operation: Op) -> v1::Operation {
    v1::Operation {
        id,
        operation: Some(operation),
    }
}

/// Each call once, well or badly, to the end of the daemon.
async fn calls(traced: Traced) {
    let mut kv = traced.kv().await;
    kv.get(child_of(SAMPLED, get("a"))).await.expect("read");
    let txn = v1::TxnRequest {
        success: vec![v1::TxnOperation {
            operation: Some(Step::Get(get("a"))),
        }],
        ..v1::TxnRequest::default()
    };
    kv.txn(txn).await.expect("done");
    let refused = kv.set(set("", "v")).await.expect_err("no key");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let pipeline = v1::PipelineRequest {
        operations: vec![
            operation(1, Op::Get(get("a"))),
            operation(2, Op::Set(set("a", "v"))),
            operation(3, Op::Get(get("a"))),
        ],
        require: Vec::new(),
    };
    let stream = tokio_stream::iter([pipeline.clone(), pipeline]);
    let mut replies = kv.pipeline(stream).await.expect("begun").into_inner();
    while replies.message().await.expect("answers").is_some() {}
    let mut admin = AdminServiceClient::new(traced.channel().await);
    let status = v1::GetStatusRequest::default();
    admin.get_status(status).await.expect("told");
    let unbuilt = admin.compact(v1::CompactRequest::default()).await;
    assert_eq!(unbuilt.expect_err("not built").code(), Code::Unimplemented);
    drop((kv, admin, replies));
    traced.stop().await;
}

#[tokio::test]
async fn each_call_is_a_span_with_its_name_its_end_and_its_parent() {
    let collector = Collector::start().await;
    calls(Traced::start(&collector.endpoint(), &[ALL]).await).await;
    let spans = collector.spans();
    let says = |span, key| attribute(span, key).unwrap_or_default();

    let method = "kvd.v1.KvService/Get";
    let read = only(&spans, method);
    assert_eq!(read.kind(), SpanKind::Server);
    assert_eq!(read.trace_id, TRACE);
    assert_eq!(read.parent_span_id, PARENT);
    // Sampled, and its parent is elsewhere.
    assert_eq!(read.flags, 0x301);
    assert!(read.status.is_none());
    assert_eq!(says(read, "rpc.system.name"), "grpc");
    assert_eq!(says(read, "rpc.method"), method);
    assert_eq!(says(read, "rpc.response.status_code"), "OK");
    let length = prost::Message::encoded_len(&get("a"));
    assert_eq!(says(read, "kvd.request_bytes"), length.to_string());

    let txn = only(&spans, "kvd.v1.KvService/Txn");
    assert!(txn.parent_span_id.is_empty() && txn.trace_id.len() == 16);
    assert_eq!(txn.flags, 0x101);

    let refused = only(&spans, "kvd.v1.KvService/Set");
    assert_eq!(says(refused, "kvd.reason"), "EMPTY_KEY");
    assert_eq!(
        says(refused, "rpc.response.status_code"),
        "INVALID_ARGUMENT"
    );
    // Its client is at fault.
    assert!(refused.status.is_none() && attribute(refused, "error.type").is_none());

    let pipeline = only(&spans, "kvd.v1.KvService/Pipeline");
    assert_eq!(says(pipeline, "kvd.operations"), "6");
    assert_eq!(says(pipeline, "rpc.response.status_code"), "OK");
    only(&spans, "kvd.v1.AdminService/GetStatus");

    let unbuilt = only(&spans, "_OTHER");
    let status = unbuilt.status.as_ref().expect("an error");
    assert_eq!(status.code(), StatusCode::Error);
    assert_eq!(says(unbuilt, "error.type"), "UNIMPLEMENTED");

    // Moments of today, not of another unit or epoch; each call has taken some time.
    let today = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    for span in &spans {
        let begun = Duration::from_nanos(span.start_time_unix_nano);
        let apart = begun.abs_diff(today);
        assert!(apart < Duration::from_secs(86_400), "{apart:?}: {span:?}");
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    }
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len());
    assert!(spans.iter().all(|span| span.span_id.len() == 8));
    // Nothing had to wait but what the pipeline wrote, whose operations are not looked at.
    assert_eq!(spans.len(), 6, "{spans:#?}");
}

#[tokio::test]
async fn a_write_has_the_parts_of_its_time() {
    const PARTS: [&str; 4] = ["queue", "lock", "append", "sync"];
    let collector = Collector::start().await;
    let traced = Traced::start(&collector.endpoint(), &[ALL]).await;
    let mut kv = traced.kv().await;
    for _ in 0..100 {
        kv.set(set("a", "v")).await.expect("set");
    }
    traced.stop().await;
    let spans = collector.spans();
    let writes = named(&spans, "kvd.v1.KvService/Set");
    assert_eq!(writes.len(), 100);
    let mut whole = 0;
    for write in writes {
        assert!(attribute(write, "kvd.revision").is_some());
        let children: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id == write.span_id)
            .collect();
        let names: Vec<_> = children.iter().map(|child| &child.name[..]).collect();
        let mut at = children[0].start_time_unix_nano;
        assert!(write.start_time_unix_nano <= at, "{names:?}");
        for child in children {
            assert_eq!(child.trace_id, write.trace_id);
            assert_eq!(child.kind(), SpanKind::Internal);
            assert!(child.attributes.is_empty());
            assert_eq!(at, child.start_time_unix_nano, "{names:?}");
            assert!(child.start_time_unix_nano < child.end_time_unix_nano);
            at = child.end_time_unix_nano;
        }
        // What belongs to no part comes first: the last one ends with the call.
        assert_eq!(at, write.end_time_unix_nano, "{names:?}");
        // The log may be there before it is waited for: then only the commit has its parts.
        assert!(PARTS.starts_with(&names[..2]), "{names:?}");
        whole += usize::from(names == PARTS);
    }
    assert!(whole > 0, "no write has waited for the log");
}

#[tokio::test]
async fn an_orderly_stop_sends_each_span_that_waits_once() {
    // Several batches, and less than makes the queue half full.
    const CALLS: usize = 1800;
    let collector = Collector::start().await;
    let traced = Traced::start(&collector.endpoint(), &[ALL]).await;
    let kv = traced.kv().await;
    let calls = (0..CALLS).map(|_| {
        let mut kv = kv.clone();
        tokio::spawn(async move { kv.get(get("a")).await.map(drop) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic").expect("read");
    }
    drop(kv);
    traced.stop().await;
    let spans = collector.spans();
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!((spans.len(), ids.len()), (CALLS, CALLS));
}

#[tokio::test]
async fn who_calls_decides_and_else_the_ratio_which_a_reload_changes() {
    let collector = Collector::start().await;
    let mut traced = Traced::start(&collector.endpoint(), &[NONE]).await;
    let mut kv = traced.kv().await;
    kv.get(get("no")).await.expect("read");
    kv.get(child_of("00-nonsense-01", get("no")))
        .await
        .expect("read");
    kv.get(child_of(SAMPLED, get("yes"))).await.expect("read");
    let everything = Sources {
        flags: vec![("telemetry.otlp_sample".into(), "1".into(), "--set".into())],
        ..Sources::default()
    };
    let reloaded = traced.daemon.reload(&everything).await.expect("reloaded");
    let changed: Vec<_> = reloaded.changed.iter().map(|one| one.key).collect();
    assert!(changed.contains(&"telemetry.otlp_sample"), "{changed:?}");
    kv.get(child_of(UNSAMPLED, get("no"))).await.expect("read");
    kv.batch_get(v1::BatchGetRequest {
        keys: vec!["yes".into()],
        ..v1::BatchGetRequest::default()
    })
    .await
    .expect("read");
    traced.stop().await;
    let spans = collector.spans();
    assert_eq!(only(&spans, "kvd.v1.KvService/Get").trace_id, TRACE);
    only(&spans, "kvd.v1.KvService/BatchGet");
    assert_eq!(spans.len(), 2);
}

#[tokio::test]
async fn a_collector_is_told_who_sends() {
    let collector = Collector::start().await;
    let traced = Traced::start(&collector.endpoint(), &[ALL]).await;
    let mut admin = AdminServiceClient::new(traced.channel().await);
    let status = admin.get_status(v1::GetStatusRequest::default()).await;
    let store = status.expect("told").into_inner().store_id;
    traced.stop().await;
    let requests = collector.requests();
    let resource = requests[0].resource_spans[0]
        .resource
        .as_ref()
        .expect("named");
    let says = |key: &str| {
        let found = resource.attributes.iter().find(|one| one.key == key);
        let value = found.and_then(|one| one.value.as_ref()?.value.clone());
        value.unwrap_or_else(|| panic!("no {key}"))
    };
    assert_eq!(says("service.name"), Value::StringValue("kvd".to_owned()));
    assert_eq!(says("service.instance.id"), Value::StringValue(store));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(says("service.version"), Value::StringValue(version.into()));
    let process = i64::from(std::process::id());
    assert_eq!(says("process.pid"), Value::IntValue(process));
    let scope = requests[0].resource_spans[0].scope_spans[0].scope.as_ref();
    let scope = scope.expect("named");
    assert_eq!((&scope.name[..], &scope.version[..]), ("kvd", version));
}
