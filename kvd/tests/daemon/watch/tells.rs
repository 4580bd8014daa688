//! What a watch tells.

use kvproto::v1::{
    self, admin_service_client::AdminServiceClient, kv_service_client::KvServiceClient,
    watch_request::Request, watch_response::Response, watch_start::Start,
};
use tonic::transport::Channel;

use super::client::{Mirror, Stream, all, prefix, start, watch};
use crate::support::{Running, set};

async fn delete(kv: &mut KvServiceClient<Channel>, key: &str) {
    let request = v1::DeleteRequest {
        key: key.to_owned().into(),
        ..v1::DeleteRequest::default()
    };
    assert!(kv.delete(request).await.unwrap().into_inner().deleted);
}

#[tokio::test]
async fn each_change_with_its_cause_and_what_was_before() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("w/a", "0")).await.unwrap();
    let mut stream = Stream::open(running.channel().await).await;
    let create = v1::WatchCreate {
        previous_values: true,
        ..watch(prefix("w/"))
    };
    let (id, first) = stream.created(create).await;
    assert_eq!(id, 1);

    let one = kv.set(set("w/a", "1")).await.unwrap().into_inner();
    assert_eq!(one.revision, first);
    kv.set(set("elsewhere", "1")).await.unwrap();
    let expire = v1::ExpireRequest {
        key: "w/a".into(),
        expiry: Some(v1::expire_request::Expiry::TtlMs(3_600_000)),
        ..v1::ExpireRequest::default()
    };
    kv.expire(expire).await.unwrap();
    delete(&mut kv, "w/a").await;
    let mortal = v1::SetRequest {
        expiry: Some(v1::Expiry {
            when: Some(v1::expiry::When::TtlMs(30)),
        }),
        ..set("w/m", "short")
    };
    kv.set(mortal).await.unwrap();
    kv.set(set("w/r", "x")).await.unwrap();
    let remove = v1::DeleteRangeRequest {
        range: prefix("w/r"),
        ..v1::DeleteRangeRequest::default()
    };
    kv.delete_range(remove).await.unwrap();

    let (events, position) = stream.take(7).await;
    assert_eq!(position.len(), 17);
    let of = |key: &str, cause: v1::EventCause| {
        let found = events.iter().find(|event| {
            event.record.as_ref().unwrap().key == key.as_bytes() && event.cause() == cause
        });
        found.unwrap_or_else(|| panic!("{key} {cause:?} is not in {events:#?}"))
    };
    let value = |record: &Option<v1::Record>| record.as_ref().map(|r| r.value.clone());
    let written = of("w/a", v1::EventCause::Written);
    assert_eq!(value(&written.record), Some("1".into()));
    assert_eq!(value(&written.previous), Some("0".into()));
    let changed = of("w/a", v1::EventCause::ExpiryChanged);
    assert_eq!(changed.r#type(), v1::EventType::Set);
    assert_eq!(value(&changed.record), Some("1".into()));
    assert!(changed.record.as_ref().unwrap().expires_at_ms > 0);
    assert_eq!(changed.previous.as_ref().unwrap().expires_at_ms, 0);
    let deleted = of("w/a", v1::EventCause::Deleted);
    assert_eq!(deleted.r#type(), v1::EventType::Delete);
    assert_eq!(value(&deleted.previous), Some("1".into()));
    assert!(deleted.record.as_ref().unwrap().value.is_empty());
    assert!(of("w/m", v1::EventCause::Written).previous.is_none());
    let expired = of("w/m", v1::EventCause::Expired);
    assert_eq!(value(&expired.previous), Some("short".into()));
    let gone = of("w/r", v1::EventCause::RangeDeleted);
    assert_eq!(value(&gone.previous), Some("x".into()));
    let revisions: Vec<_> = events
        .iter()
        .map(|event| event.record.as_ref().unwrap().mod_revision)
        .collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

#[tokio::test]
async fn many_watches_on_one_stream_end_by_themselves() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let mut stream = Stream::open(running.channel().await).await;
    for n in 0..50 {
        let create = watch(prefix(&format!("p{n:02}/")));
        assert_eq!(stream.created(create).await.0, n + 1);
    }
    let keys_only = v1::WatchCreate {
        watch_id: 99,
        keys_only: true,
        exclude_types: vec![v1::EventType::Delete.into()],
        ..watch(all())
    };
    assert_eq!(stream.created(keys_only).await.0, 99);
    for n in 0..50 {
        kv.set(set(&format!("p{n:02}/k"), "v")).await.unwrap();
        delete(&mut kv, &format!("p{n:02}/k")).await;
    }
    let (mut own, mut keys) = (0, 0);
    while own < 100 || keys < 50 {
        let (id, Response::Events(events)) = stream.message().await else {
            panic!("something else than events")
        };
        for event in events.events {
            let record = event.record.unwrap();
            if id == 99 {
                keys += 1;
                assert!(record.value.is_empty() && record.version == 1);
            } else {
                own += 1;
                assert!(
                    record
                        .key
                        .starts_with(format!("p{:02}/", id - 1).as_bytes())
                );
            }
        }
    }
    assert_eq!((own, keys), (100, 50));
    stream
        .send(Some(Request::Cancel(v1::WatchCancel { watch_id: 7 })))
        .await;
    let (id, canceled) = stream.canceled().await;
    assert_eq!((id, canceled.error), (7, None));
    assert!(!canceled.position.is_empty());
    kv.set(set("p06/k", "for nobody but 99")).await.unwrap();
    kv.set(set("p07/k", "v")).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(stream.message().await.0);
    }
    told.sort_unstable();
    assert_eq!(told, [8, 99, 99]);
}

