//! A small kvd in memory, in this process, on a real socket, that can be told to
//! misbehave.
//!
//! It keeps the semantics that kvcli relies on (revisions, conditions, versions,
//! limits, order of a pipeline) and nothing else. Misbehaviour hangs on a key,
//! so that a test says exactly which operation it hits.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, TcpListener},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason, Record, ResponseHeader,
    admin_service_server::{AdminService, AdminServiceServer},
    batch_get_result::Result as KeyResult,
    batch_write_operation::Operation as WriteOp,
    batch_write_result::Result as WriteResult,
    condition::Test,
    kv_service_server::{KvService, KvServiceServer},
    operation::Operation as Op,
    operation_result::Result as OpResult,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) const VALUE_LIMIT: usize = 1024 * 1024;

/// What happens when an operation touches a certain key.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    /// The item is refused.
    Refuse(Code, ErrorReason),
    /// The call or the stream ends with a status that kvd did not make.
    Transport(Code),
    /// The call or the stream ends with a status that kvd made.
    Kvd(Code, ErrorReason),
    /// There is never an answer.
    Stall,
    /// The whole server goes away, its sockets with it.
    Die,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Bytes, Record>,
    revision: i64,
    loading: u32,
    mishaps: HashMap<Bytes, Mishap>,
    /// Keys of the mutations that were executed or refused, in their order.
    seen: Vec<Bytes>,
    options: Vec<v1::WriteOptions>,
    most_ahead: usize,
    die: Option<oneshot::Sender<()>>,
}

