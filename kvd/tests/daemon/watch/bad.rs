//! Watches that cannot be, each refused by its reason; the stream goes on.

use std::time::Duration;

use kvproto::v1::{
    self, ErrorReason as Reason, key_range::Range, watch_request::Request,
    watch_response::Response, watch_start::Start,
};

use super::client::{Stream, all, prefix, range, start, watch};
use crate::support::{Running, set};

type Row = (&'static str, v1::WatchCreate, Reason, &'static str);

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn rows(newest: i64, foreign: &bytes::Bytes) -> Vec<Row> {
    let from = |start_: Start| v1::WatchCreate {
        start: start(start_),
        ..watch(all())
    };
    let garbled = |bytes: &'static [u8]| from(Start::Position(bytes.into()));
    let span = |start: &'static str, end: &'static str| {
        range(Range::Span(v1::Span {
            start: start.into(),
            end: end.into(),
        }))
    };
    let all = || watch(all());
    vec![
        (
            "no range",
            watch(None),
            Reason::BadRange,
            "there is no range",
        ),
        (
            "a range that names nothing",
            watch(Some(v1::KeyRange { range: None })),
            Reason::BadRange,
            "names nothing",
        ),
        (
            "an empty prefix",
            watch(prefix("")),
            Reason::BadRange,
            "the prefix is empty",
        ),
        (
            "an empty span",
            watch(span("b", "a")),
            Reason::BadRange,
            "ends before it starts",
        ),
        (
            "a start in the future",
            from(Start::Revision(newest + 2)),
            Reason::FutureRevision,
            "",
        ),
        (
            "a start before all",
            from(Start::Revision(0)),
            Reason::BadNumber,
            "the first change of a store is 2",
        ),
        (
            "a negative start",
            from(Start::Revision(-7)),
            Reason::BadNumber,
            "-7",
        ),
        (
            "a start that says nothing",
            v1::WatchCreate {
                start: Some(v1::WatchStart { start: None }),
                ..all()
            },
            Reason::UnsupportedOption,
            "says nothing",
        ),
        (
            "a position of another store",
            from(Start::Position(foreign.clone())),
            Reason::BadToken,
            "of another store",
        ),
        (
            "a position cut short",
            garbled(b"\x01short"),
            Reason::BadToken,
            "cut short",
        ),
        (
            "an empty position",
            garbled(b""),
            Reason::BadToken,
            "cut short",
        ),
        (
            "a position of another version",
            garbled(b"\x02345678901234567"),
            Reason::BadToken,
            "another version",
        ),
        (
            "an unknown type",
            v1::WatchCreate {
                exclude_types: vec![9],
                ..all()
            },
            Reason::UnsupportedOption,
            "number 9",
        ),
        (
            "an unknown cause",
            v1::WatchCreate {
                exclude_causes: vec![0],
                ..all()
            },
            Reason::UnsupportedOption,
            "number 0",
        ),
        (
            "a cause that is none",
            v1::WatchCreate {
                exclude_causes: vec![v1::EventCause::State.into()],
                ..all()
            },
            Reason::UnsupportedOption,
            "cannot be excluded",
        ),
        (
            "an unknown level",
            v1::WatchCreate {
                read_level: 77,
                ..all()
            },
            Reason::UnsupportedOption,
            "read_level",
        ),
        (
            "an unknown end",
            v1::WatchCreate {
                on_compacted: 77,
                ..all()
            },
            Reason::UnsupportedOption,
            "on_compacted",
        ),
        (
            "progress too often",
            v1::WatchCreate {
                progress_interval_ms: 99,
                ..all()
            },
            Reason::BadNumber,
            "100 at least",
        ),
        (
            "a capability that is missing",
            v1::WatchCreate {
                require: vec![v1::Capability::Lease.into()],
                ..all()
            },
            Reason::CapabilityMissing,
            "LEASE",
        ),
        (
            "a negative id",
            v1::WatchCreate {
                watch_id: -1,
                ..all()
            },
            Reason::BadNumber,
            "not negative",
        ),
        (
            "an id in use",
            v1::WatchCreate {
                watch_id: 5,
                ..all()
            },
            Reason::OptionConflict,
            "it goes on",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_the_stream_goes_on() {
    let running = Running::start(&[]).await;
    let other = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let reply = kv.set(set("k", "v")).await.unwrap().into_inner();
    let elsewhere = other.kv().await.set(set("k", "v")).await.unwrap();
    let foreign = elsewhere.into_inner().header.unwrap().position;
    let mut stream = Stream::open(running.channel().await).await;
    let good = v1::WatchCreate {
        watch_id: 5,
        ..watch(all())
    };
    stream.created(good).await;
    for (name, create, reason, text) in rows(reply.revision, &foreign) {
        let asked = create.watch_id;
        stream.create(create).await;
        let (id, canceled) = stream.canceled().await;
        let error = canceled.error.expect(name);
        assert_eq!(error.reason(), reason, "{name}: {error:?}");
        assert!(error.message.contains(text), "{name}: {error:?}");
        assert!(error.field.starts_with("create"), "{name}: {error:?}");
        assert!(id == 0 || id == asked, "{name}: {id}");
        assert_ne!(id, 5, "{name}: the good watch goes on");
    }
    let requests = [
        (None, "asks for nothing"),
        (
            Some(Request::Cancel(v1::WatchCancel { watch_id: 77 })),
            "no watch 77",
        ),
        (
            Some(Request::Progress(v1::WatchProgress { watch_id: 78 })),
            "no watch 78",
        ),
    ];
    for (request, text) in requests {
        stream.send(request).await;
        let (_, canceled) = stream.canceled().await;
        let error = canceled.error.expect(text);
        assert!(error.message.contains(text), "{error:?}");
    }
    kv.set(set("k", "w")).await.unwrap();
    assert_eq!(stream.message().await.0, 5);
}

#[tokio::test]
async fn one_watch_more_than_a_stream_may_have_is_refused() {
    let running = Running::start(&[]).await;
    let limits = running.admin().await;
    let mut limits = limits;
    let limits = limits.get_limits(v1::GetLimitsRequest {}).await.unwrap();
    let limit = limits.into_inner().watches_per_stream;
    assert_eq!(limit, 10_000);
    let mut stream = Stream::open(running.channel().await).await;
    for n in 0..=limit {
        stream.create(watch(prefix(&format!("{n}/")))).await;
    }
    for _ in 0..limit {
        assert!(matches!(stream.message().await.1, Response::Created(_)));
    }
    let (_, canceled) = stream.canceled().await;
    let error = canceled.error.unwrap();
    assert_eq!(error.reason(), Reason::TooManyStreams);
    assert!(error.message.contains("10000"), "{error:?}");
    let mut kv = running.kv().await;
    kv.set(set("9999/k", "v")).await.unwrap();
    assert_eq!(stream.message().await.0, 10_000);
    stream
        .send(Some(Request::Cancel(v1::WatchCancel { watch_id: 3 })))
        .await;
    stream.canceled().await;
    stream.created(watch(prefix("again/"))).await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    let running = Running::start(&[("watch.ring_bytes", "1MiB")]).await;
    let deaf = Stream::open(running.channel().await).await;
    for _ in 0..20 {
        deaf.create(watch(all())).await;
    }
    let mut good = Stream::open(running.channel().await).await;
    good.created(watch(prefix("k"))).await;
    let mut kv = running.kv().await;
    let value = vec![7; 100 << 10];
    for n in 0..300 {
        kv.set(set(&format!("k{n}"), value.clone())).await.unwrap();
    }
    let (events, _) = good.take(300).await;
    assert_eq!(events.len(), 300);
    let metrics = metrics(&running).await;
    let figure = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(figure("kvd_watch_ring_bytes ") <= f64::from(1 << 20));
    assert!(figure("kvd_watches ") >= 2.0);
    assert!(figure("kvd_watch_events_total{cause=\"written\"}") >= 300.0);
    drop(deaf);
    drop(good);
    for _ in 0..1000 {
        if self::metrics(&running).await.contains("kvd_watches 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the watches of streams that are gone stay");
}

async fn metrics(running: &Running) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = running.daemon.http().expect("it serves metrics");
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: kvd\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await.unwrap();
    reply
}
