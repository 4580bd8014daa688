//! Pipelines: operations run on while answers wait, answers keep their order, and a stream
//! ends only after all of them.

use std::time::Duration;

use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::support::{Rig, get, reason, rig, set, soon};
use crate::backend::Store as _;
use crate::backend::fake::Fake;

pub(super) fn operation(id: u64, operation: Op) -> v1::Operation {
    v1::Operation {
        id,
        operation: Some(operation),
    }
}

pub(super) struct Pipe {
    send: mpsc::Sender<v1::PipelineRequest>,
    replies: tonic::Streaming<v1::PipelineResponse>,
}

impl Pipe {
    pub(super) async fn open(client: &mut KvServiceClient<Channel>) -> Self {
        let (send, requests) = mpsc::channel(64);
        let replies = client
            .pipeline(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Self { send, replies }
    }

    pub(super) async fn send(&self, operations: Vec<v1::Operation>) {
        let request = v1::PipelineRequest {
            operations,
            require: Vec::new(),
        };
        self.send.send(request).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Result<Option<v1::PipelineResponse>, Status> {
        soon(self.replies.message()).await
    }
}

pub(super) fn ids(reply: &v1::PipelineResponse) -> Vec<u64> {
    reply.results.iter().map(|result| result.id).collect()
}

#[tokio::test]
async fn a_pipeline_runs_on_while_answers_wait_and_keeps_their_order() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let mut pipe = Pipe::open(&mut client).await;
    pipe.send(vec![
        operation(1, Op::Set(set("a", v1::Durability::None))),
        operation(2, Op::Set(set("a", v1::Durability::Synced))),
        operation(3, Op::Set(set("b", v1::Durability::None))),
        operation(4, Op::Get(get("b"))),
        operation(5, Op::Increment(v1::IncrementRequest::default())),
    ])
    .await;
    let first = pipe.next().await.unwrap().unwrap();
    assert_eq!(ids(&first), [1]);
    assert!(!first.header.unwrap().durable);
    // The rest has run although the second answer waits.
    assert_eq!(store.store_revision(), 4);
    store.advance(4, 3);
    assert_eq!(ids(&pipe.next().await.unwrap().unwrap()), [2, 3]);
    store.advance(4, 4);
    let last = pipe.next().await.unwrap().unwrap();
    assert_eq!(ids(&last), [4, 5]);
    let Some(v1::operation_result::Result::Get(found)) = &last.results[0].result else {
        panic!("{last:?}");
    };
    assert_eq!(found.record.as_ref().unwrap().mod_revision, 4);
    let Some(v1::operation_result::Result::Error(error)) = &last.results[1].result else {
        panic!("{last:?}");
    };
    assert_eq!(
        (error.code, error.reason()),
        (Code::InvalidArgument.into(), Reason::EmptyKey)
    );
    // After the half-close everything is answered, then the stream ends.
    pipe.send(vec![operation(
        6,
        Op::Set(set("c", v1::Durability::Synced)),
    )])
    .await;
    let Pipe { send, mut replies } = pipe;
    drop(send);
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.advance(5, 5);
    assert_eq!(ids(&soon(replies.message()).await.unwrap().unwrap()), [6]);
    assert!(soon(replies.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_failed_log_fills_the_slots_that_wait() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let mut pipe = Pipe::open(&mut client).await;
    let write = |id| operation(id, Op::Set(set("a", v1::Durability::Synced)));
    pipe.send(vec![write(1), write(2), write(3)]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.advance(3, 2);
    assert_eq!(ids(&pipe.next().await.unwrap().unwrap()), [1]);
    store.fail("disk gone");
    let reply = pipe.next().await.unwrap().unwrap();
    assert_eq!(ids(&reply), [2, 3]);
    for result in reply.results {
        let Some(v1::operation_result::Result::Error(error)) = result.result else {
            panic!("{result:?}");
        };
        assert_eq!(
            (error.code, error.reason()),
            (Code::Unknown.into(), Reason::UnknownOutcome)
        );
    }
}

#[tokio::test]
async fn a_bad_message_ends_the_stream_after_all_earlier_answers() {
    let store = Fake::instant();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let many = (0..1025)
        .map(|id| operation(id, Op::Get(get("a"))))
        .collect();
    for (bad, expected) in [
        (Vec::new(), Reason::EmptyBatch),
        (many, Reason::TooManyOperations),
    ] {
        let mut pipe = Pipe::open(&mut client).await;
        pipe.send(vec![operation(
            7,
            Op::Set(set("a", v1::Durability::Synced)),
        )])
        .await;
        pipe.send(bad).await;
        assert_eq!(ids(&pipe.next().await.unwrap().unwrap()), [7]);
        let status = pipe.next().await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, expected)
        );
    }
}

#[tokio::test]
async fn a_drain_ends_a_pipeline_after_all_earlier_answers() {
    let store = Fake::manual();
    let Rig {
        mut client, server, ..
    } = rig(&store).await;
    let mut pipe = Pipe::open(&mut client).await;
    pipe.send(vec![operation(
        1,
        Op::Set(set("a", v1::Durability::Synced)),
    )])
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.figures.shared.draining.send_replace(true);
    server.cores.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.advance(2, 2);
    assert_eq!(ids(&pipe.next().await.unwrap().unwrap()), [1]);
    let status = pipe.next().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
}

#[tokio::test]
async fn a_pipeline_stops_reading_while_too_much_is_unanswered() {
    let store = Fake::manual();
    let Rig {
        mut client,
        server: _server,
        ..
    } = rig(&store).await;
    let mut pipe = Pipe::open(&mut client).await;
    for round in 0..10 {
        let write = |id| operation(id, Op::Set(set("a", v1::Durability::Synced)));
        pipe.send((round * 1000..round * 1000 + 1000).map(write).collect())
            .await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.store_revision(), 1 + 4096);
    store.advance(20_000, 20_000);
    let mut answered = Vec::new();
    while answered.len() < 10_000 {
        answered.extend(ids(&pipe.next().await.unwrap().unwrap()));
    }
    assert_eq!(answered, (0..10_000).collect::<Vec<_>>());
}
