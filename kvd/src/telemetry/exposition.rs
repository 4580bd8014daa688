//! The figures of `/metrics` as text: single figures, families, and those of the
//! engine.

use std::fmt;

use kvcore::{Distribution, Distributions};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tonic::Code;

use crate::backend::watch::Figures;
use crate::backend::{State, Status};
use crate::service::watch::link::Behind;

/// How often something happened, by call and code.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) name: &'static str,
    pub(super) code: Code,
    pub(super) value: u64,
}

/// How long something took, by call and outcome.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) outcome: &'static str,
    pub(super) times: Distribution,
}

/// Writes single figures and families.
pub(super) struct Out<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
}

pub(super) type Result = fmt::Result;

impl Out<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) -> Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub(super) fn count(&mut self, name: &str, help: &str, value: u64) -> Result {
        self.counter(name, help, value as f64)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    pub(super) fn level(&mut self, name: &str, help: &str, value: u64) -> Result {
        self.gauge(name, help, value as f64)
    }

    pub(super) fn by_rpc(&mut self, name: &str, help: &str, counts: &[Count]) -> Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for count in counts {
            let code = format!("{:?}", count.code);
            let labels = [("rpc", count.name), ("code", code.as_str())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, f64>(&count.value, None)?;
        }
        Ok(())
    }

    /// Times in seconds.
    pub(super) fn times(&mut self, name: &str, help: &str, all: &[Timed]) -> Result {
        let kind = MetricType::Histogram;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for timed in all {
            let labels = [("rpc", timed.name), ("outcome", timed.outcome)];
            histogram(family.encode_family(&labels)?, &timed.times, NANO)?;
        }
        Ok(())
    }

    /// One histogram, in units of `unit`.
    pub(super) fn distribution(
        &mut self,
        name: &str,
        help: &str,
        values: &Distribution,
        unit: f64,
    ) -> Result {
        let kind = MetricType::Histogram;
        let metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        histogram(metric, values, unit)
    }

    /// Counters of seconds.
    pub(super) fn seconds(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, f64)],
    ) -> Result {
        let kind = MetricType::Counter;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (value, seconds) in values {
            let labels = [(label, *value)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, f64>(seconds, None)?;
        }
        Ok(())
    }

    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        label: &str,
        values: &[(&str, u64)],
    ) -> Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (value, number) in values {
            let labels = [(label, *value)];
            let mut metric = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => {
                    metric.encode_counter::<NoLabelSet, _, f64>(number, None)?;
                }
                _ => metric.encode_gauge(number)?,
            }
        }
        Ok(())
    }
}

/// A nanosecond in seconds.
pub(super) const NANO: f64 = 1e-9;

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn histogram(mut metric: MetricEncoder<'_>, values: &Distribution, unit: f64) -> Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 * unit);
    let bounds = values.bounds.iter().copied().map(bound);
    let buckets: Vec<(f64, u64)> = bounds.zip(values.counts.iter().copied()).collect();
    let sum = values.sum as f64 * unit;
    metric.encode_histogram::<NoLabelSet>(sum, values.count(), &buckets, None)
}

pub(super) fn snapshots(out: &mut Out<'_>, status: &Status) -> Result {
    out.count(
        "kvd_snapshots",
        "Snapshots made since the start.",
        status.counters.snapshots,
    )?;
    out.count(
        "kvd_snapshots_failed",
        "Attempts to make a snapshot that failed; the log is kept, and grows.",
        status.counters.snapshots_failed,
    )?;
    let newest = status.snapshots.last().copied().unwrap_or_default();
    out.level(
        "kvd_snapshot_bytes",
        "Size of the newest snapshot; 0 is none.",
        newest.bytes,
    )?;
    out.level(
        "kvd_snapshot_revision",
        "The newest revision that the newest snapshot may hold; 0 is none.",
        newest.end,
    )
}

