//! What the data model refuses, one row each: alone and in a pipeline with the same
//! code, reason and field, and a write that succeeds after it.

mod keys;
mod ranges;
mod scans;
mod transactions;

use super::support::model::{self, prefix};
use super::support::{Running, reason, set};
use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};
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
    let tables = [
        keys::one_key(),
        ranges::ranges(),
        transactions::compares(),
        transactions::transactions(),
        transactions::batches(),
    ];
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