/// A handle on a running fake; dropping it stops the server.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Service(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address: SocketAddr = listener.local_addr().expect("an address");
        Self::serve(address.to_string(), move |router, died| {
            Box::pin(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                tokio::select! {
                    served = router.serve_with_incoming(incoming) => served.expect("serving"),
                    _ = died => {}
                }
            })
        })
    }

    pub(crate) fn start_unix(path: &Path) -> Self {
        let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("nonblocking");
        Self::serve(format!("unix:{}", path.display()), move |router, died| {
            Box::pin(async move {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
                tokio::select! {
                    served = router.serve_with_incoming(incoming) => served.expect("serving"),
                    _ = died => {}
                }
            })
        })
    }

    fn serve<F>(endpoint: String, serve: F) -> Self
    where
        F: FnOnce(
                tonic::transport::server::Router,
                oneshot::Receiver<()>,
            ) -> Pin<Box<dyn Future<Output = ()>>>
            + Send
            + 'static,
    {
        let (die, died) = oneshot::channel();
        let state = Arc::new(Mutex::new(State {
            revision: 1,
            die: Some(die),
            ..State::default()
        }));
        let service = Service(state.clone());
        let thread = thread::Builder::new()
            .name("fake-kvd".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(async move {
                    let kv = KvServiceServer::new(service.clone())
                        .max_decoding_message_size(20 * 1024 * 1024);
                    let router = Server::builder()
                        .add_service(kv)
                        .add_service(AdminServiceServer::new(service));
                    serve(router, died).await;
                });
            });
        Self {
            endpoint,
            state,
            thread: Some(thread.expect("a thread")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics inside")
    }

    pub(crate) fn answer_loading(&self, times: u32) {
        self.state().loading = times;
    }

    pub(crate) fn mishap(&self, key: &str, mishap: Mishap) {
        self.state().mishaps.insert(key.to_owned().into(), mishap);
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.state()
            .records
            .get(key)
            .map(|record| record.value.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.state().records.len()
    }

    /// Keys of the mutations so far, in their order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state()
            .seen
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    /// The write options of the mutations so far.
    pub(crate) fn write_options(&self) -> Vec<v1::WriteOptions> {
        self.state().options.clone()
    }

    /// Most operations that were in the pipeline's queue at a time.
    pub(crate) fn most_ahead(&self) -> usize {
        self.state().most_ahead
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(die) = self.state().die.take() {
            let _ = die.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Why an operation has no result.
enum Stop {
    Item(v1::Error),
    Call(Status),
    Never,
}

fn item(code: Code, reason: ErrorReason, message: &str) -> Stop {
    Stop::Item(v1::Error {
        code: code.into(),
        reason: reason.into(),
        message: message.to_owned(),
        ..Default::default()
    })
}

fn kvd_status(code: Code, reason: ErrorReason, message: &str) -> Status {
    let details =
        ErrorDetails::with_error_info(reason.wire_name(), kvproto::ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

impl Stop {
    /// As the status of a unary call. A stalled call waits for ever.
    async fn into_status(self) -> Status {
        match self {
            Self::Item(error) => {
                kvd_status(Code::from_i32(error.code), error.reason(), &error.message)
            }
            Self::Call(status) => status,
            Self::Never => std::future::pending().await,
        }
    }
}

impl State {
    fn header(&self) -> ResponseHeader {
        ResponseHeader {
            store_revision: self.revision,
            durable_revision: self.revision,
            durable: true,
            ..Default::default()
        }
    }

    fn check_loading(&mut self) -> Result<(), Stop> {
        if self.loading == 0 {
            return Ok(());
        }
        self.loading -= 1;
        Err(item(Code::Unavailable, ErrorReason::Loading, "loading"))
    }

    fn check_key(&mut self, key: &Bytes) -> Result<(), Stop> {
        if key.is_empty() {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::EmptyKey,
                "key is empty",
            ));
        }
        match self.mishaps.get(key).cloned() {
            None => Ok(()),
            Some(Mishap::Refuse(code, reason)) => Err(item(code, reason, "told to refuse")),
            Some(Mishap::Transport(code)) => Err(Stop::Call(Status::new(code, "told to break"))),
            Some(Mishap::Kvd(code, reason)) => {
                Err(Stop::Call(kvd_status(code, reason, "told to end")))
            }
            Some(Mishap::Stall) => Err(Stop::Never),
            Some(Mishap::Die) => {
                if let Some(die) = self.die.take() {
                    let _ = die.send(());
                }
                Err(Stop::Never)
            }
        }
    }

    fn get(&mut self, request: &v1::GetRequest) -> Result<v1::GetResponse, Stop> {
        self.check_key(&request.key)?;
        let record = self.records.get(&request.key).cloned();
        Ok(v1::GetResponse {
            header: Some(self.header()),
            found: record.is_some(),
            record,
        })
    }

    fn holds(&self, key: &Bytes, condition: Option<&v1::Condition>) -> bool {
        let record = self.records.get(key);
        match condition.and_then(|condition| condition.test.as_ref()) {
            None => true,
            Some(Test::Exists(wanted)) => record.is_some() == *wanted,
            Some(Test::ModRevision(wanted)) => record.map_or(0, |r| r.mod_revision) == *wanted,
            Some(other) => unreachable!("kvcli does not use {other:?}"),
        }
    }

    fn set(&mut self, request: v1::SetRequest) -> Result<v1::SetResponse, Stop> {
        self.seen.push(request.key.clone());
        self.options.extend(request.options);
        self.check_key(&request.key)?;
        if request.value.len() > VALUE_LIMIT {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::ValueTooLarge,
                "value too large",
            ));
        }
        if !self.holds(&request.key, request.condition.as_ref()) {
            let current = self.records.get(&request.key).cloned();
            return Ok(v1::SetResponse {
                header: Some(self.header()),
                current,
                ..Default::default()
            });
        }
        self.revision += 1;
        let old = self.records.get(&request.key);
        let record = Record {
            key: request.key.clone(),
            value: request.value,
            create_revision: old.map_or(self.revision, |record| record.create_revision),
            mod_revision: self.revision,
            version: old.map_or(0, |record| record.version) + 1,
            ..Default::default()
        };
        self.records.insert(request.key, record.clone());
        let metadata = Record {
            key: Bytes::new(),
            value: Bytes::new(),
            ..record
        };
        Ok(v1::SetResponse {
            header: Some(self.header()),
            applied: true,
            revision: self.revision,
            record: Some(metadata),
            ..Default::default()
        })
    }

    fn delete(&mut self, request: &v1::DeleteRequest) -> Result<v1::DeleteResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        let deleted = self.records.remove(&request.key).is_some();
        self.revision += i64::from(deleted);
        let revision = if deleted { self.revision } else { 0 };
        Ok(v1::DeleteResponse {
            header: Some(self.header()),
            deleted,
            revision,
            ..Default::default()
        })
    }

    fn batch_get(&mut self, request: &v1::BatchGetRequest) -> Result<v1::BatchGetResponse, Stop> {
        let mut results = Vec::new();
        for key in &request.keys {
            let request = v1::GetRequest {
                key: key.clone(),
                ..Default::default()
            };
            let result = match self.get(&request) {
                Ok(v1::GetResponse {
                    record: Some(record),
                    ..
                }) => KeyResult::Record(record),
                Ok(_) => KeyResult::Missing(v1::Missing {}),
                Err(Stop::Item(error)) => KeyResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchGetResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchGetResponse {
            header: Some(self.header()),
            results,
        })
    }

    fn batch_write(
        &mut self,
        request: v1::BatchWriteRequest,
    ) -> Result<v1::BatchWriteResponse, Stop> {
        self.options.extend(request.options);
        let mut results = Vec::new();
        for operation in request.operations {
            let Some(WriteOp::Delete(delete)) = operation.operation else {
                unreachable!("kvcli batches nothing but deletes")
            };
            let result = match self.delete(&delete) {
                Ok(reply) => WriteResult::Delete(v1::DeleteResponse {
                    header: None,
                    ..reply
                }),
                Err(Stop::Item(error)) => WriteResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchWriteResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchWriteResponse {
            header: Some(self.header()),
            results,
            replayed: false,
        })
    }

    fn run(&mut self, operation: Op) -> Result<OpResult, Stop> {
        self.check_loading()?;
        Ok(match operation {
            Op::Get(request) => OpResult::Get(self.get(&request)?),
            Op::Set(request) => OpResult::Set(self.set(request)?),
            Op::Delete(request) => OpResult::Delete(self.delete(&request)?),
            Op::BatchGet(request) => OpResult::BatchGet(self.batch_get(&request)?),
            Op::BatchWrite(request) => OpResult::BatchWrite(self.batch_write(request)?),
            other => unreachable!("kvcli does not send {other:?}"),
        })
    }
}

impl Service {
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
