//! Expiry, counters, transactions, ranges and request ids: what their replies wait for,
//! and that a call alone, in a pipeline and in a transaction says the same.

use std::time::Duration;

use kvproto::v1::operation_result::Result as OpResult;
use kvproto::v1::txn_operation::Operation as Step;
use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::pipeline::{Pipe, ids, operation};
use super::raw;
use super::support::{Rig, get, pending, reason, rig, set, soon};
use crate::backend::Store as _;
use crate::backend::fake::Fake;

fn no_wait() -> Option<v1::WriteOptions> {
    set("", v1::Durability::None).options
}

fn all() -> v1::KeyRange {
    v1::KeyRange {
        range: Some(v1::key_range::Range::All(v1::AllKeys {})),
    }
}

fn increment(key: &str, options: Option<v1::WriteOptions>) -> v1::IncrementRequest {
    v1::IncrementRequest {
        key: key.to_owned().into(),
        options,
        ..v1::IncrementRequest::default()
    }
}

fn txn(success: Vec<Step>, durability: v1::Durability) -> v1::TxnRequest {
    let step = |operation| v1::TxnOperation {
        operation: Some(operation),
    };
    v1::TxnRequest {
        success: success.into_iter().map(step).collect(),
        options: set("", durability).options,
        ..v1::TxnRequest::default()
    }
}

fn named(request_id: &str, durability: v1::Durability) -> v1::WriteOptions {
    v1::WriteOptions {
        request_id: request_id.to_owned().into(),
        durability: durability.into(),
        ..v1::WriteOptions::default()
    }
}

#[tokio::test]
async fn an_error_that_tells_of_the_state_waits_like_a_read_of_it() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    let (mut one, mut two) = (client.clone(), client.clone());
    let alone = tokio::spawn(async move { one.increment(increment("a", no_wait())).await });
    let inside = txn(
        vec![
            Step::Set(v1::SetRequest {
                options: None,
                ..set("b", v1::Durability::None)
            }),
            Step::Increment(increment("a", None)),
        ],
        v1::Durability::None,
    );
    let inside = tokio::spawn(async move { two.txn(inside).await });
    let mut pipe = Pipe::open(&mut client).await;
    pipe.send(vec![
        operation(1, Op::Increment(increment("a", no_wait()))),
        operation(2, Op::Set(set("c", v1::Durability::None))),
    ])
    .await;
    pending(&alone).await;
    pending(&inside).await;
    // The pipeline has gone on, and the transaction has left nothing.
    assert_eq!(store.store_revision(), 3);
    store.advance(3, 2);
    let status = soon(alone).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, Reason::NotAnInteger)
    );
    let status = soon(inside).await.unwrap().unwrap_err();
    assert_eq!(reason(&status), Reason::NotAnInteger);
    let details = status.get_error_details();
    let index = &details.error_info().unwrap().metadata["operation_index"];
    assert_eq!(index, "1");
    let reply = pipe.next().await.unwrap().unwrap();
    assert_eq!(ids(&reply), [1, 2]);
    let Some(OpResult::Error(error)) = &reply.results[0].result else {
        panic!("{reply:?}");
    };
    assert_eq!(error.reason(), Reason::NotAnInteger);
}

#[tokio::test]
async fn an_error_of_a_state_that_was_lost_is_a_failed_log() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    let mut pipe = Pipe::open(&mut client).await;
    pipe.send(vec![operation(1, Op::Increment(increment("a", no_wait())))])
        .await;
    let alone = tokio::spawn(async move { client.increment(increment("a", no_wait())).await });
    pending(&alone).await;
    store.fail("disk gone");
    let status = soon(alone).await.unwrap().unwrap_err();
    assert_eq!(reason(&status), Reason::LogFailed);
    let reply = pipe.next().await.unwrap().unwrap();
    let Some(OpResult::Error(error)) = &reply.results[0].result else {
        panic!("{reply:?}");
    };
    assert_eq!(error.reason(), Reason::LogFailed);
}

