//! Bad input over gRPC, one row each: how it is refused, what the refusal says, and
//! that the next write succeeds.

mod call;
mod items;
mod options;
mod sizes;
mod transport;

use super::support::{Running, get, reason, set};
use call::{Call, send};
use kvproto::v1::{self, ErrorReason as Reason};
use tonic::Code;

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

#[tokio::test]
async fn bad_input_is_refused_by_name_and_harms_nothing() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let rows: Vec<Row> = [
        sizes::sizes(),
        options::options(),
        items::items_and_ranges(),
        transport::made_by_tonic(),
    ]
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
