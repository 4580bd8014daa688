//! What a reply waits for, what it hides until then, and what becomes of it when its
//! deadline is over.

use std::time::Duration;

use kvproto::v1::{self, ErrorReason as Reason};
use tonic::Code;

use super::raw;
use super::support::{Rig, get, pending, reason, rig, set, soon};
use crate::backend::Store as _;
use crate::backend::fake::Fake;

#[tokio::test]
async fn a_write_waits_for_what_it_asked_for() {
    let store = Fake::manual();
    let Rig { client, server, .. } = rig(&store).await;
    let mut now = client.clone();
    let reply = soon(now.set(set("a", v1::Durability::None)))
        .await
        .unwrap()
        .into_inner();
    let header = reply.header.unwrap();
    assert_eq!(
        (
            reply.revision,
            header.store_revision,
            header.durable_revision
        ),
        (2, 2, 1)
    );
    assert!(!header.durable && !header.position.is_empty());

    let (mut one, mut two) = (client.clone(), client.clone());
    let logged = tokio::spawn(async move { one.set(set("b", v1::Durability::Logged)).await });
    pending(&logged).await;
    let synced = tokio::spawn(async move { two.set(set("c", v1::Durability::Unspecified)).await });
    pending(&synced).await;
    store.advance(3, 2);
    let reply = soon(logged).await.unwrap().unwrap().into_inner();
    assert!(!reply.header.unwrap().durable);
    pending(&synced).await;
    store.advance(4, 4);
    let reply = soon(synced).await.unwrap().unwrap().into_inner();
    assert!(reply.header.unwrap().durable);
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test]
async fn no_reply_shows_what_is_not_durable_unless_asked() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    let refused = v1::SetRequest {
        condition: Some(v1::Condition {
            test: Some(v1::condition::Test::Exists(false)),
        }),
        ..set("a", v1::Durability::None)
    };
    let batch = v1::BatchWriteRequest {
        operations: vec![v1::BatchWriteOperation {
            operation: Some(v1::batch_write_operation::Operation::Set(v1::SetRequest {
                options: None,
                ..refused.clone()
            })),
        }],
        options: refused.options.clone(),
    };
    let keys = vec!["a".into(), "x".into()];
    let (mut one, mut two, mut three, mut four) = (
        client.clone(),
        client.clone(),
        client.clone(),
        client.clone(),
    );
    let read = tokio::spawn(async move { one.get(get("a")).await });
    let condition = tokio::spawn(async move { two.set(refused).await });
    let batched = tokio::spawn(async move { three.batch_write(batch).await });
    let many = tokio::spawn(async move {
        four.batch_get(v1::BatchGetRequest {
            keys,
            options: None,
        })
        .await
    });
    pending(&read).await;
    pending(&condition).await;
    pending(&batched).await;
    pending(&many).await;
    let latest = v1::GetRequest {
        options: Some(v1::ReadOptions {
            level: v1::ReadLevel::Latest.into(),
            ..v1::ReadOptions::default()
        }),
        ..get("a")
    };
    let early = soon(client.get(latest)).await.unwrap().into_inner();
    assert!(early.found && !early.header.unwrap().durable);
    store.advance(2, 2);
    assert!(soon(read).await.unwrap().unwrap().into_inner().found);
    let condition = soon(condition).await.unwrap().unwrap().into_inner();
    assert!(!condition.applied && condition.header.unwrap().durable);
    assert_eq!(condition.current.unwrap().mod_revision, 2);
    soon(batched).await.unwrap().unwrap();
    soon(many).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_delete_that_is_not_durable_hides_behind_a_miss_that_waits() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    client.set(set("a", v1::Durability::None)).await.unwrap();
    store.advance(2, 2);
    let delete = v1::DeleteRequest {
        key: "a".into(),
        options: set("", v1::Durability::None).options,
        ..v1::DeleteRequest::default()
    };
    assert!(client.delete(delete).await.unwrap().into_inner().deleted);
    let mut other = client.clone();
    let miss = tokio::spawn(async move { other.get(get("a")).await });
    pending(&miss).await;
    store.advance(3, 3);
    assert!(!soon(miss).await.unwrap().unwrap().into_inner().found);
}

#[tokio::test]
async fn a_deadline_says_whether_something_was_applied() {
    let store = Fake::manual();
    // tonic's client gives up by itself, so a plainer one.
    let Rig {
        address,
        server: _server,
        ..
    } = rig(&store).await;
    let write = |key, limit| {
        let request = raw::framed(&set(key, v1::Durability::Synced));
        async move {
            let headers = [("grpc-timeout", limit)];
            let call = raw::call(address, "/kvd.v1.KvService/Set", &headers, request);
            soon(call).await.unwrap_err()
        }
    };
    let status = write("a", "900m").await;
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, Reason::UnknownOutcome)
    );
    assert!(status.message().contains("revision 2"), "{status}");
    let request = raw::framed(&get("a"));
    let headers = [("grpc-timeout", "900m")];
    let call = raw::call(address, "/kvd.v1.KvService/Get", &headers, request);
    let status = soon(call).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, Reason::Deadline)
    );
    // Over before it began, and over while it waits to be admitted.
    store.fill(true);
    for limit in ["1n", "20m"] {
        let status = write("b", limit).await;
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::DeadlineExceeded, Reason::Deadline)
        );
    }
    assert_eq!(store.store_revision(), 2);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_wait_and_no_call() {
    let store = Fake::manual();
    let Rig { client, server, .. } = rig(&store).await;
    for _ in 0..10 {
        let mut gone = client.clone();
        let task = tokio::spawn(async move { gone.set(set("a", v1::Durability::Synced)).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        task.abort();
    }
    for _ in 0..200 {
        if server.in_flight() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.in_flight(), 0);
    store.advance(100, 100);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(server.figures.waiters[0].is_empty());
}
