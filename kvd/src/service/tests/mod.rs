//! The services over a real connection, on a store whose log moves by hand: what a
//! reply waits for, and how it ends when the wait does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::accept::accept;
use crate::backend::Store as _;
use crate::backend::fake::Fake;
use crate::config::Config;
use crate::server::Server;
use crate::service::core::Shared;
use crate::socket::Listener;
use crate::telemetry::health::reporter;

mod data_model;
#[path = "../../../tests/daemon/support/raw.rs"]
mod raw;

struct Rig {
    server: Server<Fake>,
    address: SocketAddr,
    client: KvServiceClient<Channel>,
}

/// A server on one runtime, still loading.
async fn loading() -> Rig {
    let mut config = Config::default();
    let flag = crate::config::Origin::Default;
    config.set("server.runtimes", "1", flag.clone()).unwrap();
    config.set("limits.admission_wait", "50ms", flag).unwrap();
    let shared = Arc::new(Shared::new(config));
    let server = Server::start(&shared, reporter().await).unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap().tcp().unwrap();
    tokio::spawn(accept(
        listener,
        server.cores.dealer(),
        Arc::clone(&server.figures.caps),
    ));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = KvServiceClient::new(endpoint.connect().await.unwrap());
    Rig {
        server,
        address,
        client,
    }
}

async fn rig(store: &Fake) -> Rig {
    let rig = loading().await;
    rig.server.opened(store.clone());
    rig
}

fn reason(status: &Status) -> Reason {
    let info = status.get_error_details();
    let info = info
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "kvd");
    Reason::from_wire_name(&info.reason).unwrap()
}

fn set(key: &str, durability: v1::Durability) -> v1::SetRequest {
    v1::SetRequest {
        key: key.to_owned().into(),
        value: "v".into(),
        options: Some(v1::WriteOptions {
            durability: durability.into(),
            ..v1::WriteOptions::default()
        }),
        ..v1::SetRequest::default()
    }
}

fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest {
        key: key.to_owned().into(),
        options: None,
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.expect("answered")
}

/// Not answered for as long as it takes to be sure that it waits.
async fn pending<T>(task: &tokio::task::JoinHandle<T>) {
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!task.is_finished());
}

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
async fn a_failed_log_leaves_writes_undecided_and_later_ones_refused() {
    let store = Fake::manual();
    let Rig {
        client,
        server: _server,
        ..
    } = rig(&store).await;
    let (mut one, mut two, mut three) = (client.clone(), client.clone(), client.clone());
    let write = tokio::spawn(async move { one.set(set("a", v1::Durability::Synced)).await });
    pending(&write).await;
    let read = tokio::spawn(async move { two.get(get("a")).await });
    pending(&read).await;
    store.fail("disk gone");
    let status = soon(write).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, Reason::UnknownOutcome)
    );
    assert!(status.message().contains("disk gone"), "{status}");
    let status = soon(read).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::LogFailed)
    );
    let status = three.set(set("b", v1::Durability::None)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::LogFailed)
    );
    assert!(
        !soon(three.get(get("absent")))
            .await
            .unwrap()
            .into_inner()
            .found
    );
}

#[tokio::test]
async fn overload_and_loading_and_drain_are_refused_with_when_to_come_back() {
    let Rig {
        mut client, server, ..
    } = loading().await;
    let status = client.get(get("a")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Loading)
    );
    let store = Fake::manual();
    server.opened(store.clone());
    store.fill(true);
    let status = client
        .set(set("a", v1::Durability::None))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Reason::Overloaded)
    );
    assert!(status.get_error_details().retry_info().is_some());
    store.fill(false);
    store.start_drain();
    let status = client
        .set(set("a", v1::Durability::None))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
    assert!(!client.get(get("a")).await.unwrap().into_inner().found);
}

#[tokio::test]
async fn what_a_stop_cuts_off_is_undecided() {
    let store = Fake::manual();
    let Rig { client, server, .. } = rig(&store).await;
    let (mut one, mut two) = (client.clone(), client);
    let write = tokio::spawn(async move { one.set(set("a", v1::Durability::Synced)).await });
    pending(&write).await;
    let read = tokio::spawn(async move { two.get(get("a")).await });
    pending(&read).await;
    server.cut_waits();
    let status = soon(write).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, Reason::UnknownOutcome)
    );
    let status = soon(read).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
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

fn operation(id: u64, operation: Op) -> v1::Operation {
    v1::Operation {
        id,
        operation: Some(operation),
    }
}

struct Pipe {
    send: mpsc::Sender<v1::PipelineRequest>,
    replies: tonic::Streaming<v1::PipelineResponse>,
}

impl Pipe {
    async fn open(client: &mut KvServiceClient<Channel>) -> Self {
        let (send, requests) = mpsc::channel(64);
        let replies = client
            .pipeline(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Self { send, replies }
    }

    async fn send(&self, operations: Vec<v1::Operation>) {
        let request = v1::PipelineRequest {
            operations,
            require: Vec::new(),
        };
        self.send.send(request).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<v1::PipelineResponse>, Status> {
        soon(self.replies.message()).await
    }
}

fn ids(reply: &v1::PipelineResponse) -> Vec<u64> {
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

#[tokio::test]
async fn every_method_of_the_contract_is_served_and_no_other() {
    let store = Fake::instant();
    let rig = rig(&store).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let call = async |method: &str| {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/kvd.v1.KvService/{method}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let called = grpc.unary(tonic::Request::new(()), path, codec);
        soon(called).await.err().map(|status| status.code())
    };
    let files = prost_types::FileDescriptorSet::decode(kvproto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let kv = services.filter(|service| service.name() == "KvService");
    let methods: Vec<&str> = kv
        .flat_map(|service| &service.method)
        .map(prost_types::MethodDescriptorProto::name)
        .collect();
    assert_eq!(methods.len(), 13, "{methods:?}");
    for method in methods {
        assert_ne!(call(method).await, Some(Code::Unimplemented), "{method}");
    }
    assert_eq!(call("Nothing").await, Some(Code::Unimplemented));
    assert_eq!(call("").await, Some(Code::Unimplemented));
}
