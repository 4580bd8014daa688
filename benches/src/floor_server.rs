//! The floor: the least that a tonic server with kvd's messages can cost.
//!
//! It runs on kvd's runtimes, sockets, HTTP/2 limits, allocator and hasher, sends the
//! same replies byte for byte in length, and answers from a plain map. What kvd costs
//! beyond it is what kvd is for; what both cost is gRPC's.
//!
//! It serves Get, Set, Pipeline (of those two) and WaitDurable, which is true at once;
//! options of writes are not looked at. Everything else is UNIMPLEMENTED.

use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream as _, StreamExt as _};
use kvd::accept::accept;
use kvd::connection::Caps;
use kvd::runtime::Cores;
use kvd::serve::Http2;
use kvd::socket::Listener;
use kvproto::v1::kv_service_server::{KvService, KvServiceServer};
use kvproto::v1::{self, operation::Operation as Op, operation_result::Result as OpResult};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use crate::Result;
use crate::floor_map::FloorMap;

/// A position as long as kvd's.
const POSITION: Bytes = Bytes::from_static(&[0; 17]);
/// Results that are worth sending without looking for more, as in kvd.
const ENOUGH: usize = 512;
const CONNECTIONS: usize = 4096;
/// What the ready line begins with.
pub(crate) const READY: &str = "floor ready ";

/// Serves until standard input ends, so that it never outlives the bench.
pub(crate) fn run(address: SocketAddr, runtimes: usize) -> Result<()> {
    let (parent_gone, gone) = oneshot::channel();
    thread::Builder::new()
        .name("floor-parent".into())
        .spawn(move || {
            // Nothing is ever sent here; the read ends with the parent.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            let _ = parent_gone.send(());
        })?;
    serve(
        Arc::new(FloorMap::new()),
        address,
        runtimes,
        gone,
        |address| {
            let mut out = io::stdout();
            writeln!(out, "{READY}listen={address}")?;
            out.flush()
        },
    )
}

/// Serves `map` until `stop`; `ready` hears on which address.
fn serve(
    map: Arc<FloorMap>,
    address: SocketAddr,
    runtimes: usize,
    stop: oneshot::Receiver<()>,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<()> {
    let cores = Cores::start(runtimes, Http2::default(), move |_| {
        KvServiceServer::new(Floor(Arc::clone(&map)))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = Listener::tcp(address)?;
        let bound = listener.address()?.tcp().unwrap_or(address);
        ready(bound)?;
        tokio::select! {
            () = accept(listener, cores.dealer(), Caps::new(CONNECTIONS, CONNECTIONS)) => {}
            _ = stop => {}
        }
        Ok::<_, io::Error>(())
    })?;
    cores.cut();
    Ok(())
}

#[derive(Clone)]
pub(crate) struct Floor(pub(crate) Arc<FloorMap>);

impl Floor {
    fn header(&self, position: Bytes) -> v1::ResponseHeader {
        let revision = self.0.revision();
        v1::ResponseHeader {
            store_revision: revision,
            durable_revision: revision,
            durable: true,
            position,
        }
    }

    fn read(&self, request: &v1::GetRequest, position: Bytes) -> v1::GetResponse {
        let record = self.0.get(&request.key);
        v1::GetResponse {
            header: Some(self.header(position)),
            found: record.is_some(),
            record,
        }
    }

    fn write(&self, request: &v1::SetRequest, position: Bytes) -> v1::SetResponse {
        let record = self.0.set(&request.key, &request.value);
        v1::SetResponse {
            header: Some(self.header(position)),
            applied: true,
            revision: record.mod_revision,
            record: Some(record),
            ..v1::SetResponse::default()
        }
    }

    fn execute(&self, operation: &v1::Operation) -> v1::OperationResult {
        let result = match &operation.operation {
            Some(Op::Get(get)) => OpResult::Get(self.read(get, Bytes::new())),
            Some(Op::Set(set)) => OpResult::Set(self.write(set, Bytes::new())),
            _ => OpResult::Error(v1::Error {
                code: tonic::Code::Unimplemented.into(),
                message: NOT_HERE.into(),
                ..v1::Error::default()
            }),
        };
        v1::OperationResult {
            id: operation.id,
            result: Some(result),
        }
    }
}

type End = std::result::Result<(), Status>;

/// One pipeline.
struct Pipe {
    floor: Floor,
    input: Streaming<v1::PipelineRequest>,
    /// How the input ended, if that was seen while replies were still to be sent.
    ended: Option<End>,
}

impl Pipe {
    /// Runs a message and whatever else has arrived, and answers all of it at once.
    async fn next(&mut self) -> Option<std::result::Result<v1::PipelineResponse, Status>> {
        if let Some(ended) = self.ended.take() {
            return ended.err().map(Err);
        }
        let mut message = match self.input.next().await? {
            Ok(message) => message,
            Err(status) => return Some(Err(status)),
        };
        let mut results = Vec::with_capacity(message.operations.len());
        loop {
            results.extend(message.operations.iter().map(|op| self.floor.execute(op)));
            if results.len() >= ENOUGH {
                break;
            }
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut self.input).poll_next(cx))).await {
                Poll::Ready(Some(Ok(more))) => message = more,
                Poll::Ready(end) => {
                    self.ended = Some(end.map_or(Ok(()), |last| last.map(drop)));
                    break;
                }
                Poll::Pending => break,
            }
        }
        Some(Ok(v1::PipelineResponse {
            header: Some(self.floor.header(POSITION)),
            results,
        }))
    }
}

