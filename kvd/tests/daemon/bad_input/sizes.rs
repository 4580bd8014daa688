//! Too little and too much: keys, values, batches and messages.

use super::super::support::{get, set};
use super::call::{Call, batch};
use super::{Row, row};
use bytes::Bytes;
use kvproto::v1::{self, ErrorReason as Reason, batch_write_operation::Operation as Item};
use tonic::Code;

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn sizes() -> Vec<Row> {
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