pub(super) fn store(out: &mut Out<'_>, status: &Status) -> Result {
    out.level("kvd_keys", "Keys in the store.", status.keys)?;
    out.level(
        "kvd_memory_bytes",
        "Bytes of keys, values and bookkeeping.",
        status.memory_bytes,
    )?;
    let limit = status.memory_max_bytes.unwrap_or(0);
    out.level(
        "kvd_memory_max_bytes",
        "Limit of kvd_memory_bytes; 0 is none.",
        limit,
    )?;
    out.count(
        "kvd_expired_keys",
        "Keys removed because their time was over.",
        status.counters.expired,
    )?;
    out.count(
        "kvd_wall_clock_jumps",
        "Times the wall clock was set; no key ends earlier or later for it.",
        status.counters.clock_jumps,
    )?;
    let revisions = [
        ("store", status.store_revision),
        ("logged", status.positions.logged),
        ("durable", status.positions.durable),
    ];
    out.family(
        "kvd_revision",
        "Newest revision.",
        MetricType::Gauge,
        "at",
        &revisions,
    )?;
    let is = |state: bool| u64::from(state);
    let states = [
        ("writable", is(status.state == State::Writable)),
        (
            "no_log_space",
            is(matches!(status.state, State::NoSpace(_))),
        ),
        ("draining", is(status.state == State::Draining)),
        ("log_failed", is(matches!(status.state, State::Failed(_)))),
    ];
    out.family(
        "kvd_state",
        "1 for the state of the engine.",
        MetricType::Gauge,
        "state",
        &states,
    )
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn log(out: &mut Out<'_>, status: &Status) -> Result {
    let counters = &status.counters;
    out.level(
        "kvd_log_segments",
        "Log files, spares not counted.",
        status.segments,
    )?;
    out.level("kvd_log_bytes", "Bytes of the log files.", status.log_bytes)?;
    out.level("kvd_log_spares", "Log files prepared ahead.", status.spares)?;
    out.level(
        "kvd_log_room_bytes",
        "Bytes the log can take before it needs another file than those prepared.",
        status.log_room,
    )?;
    out.level(
        "kvd_in_flight_operations",
        "Writes not in the log yet.",
        status.in_flight_units,
    )?;
    out.level(
        "kvd_in_flight_bytes",
        "Bytes of writes not in the log yet.",
        status.in_flight_bytes,
    )?;
    out.count(
        "kvd_log_groups",
        "Groups of writes logged.",
        counters.groups,
    )?;
    out.count("kvd_log_units", "Writes logged.", counters.units)?;
    out.count(
        "kvd_log_written_bytes",
        "Bytes written to the log.",
        counters.log_bytes_written,
    )?;
    out.count(
        "kvd_log_rotations",
        "Times a new log file was begun.",
        counters.rotations,
    )?;
    out.count("kvd_log_syncs", "Syncs of the log.", counters.syncs)?;
    let seconds = counters.sync_nanos_total as f64 / 1e9;
    out.counter("kvd_log_sync_seconds", "Time spent syncing.", seconds)?;
    let recovery = &status.recovery;
    out.level(
        "kvd_recovery_ms",
        "How long the last start took.",
        recovery.took_ms,
    )?;
    out.level("kvd_recovery_units", "Writes it read back.", recovery.units)?;
    out.level(
        "kvd_recovery_torn_bytes",
        "Bytes of a torn end it cut.",
        recovery.torn_bytes,
    )
}

pub(super) fn distributions(out: &mut Out<'_>, of: &Distributions) -> Result {
    out.distribution(
        "kvd_log_sync_duration_seconds",
        "How long one sync of the log took.",
        &of.sync_nanos,
        NANO,
    )?;
    out.distribution(
        "kvd_log_group_units",
        "Writes of one group.",
        &of.group_units,
        1.0,
    )?;
    out.distribution(
        "kvd_log_sync_units",
        "Writes that one sync made durable.",
        &of.sync_units,
        1.0,
    )?;
    out.distribution(
        "kvd_log_sync_bytes",
        "Bytes of the log that one sync made durable.",
        &of.sync_bytes,
        1.0,
    )
}

pub(super) fn watches(out: &mut Out<'_>, figures: &Figures, behind: Behind) -> Result {
    out.level("kvd_watches", "Watches that there are.", figures.watches)?;
    out.level(
        "kvd_watches_behind",
        "Watches that have changes to tell.",
        behind.watches,
    )?;
    out.level(
        "kvd_watch_lag_revisions",
        "Revisions that the watch that is furthest behind has to look at.",
        behind.revisions,
    )?;
    out.level(
        "kvd_watch_ring_bytes",
        "Bytes of the newest changes, kept in memory for watches.",
        figures.ring_bytes,
    )?;
    let [
        _,
        written,
        deleted,
        range_deleted,
        expired,
        evicted,
        expiry_changed,
    ] = figures.events;
    let causes = [
        ("written", written),
        ("deleted", deleted),
        ("range_deleted", range_deleted),
        ("expired", expired),
        ("evicted", evicted),
        ("expiry_changed", expiry_changed),
    ];
    out.family(
        "kvd_watch_events",
        "Events told, by cause.",
        MetricType::Counter,
        "cause",
        &causes,
    )?;
    out.count(
        "kvd_watch_log_reads",
        "Times a watch was so far behind that it read the log.",
        figures.log_reads,
    )?;
    out.count(
        "kvd_watch_log_read_bytes",
        "Bytes that were read for it.",
        figures.log_bytes,
    )?;
    out.count(
        "kvd_watch_lookups",
        "Records before a change that were looked up in the log.",
        figures.lookups,
    )?;
    out.count(
        "kvd_watch_resyncs",
        "Times a watch was sent the current records because the log was gone.",
        figures.resyncs,
    )?;
    out.count(
        "kvd_watch_compacted",
        "Watches that ended because the log was gone.",
        figures.compacted,
    )
}
