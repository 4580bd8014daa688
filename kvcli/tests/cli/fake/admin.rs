//! The calls on the server of the fake: its state, its settings, backups, checks.

use kvproto::v1::{self, ErrorReason, admin_service_server::AdminService};
use tonic::{Code, Request, Response, Status};

use super::{
    service::{Replies, Service, not_yet},
    state::kvd_status,
};

#[tonic::async_trait]
impl AdminService for Service {
    type BackupStream = Replies<v1::BackupResponse>;
    type VerifyStream = Replies<v1::VerifyResponse>;

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let mut state = self.state();
        if state.status_loading > 0 {
            state.status_loading -= 1;
            return Ok(Response::new(v1::GetStatusResponse {
                state: v1::ServerState::Loading.into(),
                ..Default::default()
            }));
        }
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
        let entry = |name: &str, value: &str, origin: v1::ConfigOrigin, place: &str| {
            let reloadable = name == "memory.max_bytes";
            v1::ConfigEntry {
                name: name.to_owned(),
                value: value.to_owned(),
                origin: origin.into(),
                reloadable,
                place: place.to_owned(),
            }
        };
        let entries = vec![
            entry("log.io", "mmap", v1::ConfigOrigin::Default, "default"),
            entry("log.sync", "never", v1::ConfigOrigin::File, "/k.toml:3"),
            entry("memory.max_bytes", "1GiB", v1::ConfigOrigin::Flag, ""),
        ];
        let header = None;
        Ok(Response::new(v1::GetConfigResponse { header, entries }))
    }

    async fn create_snapshot(
        &self,
        _: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
        Ok(Response::new(v1::CreateSnapshotResponse {
            records: 3,
            bytes: 400,
            start_revision: 7,
            end_revision: 9,
            took_ms: 2,
            ..v1::CreateSnapshotResponse::default()
        }))
    }

    /// Two pieces; behind revision 7 none of them is the last, behind 8 comes a refusal.
    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let after = request.get_ref().after_revision;
        let piece = |chunk: &'static [u8], last| {
            Ok(v1::BackupResponse {
                chunk: chunk.into(),
                last,
                ..v1::BackupResponse::default()
            })
        };
        let mut pieces = vec![piece(b"first ", false)];
        if after == 8 {
            pieces.push(Err(Status::internal("the disk is gone")));
        }
        pieces.push(piece(b"second", after != 7));
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    /// Two files. At 1 KiB per second one is damaged; at 2 the last message does not come, at
    /// 3 comes a refusal.
    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let rate = request.get_ref().bytes_per_second;
        let message = |file: &str, bytes_done| v1::VerifyResponse {
            file: file.to_owned(),
            bytes_done,
            bytes_total: 300,
            ..v1::VerifyResponse::default()
        };
        let mut messages = vec![Ok(message("one", 100))];
        if rate == 1 << 10 {
            let mut bad = message("one", 100);
            bad.damages = vec![v1::Damage {
                file: "one".to_owned(),
                offset: 77,
                detail: "one bit is wrong".to_owned(),
                first_revision: 5,
                last_revision: 5,
                keys: vec![b"colour"[..].into()],
                lost_records: 0,
            }];
            messages.push(Ok(bad));
        }
        if rate == 3 << 10 {
            messages.push(Err(kvd_status(
                Code::Unavailable,
                ErrorReason::Draining,
                "it is being closed",
            )));
        } else if rate != 2 << 10 {
            let mut last = message("two", 300);
            last.last = true;
            messages.push(Ok(last));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn hash(
        &self,
        r: Request<v1::HashRequest>,
    ) -> Result<Response<v1::HashResponse>, Status> {
        let outcome = self.state().hash(&r.into_inner());
        match outcome {
            Ok(reply) => Ok(Response::new(reply)),
            Err(stop) => Err(stop.into_status().await),
        }
    }

    async fn acknowledge_repair(
        &self,
        request: Request<v1::AcknowledgeRepairRequest>,
    ) -> Result<Response<v1::AcknowledgeRepairResponse>, Status> {
        if request.get_ref().store_id != "0123" {
            let reason = ErrorReason::StoreMismatch;
            return Err(kvd_status(
                Code::FailedPrecondition,
                reason,
                "another store",
            ));
        }
        Ok(Response::new(v1::AcknowledgeRepairResponse::default()))
    }

    /// Every other one finds a mistake.
    async fn reload(
        &self,
        _: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let reloads = {
            let mut state = self.state();
            state.reloads += 1;
            state.reloads
        };
        if reloads.is_multiple_of(2) {
            return Err(kvd_status(
                Code::FailedPrecondition,
                ErrorReason::BadConfig,
                "nothing was changed:\n/k.toml:3:1: log.sync: bad\n/k.toml:4:1: worse",
            ));
        }
        let change = |name: &str, before: &str, after: &str| v1::ConfigChange {
            name: name.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            place: "/k.toml:9".to_owned(),
        };
        Ok(Response::new(v1::ReloadResponse {
            header: None,
            changed: vec!["memory.max_bytes".to_owned()],
            needs_restart: vec!["log.sync".to_owned()],
            changes: vec![
                change("memory.max_bytes", "1GiB", "2GiB"),
                change("log.sync", "always", "never"),
            ],
            warnings: vec!["odd".to_owned()],
        }))
    }

    /// Two, of which one failed.
    async fn get_slow_operations(
        &self,
        request: Request<v1::GetSlowOperationsRequest>,
    ) -> Result<Response<v1::GetSlowOperationsResponse>, Status> {
        if self.state().no_slow_operations {
            return not_yet();
        }
        let set = v1::SlowOperation {
            // The fake's clock stands at 0.
            wall_time_ms: -90_000,
            rpc: "Set".to_owned(),
            revision: 7,
            took_us: 81_500,
            queue_us: 1_000,
            lock_us: 250,
            append_us: 20_000,
            sync_us: 60_000,
            rest_us: 250,
            code: 0,
        };
        let scan = v1::SlowOperation {
            wall_time_ms: -120_000,
            rpc: "Scan".to_owned(),
            took_us: 2_000_000,
            rest_us: 2_000_000,
            code: Code::Cancelled.into(),
            ..v1::SlowOperation::default()
        };
        let most = usize::try_from(request.into_inner().limit).expect("not below 0");
        Ok(Response::new(v1::GetSlowOperationsResponse {
            header: None,
            threshold_ms: 50,
            total: 2,
            operations: vec![set, scan].into_iter().take(most).collect(),
        }))
    }

    async fn compact(
        &self,
        _: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        not_yet()
    }
}