#[tokio::test]
async fn a_transaction_that_changes_waits_as_asked_and_one_that_reads_waits_for_what_it_saw() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let write = || {
        Step::Set(v1::SetRequest {
            options: None,
            ..set("a", v1::Durability::None)
        })
    };
    let reply = soon(client.txn(txn(vec![write()], v1::Durability::None))).await;
    let reply = reply.unwrap().into_inner();
    assert_eq!(reply.revision, 2);
    assert!(!reply.header.unwrap().durable);
    let read = txn(vec![Step::Get(get("a"))], v1::Durability::None);
    let (mut one, mut two) = (client.clone(), client.clone());
    let read = tokio::spawn(async move { one.txn(read).await });
    pending(&read).await;
    store.advance(2, 2);
    let reply = soon(read).await.unwrap().unwrap().into_inner();
    assert_eq!((reply.revision, reply.header.unwrap().durable), (0, true));
    let synced = txn(vec![write()], v1::Durability::Synced);
    let synced = tokio::spawn(async move { two.txn(synced).await });
    pending(&synced).await;
    store.advance(3, 3);
    assert_eq!(
        soon(synced).await.unwrap().unwrap().into_inner().revision,
        3
    );
}

#[tokio::test]
async fn what_is_read_from_a_range_waits_until_it_is_durable() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    store.advance(2, 2);
    client.set(set("b", v1::Durability::None)).await.unwrap();
    let (mut one, mut two, mut three) = (client.clone(), client.clone(), client.clone());
    let count = tokio::spawn(async move {
        let request = v1::CountRequest {
            range: Some(all()),
            options: None,
        };
        two.count(request).await
    });
    let dry = tokio::spawn(async move {
        let request = v1::DeleteRangeRequest {
            range: Some(all()),
            dry_run: true,
            options: no_wait(),
            ..v1::DeleteRangeRequest::default()
        };
        three.delete_range(request).await
    });
    let request = v1::ScanRequest {
        range: Some(all()),
        page_size: 1,
        ..v1::ScanRequest::default()
    };
    let mut pages = one.scan(request).await.unwrap().into_inner();
    let page = soon(pages.message()).await.unwrap().unwrap();
    assert_eq!(page.records[0].key, "a");
    let last = tokio::spawn(async move { pages.message().await });
    pending(&last).await;
    pending(&count).await;
    pending(&dry).await;
    store.advance(3, 3);
    let page = soon(last).await.unwrap().unwrap().unwrap();
    assert_eq!(page.records[0].key, "b");
    assert!(page.token.is_empty());
    assert_eq!(soon(count).await.unwrap().unwrap().into_inner().count, 2);
    assert_eq!(soon(dry).await.unwrap().unwrap().into_inner().deleted, 2);
    let deleted = v1::DeleteRangeRequest {
        range: Some(all()),
        options: no_wait(),
        ..v1::DeleteRangeRequest::default()
    };
    let reply = soon(client.delete_range(deleted)).await.unwrap();
    let reply = reply.into_inner();
    assert_eq!(
        (reply.deleted, reply.first_revision, reply.last_revision),
        (2, 4, 4)
    );
}

#[tokio::test]
async fn a_scan_ends_when_the_server_stops() {
    let store = Fake::instant();
    let Rig {
        mut client, server, ..
    } = rig(&store).await;
    for key in ["a", "b", "c"] {
        client.set(set(key, v1::Durability::Synced)).await.unwrap();
    }
    let request = v1::ScanRequest {
        range: Some(all()),
        page_size: 1,
        ..v1::ScanRequest::default()
    };
    server.figures.shared.draining.send_replace(true);
    let mut pages = client.scan(request).await.unwrap().into_inner();
    let status = soon(pages.message()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test]
async fn a_repeat_waits_like_the_first_and_changes_nothing() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let first = increment("n", Some(named("once", v1::Durability::None)));
    let reply = client.increment(first).await.unwrap().into_inner();
    assert_eq!((reply.value, reply.revision, reply.replayed), (1, 2, false));
    let again = increment("n", Some(named("once", v1::Durability::Synced)));
    let mut one = client.clone();
    let repeat = tokio::spawn(async move { one.increment(again).await });
    pending(&repeat).await;
    store.advance(2, 2);
    let reply = soon(repeat).await.unwrap().unwrap().into_inner();
    assert_eq!((reply.value, reply.revision, reply.replayed), (1, 2, true));
    assert!(reply.record.is_none());
    let other = increment("m", Some(named("once", v1::Durability::None)));
    let status = client.increment(other).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::AlreadyExists, Reason::RequestIdReused)
    );
    assert_eq!(store.store_revision(), 2);
}

