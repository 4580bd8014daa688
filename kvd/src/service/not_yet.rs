//! LeaseService: declared in the protocol, built later. Every call is refused with
//! NOT_YET.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use kvproto::v1::{self, lease_service_server::LeaseService};
use tonic::{Request, Response, Status, Streaming};

use super::core::{Core, answer};
use super::operations::not_yet;
use crate::backend::Store;
use crate::telemetry::stats::Rpc;

/// Refuses every call of the services that are not built.
#[derive(Debug)]
pub struct NotYet<S: Store> {
    core: Arc<Core<S>>,
}

impl<S: Store> NotYet<S> {
    pub fn new(core: Arc<Core<S>>) -> Self {
        Self { core }
    }

    fn refuse<T, R>(&self, what: &str, request: &Request<R>) -> Result<Response<T>, Status> {
        answer(self.core.begin(Rpc::NotYet, request), Err(not_yet(what)))
    }
}

type Replies<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl<S: Store> LeaseService for NotYet<S> {
    type KeepAliveStream = Replies<v1::KeepAliveResponse>;

    async fn grant(
        &self,
        request: Request<v1::GrantRequest>,
    ) -> Result<Response<v1::GrantResponse>, Status> {
        self.refuse("Grant", &request)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        self.refuse("Revoke", &request)
    }

    async fn keep_alive(
        &self,
        request: Request<Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        self.refuse("KeepAlive", &request)
    }

    async fn time_to_live(
        &self,
        request: Request<v1::TimeToLiveRequest>,
    ) -> Result<Response<v1::TimeToLiveResponse>, Status> {
        self.refuse("TimeToLive", &request)
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        self.refuse("List", &request)
    }
}
