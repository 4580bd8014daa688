//! That the bytes are those of the whole message.

use kvproto::v1::operation_result::Result as OpResult;
use prost::Message as _;

use super::*;
use crate::backend::fake::Fake;
use crate::service::convert;

fn header(store_revision: i64, durable_revision: i64, durable: bool) -> v1::ResponseHeader {
    v1::ResponseHeader {
        store_revision,
        durable_revision,
        durable,
        ..v1::ResponseHeader::default()
    }
}

/// Records with and without each field, with numbers and texts on both sides of each bound.
fn records() -> Vec<Option<Record>> {
    let mut records = vec![None];
    for (key, value) in [(1, 0), (16, 64), (127, 128), (128, 127), (300, 20_000)] {
        for (deadline, lease) in [(0, 0), (1 << 41, 0), (0, 7), (1 << 20, u64::MAX)] {
            let mut record = Record::new(&vec![b'k'; key], &vec![b'v'; value], deadline, lease);
            let revision = kvcore::Revision(key as u64 * 1000);
            record.stamp(revision, kvcore::Revision(1), value as u64);
            records.push(Some(record));
        }
    }
    records
}

fn check(results: Results, expected: Vec<(u64, OpResult)>) {
    let mut header = header(5, 4, false);
    header.position = "position".into();
    let whole = v1::PipelineResponse {
        header: Some(header.clone()),
        results: expected
            .into_iter()
            .map(|(id, result)| v1::OperationResult {
                id,
                result: Some(result),
            })
            .collect(),
    };
    assert_eq!(results.count, whole.results.len());
    let reply = Reply { header, results };
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    assert_eq!(bytes.len(), reply.encoded_len());
    assert_eq!(reply.weight(), bytes.len() + PREFIX);
    assert_eq!(v1::PipelineResponse::decode(&bytes[..]), Ok(whole.clone()));
    assert_eq!(bytes, whole.encode_to_vec());
}

#[test]
fn what_was_found_and_what_was_set_are_written_as_prost_writes_them() {
    let store = Fake::instant();
    let headers = [
        header(0, 0, false),
        header(1, 1, true),
        header(i64::MAX, 127, false),
        header(128, 0, true),
    ];
    for (id, header) in [0, 1, 127, 128, u64::MAX]
        .into_iter()
        .zip(headers.iter().cycle())
    {
        let (mut results, mut expected) = (Results::with_capacity(10), Vec::new());
        for record in records() {
            let record = record.as_ref();
            let full = |record: &Record| {
                let key = bytes::Bytes::copy_from_slice(record.key());
                convert::record(&store, key, record)
            };
            results.got(id, header, record, &store);
            expected.push((
                id,
                OpResult::Get(v1::GetResponse {
                    header: Some(header.clone()),
                    found: record.is_some(),
                    record: record.map(full),
                }),
            ));
            let revision = record.map_or(1 << 40, |record| record.mod_revision().0);
            results.set(id, header, revision, record, &store);
            expected.push((
                id,
                OpResult::Set(v1::SetResponse {
                    header: Some(header.clone()),
                    applied: true,
                    revision: signed(revision),
                    record: record.map(|record| convert::numbers(&store, record)),
                    ..v1::SetResponse::default()
                }),
            ));
            let other = OpResult::Count(v1::CountResponse {
                header: Some(header.clone()),
                count: 3,
            });
            results.push(id, other.clone());
            expected.push((id, other));
        }
        check(results, expected);
    }
    check(Results::default(), vec![]);
}