#[tokio::test]
async fn a_batch_is_repeated_item_by_item() {
    use v1::batch_write_operation::Operation as Item;
    let store = Fake::instant();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let item = |operation| v1::BatchWriteOperation {
        operation: Some(operation),
    };
    let batch = v1::BatchWriteRequest {
        operations: vec![
            item(Item::Increment(increment("n", None))),
            item(Item::Delete(v1::DeleteRequest {
                key: "nothing".into(),
                ..v1::DeleteRequest::default()
            })),
            item(Item::Increment(increment("n", None))),
        ],
        options: Some(named("batch", v1::Durability::Synced)),
    };
    let first = client.batch_write(batch.clone()).await.unwrap();
    let again = client.batch_write(batch).await.unwrap();
    let values = |reply: &v1::BatchWriteResponse| -> Vec<i64> {
        let results = reply.results.iter();
        results
            .filter_map(|result| match &result.result {
                Some(v1::batch_write_result::Result::Increment(reply)) => Some(reply.value),
                _ => None,
            })
            .collect()
    };
    let (first, again) = (first.into_inner(), again.into_inner());
    assert_eq!((values(&first), first.replayed), (vec![1, 2], false));
    assert_eq!((values(&again), again.replayed), (vec![1, 2], true));
    assert_eq!(store.store_revision(), 3);
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_gone_for_good_before_anybody_is_told() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let expiring = v1::SetRequest {
        expiry: Some(v1::Expiry {
            when: Some(v1::expiry::When::TtlMs(1000)),
        }),
        ..set("a", v1::Durability::None)
    };
    let reply = client.set(expiring).await.unwrap().into_inner();
    let record = reply.record.unwrap();
    store.advance(2, 2);
    let found = client.get(get("a")).await.unwrap().into_inner();
    assert_eq!(found.record.unwrap().expires_at_ms, record.expires_at_ms);
    store.pass(1000);
    let mut one = client.clone();
    let miss = tokio::spawn(async move { one.get(get("a")).await });
    pending(&miss).await;
    assert_eq!(store.store_revision(), 3);
    store.advance(3, 3);
    assert!(!soon(miss).await.unwrap().unwrap().into_inner().found);
}

#[tokio::test]
async fn a_scan_ends_with_its_callers_time() {
    let store = Fake::manual();
    let Rig {
        mut client,
        address,
        server,
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    let request = raw::framed(&v1::ScanRequest {
        range: Some(all()),
        ..v1::ScanRequest::default()
    });
    let headers = [("grpc-timeout", "900m")];
    let call = raw::call(address, "/kvd.v1.KvService/Scan", &headers, request);
    let status = soon(call).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, Reason::Deadline)
    );
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test]
async fn a_scan_that_nobody_reads_reads_no_further() {
    let store = Fake::instant();
    let Rig {
        mut client, server, ..
    } = rig(&store).await;
    for i in 0..64 {
        let large = v1::SetRequest {
            value: vec![0; 1 << 20].into(),
            ..set(&format!("k{i:02}"), v1::Durability::None)
        };
        client.set(large).await.unwrap();
    }
    let request = v1::ScanRequest {
        range: Some(all()),
        ..v1::ScanRequest::default()
    };
    let mut pages = client.scan(request).await.unwrap().into_inner();
    assert_eq!(
        soon(pages.message()).await.unwrap().unwrap().records[0].key,
        "k00"
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Written behind what windows and buffers hold, and yet seen.
    client.set(set("k99", v1::Durability::None)).await.unwrap();
    let mut last = None;
    while let Some(page) = soon(pages.message()).await.unwrap() {
        last = page.records.last().map(|record| record.key.clone());
    }
    assert_eq!(last.unwrap(), "k99");
    assert_eq!(server.in_flight(), 0);
}
