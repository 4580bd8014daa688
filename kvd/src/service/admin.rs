//! AdminService: what the server tells of itself, and what is done to it as a whole.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use kvproto::v1::{self, ErrorReason as Reason, admin_service_server::AdminService};
use tonic::{Request, Response, Status};

use super::backup;
use super::convert::{require, signed};
use super::core::{Core, answer};
use super::deadline::Deadline;
use super::operations::not_yet;
use super::status::Refusal;
use super::verify;
use crate::backend::{self, Store};
use crate::telemetry::stats::Rpc;

/// The service of one runtime.
#[derive(Debug)]
pub struct Admin<S: Store> {
    core: Arc<Core<S>>,
}

impl<S: Store> Admin<S> {
    pub fn new(core: Arc<Core<S>>) -> Self {
        Self { core }
    }

    fn not_yet<T, R>(&self, what: &str, request: &Request<R>) -> Result<Response<T>, Status> {
        answer(self.core.begin(Rpc::NotYet, request), Err(not_yet(what)))
    }
}

impl<S: Store> Core<S> {
    /// On a thread of its own: it takes as long as the store is large. A caller that goes
    /// away does not end it.
    async fn create_snapshot(
        &self,
        request: &v1::CreateSnapshotRequest,
    ) -> Result<v1::CreateSnapshotResponse, Refusal> {
        require(&request.require)?;
        let store = self.store()?.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("kvd-snapshot".to_owned())
            .spawn(move || {
                // Nobody may be waiting any more.
                let _gone = tell.send(store.snapshot());
            });
        if let Err(error) = thread {
            let what = format!("no thread for the snapshot: {error}");
            return Err(Refusal::new(Reason::Internal, what));
        }
        let made = told.await.unwrap_or_else(|_| {
            let what = "the thread that made the snapshot ended";
            Err(backend::Error::new(
                backend::ErrorKind::SnapshotFailed,
                what,
            ))
        })?;
        Ok(v1::CreateSnapshotResponse {
            header: Some(self.state_header()),
            start_revision: signed(made.start),
            end_revision: signed(made.end),
            bytes: signed(made.bytes),
            records: signed(made.records),
            took_ms: signed(made.took_ms),
        })
    }
}

impl<S: Store> Core<S> {
    /// On a thread that may wait for the disk.
    async fn acknowledge_repair(
        &self,
        request: &v1::AcknowledgeRepairRequest,
    ) -> Result<v1::AcknowledgeRepairResponse, Refusal> {
        let store = self.store()?.clone();
        let id = store.status().store_id;
        if request.store_id != id {
            let what = format!("this is store {id}, not {:?}", request.store_id);
            return Err(Refusal::new(Reason::StoreMismatch, what).field("store_id"));
        }
        let done = tokio::task::spawn_blocking(move || store.acknowledge_repair()).await;
        done.unwrap_or_else(|_| {
            let what = "the thread that wrote the acknowledgement ended";
            let kind = backend::ErrorKind::NotAcknowledged;
            Err(backend::Error::new(kind, what))
        })?;
        Ok(v1::AcknowledgeRepairResponse {
            header: Some(self.state_header()),
        })
    }
}

type Replies<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl<S: Store> AdminService for Admin<S> {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        answer(
            self.core.begin(Rpc::GetStatus, &request),
            Ok(self.core.status()),
        )
    }

    async fn get_limits(
        &self,
        request: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        answer(
            self.core.begin(Rpc::GetLimits, &request),
            Ok(self.core.limits()),
        )
    }

    async fn get_capabilities(
        &self,
        request: Request<v1::GetCapabilitiesRequest>,
    ) -> Result<Response<v1::GetCapabilitiesResponse>, Status> {
        answer(
            self.core.begin(Rpc::GetCapabilities, &request),
            Ok(self.core.capabilities()),
        )
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        answer(
            self.core.begin(Rpc::GetConfig, &request),
            Ok(self.core.config()),
        )
    }

    async fn create_snapshot(
        &self,
        request: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
        let core = &*self.core;
        let call = core.begin(Rpc::CreateSnapshot, &request);
        answer(call, core.create_snapshot(request.get_ref()).await)
    }

    type BackupStream = Replies<v1::BackupResponse>;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        backup::begin(&self.core, &request)
    }

    type VerifyStream = Replies<v1::VerifyResponse>;

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        verify::begin(&self.core, &request)
    }

    async fn hash(
        &self,
        request: Request<v1::HashRequest>,
    ) -> Result<Response<v1::HashResponse>, Status> {
        let core = &*self.core;
        let call = core.begin(Rpc::Hash, &request);
        let deadline = Deadline::of(&request);
        let hashed = async {
            let store = core.store()?;
            let done = core.hash(store, request.get_ref(), deadline).await?;
            core.finish(store, done, deadline).await
        };
        answer(call, hashed.await)
    }

    async fn acknowledge_repair(
        &self,
        request: Request<v1::AcknowledgeRepairRequest>,
    ) -> Result<Response<v1::AcknowledgeRepairResponse>, Status> {
        let core = &*self.core;
        let call = core.begin(Rpc::AcknowledgeRepair, &request);
        answer(call, core.acknowledge_repair(request.get_ref()).await)
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let core = &*self.core;
        let call = core.begin(Rpc::Reload, &request);
        answer(call, core.reload().await)
    }

    async fn get_slow_operations(
        &self,
        request: Request<v1::GetSlowOperationsRequest>,
    ) -> Result<Response<v1::GetSlowOperationsResponse>, Status> {
        let core = &*self.core;
        let call = core.begin(Rpc::GetSlowOperations, &request);
        answer(call, core.slow_operations(request.get_ref()))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        self.not_yet("Compact", &request)
    }
}
