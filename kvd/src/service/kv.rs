//! KvService: each call begins, runs its operation, waits, and ends its count.
//!
//! In place of the server that is generated: the messages of a pipeline are not the generated
//! ones (`pipeline`), and a unary call is boxed once and not twice.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::BoxStream;
use http_body::Body as HttpBody;
use kvproto::v1;
use prost::Message as _;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use super::convert;
use super::core::{Core, Done, Headed as _, Seen, answer};
use super::deadline::Deadline;
use super::pipeline;
use super::scan;
use super::status::Refusal;
use crate::backend::Store;
use crate::connection::Peer;
use crate::telemetry::stats::Rpc;
use crate::waiter::Level;

/// The service of one runtime.
#[derive(Debug)]
pub struct KvServer<S: Store> {
    core: Arc<Core<S>>,
    /// Largest request and largest reply.
    longest: (usize, usize),
}

impl<S: Store> KvServer<S> {
    pub fn new(core: Arc<Core<S>>) -> Self {
        let limits = &core.shared.limits;
        let longest = (limits.request_message(), limits.reply_message());
        Self { core, longest }
    }
}

impl<S: Store> Clone for KvServer<S> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            longest: self.longest,
        }
    }
}

impl<S: Store> NamedService for KvServer<S> {
    const NAME: &'static str = "kvd.v1.KvService";
}

impl<S: Store> Core<S> {
    /// Waits for a revision, and asks for the sync that brings it.
    #[expect(clippy::unused_async, reason = "called like the other operations")]
    async fn wait_durable(
        &self,
        store: &S,
        request: &v1::WaitDurableRequest,
        _: Option<Instant>,
    ) -> Result<Done<v1::WaitDurableResponse>, Refusal> {
        convert::require(&request.require)?;
        let mut revision = convert::revision("revision", request.revision)?;
        let store_revision = store.store_revision();
        if revision == 0 {
            revision = store_revision;
        }
        store.check_revision(revision)?;
        Ok(Done {
            reply: v1::WaitDurableResponse::default(),
            seen: Seen {
                store_revision: store_revision.max(revision),
                reveals: revision,
                wait: Some((Level::Durable, revision)),
                wrote: false,
            },
        })
    }
}

/// A unary call: the operation, then its end.
macro_rules! unary {
    ($server:ident, $http:ident, $rpc:ident($request:ident), $operation:ident) => {{
        let core = Arc::clone(&$server.core);
        let method = move |request: Request<v1::$request>| {
            let core = Arc::clone(&core);
            async move {
                let mut call = core.begin(Rpc::$rpc, &request);
                call.brings(|| request.get_ref().encoded_len());
                let deadline = Deadline::of(&request);
                let peer = request.extensions().get::<Peer>();
                let request = request.get_ref();
                let result = async {
                    let store = core.store()?;
                    core.keeps_up(peer, 0)?;
                    let done = match core.$operation(store, request, deadline).await {
                        Ok(done) => done,
                        Err(refusal) => return Err(core.told(store, refusal, deadline).await),
                    };
                    call.applied(done.seen.reveals, done.seen.wrote);
                    call.waits(|| done.seen.waits(store));
                    let reply = core.finish(store, done, deadline).await?;
                    if let Some(peer) = peer {
                        peer.owes(reply.weight());
                    }
                    Ok(reply)
                };
                let result = result.await;
                answer(call, result)
            }
        };
        let mut grpc = $server.grpc(ProstCodec::default());
        async move { Ok(grpc.unary(service_fn(method), $http).await) }.boxed()
    }};
}

type Replies<T> = Result<Response<BoxStream<'static, Result<T, Status>>>, Status>;

impl<S: Store> KvServer<S> {
    fn grpc<C: Codec>(&self, codec: C) -> Grpc<C> {
        let (request, reply) = self.longest;
        Grpc::new(codec).apply_max_message_size_config(Some(request), Some(reply))
    }
}

fn pipeline<S: Store>(
    core: &Arc<Core<S>>,
    request: Request<Streaming<pipeline::Message>>,
) -> Replies<pipeline::Reply> {
    match core.store() {
        Ok(store) => {
            let (core, store) = (Arc::clone(core), store.clone());
            Ok(Response::new(pipeline::serve(core, store, request)))
        }
        Err(refusal) => answer(core.begin(Rpc::Pipeline, &request), Err(refusal)),
    }
}

fn scan<S: Store>(
    core: &Arc<Core<S>>,
    request: &Request<v1::ScanRequest>,
) -> Replies<v1::ScanResponse> {
    match scan::begin(core, request) {
        Ok(stream) => Ok(Response::new(stream)),
        Err(refusal) => answer(core.begin(Rpc::Scan, request), Err(refusal)),
    }
}

impl<S, B> Service<http::Request<B>> for KvServer<S>
where
    S: Store,
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, http: http::Request<B>) -> Self::Future {
        let path = http.uri().path();
        match path.strip_prefix("/kvd.v1.KvService/").unwrap_or_default() {
            "Get" => unary!(self, http, Get(GetRequest), get),
            "Set" => unary!(self, http, Set(SetRequest), change),
            "Delete" => unary!(self, http, Delete(DeleteRequest), change),
            "BatchGet" => unary!(self, http, BatchGet(BatchGetRequest), batch_get),
            "BatchWrite" => unary!(self, http, BatchWrite(BatchWriteRequest), batch_write),
            "Increment" => unary!(self, http, Increment(IncrementRequest), change),
            "Expire" => unary!(self, http, Expire(ExpireRequest), change),
            "Txn" => unary!(self, http, Txn(TxnRequest), txn),
            "Count" => unary!(self, http, Count(CountRequest), count),
            "DeleteRange" => unary!(self, http, DeleteRange(DeleteRangeRequest), delete_range),
            "WaitDurable" => unary!(self, http, WaitDurable(WaitDurableRequest), wait_durable),
            "Pipeline" => {
                let core = Arc::clone(&self.core);
                let method = service_fn(move |request| ready(pipeline(&core, request)));
                let mut grpc = self.grpc(pipeline::Codec);
                async move { Ok(grpc.streaming(method, http).await) }.boxed()
            }
            "Scan" => {
                let core = Arc::clone(&self.core);
                let method = service_fn(move |request| ready(scan(&core, &request)));
                let mut grpc = self.grpc(ProstCodec::default());
                async move { Ok(grpc.server_streaming(method, http).await) }.boxed()
            }
            _ => {
                let unknown = Status::new(Code::Unimplemented, "");
                ready(Ok(unknown.into_http())).boxed()
            }
        }
    }
}
