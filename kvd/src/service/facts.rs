//! What a server tells of itself: how it is (GetStatus), what its limits are (GetLimits) and
//! what it can do (GetCapabilities). While the store is loading, what is known without it.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use kvproto::v1;

use super::convert::{CAPABILITIES, signed};
use super::core::{Core, Seen};
use super::limits::{
    PAGE_RECORDS, PIPELINE_BYTES, PIPELINE_OPERATIONS, RANGE_DELETE_KEYS, REQUEST_ID_BYTES,
    STREAM_WATCHES, TTL_MAX_MS, TXN_DEPTH, TXN_RANGE_KEYS, WATCH_BYTES, WATCHES,
};
use crate::backend::{self, Durability, ReadLevel, State, Store};
use crate::config::value::Value as _;

/// The version that GetStatus and GetCapabilities tell.
const VERSION: &str = env!("CARGO_PKG_VERSION");

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

    pub(super) fn status(&self) -> v1::GetStatusResponse {
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

    pub(super) fn limits(&self) -> v1::GetLimitsResponse {
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

    pub(super) fn capabilities(&self) -> v1::GetCapabilitiesResponse {
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
