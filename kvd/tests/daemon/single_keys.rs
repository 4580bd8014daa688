//! Calls of one key: sets, gets and deletes, their conditions, what is durable of them, and
//! what the limit of memory refuses.

use super::support::{Running, get, reason, set, start_in};
use kvproto::v1;
use tonic::Code;
use tonic::transport::Channel;

fn condition(test: v1::condition::Test) -> v1::Condition {
    v1::Condition { test: Some(test) }
}

#[tokio::test]
async fn set_get_delete() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let missing = kv.get(get("a")).await.unwrap().into_inner();
    assert!(!missing.found && missing.record.is_none());
    let created = kv.set(set("a", "one")).await.unwrap().into_inner();
    assert!(created.applied && created.header.unwrap().durable);
    assert_eq!(created.revision, 2);
    let numbers = created.record.unwrap();
    assert_eq!(
        (
            numbers.create_revision,
            numbers.mod_revision,
            numbers.version
        ),
        (2, 2, 1)
    );
    assert!(numbers.key.is_empty() && numbers.value.is_empty());
    let replaced = v1::SetRequest {
        return_previous: true,
        ..set("a", "two")
    };
    let replaced = kv.set(replaced).await.unwrap().into_inner();
    assert_eq!(replaced.previous.unwrap().value, "one");
    let found = kv.get(get("a")).await.unwrap().into_inner().record.unwrap();
    assert_eq!((&found.key[..], &found.value[..]), (&b"a"[..], &b"two"[..]));
    assert_eq!(
        (found.create_revision, found.mod_revision, found.version),
        (2, 3, 2)
    );
    let delete = v1::DeleteRequest {
        key: "a".into(),
        return_previous: true,
        ..v1::DeleteRequest::default()
    };
    let deleted = kv.delete(delete.clone()).await.unwrap().into_inner();
    assert_eq!((deleted.deleted, deleted.revision), (true, 4));
    assert_eq!(deleted.previous.unwrap().value, "two");
    let again = kv.delete(delete).await.unwrap().into_inner();
    assert_eq!((again.deleted, again.revision), (false, 0));
    running.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn conditions_hold_or_show_what_stands() {
    use v1::condition::Test;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let cases = [
        (Test::Exists(true), false),
        (Test::ModRevision(0), true),
        (Test::Exists(false), false),
        (Test::ModRevision(1), false),
        (Test::ModRevision(2), true),
        (Test::Exists(true), true),
    ];
    for (test, applied) in cases {
        let request = v1::SetRequest {
            condition: Some(condition(test.clone())),
            ..set("a", "v")
        };
        let reply = kv.set(request).await.unwrap().into_inner();
        assert_eq!(reply.applied, applied, "{test:?}");
        assert_eq!(reply.revision == 0, !applied, "{test:?}");
        if !applied {
            assert_eq!(reply.record, None);
            assert_eq!(
                reply.current.is_some(),
                test != Test::Exists(true),
                "{test:?}"
            );
        }
    }
    let delete = v1::DeleteRequest {
        key: "a".into(),
        condition: Some(condition(Test::ModRevision(1))),
        ..v1::DeleteRequest::default()
    };
    let reply = kv.delete(delete).await.unwrap().into_inner();
    assert!(!reply.deleted);
    assert_eq!(reply.current.unwrap().mod_revision, 4);
}

#[tokio::test]
async fn values_of_every_size_come_back_whole_and_survive_a_restart() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let sizes = [0, 1, 1023, 1024, 65_535, 65_536, 1 << 20];
    let value = |size: usize| -> Vec<u8> { (0..=250).cycle().take(size).collect() };
    for size in sizes {
        kv.set(set(&format!("key {size}\0\u{ff}"), value(size)))
            .await
            .unwrap();
    }
    let Running { daemon, dir } = running;
    daemon.stop().await.unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let running = Running { daemon, dir };
    let mut kv = running.kv().await;
    for size in sizes {
        let found = kv
            .get(get(&format!("key {size}\0\u{ff}")))
            .await
            .unwrap()
            .into_inner();
        assert!(found.record.unwrap().value == value(size), "{size}");
    }
}

#[tokio::test]
async fn under_interval_writes_are_logged_and_a_wait_makes_them_durable() {
    let running = Running::start(&[("log.sync", "interval:1h")]).await;
    let mut kv = running.kv().await;
    let written = kv.set(set("a", "v")).await.unwrap().into_inner();
    assert!(!written.header.unwrap().durable);
    assert!(
        !kv.get(get("a"))
            .await
            .unwrap()
            .into_inner()
            .header
            .unwrap()
            .durable
    );
    let wait = v1::WaitDurableRequest {
        revision: written.revision,
        require: Vec::new(),
    };
    let header = kv
        .wait_durable(wait)
        .await
        .unwrap()
        .into_inner()
        .header
        .unwrap();
    assert!(header.durable && header.durable_revision >= written.revision);
    assert!(
        kv.get(get("a"))
            .await
            .unwrap()
            .into_inner()
            .header
            .unwrap()
            .durable
    );
    kv.set(set("b", "v")).await.unwrap();
    let newest = kv
        .wait_durable(v1::WaitDurableRequest::default())
        .await
        .unwrap();
    assert_eq!(newest.into_inner().header.unwrap().durable_revision, 3);
}

#[tokio::test]
async fn the_memory_limit_refuses_growth_and_lets_deletes_through() {
    let running = Running::start(&[("memory.max_bytes", "64KiB")]).await;
    let mut kv = running.kv().await;
    let status = loop {
        let key = format!("k{}", rand(&mut kv).await);
        if let Err(status) = kv.set(set(&key, vec![0; 4096])).await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), Some(v1::ErrorReason::MemoryLimit));
    assert!(status.message().contains("memory.max_bytes"), "{status}");
    let delete = v1::DeleteRequest {
        key: "k2".into(),
        ..Default::default()
    };
    assert!(kv.delete(delete).await.unwrap().into_inner().deleted);
    kv.set(set("k2", "small")).await.unwrap();
}

/// A number that was not used before: the next revision.
async fn rand(kv: &mut v1::kv_service_client::KvServiceClient<Channel>) -> i64 {
    let reply = kv.get(get("none")).await.unwrap().into_inner();
    reply.header.unwrap().store_revision + 1
}
