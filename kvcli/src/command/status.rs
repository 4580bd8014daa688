//! `status`: how the server is.

use kvproto::v1::{self, ServerState};
use serde_json::{Map, Value};

use super::Prepared;
use crate::{
    failure::Exit,
    output::{self, Rows},
    text::show,
};

const HEADER: &[&str] = &["name", "value"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "the same shape as every other command")]
    pub(super) fn prepare(self) -> Prepared {
        Prepared::status()
    }
}

/// Names and values in the order they are shown. Lists and what is absent are
/// left to the printers, which differ.
pub(super) struct Report {
    entries: Vec<(&'static str, Value)>,
}

impl Report {
    pub(super) fn new(status: v1::GetStatusResponse) -> Self {
        let mut entries: Vec<(&'static str, Value)> = vec![
            ("state", state_name(status.state).into()),
            ("state_detail", status.state_detail.into()),
            ("version", status.version.into()),
            ("store_id", status.store_id.into()),
            ("data_dir", status.data_dir.into()),
            ("sync_policy", status.sync_policy.into()),
            ("uptime_ms", status.uptime_ms.into()),
            ("wall_time_ms", status.wall_time_ms.into()),
            ("keys", status.keys.into()),
            ("memory_bytes", status.memory_bytes.into()),
            ("memory_max_bytes", status.memory_max_bytes.into()),
            ("store_revision", status.store_revision.into()),
            ("logged_revision", status.logged_revision.into()),
            ("durable_revision", status.durable_revision.into()),
            ("log_segments", status.log_segments.into()),
            ("log_bytes", status.log_bytes.into()),
            ("in_flight_operations", status.in_flight_operations.into()),
            ("in_flight_bytes", status.in_flight_bytes.into()),
        ];
        if let Some(newest) = status.snapshots.last() {
            entries.extend([
                ("snapshots", status.snapshots.len().into()),
                ("snapshot_end_revision", newest.end_revision.into()),
                ("snapshot_bytes", newest.bytes.into()),
            ]);
        }
        if let Some(repaired) = status.repaired {
            entries.extend([
                ("repaired", true.into()),
                ("repaired_at_ms", repaired.wall_time_ms.into()),
                ("repaired_lost_revisions", repaired.lost_revisions.into()),
            ]);
        }
        if let Some(recovery) = status.recovery {
            entries.extend(recovery_entries(recovery));
        }
        if let Some(loading) = status.loading {
            entries.extend([
                ("loading_bytes_done", loading.bytes_done.into()),
                ("loading_bytes_total", loading.bytes_total.into()),
                ("loading_units", loading.units.into()),
            ]);
        }
        Self { entries }
    }
}

fn recovery_entries(recovery: v1::RecoveryReport) -> Vec<(&'static str, Value)> {
    let gap = |gap: v1::RevisionGap| format!("{}-{}", gap.first, gap.last);
    let gaps: Vec<String> = recovery.gaps.into_iter().map(gap).collect();
    vec![
        ("recovery_started_clean", recovery.started_clean.into()),
        ("recovery_took_ms", recovery.took_ms.into()),
        ("recovery_units", recovery.units.into()),
        ("recovery_segments", recovery.segments.into()),
        ("recovery_bytes", recovery.bytes.into()),
        (
            "recovery_quarantined_bytes",
            recovery.quarantined_bytes.into(),
        ),
        ("recovery_snapshot", recovery.snapshot.into()),
        (
            "recovery_snapshot_records",
            recovery.snapshot_records.into(),
        ),
        ("revision_gaps", gaps.into()),
    ]
}

/// `SERVER_STATE_NO_LOG_SPACE` -> `no-log-space`.
pub(crate) fn state_name(state: i32) -> String {
    match ServerState::try_from(state) {
        Ok(state) => {
            let name = state.as_str_name();
            name.strip_prefix("SERVER_STATE_")
                .unwrap_or(name)
                .to_lowercase()
                .replace('_', "-")
        }
        Err(unknown) => format!("unknown-{}", unknown.0),
    }
}

/// A value as text: strings bare, lists with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => show(text.as_bytes()),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.entries {
            out.extend_from_slice(format!("{name}={}\n", plain(value)).as_bytes());
        }
    }

    fn object(&self) -> Map<String, Value> {
        self.entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn rows(&self) -> Rows {
        let row = |(name, value): &(&'static str, Value)| vec![(*name).to_owned(), plain(value)];
        Rows {
            header: HEADER,
            rows: self.entries.iter().map(row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