#[tokio::test]
async fn a_mirror_of_the_stream_is_the_store() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    for n in 0..3000 {
        let key = format!("m/{:04}", n % 1700);
        kv.set(set(&key, format!("{n}"))).await.unwrap();
    }
    let mut stream = Stream::open(running.channel().await).await;
    let mut mirror = Mirror::default();
    stream
        .create(v1::WatchCreate {
            start: start(Start::CurrentState(v1::StartCurrentState {})),
            ..watch(prefix("m/"))
        })
        .await;
    let writer = {
        let mut kv = running.kv().await;
        tokio::spawn(async move {
            for n in 0..2000 {
                let key = format!("m/{:04}", n * 7 % 2000);
                if n % 3 == 0 {
                    let request = v1::DeleteRequest {
                        key: key.into(),
                        ..v1::DeleteRequest::default()
                    };
                    kv.delete(request).await.unwrap();
                } else {
                    kv.set(set(&key, format!("second {n}"))).await.unwrap();
                }
            }
        })
    };
    while !writer.is_finished() {
        let next = tokio::time::timeout(std::time::Duration::from_millis(50), stream.message());
        if let Ok((_, response)) = next.await {
            mirror.take(response);
        }
    }
    writer.await.unwrap();
    let hash = v1::HashRequest {
        range: prefix("m/"),
        ..v1::HashRequest::default()
    };
    let hashed = running.admin().await.hash(hash).await.unwrap().into_inner();
    let newest = hashed.header.unwrap().store_revision;
    stream
        .send(Some(Request::Progress(v1::WatchProgress { watch_id: 0 })))
        .await;
    while mirror.revision < newest {
        let (_, response) = stream.message().await;
        mirror.take(response);
    }
    assert_eq!(mirror.resyncs, 1);
    // The digest of the mirror, made by a store that holds nothing else.
    let other = Running::start(&[]).await;
    let mut into = other.kv().await;
    for (key, value) in &mirror.records {
        let request = v1::SetRequest {
            key: key.clone(),
            value: value.clone(),
            ..v1::SetRequest::default()
        };
        into.set(request).await.unwrap();
    }
    let mut admin = AdminServiceClient::new(other.channel().await);
    let hash = v1::HashRequest {
        range: prefix("m/"),
        ..v1::HashRequest::default()
    };
    let ours = admin.hash(hash).await.unwrap().into_inner();
    assert_eq!((ours.hash, ours.count), (hashed.hash, hashed.count));
}

