//! The families of `/metrics` that kvd itself has figures for, by what they speak of: calls,
//! connections, slow operations, spans, permits, memory, the process.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::super::exposition::{NANO, Out, Result, distributions, log, snapshots, store, watches};
use super::super::trace::LOSSES;
use super::super::{logging, process};
use super::Snapshot;
use crate::backend::Status;

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let out = &mut Out { encoder };
        self.serving(out)?;
        self.connections(out)?;
        self.slow(out)?;
        self.spans(out)?;
        if let Some((status, of)) = &self.status {
            store(out, status)?;
            snapshots(out, status)?;
            log(out, status)?;
            distributions(out, of)?;
            self.permits(out)?;
            self.memory(out, status)?;
            watches(out, &self.watches, self.behind)?;
        }
        self.process(out)
    }
}

impl Snapshot {
    fn serving(&self, out: &mut Out<'_>) -> Result {
        out.by_rpc(
            "kvd_requests",
            "Calls that have ended, by name and code.",
            &self.calls,
        )?;
        out.by_rpc(
            "kvd_pipeline_operations",
            "Operations of pipelines that were answered, by name and code.",
            &self.operations,
        )?;
        out.times(
            "kvd_request_seconds",
            "From a call's begin to its reply, by name and outcome; streams of a pipeline, which \
             last as their clients like, are not among them.",
            &self.call_times,
        )?;
        out.times(
            "kvd_pipeline_operation_seconds",
            "From an operation's arrival in a pipeline to its answer.",
            &self.operation_times,
        )?;
        out.family(
            "kvd_requests_in_flight",
            "Calls begun and not ended, open streams among them.",
            MetricType::Gauge,
            "rpc",
            &self.in_flight,
        )?;
        out.level(
            "kvd_waits",
            "Replies that wait for the log.",
            self.waits as u64,
        )?;
        let ready = [
            ("read", u64::from(self.health.reads)),
            ("write", u64::from(self.health.writes)),
        ];
        out.family(
            "kvd_ready",
            "1 if such calls are served.",
            MetricType::Gauge,
            "kind",
            &ready,
        )
    }

    fn connections(&self, out: &mut Out<'_>) -> Result {
        out.level(
            "kvd_connections",
            "Open connections.",
            self.connections as u64,
        )?;
        out.count(
            "kvd_connections_accepted",
            "Connections accepted.",
            self.accepted,
        )?;
        out.family(
            "kvd_connections_refused",
            "Connections closed because a cap was reached, by cap.",
            MetricType::Counter,
            "cap",
            &self.refused,
        )?;
        out.count(
            "kvd_accept_errors",
            "Failures to accept.",
            self.accept_errors,
        )?;
        out.level(
            "kvd_request_memory_bytes",
            "Bytes of messages that have begun to arrive and are not complete.",
            self.held as u64,
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn slow(&self, out: &mut Out<'_>) -> Result {
        out.family(
            "kvd_slow_operations",
            "Operations that took longer than telemetry.slow_operation.",
            MetricType::Counter,
            "rpc",
            &self.slow,
        )?;
        let parts = self.slow_parts;
        let seconds = parts.map(|(part, nanos)| (part, nanos as f64 * NANO));
        out.seconds(
            "kvd_slow_operation_seconds",
            "What the time of these went into.",
            "part",
            &seconds,
        )
    }

    fn spans(&self, out: &mut Out<'_>) -> Result {
        out.count(
            "kvd_spans_sent",
            "Spans that the collector of telemetry.otlp_endpoint has taken.",
            self.spans.sent,
        )?;
        let dropped = self.spans.dropped;
        let dropped: Vec<_> = LOSSES.into_iter().zip(dropped).collect();
        out.family(
            "kvd_spans_dropped",
            "Spans that it has not: the queue was full, the collector did not answer or refused \
             them, or kvd stopped before.",
            MetricType::Counter,
            "why",
            &dropped,
        )
    }

    fn permits(&self, out: &mut Out<'_>) -> Result {
        let [operations, bytes] = self.in_flight_max;
        out.level(
            "kvd_in_flight_operations_max",
            "Permits: the most that kvd_in_flight_operations may be.",
            operations,
        )?;
        out.level(
            "kvd_in_flight_bytes_max",
            "The most that kvd_in_flight_bytes may be.",
            bytes,
        )
    }

    /// Who has what of the memory that the program uses.
    fn memory(&self, out: &mut Out<'_>, status: &Status) -> Result {
        let held = self.held as u64;
        let known = [status.memory_bytes, status.in_flight_bytes, held];
        let [records, writes, requests] = known;
        let rest = process::jemalloc()
            .map_or(0, |j| j.allocated)
            .saturating_sub(known.iter().sum());
        out.family(
            "kvd_memory_owner_bytes",
            "Bytes in use: by records, writes on their way into the log, messages that arrive, \
             and everything else.",
            MetricType::Gauge,
            "owner",
            &[
                ("records", records),
                ("writes", writes),
                ("requests", requests),
                ("other", rest),
            ],
        )
    }

    fn process(&self, out: &mut Out<'_>) -> Result {
        out.count(
            "kvd_journal_lines_lost",
            "Log lines that the journal did not take at once.",
            logging::lost(),
        )?;
        if let Some(jemalloc) = process::jemalloc() {
            allocator(out, &jemalloc)?;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let started = now.as_secs_f64() - self.uptime;
        out.gauge(
            "process_start_time_seconds",
            "When the process started.",
            started,
        )?;
        if let Some(seconds) = process::cpu_seconds() {
            out.counter("process_cpu_seconds", "CPU time, user and system.", seconds)?;
        }
        if let Some(bytes) = process::resident_bytes() {
            out.level("process_resident_memory_bytes", "Resident memory.", bytes)?;
        }
        if let Some(number) = process::open_descriptors() {
            out.level("process_open_fds", "Open file descriptors.", number)?;
        }
        Ok(())
    }
}

fn allocator(out: &mut Out<'_>, jemalloc: &process::Jemalloc) -> Result {
    for (name, help, bytes) in [
        (
            "kvd_jemalloc_allocated_bytes",
            "Bytes in use by the program.",
            jemalloc.allocated,
        ),
        (
            "kvd_jemalloc_active_bytes",
            "Bytes of pages with something in use.",
            jemalloc.active,
        ),
        (
            "kvd_jemalloc_metadata_bytes",
            "Bytes of the allocator's own bookkeeping.",
            jemalloc.metadata,
        ),
        (
            "kvd_jemalloc_resident_bytes",
            "Bytes of physical memory the allocator holds.",
            jemalloc.resident,
        ),
        (
            "kvd_jemalloc_mapped_bytes",
            "Bytes of address space in use by the allocator.",
            jemalloc.mapped,
        ),
        (
            "kvd_jemalloc_retained_bytes",
            "Bytes of address space kept for later, without memory.",
            jemalloc.retained,
        ),
    ] {
        out.level(name, help, bytes)?;
    }
    Ok(())
}
