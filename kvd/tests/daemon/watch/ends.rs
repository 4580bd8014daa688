//! Daemons that stop, are killed, and come back: a watch goes on where it was.

use std::time::Duration;

use kvproto::v1::{
    self, ErrorReason as Reason, kv_service_client::KvServiceClient, watch_response::Response,
    watch_start::Start,
};
use tempfile::TempDir;

use super::client::{Stream, all, prefix, start, watch};
use crate::support::{Process, Running, channel, set, start_in};

fn behind(position: &bytes::Bytes, range: Option<v1::KeyRange>) -> v1::WatchCreate {
    v1::WatchCreate {
        start: start(Start::Position(position.clone())),
        ..watch(range)
    }
}

#[tokio::test]
async fn a_drain_ends_each_watch_with_its_position() {
    let dir = TempDir::new().unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let address = daemon.listening()[0].tcp().expect("of TCP");
    let mut kv = KvServiceClient::new(channel(address).await);
    let mut stream = Stream::open(channel(address).await).await;
    for _ in 0..3 {
        stream.created(watch(all())).await;
    }
    kv.set(set("k", "v")).await.unwrap();
    for _ in 0..3 {
        stream.events().await;
    }
    let stopping = tokio::spawn(async move { daemon.stop().await.unwrap() });
    let mut positions = Vec::new();
    for _ in 0..3 {
        let (_, canceled) = stream.canceled().await;
        assert_eq!(canceled.error.unwrap().reason(), Reason::Draining);
        positions.push(canceled.position);
    }
    let status = stream.next().await.unwrap_err();
    assert_eq!(crate::support::reason(&status), Some(Reason::Draining));
    drop((kv, stream));
    stopping.await.unwrap();

    let daemon = start_in(dir.path(), &[]).await;
    let address = daemon.listening()[0].tcp().expect("of TCP");
    let mut kv = KvServiceClient::new(channel(address).await);
    kv.set(set("k", "w")).await.unwrap();
    let mut stream = Stream::open(channel(address).await).await;
    for position in &positions {
        stream.created(behind(position, all())).await;
        let events = stream.events().await;
        assert_eq!(events.events.len(), 1, "once, and nothing of before");
        assert_eq!(events.events[0].record.as_ref().unwrap().value, "w");
    }
}

#[tokio::test]
async fn a_thousand_keys_that_ended_while_nobody_looked_are_told_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let address = daemon.listening()[0].tcp().expect("of TCP");
    let mut kv = KvServiceClient::new(channel(address).await);
    let mut position = bytes::Bytes::new();
    for n in 0..1000 {
        let mortal = v1::SetRequest {
            expiry: Some(v1::Expiry {
                when: Some(v1::expiry::When::TtlMs(3000)),
            }),
            ..set(&format!("mortal/{n:04}"), format!("last words {n}"))
        };
        let reply = kv.set(mortal).await.unwrap().into_inner();
        position = reply.header.unwrap().position;
    }
    drop(kv);
    daemon.stop().await.unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let mut stream =
        Stream::open(channel(daemon.listening()[0].tcp().expect("of TCP")).await).await;
    stream.created(behind(&position, prefix("mortal/"))).await;
    let (events, _) = stream.take(1000).await;
    let mut told: Vec<_> = events
        .into_iter()
        .map(|event| {
            assert_eq!(event.cause(), v1::EventCause::Expired);
            let (record, last) = (event.record.unwrap(), event.previous.unwrap());
            assert_eq!(record.key, last.key);
            (record.mod_revision, last.key, last.value)
        })
        .collect();
    assert!(
        told.is_sorted_by_key(|(revision, ..)| *revision),
        "in order"
    );
    told.sort_by(|a, b| a.1.cmp(&b.1));
    for (n, (_, key, value)) in told.iter().enumerate() {
        assert_eq!(key, &format!("mortal/{n:04}"));
        assert_eq!(value, &format!("last words {n}"));
    }
}

#[tokio::test]
async fn a_position_survives_the_end_of_the_process() {
    let dir = TempDir::new().unwrap();
    let process = Process::serve(dir.path());
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    let mut stream = Stream::open(channel(process.address()).await).await;
    stream.created(watch(prefix("n/"))).await;
    let writer = tokio::spawn(async move {
        let mut acknowledged = 0;
        for n in 0.. {
            match kv.set(set(&format!("n/{n:06}"), "v")).await {
                Ok(_) => acknowledged = n + 1,
                Err(_) => break,
            }
        }
        acknowledged
    });
    let (mut told, mut position) = (Vec::new(), bytes::Bytes::new());
    while told.len() < 200 {
        let events = stream.events().await;
        told.extend(events.events);
        position = events.position;
    }
    process.signal(rustix::process::Signal::KILL);
    // What is on its way may still be read, or not.
    drop(stream);
    drop(process);
    let acknowledged: usize = writer.await.unwrap();

    let process = Process::serve(dir.path());
    let mut stream = Stream::open(channel(process.address()).await).await;
    stream.created(behind(&position, prefix("n/"))).await;
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    kv.set(set("n/last", "v")).await.unwrap();
    while told.last().unwrap().record.as_ref().unwrap().key != "n/last" {
        told.extend(stream.events().await.events);
    }
    let keys: Vec<_> = told
        .iter()
        .map(|event| event.record.as_ref().unwrap().key.clone())
        .collect();
    let there = keys.len() - 1;
    assert!(there >= acknowledged, "{there} of {acknowledged}");
    for (n, key) in keys[..there].iter().enumerate() {
        assert_eq!(key, &format!("n/{n:06}"), "in order, once");
    }

    // Numbering has jumped: what lies between was lost, and says so.
    let lost = v1::WatchCreate {
        start: start(Start::Revision(
            told[there - 1].record.as_ref().unwrap().mod_revision + 100,
        )),
        ..watch(all())
    };
    stream.create(lost).await;
    loop {
        match stream.message().await {
            (_, Response::Canceled(canceled)) => {
                assert_eq!(canceled.error.unwrap().reason(), Reason::RevisionLost);
                break;
            }
            (_, Response::Events(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_whose_client_has_said_all_goes_on() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let channel = running.channel().await;
    let mut client = v1::watch_service_client::WatchServiceClient::new(channel);
    let request = v1::WatchRequest {
        request: Some(v1::watch_request::Request::Create(watch(all()))),
    };
    let replies = client.watch(tokio_stream::iter([request])).await.unwrap();
    let mut replies = replies.into_inner();
    replies.message().await.unwrap().expect("created");
    tokio::time::sleep(Duration::from_millis(20)).await;
    kv.set(set("k", "v")).await.unwrap();
    let events = replies.message().await.unwrap().expect("events");
    assert!(matches!(events.response, Some(Response::Events(_))));
}
