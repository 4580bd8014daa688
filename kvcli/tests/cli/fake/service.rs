//! The calls of the fake. What kvcli does not use is refused like in a young kvd.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use kvproto::v1::{
    self, ErrorReason, admin_service_server::AdminService, kv_service_server::KvService,
    operation_result::Result as OpResult,
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};

use super::state::{State, Stop, kvd_status};

#[derive(Clone)]
pub(super) struct Service(Arc<Mutex<State>>);

impl Service {
    pub(super) fn new(state: Arc<Mutex<State>>) -> Self {
        Self(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no handler panics while it holds the state")
    }

    async fn unary<T>(
        &self,
        run: impl FnOnce(&mut State) -> Result<T, Stop>,
    ) -> Result<Response<T>, Status> {
        let outcome = {
            let mut state = self.state();
            state.check_loading().and_then(|()| run(&mut state))
        };
        match outcome {
            Ok(reply) => Ok(Response::new(reply)),
            Err(stop) => Err(stop.into_status().await),
        }
    }

    /// Answers one message after the other; every operation of a message before
    /// a mishap is answered.
    async fn pump(
        self,
        mut requests: Streaming<v1::PipelineRequest>,
        replies: mpsc::Sender<Result<v1::PipelineResponse, Status>>,
    ) {
        while let Ok(Some(message)) = requests.message().await {
            let mut results = Vec::new();
            let mut end = None;
            {
                let mut state = self.state();
                state.most_ahead = state.most_ahead.max(message.operations.len());
                for operation in message.operations {
                    let result = match state.run(operation.operation.expect("an operation")) {
                        Ok(result) => result,
                        Err(Stop::Item(error)) => OpResult::Error(error),
                        Err(stop) => {
                            end = Some(stop);
                            break;
                        }
                    };
                    results.push(v1::OperationResult {
                        id: operation.id,
                        result: Some(result),
                    });
                }
            }
            let header = Some(self.state().header());
            if !results.is_empty() {
                let reply = v1::PipelineResponse { header, results };
                if replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
            if let Some(stop) = end {
                // Let what was answered leave first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let status = stop.into_status().await;
                let _ = replies.send(Err(status)).await;
                return;
            }
        }
    }
}

fn not_yet<T>() -> Result<Response<T>, Status> {
    Err(kvd_status(
        Code::Unimplemented,
        ErrorReason::NotYet,
        "not in this fake",
    ))
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl KvService for Service {
    type ScanStream = Replies<v1::ScanResponse>;
    type PipelineStream = ReceiverStream<Result<v1::PipelineResponse, Status>>;

    async fn get(&self, r: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        self.unary(|state| state.get(&r.into_inner())).await
    }

    async fn set(&self, r: Request<v1::SetRequest>) -> Result<Response<v1::SetResponse>, Status> {
        self.unary(|state| state.set(r.into_inner())).await
    }

    async fn delete(
        &self,
        r: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        self.unary(|state| state.delete(&r.into_inner())).await
    }

    async fn batch_get(
        &self,
        r: Request<v1::BatchGetRequest>,
    ) -> Result<Response<v1::BatchGetResponse>, Status> {
        self.unary(|state| state.batch_get(&r.into_inner())).await
    }

    async fn batch_write(
        &self,
        r: Request<v1::BatchWriteRequest>,
    ) -> Result<Response<v1::BatchWriteResponse>, Status> {
        self.unary(|state| state.batch_write(r.into_inner())).await
    }

    async fn pipeline(
        &self,
        r: Request<Streaming<v1::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let (replies, stream) = mpsc::channel(4);
        tokio::spawn(self.clone().pump(r.into_inner(), replies));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn increment(
        &self,
        _: Request<v1::IncrementRequest>,
    ) -> Result<Response<v1::IncrementResponse>, Status> {
        not_yet()
    }

    async fn expire(
        &self,
        _: Request<v1::ExpireRequest>,
    ) -> Result<Response<v1::ExpireResponse>, Status> {
        not_yet()
    }

    async fn txn(&self, _: Request<v1::TxnRequest>) -> Result<Response<v1::TxnResponse>, Status> {
        not_yet()
    }

    async fn scan(
        &self,
        _: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        not_yet()
    }

    async fn count(
        &self,
        _: Request<v1::CountRequest>,
    ) -> Result<Response<v1::CountResponse>, Status> {
        not_yet()
    }

    async fn delete_range(
        &self,
        _: Request<v1::DeleteRangeRequest>,
    ) -> Result<Response<v1::DeleteRangeResponse>, Status> {
        not_yet()
    }

    async fn wait_durable(
        &self,
        _: Request<v1::WaitDurableRequest>,
    ) -> Result<Response<v1::WaitDurableResponse>, Status> {
        not_yet()
    }
}

#[tonic::async_trait]
impl AdminService for Service {
    type BackupStream = Replies<v1::BackupResponse>;
    type VerifyStream = Replies<v1::VerifyResponse>;

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let state = self.state();
        Ok(Response::new(v1::GetStatusResponse {
            header: Some(state.header()),
            state: v1::ServerState::NoLogSpace.into(),
            keys: i64::try_from(state.records.len()).expect("few keys"),
            store_revision: state.revision,
            sync_policy: "always".to_owned(),
            data_dir: "/data dir/\u{7}".to_owned(),
            recovery: Some(v1::RecoveryReport {
                gaps: vec![
                    v1::RevisionGap { first: 5, last: 9 },
                    v1::RevisionGap {
                        first: 20,
                        last: 30,
                    },
                ],
                started_clean: true,
                ..Default::default()
            }),
            ..Default::default()
        }))
    }

    async fn get_limits(
        &self,
        _: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        not_yet()
    }

    async fn get_capabilities(
        &self,
        _: Request<v1::GetCapabilitiesRequest>,
    ) -> Result<Response<v1::GetCapabilitiesResponse>, Status> {
        not_yet()
    }

    async fn get_config(
        &self,
        _: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        not_yet()
    }

    async fn create_snapshot(
        &self,
        _: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
        not_yet()
    }

    async fn backup(
        &self,
        _: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        not_yet()
    }

    async fn verify(
        &self,
        _: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        not_yet()
    }

    async fn hash(
        &self,
        _: Request<v1::HashRequest>,
    ) -> Result<Response<v1::HashResponse>, Status> {
        not_yet()
    }

    async fn acknowledge_repair(
        &self,
        _: Request<v1::AcknowledgeRepairRequest>,
    ) -> Result<Response<v1::AcknowledgeRepairResponse>, Status> {
        not_yet()
    }

    async fn reload(
        &self,
        _: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        not_yet()
    }

    async fn compact(
        &self,
        _: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        not_yet()
    }
}
