//! AdminService: how the server is, what its limits are, what it can do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::stream::BoxStream;
use kvproto::v1::{self, ErrorReason as Reason, admin_service_server::AdminService};
use tonic::{Request, Response, Status};

use super::backup;
use super::convert::{CAPABILITIES, require, signed};
use super::core::{Core, Seen, answer};
use super::deadline::Deadline;
use super::limits::{
    PAGE_RECORDS, PIPELINE_BYTES, PIPELINE_OPERATIONS, RANGE_DELETE_KEYS, REQUEST_ID_BYTES,
    STREAM_WATCHES, TTL_MAX_MS, TXN_DEPTH, TXN_RANGE_KEYS, WATCH_BYTES, WATCHES,
};
use super::operations::not_yet;
use super::status::Refusal;
use super::verify;
use crate::backend::{self, Durability, ReadLevel, State, Store};
use crate::config::value::Value as _;
use crate::telemetry::stats::Rpc;

/// The version that GetStatus and GetCapabilities tell.
const VERSION: &str = env!("CARGO_PKG_VERSION");

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

fn length(bytes: usize) -> i64 {
    signed(bytes as u64)
}

impl<S: Store> Core<S> {
    /// The header of a reply that reveals nothing but the state itself; empty while
    /// loading.
    pub(super) fn state_header(&self) -> v1::ResponseHeader {
        self.shared
            .store
            .get()
            .map_or_else(v1::ResponseHeader::default, |store| {
                let seen = Seen {
                    store_revision: store.store_revision(),
                    reveals: 0,
                    wait: None,
                    wrote: false,
                };
                self.header_with_position(store, seen)
            })
    }

