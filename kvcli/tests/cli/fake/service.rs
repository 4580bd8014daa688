//! The calls on keys of the fake. What kvcli does not use is refused like in a young kvd.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use kvproto::v1::{
    self, Capability, ErrorReason, kv_service_server::KvService, operation::Operation as Op,
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no handler panics while it holds the state")
    }

    /// Runs an operation and picks the kind of its result.
    async fn unary<T>(
        &self,
        operation: Op,
        pick: impl FnOnce(OpResult) -> Option<T>,
    ) -> Result<Response<T>, Status> {
        let outcome = self.state().run(operation);
        match outcome {
            Ok(result) => Ok(Response::new(pick(result).expect("the kind asked for"))),
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
            let required = message.require.contains(&Capability::RequestId.into());
            if required && self.state().no_ids.is_some() {
                let reason = ErrorReason::CapabilityMissing;
                let status = kvd_status(Code::Unimplemented, reason, "no such capability");
                let _ = replies.send(Err(status)).await;
                return;
            }
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

pub(super) fn not_yet<T>() -> Result<Response<T>, Status> {
    Err(kvd_status(
        Code::Unimplemented,
        ErrorReason::NotYet,
        "not in this fake",
    ))
}

pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A call that is an operation of a pipeline as well.
macro_rules! unary {
    ($call:ident, $request:ident, $reply:ident, $kind:ident) => {
        // As async_trait would write it, which does not look into macros.
        fn $call<'s, 'f>(
            &'s self,
            request: Request<v1::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<v1::$reply>, Status>> + Send + 'f>>
        where
            's: 'f,
            Self: 'f,
        {
            Box::pin(
                self.unary(Op::$kind(request.into_inner()), |result| match result {
                    OpResult::$kind(reply) => Some(reply),
                    _ => None,
                }),
            )
        }
    };
}

#[tonic::async_trait]
impl KvService for Service {
    type ScanStream = Replies<v1::ScanResponse>;
    type PipelineStream = ReceiverStream<Result<v1::PipelineResponse, Status>>;

    unary!(get, GetRequest, GetResponse, Get);
    unary!(set, SetRequest, SetResponse, Set);
    unary!(delete, DeleteRequest, DeleteResponse, Delete);
    unary!(increment, IncrementRequest, IncrementResponse, Increment);
    unary!(expire, ExpireRequest, ExpireResponse, Expire);
    unary!(batch_get, BatchGetRequest, BatchGetResponse, BatchGet);
    unary!(
        batch_write,
        BatchWriteRequest,
        BatchWriteResponse,
        BatchWrite
    );
    unary!(txn, TxnRequest, TxnResponse, Txn);
    unary!(count, CountRequest, CountResponse, Count);
    unary!(
        delete_range,
        DeleteRangeRequest,
        DeleteRangeResponse,
        DeleteRange
    );

    async fn pipeline(
        &self,
        r: Request<Streaming<v1::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let (replies, stream) = mpsc::channel(4);
        tokio::spawn(self.clone().pump(r.into_inner(), replies));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn scan(
        &self,
        r: Request<v1::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let pages = self.state().scan(&r.into_inner());
        let pages = match pages {
            Ok(pages) => pages,
            Err(stop) => return Err(stop.into_status().await),
        };
        let mut pages: Vec<Result<v1::ScanResponse, Status>> = pages.into_iter().map(Ok).collect();
        let mut state = self.state();
        if state.broken_scans > 0 && pages.len() > 1 {
            state.broken_scans -= 1;
            pages.truncate(1);
            pages.push(Err(Status::unavailable("told to break")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(pages))))
    }

    async fn wait_durable(
        &self,
        _: Request<v1::WaitDurableRequest>,
    ) -> Result<Response<v1::WaitDurableResponse>, Status> {
        not_yet()
    }
}