#[tokio::test]
async fn a_transaction_of_eight_mib_reaches_a_client_that_takes_four() {
    let running = Running::start(&[
        ("log.segment_bytes", "64MiB"),
        ("limits.batch_bytes", "8MiB"),
    ])
    .await;
    let mut stream = Stream::open(running.channel().await).await;
    stream.created(watch(all())).await;
    let mut kv = running.kv().await;
    let value = vec![7; (1 << 20) - 64];
    let operations = (0..8).map(|n| v1::TxnOperation {
        operation: Some(v1::txn_operation::Operation::Set(v1::SetRequest {
            key: format!("big/{n}").into(),
            value: value.clone().into(),
            ..v1::SetRequest::default()
        })),
    });
    let txn = v1::TxnRequest {
        success: operations.collect(),
        ..v1::TxnRequest::default()
    };
    let revision = kv.txn(txn).await.unwrap().into_inner().revision;
    let (mut keys, mut messages) = (Vec::new(), 0);
    loop {
        let events = stream.events().await;
        messages += 1;
        assert_eq!(events.revision, revision);
        assert_eq!(events.position.is_empty(), events.more_of_revision);
        for event in &events.events {
            let record = event.record.as_ref().unwrap();
            assert!(record.value == value && record.mod_revision == revision);
            keys.push(record.key.clone());
        }
        if !events.more_of_revision {
            break;
        }
    }
    let wanted: Vec<_> = (0..8).map(|n| format!("big/{n}")).collect();
    assert_eq!(keys, wanted);
    assert!(messages > 1, "in fragments");
}

#[tokio::test]
async fn progress_comes_when_asked_for_and_by_itself() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let mut stream = Stream::open(running.channel().await).await;
    let create = v1::WatchCreate {
        progress_interval_ms: 100,
        ..watch(prefix("quiet/"))
    };
    let (quiet, _) = stream.created(create).await;
    let revision = kv
        .set(set("loud/k", "v"))
        .await
        .unwrap()
        .into_inner()
        .revision;
    let (id, Response::Progress(progress)) = stream.message().await else {
        panic!("no progress")
    };
    assert_eq!(id, quiet);
    assert!(progress.revision >= revision, "{progress:?}");
    stream
        .send(Some(Request::Cancel(v1::WatchCancel { watch_id: quiet })))
        .await;
    // A progress message may be on its way.
    while !matches!(stream.message().await.1, Response::Canceled(_)) {}

    let (loud, _) = stream.created(watch(prefix("loud/"))).await;
    let revision = kv
        .set(set("loud/k", "v"))
        .await
        .unwrap()
        .into_inner()
        .revision;
    for (asked, told) in [(loud, loud), (0, 0)] {
        let ask = v1::WatchProgress { watch_id: asked };
        stream.send(Some(Request::Progress(ask))).await;
        loop {
            match stream.message().await {
                (id, Response::Progress(progress)) => {
                    assert_eq!(id, told);
                    assert!(progress.revision >= revision);
                    break;
                }
                (_, Response::Events(events)) => assert_eq!(events.revision, revision),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn whoever_comes_too_late_gets_the_state_or_is_told() {
    let running = Running::start(&[
        ("log.segment_bytes", "1MiB"),
        ("limits.batch_bytes", "64KiB"),
        ("limits.value_bytes", "32KiB"),
        ("log.retain_bytes", "0B"),
    ])
    .await;
    let mut kv = running.kv().await;
    let value = vec![7; 30 << 10];
    for round in 0..3 {
        for n in 0..60 {
            kv.set(set(&format!("k{n}"), value.clone())).await.unwrap();
        }
        delete(&mut kv, &format!("k{round}")).await;
        let request = v1::CreateSnapshotRequest::default();
        running
            .admin()
            .await
            .create_snapshot(request)
            .await
            .unwrap();
    }
    let mut stream = Stream::open(running.channel().await).await;
    let from_the_first = v1::WatchCreate {
        start: start(Start::Revision(2)),
        ..watch(all())
    };
    stream.created(from_the_first.clone()).await;
    let (_, canceled) = stream.canceled().await;
    assert_eq!(canceled.error.unwrap().reason(), v1::ErrorReason::Compacted);
    assert!(canceled.compact_revision > 2);

    let resync = v1::WatchCreate {
        on_compacted: v1::OnCompacted::Resync.into(),
        ..from_the_first
    };
    stream.created(resync).await;
    let mut mirror = Mirror::default();
    while mirror.revision == 0 {
        let (_, response) = stream.message().await;
        mirror.take(response);
    }
    assert_eq!(mirror.resyncs, 1);
    assert_eq!(mirror.records.len(), 59);
    let last = kv.set(set("k2", "again")).await.unwrap().into_inner();
    let (_, response) = stream.message().await;
    mirror.take(response);
    assert_eq!((mirror.records.len(), mirror.revision), (60, last.revision));
}