    fn status(&self) -> v1::GetStatusResponse {
        let settings = &self.shared.settings;
        let common = v1::GetStatusResponse {
            sync_policy: settings.sync.show(),
            uptime_ms: millis(self.shared.started.elapsed()),
            version: VERSION.to_owned(),
            data_dir: settings.data_dir.display().to_string(),
            wall_time_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, millis),
            ..v1::GetStatusResponse::default()
        };
        let Some(store) = self.shared.store.get() else {
            return self.loading(common);
        };
        let status = store.status();
        let draining = *self.shared.draining.borrow();
        let (state, detail) = state(&status, draining);
        v1::GetStatusResponse {
            header: Some(self.state_header()),
            state: state.into(),
            state_detail: detail,
            keys: signed(status.keys),
            memory_bytes: signed(status.memory_bytes),
            memory_max_bytes: signed(status.memory_max_bytes.unwrap_or(0)),
            store_revision: signed(status.store_revision),
            logged_revision: signed(status.positions.logged),
            durable_revision: signed(status.positions.durable),
            log_segments: signed(status.segments),
            log_bytes: signed(status.log_bytes),
            in_flight_operations: signed(status.in_flight_units),
            in_flight_bytes: signed(status.in_flight_bytes),
            store_id: status.store_id,
            data_dir: status.dir.display().to_string(),
            recovery: Some(recovery(&status.recovery)),
            snapshots: status.snapshots.iter().map(snapshot).collect(),
            repaired: status.repaired.map(|repaired| v1::RepairReport {
                wall_time_ms: signed(repaired.wall_ms),
                lost_revisions: signed(repaired.lost),
            }),
            ..common
        }
    }

    fn loading(&self, common: v1::GetStatusResponse) -> v1::GetStatusResponse {
        let loading = &self.shared.loading;
        let load = |number: &std::sync::atomic::AtomicU64| signed(number.load(Ordering::Relaxed));
        v1::GetStatusResponse {
            header: Some(v1::ResponseHeader::default()),
            state: v1::ServerState::Loading.into(),
            state_detail: "the store is being read from disk".to_owned(),
            loading: Some(v1::LoadProgress {
                bytes_done: load(&loading.bytes_done),
                bytes_total: load(&loading.bytes_total),
                // The engine counts units when it has them all.
                units: 0,
            }),
            ..common
        }
    }

    fn limits(&self) -> v1::GetLimitsResponse {
        let (settings, limits) = (&self.shared.settings, &self.shared.limits);
        let store = self.shared.store.get();
        let remembered = store.map(Store::request_window).unwrap_or_default();
        let page = limits.page(PAGE_RECORDS);
        v1::GetLimitsResponse {
            header: Some(self.state_header()),
            key_bytes: length(limits.key_bytes),
            key_bytes_cap: length(kvcore::base::limits::KEY_BYTES_CAP),
            value_bytes: length(limits.value_bytes),
            value_bytes_cap: length(kvcore::base::limits::VALUE_BYTES_CAP),
            batch_operations: length(limits.batch_operations),
            batch_bytes: length(limits.batch_bytes),
            reply_bytes: length(limits.reply_bytes),
            in_flight_operations: length(settings.in_flight_operations),
            in_flight_bytes: signed(settings.in_flight_bytes.0),
            streams_per_connection: length(settings.max_streams),
            pipeline_operations: length(PIPELINE_OPERATIONS),
            pipeline_bytes: length(PIPELINE_BYTES),
            request_bytes: length(limits.request_message()),
            connections: length(self.shared.live.max_connections()),
            memory_max_bytes: signed(self.shared.live.memory_max_bytes().unwrap_or(0)),
            scan_page_records: length(page.records),
            scan_page_bytes: length(page.bytes),
            ttl_ms: signed(TTL_MAX_MS),
            delete_range_keys: length(RANGE_DELETE_KEYS),
            txn_range_keys: length(TXN_RANGE_KEYS),
            txn_depth: length(TXN_DEPTH),
            request_id_bytes: length(REQUEST_ID_BYTES),
            request_id_window_count: signed(remembered.count),
            request_id_window_bytes: signed(remembered.bytes),
            request_id_window_ms: signed(remembered.ms),
            watch_message_bytes: length(WATCH_BYTES),
            watches_per_stream: length(STREAM_WATCHES),
            watches: length(WATCHES),
        }
    }

    fn capabilities(&self) -> v1::GetCapabilitiesResponse {
        let store = self.shared.store.get();
        v1::GetCapabilitiesResponse {
            header: Some(self.state_header()),
            capabilities: CAPABILITIES.iter().map(|c| (*c).into()).collect(),
            transaction_scope: v1::TransactionScope::Store.into(),
            ttl_granularity_ms: 1,
            scan_order: v1::ScanOrder::Key.into(),
            history: v1::History::Events.into(),
            durabilities: [Durability::None, Durability::Logged, Durability::Synced]
                .map(|d| durability(d).into())
                .to_vec(),
            default_durability: store
                .map_or(v1::Durability::Unspecified, |s| {
                    durability(s.default_durability())
                })
                .into(),
            default_read_level: store
                .map_or(v1::ReadLevel::Unspecified, |s| {
                    match s.default_read_level() {
                        ReadLevel::Durable => v1::ReadLevel::Durable,
                        ReadLevel::Latest => v1::ReadLevel::Latest,
                    }
                })
                .into(),
            version: VERSION.to_owned(),
        }
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

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

const fn durability(durability: Durability) -> v1::Durability {
    match durability {
        Durability::None => v1::Durability::None,
        Durability::Logged => v1::Durability::Logged,
        Durability::Synced => v1::Durability::Synced,
    }
}

fn state(status: &backend::Status, draining: bool) -> (v1::ServerState, String) {
    match &status.state {
        State::Failed(reason) => (v1::ServerState::Poisoned, reason.clone()),
        State::NoSpace(reason) => (
            v1::ServerState::NoLogSpace,
            format!("no disk space for the log, only deletes are taken: {reason}"),
        ),
        State::Draining => (
            v1::ServerState::Draining,
            "the server is stopping".to_owned(),
        ),
        State::Writable if draining => (
            v1::ServerState::Draining,
            "the server is stopping".to_owned(),
        ),
        State::Writable => match status.repaired {
            None => (v1::ServerState::Serving, String::new()),
            Some(repaired) => (
                v1::ServerState::Serving,
                format!(
                    "repaired: {} revisions were left out; AcknowledgeRepair says that this is known",
                    repaired.lost
                ),
            ),
        },
    }
}

fn recovery(recovery: &backend::Recovery) -> v1::RecoveryReport {
    let gap = |(first, last): &(u64, u64)| v1::RevisionGap {
        first: signed(*first),
        last: signed(*last),
    };
    v1::RecoveryReport {
        took_ms: signed(recovery.took_ms),
        units: signed(recovery.units),
        segments: signed(recovery.segments),
        bytes: signed(recovery.bytes),
        quarantined_bytes: signed(recovery.torn_bytes),
        started_clean: recovery.clean_start,
        gaps: recovery.gaps.iter().map(gap).collect(),
        snapshot: recovery.snapshot.clone().unwrap_or_default(),
        snapshot_records: signed(recovery.snapshot_records),
    }
}

fn snapshot(snapshot: &backend::Snapshot) -> v1::SnapshotReport {
    v1::SnapshotReport {
        start_revision: signed(snapshot.start),
        end_revision: signed(snapshot.end),
        bytes: signed(snapshot.bytes),
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
