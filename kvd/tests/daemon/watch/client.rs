//! A stream of watches as a client holds it, and a mirror that is made of nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use kvproto::v1::watch_service_client::WatchServiceClient;
use kvproto::v1::{
    self, key_range::Range, watch_request::Request, watch_response::Response, watch_start::Start,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long a message may take before the test fails.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Stream {
    requests: mpsc::Sender<v1::WatchRequest>,
    pub(super) replies: Streaming<v1::WatchResponse>,
}

impl Stream {
    pub(super) async fn open(channel: Channel) -> Self {
        let (requests, receiver) = mpsc::channel(20_000);
        let mut client = WatchServiceClient::new(channel);
        let replies = client.watch(ReceiverStream::new(receiver)).await;
        Self {
            requests,
            replies: replies.expect("begun").into_inner(),
        }
    }

    pub(super) async fn send(&self, request: Option<Request>) {
        let sent = self.requests.send(v1::WatchRequest { request }).await;
        sent.expect("open");
    }

    pub(super) async fn create(&self, create: v1::WatchCreate) {
        self.send(Some(Request::Create(create))).await;
    }

    pub(super) async fn next(&mut self) -> Result<Option<v1::WatchResponse>, Status> {
        let next = tokio::time::timeout(LIMIT, self.replies.message()).await;
        next.expect("a message in time")
    }

    pub(super) async fn message(&mut self) -> (i64, Response) {
        let message = self.next().await.expect("goes on").expect("goes on");
        assert!(message.header.is_some());
        if let Some(Response::Events(events)) = &message.response {
            let small = message.encoded_len() <= 1 << 20;
            assert!(
                small || events.events.len() == 1,
                "a message of more than 1 MiB"
            );
        }
        (message.watch_id, message.response.expect("says something"))
    }

    /// Creates a watch; where it begins.
    pub(super) async fn created(&mut self, create: v1::WatchCreate) -> (i64, i64) {
        self.create(create).await;
        match self.message().await {
            (id, Response::Created(created)) => (id, created.start_revision),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn events(&mut self) -> v1::WatchEvents {
        match self.message().await {
            (_, Response::Events(events)) => events,
            other => panic!("{other:?}"),
        }
    }

    /// The next `count` events, each with its position, if it is the last of its message.
    pub(super) async fn take(&mut self, count: usize) -> (Vec<v1::Event>, bytes::Bytes) {
        let (mut all, mut position) = (Vec::new(), bytes::Bytes::new());
        while all.len() < count {
            let events = self.events().await;
            all.extend(events.events);
            position = events.position;
        }
        assert_eq!(all.len(), count);
        (all, position)
    }

    pub(super) async fn canceled(&mut self) -> (i64, v1::WatchCanceled) {
        match self.message().await {
            (id, Response::Canceled(canceled)) => (id, canceled),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn all() -> Option<v1::KeyRange> {
    range(Range::All(v1::AllKeys {}))
}

pub(super) fn prefix(prefix: &str) -> Option<v1::KeyRange> {
    range(Range::Prefix(prefix.to_owned().into()))
}

#[expect(clippy::unnecessary_wraps, reason = "as the field takes it")]
pub(super) fn range(range: Range) -> Option<v1::KeyRange> {
    Some(v1::KeyRange { range: Some(range) })
}

#[expect(clippy::unnecessary_wraps, reason = "as the field takes it")]
pub(super) fn start(start: Start) -> Option<v1::WatchStart> {
    Some(v1::WatchStart { start: Some(start) })
}

pub(super) fn watch(range: Option<v1::KeyRange>) -> v1::WatchCreate {
    v1::WatchCreate {
        range,
        ..v1::WatchCreate::default()
    }
}

/// What the recipe in docs/watch.md keeps.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) records: BTreeMap<bytes::Bytes, bytes::Bytes>,
    pub(super) position: bytes::Bytes,
    pub(super) revision: i64,
    pub(super) resyncs: u32,
    fragments: Vec<v1::Event>,
    in_resync: bool,
}

impl Mirror {
    pub(super) fn take(&mut self, response: Response) {
        match response {
            Response::ResyncBegin(_) => {
                self.records.clear();
                self.fragments.clear();
                self.in_resync = true;
                self.resyncs += 1;
            }
            Response::ResyncEnd(end) => {
                self.in_resync = false;
                self.revision = end.revision;
                self.position = end.position;
            }
            Response::Events(events) => {
                self.fragments.extend(events.events);
                if events.more_of_revision {
                    assert!(events.position.is_empty());
                    return;
                }
                for event in std::mem::take(&mut self.fragments) {
                    self.apply(event);
                }
                if !self.in_resync {
                    self.revision = events.revision;
                    self.position = events.position;
                }
            }
            Response::Progress(progress) => {
                self.revision = progress.revision;
                self.position = progress.position;
            }
            Response::Created(_) => {}
            Response::Canceled(canceled) => panic!("{canceled:?}"),
        }
    }

    fn apply(&mut self, event: v1::Event) {
        let record = event.record.expect("always there");
        match event.r#type {
            kind if kind == i32::from(v1::EventType::Delete) => {
                self.records.remove(&record.key);
            }
            _ if event.value_unavailable => {}
            _ => {
                self.records.insert(record.key, record.value);
            }
        }
    }
}
