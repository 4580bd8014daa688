//! KvService: each call begins, runs its operation, waits, and ends its count.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::BoxStream;
use kvproto::v1::{self, kv_service_server::KvService};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

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
pub struct Kv<S: Store> {
    core: Arc<Core<S>>,
}

impl<S: Store> Kv<S> {
    pub fn new(core: Arc<Core<S>>) -> Self {
        Self { core }
    }
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
    ($self:ident, $rpc:ident, $request:ident, $operation:ident) => {{
        let core = &*$self.core;
        let mut call = core.begin(Rpc::$rpc, &$request);
        call.brings(|| $request.get_ref().encoded_len());
        let deadline = Deadline::of(&$request);
        let peer = $request.extensions().get::<Peer>();
        let request = $request.get_ref();
        let result = async {
            let store = core.store()?;
            core.keeps_up(peer)?;
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
    }};
}

#[tonic::async_trait]
impl<S: Store> KvService for Kv<S> {
    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        unary!(self, Get, request, get)
    }

    async fn set(
        &self,
        request: Request<v1::SetRequest>,
    ) -> Result<Response<v1::SetResponse>, Status> {
        unary!(self, Set, request, change)
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        unary!(self, Delete, request, change)
    }

    async fn batch_get(
        &self,
        request: Request<v1::BatchGetRequest>,
    ) -> Result<Response<v1::BatchGetResponse>, Status> {
        unary!(self, BatchGet, request, batch_get)
    }

    async fn batch_write(
        &self,
        request: Request<v1::BatchWriteRequest>,
    ) -> Result<Response<v1::BatchWriteResponse>, Status> {
        unary!(self, BatchWrite, request, batch_write)
    }

    async fn wait_durable(
        &self,
        request: Request<v1::WaitDurableRequest>,
    ) -> Result<Response<v1::WaitDurableResponse>, Status> {
        unary!(self, WaitDurable, request, wait_durable)
    }

    type PipelineStream = BoxStream<'static, Result<v1::PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<v1::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        match self.core.store() {
            Ok(store) => {
                let store = store.clone();
                Ok(Response::new(pipeline::serve(
                    Arc::clone(&self.core),
                    store,
                    request,
                )))
            }
            Err(refusal) => answer(self.core.begin(Rpc::Pipeline, &request), Err(refusal)),
        }
    }

    async fn increment(
        &self,
        request: Request<v1::IncrementRequest>,
    ) -> Result<Response<v1::IncrementResponse>, Status> {
        unary!(self, Increment, request, change)
    }

    async fn expire(
        &self,
        request: Request<v1::ExpireRequest>,
    ) -> Result<Response<v1::ExpireResponse>, Status> {
        unary!(self, Expire, request, change)
    }

    async fn txn(
        &self,
        request: Request<v1::TxnRequest>,
    ) -> Result<Response<v1::TxnResponse>, Status> {
        unary!(self, Txn, request, txn)
    }

    async fn count(
        &self,
        request: Request<v1::CountRequest>,
    ) -> Result<Response<v1::CountResponse>, Status> {
        unary!(self, Count, request, count)
    }

    async fn delete_range(
        &self,
        request: Request<v1::DeleteRangeRequest>,
    ) -> Result<Response<v1::DeleteRangeResponse>, Status> {
        unary!(self, DeleteRange, request, delete_range)
    }

    type ScanStream = BoxStream<'static, Result<v1::ScanResponse, Status>>;

    async fn scan(
        &self,
        request: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        match scan::begin(&self.core, &request) {
            Ok(stream) => Ok(Response::new(stream)),
            Err(refusal) => answer(self.core.begin(Rpc::Scan, &request), Err(refusal)),
        }
    }
}
