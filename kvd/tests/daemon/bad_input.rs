//! Bad input over gRPC, one row each: how it is refused, what the refusal says, and
//! that the next write succeeds.

use super::support::{Running, get, raw, reason, set};
use bytes::{BufMut as _, Bytes, BytesMut};
use kvproto::v1::{
    self, ErrorReason as Reason, batch_write_operation::Operation as Item, condition::Test,
    expiry::When,
};
use tonic::{Code, Status};

/// What is sent.
enum Call {
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

struct Row {
    name: &'static str,
    call: Call,
    code: Code,
    /// `None`: tonic itself made the status.
    reason: Option<Reason>,
    text: &'static str,
}

fn row(
    name: &'static str,
    call: Call,
    code: Code,
    reason: impl Into<Option<Reason>>,
    text: &'static str,
) -> Row {
    Row {
        name,
        call,
        code,
        reason: reason.into(),
        text,
    }
}

async fn send(running: &Running, call: Call) -> Result<(), Status> {
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

fn write(options: v1::WriteOptions) -> Call {
    Call::Set(v1::SetRequest {
        options: Some(options),
        ..set("k", "v")
    })
}

fn read(options: v1::ReadOptions) -> Call {
    Call::Get(v1::GetRequest {
        options: Some(options),
        ..get("k")
    })
}

fn expiring(when: Option<When>) -> Call {
    Call::Set(v1::SetRequest {
        expiry: Some(v1::Expiry { when }),
        ..set("k", "v")
    })
}

fn on_condition(test: Option<Test>) -> Call {
    Call::Set(v1::SetRequest {
        condition: Some(v1::Condition { test }),
        ..set("k", "v")
    })
}

fn batch(operations: Vec<Option<Item>>) -> Call {
    let item = |operation| v1::BatchWriteOperation { operation };
    Call::BatchWrite(v1::BatchWriteRequest {
        operations: operations.into_iter().map(item).collect(),
        options: None,
    })
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn sizes() -> Vec<Row> {
    let key = |len| "k".repeat(len);
    let keys = |count| vec![Bytes::from_static(b"k"); count];
    let many = |count| {
        Call::BatchGet(v1::BatchGetRequest {
            keys: keys(count),
            options: None,
        })
    };
    let bad = Code::InvalidArgument;
    let large = [1 << 20, 78 << 10]
        .map(|size| Some(Item::Set(set("k", vec![0; size]))))
        .to_vec();
    vec![
        row(
            "empty key, read",
            Call::Get(get("")),
            bad,
            Reason::EmptyKey,
            "1 to 4096 bytes",
        ),
        row(
            "empty key, write",
            Call::Set(set("", "v")),
            bad,
            Reason::EmptyKey,
            "key is empty",
        ),
        row(
            "empty key, delete",
            Call::Delete(v1::DeleteRequest::default()),
            bad,
            Reason::EmptyKey,
            "key is empty",
        ),
        row(
            "long key",
            Call::Get(get(&key(4097))),
            bad,
            Reason::KeyTooLarge,
            "4097 bytes",
        ),
        row(
            "long key, write",
            Call::Set(set(&key(4097), "")),
            bad,
            Reason::KeyTooLarge,
            "4096",
        ),
        row(
            "value one byte over",
            Call::Set(set("k", vec![0; (1 << 20) + 1])),
            bad,
            Reason::ValueTooLarge,
            "1048577 bytes; the limit is 1048576",
        ),
        row(
            "empty batch, read",
            many(0),
            bad,
            Reason::EmptyBatch,
            "1 to 1024",
        ),
        row(
            "empty batch, write",
            batch(Vec::new()),
            bad,
            Reason::EmptyBatch,
            "1 to 1024",
        ),
        row(
            "1,025 keys",
            many(1025),
            bad,
            Reason::TooManyOperations,
            "1025 keys",
        ),
        row(
            "1,025 operations",
            batch(vec![Some(Item::Delete(v1::DeleteRequest::default())); 1025]),
            bad,
            Reason::TooManyOperations,
            "1025 operations; the limit is 1024",
        ),
        row(
            "large batch",
            batch(large),
            bad,
            Reason::BatchTooLarge,
            "the limit is 1126400",
        ),
        row(
            "empty pipeline message",
            Call::Pipeline(vec![v1::PipelineRequest::default()]),
            bad,
            Reason::EmptyBatch,
            "operations is empty",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn options() -> Vec<Row> {
    let bad = Code::InvalidArgument;
    let option = Reason::UnsupportedOption;
    let lacks = Reason::CapabilityMissing;
    let durability = |durability| {
        write(v1::WriteOptions {
            durability,
            ..Default::default()
        })
    };
    let lease = vec![v1::Capability::Lease.into()];
    vec![
        row(
            "unknown durability",
            durability(77),
            bad,
            option,
            "durability",
        ),
        row(
            "negative durability",
            durability(-1),
            bad,
            option,
            "number -1",
        ),
        row(
            "unknown read level",
            read(v1::ReadOptions {
                level: 3,
                ..Default::default()
            }),
            bad,
            option,
            "options.level",
        ),
        row(
            "expiry without a variant",
            expiring(None),
            bad,
            option,
            "expiry",
        ),
        row(
            "condition without a variant",
            on_condition(None),
            bad,
            option,
            "condition",
        ),
        row(
            "negative revision",
            on_condition(Some(Test::ModRevision(-1))),
            bad,
            Reason::BadNumber,
            "mod_revision",
        ),
        row(
            "past revision",
            read(v1::ReadOptions {
                at_revision: 1,
                ..Default::default()
            }),
            bad,
            option,
            "at_revision",
        ),
        row(
            "position",
            read(v1::ReadOptions {
                min_position: "p".into(),
                ..Default::default()
            }),
            bad,
            option,
            "min_position",
        ),
        row(
            "missing capability",
            read(v1::ReadOptions {
                require: lease.clone(),
                ..Default::default()
            }),
            Code::Unimplemented,
            lacks,
            "CAPABILITY_LEASE",
        ),
        row(
            "unknown capability",
            write(v1::WriteOptions {
                require: vec![999],
                ..Default::default()
            }),
            Code::Unimplemented,
            lacks,
            "999",
        ),
        row(
            "capability 0",
            write(v1::WriteOptions {
                require: vec![0],
                ..Default::default()
            }),
            bad,
            option,
            "not a capability",
        ),
        row(
            "pipeline without a capability",
            Call::Pipeline(vec![v1::PipelineRequest {
                operations: Vec::new(),
                require: lease,
            }]),
            Code::Unimplemented,
            lacks,
            "CAPABILITY_LEASE",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn items_and_ranges() -> Vec<Row> {
    let bad = Code::InvalidArgument;
    let not_yet = Code::Unimplemented;
    let own = v1::SetRequest {
        options: Some(v1::WriteOptions::default()),
        ..set("k", "v")
    };
    let wait = |revision| {
        Call::WaitDurable(v1::WaitDurableRequest {
            revision,
            require: vec![],
        })
    };
    let range = |range| Some(v1::KeyRange { range });
    let prefix = v1::key_range::Range::Prefix(Bytes::new());
    vec![
        row(
            "item without an operation",
            batch(vec![None]),
            bad,
            Reason::UnsupportedOption,
            "operations[0]",
        ),
        row(
            "item with options",
            batch(vec![Some(Item::Set(own))]),
            bad,
            Reason::OptionConflict,
            "options of its own",
        ),
        row(
            "second item bad",
            batch(vec![
                Some(Item::Set(set("k", "v"))),
                Some(Item::Set(set("", "v"))),
            ]),
            bad,
            Reason::EmptyKey,
            "key is empty",
        ),
        row(
            "future revision",
            wait(1 << 40),
            Code::OutOfRange,
            Reason::FutureRevision,
            "future",
        ),
        row("negative wait", wait(-5), bad, Reason::BadNumber, "-5"),
        row(
            "missing range",
            Call::Count(v1::CountRequest::default()),
            bad,
            Reason::BadRange,
            "there is no range",
        ),
        row(
            "range without a variant",
            Call::Scan(v1::ScanRequest {
                range: range(None),
                ..Default::default()
            }),
            bad,
            Reason::BadRange,
            "names nothing",
        ),
        row(
            "empty prefix",
            Call::DeleteRange(v1::DeleteRangeRequest {
                range: range(Some(prefix)),
                ..Default::default()
            }),
            bad,
            Reason::BadRange,
            "prefix is empty",
        ),
        row("Grant", Call::Grant, not_yet, Reason::NotYet, "Grant"),
        row("Compact", Call::Compact, not_yet, Reason::NotYet, "Compact"),
    ]
}

/// A frame that announces `length` bytes and brings `present`.
fn frame(flag: u8, length: u32, present: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(flag);
    bytes.put_u32(length);
    bytes.put_slice(present);
    bytes.freeze()
}

/// What never reaches a handler: tonic answers by itself, without ErrorInfo.
#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn made_by_tonic() -> Vec<Row> {
    const SET: &str = "/kvd.v1.KvService/Set";
    let raw = |path, headers, body| Call::Raw {
        path,
        headers,
        body,
    };
    let set_raw = |body| raw(SET, &[], body);
    let good = raw::framed(&set("k", "v"));
    vec![
        row(
            "64 MiB announced",
            set_raw(frame(0, 64 << 20, b"")),
            Code::OutOfRange,
            None,
            "67108864",
        ),
        row(
            "not protobuf",
            set_raw(frame(0, 3, b"\xff\xff\xff")),
            Code::Internal,
            None,
            "",
        ),
        row(
            "cut short",
            set_raw(frame(0, 100, b"\x0a\x01k")),
            Code::Internal,
            None,
            "EOF",
        ),
        row(
            "no message",
            set_raw(Bytes::new()),
            Code::Internal,
            None,
            "Missing",
        ),
        row(
            "compressed",
            set_raw(frame(1, 3, b"abc")),
            Code::Internal,
            None,
            "grpc-encoding",
        ),
        row(
            "unknown flag",
            set_raw(frame(9, 3, b"abc")),
            Code::Internal,
            None,
            "flag",
        ),
        row(
            "unknown encoding",
            raw(SET, &[("grpc-encoding", "zstd")], good.clone()),
            Code::Unimplemented,
            None,
            "zstd",
        ),
        row(
            "unknown method",
            raw("/kvd.v1.KvService/Sett", &[], good.clone()),
            Code::Unimplemented,
            None,
            "",
        ),
        row(
            "unknown service",
            raw("/kvd.v1.Nobody/Set", &[], good),
            Code::Unimplemented,
            None,
            "",
        ),
    ]
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_harms_nothing() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let rows: Vec<Row> = [sizes(), options(), items_and_ranges(), made_by_tonic()]
        .into_iter()
        .flatten()
        .collect();
    let mut written = 0;
    for Row {
        name,
        call,
        code,
        reason: expected,
        text,
    } in rows
    {
        let status = send(&running, call).await.expect_err(name);
        assert_eq!(status.code(), code, "{name}: {status:?}");
        assert_eq!(reason(&status), expected, "{name}: {status:?}");
        assert!(
            status.message().contains(text),
            "{name}: {:?}",
            status.message()
        );
        let reply = kv
            .set(set("after", name))
            .await
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        written += 1;
        assert_eq!(
            reply.into_inner().revision,
            1 + written,
            "{name} changed something"
        );
    }
}

#[tokio::test]
async fn a_bad_operation_fills_its_slot_and_the_stream_goes_on() {
    use v1::operation::Operation as Op;
    use v1::operation_result::Result as OpResult;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let slots: Vec<(Option<Op>, Option<Reason>, &str)> = vec![
        (Some(Op::Set(set("a", "1"))), None, ""),
        (None, Some(Reason::UnsupportedOption), "operation.oneof"),
        (Some(Op::Get(get(""))), Some(Reason::EmptyKey), "get.key"),
        (
            Some(Op::Increment(v1::IncrementRequest::default())),
            Some(Reason::EmptyKey),
            "increment.key",
        ),
        (
            Some(Op::BatchGet(v1::BatchGetRequest::default())),
            Some(Reason::EmptyBatch),
            "batch_get.keys",
        ),
        (
            Some(Op::Set(set("a", vec![0; 1_048_577]))),
            Some(Reason::ValueTooLarge),
            "set.value",
        ),
        (Some(Op::Get(get("a"))), None, ""),
    ];
    let operations: Vec<_> = (0..)
        .zip(&slots)
        .map(|(id, (operation, ..))| v1::Operation {
            id,
            operation: operation.clone(),
        })
        .collect();
    let request = v1::PipelineRequest {
        operations,
        require: Vec::new(),
    };
    let mut replies = kv
        .pipeline(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let mut results = Vec::new();
    while let Some(reply) = replies.message().await.unwrap() {
        results.extend(reply.results);
    }
    assert_eq!(results.len(), slots.len());
    for (result, (_, reason, field)) in results.into_iter().zip(slots) {
        match (result.result.unwrap(), reason) {
            (OpResult::Error(error), Some(reason)) => {
                assert_eq!(
                    (error.reason(), &error.field[..]),
                    (reason, field),
                    "{error:?}"
                );
            }
            (OpResult::Set(_) | OpResult::Get(_), None) => {}
            (other, reason) => panic!("{other:?} instead of {reason:?}"),
        }
    }
}