const NOT_HERE: &str = "the floor serves Get, Set, Pipeline of those two, and WaitDurable";

fn not_here<T>() -> std::result::Result<Response<T>, Status> {
    Err(Status::unimplemented(NOT_HERE))
}

type Reply<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl KvService for Floor {
    async fn get(&self, request: Request<v1::GetRequest>) -> Reply<v1::GetResponse> {
        Ok(Response::new(self.read(request.get_ref(), POSITION)))
    }

    async fn set(&self, request: Request<v1::SetRequest>) -> Reply<v1::SetResponse> {
        Ok(Response::new(self.write(request.get_ref(), POSITION)))
    }

    async fn wait_durable(
        &self,
        _: Request<v1::WaitDurableRequest>,
    ) -> Reply<v1::WaitDurableResponse> {
        Ok(Response::new(v1::WaitDurableResponse {
            header: Some(self.header(POSITION)),
        }))
    }

    type PipelineStream = BoxStream<'static, std::result::Result<v1::PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<v1::PipelineRequest>>,
    ) -> Reply<Self::PipelineStream> {
        let pipe = Pipe {
            floor: self.clone(),
            input: request.into_inner(),
            ended: None,
        };
        let replies = stream::unfold(pipe, |mut pipe| async move {
            let reply = pipe.next().await?;
            Some((reply, pipe))
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Reply<v1::DeleteResponse> {
        not_here()
    }

    async fn increment(&self, _: Request<v1::IncrementRequest>) -> Reply<v1::IncrementResponse> {
        not_here()
    }

    async fn expire(&self, _: Request<v1::ExpireRequest>) -> Reply<v1::ExpireResponse> {
        not_here()
    }

    async fn batch_get(&self, _: Request<v1::BatchGetRequest>) -> Reply<v1::BatchGetResponse> {
        not_here()
    }

    async fn batch_write(
        &self,
        _: Request<v1::BatchWriteRequest>,
    ) -> Reply<v1::BatchWriteResponse> {
        not_here()
    }

    async fn txn(&self, _: Request<v1::TxnRequest>) -> Reply<v1::TxnResponse> {
        not_here()
    }

    type ScanStream = BoxStream<'static, std::result::Result<v1::ScanResponse, Status>>;

    async fn scan(&self, _: Request<v1::ScanRequest>) -> Reply<Self::ScanStream> {
        not_here()
    }

    async fn count(&self, _: Request<v1::CountRequest>) -> Reply<v1::CountResponse> {
        not_here()
    }

    async fn delete_range(
        &self,
        _: Request<v1::DeleteRangeRequest>,
    ) -> Reply<v1::DeleteRangeResponse> {
        not_here()
    }
}

#[cfg(test)]
pub(crate) use in_process::in_process;

/// The floor inside the process of a test.
#[cfg(test)]
mod in_process {
    use super::*;

    pub(crate) struct InProcess {
        pub(crate) address: SocketAddr,
        pub(crate) map: Arc<FloorMap>,
        stop: Option<oneshot::Sender<()>>,
    }

    impl Drop for InProcess {
        fn drop(&mut self) {
            let _ = self.stop.take().map(|stop| stop.send(()));
        }
    }

    pub(crate) fn in_process(map: FloorMap) -> InProcess {
        let map = Arc::new(map);
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let served = Arc::clone(&map);
        let serve = move || {
            serve(
                served,
                "127.0.0.1:0".parse().unwrap(),
                2,
                stopped,
                |address| {
                    ready.send(address).unwrap();
                    Ok(())
                },
            )
        };
        thread::Builder::new().spawn(|| serve().unwrap()).unwrap();
        InProcess {
            address: address.recv().unwrap(),
            map,
            stop: Some(stop),
        }
    }
}

#[cfg(test)]
mod tests;
