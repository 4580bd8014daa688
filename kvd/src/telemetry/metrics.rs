//! `/metrics`: everything is read when it is asked for, so nothing is paid before.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use kvcore::Distribution;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::exposition::{
    Count, NANO, Out, Result, Timed, distributions, log, snapshots, store, watches,
};
use super::health::Health;
use super::http::Source;
use super::stats::{CODES, Kind, OUTCOMES, Rpc, Stats};
use super::trace::{self, LOSSES};
use super::{logging, process};
use crate::backend::watch::Figures as Watches;
use crate::backend::{Distributions, Status, Store};
use crate::connection::Caps;
use crate::intake::Intake;
use crate::service::core::Shared;
use crate::service::watch::link::{Behind, Watchers};
use crate::waiter::Waiters;

/// All that is counted and measured.
#[derive(Debug)]
pub struct Figures<S: Store> {
    pub shared: Arc<Shared<S>>,
    pub caps: Arc<Caps>,
    pub intake: Arc<Intake>,
    pub stats: Vec<Arc<Stats>>,
    pub waiters: Vec<Arc<Waiters>>,
    pub watchers: Vec<Arc<Watchers<S>>>,
}

impl<S: Store + fmt::Debug> Source for Figures<S> {
    fn health(&self) -> Health {
        Health::of(&self.shared)
    }

    fn metrics(&self) -> String {
        let mut registry = Registry::default();
        let snapshot = Snapshot::take(self);
        registry.register_collector(Box::new(snapshot));
        let mut out = String::with_capacity(8 << 10);
        if text::encode(&mut out, &registry).is_err() {
            // Writing to a string does not fail.
            let _ = out.write_str("# EOF\n");
        }
        out
    }
}

/// The figures of one moment.
#[derive(Debug)]
struct Snapshot {
    calls: Vec<Count>,
    operations: Vec<Count>,
    call_times: Vec<Timed>,
    operation_times: Vec<Timed>,
    slow: Vec<(&'static str, u64)>,
    slow_parts: [(&'static str, u64); 5],
    in_flight: Vec<(&'static str, u64)>,
    in_flight_max: [u64; 2],
    waits: usize,
    health: Health,
    connections: usize,
    accepted: u64,
    refused: [(&'static str, u64); 3],
    accept_errors: u64,
    held: usize,
    status: Option<(Status, Distributions)>,
    watches: Watches,
    behind: Behind,
    spans: trace::Figures,
    uptime: f64,
}

impl Snapshot {
    fn take<S: Store>(figures: &Figures<S>) -> Self {
        let caps = &figures.caps;
        let settings = &figures.shared.settings;
        let engine = |store: &S| (store.status(), store.distributions());
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            calls: counts(&figures.stats, Stats::calls),
            operations: counts(&figures.stats, Stats::operations),
            call_times: times(&figures.stats, Kind::Calls),
            operation_times: times(&figures.stats, Kind::Operations),
            slow: figures.shared.slow.by_rpc(),
            slow_parts: figures.shared.slow.by_part(),
            in_flight: in_flight(&figures.stats),
            in_flight_max: [
                settings.in_flight_operations as u64,
                settings.in_flight_bytes.0,
            ],
            waits: figures.waiters.iter().map(|waiters| waiters.len()).sum(),
            health: Health::of(&figures.shared),
            connections: caps.open(),
            accepted: load(&caps.accepted),
            refused: [
                ("total", load(&caps.refused_total)),
                ("ip", load(&caps.refused_per_ip)),
                ("descriptors", load(&caps.refused_descriptors)),
            ],
            accept_errors: load(&caps.accept_errors),
            held: figures.intake.held(),
            status: figures.shared.store.get().map(engine),
            watches: figures
                .shared
                .store
                .get()
                .map(Store::watch_figures)
                .unwrap_or_default(),
            behind: behind(figures),
            spans: figures.shared.tracer.figures(),
            uptime: figures.shared.started.elapsed().as_secs_f64(),
        }
    }
}

/// How far the watches of all runtimes are behind.
fn behind<S: Store>(figures: &Figures<S>) -> Behind {
    let Some(store) = figures.shared.store.get() else {
        return Behind::default();
    };
    let each = figures.watchers.iter().map(|one| one.behind(store));
    each.fold(Behind::default(), |sum, one| Behind {
        watches: sum.watches + one.watches,
        revisions: sum.revisions.max(one.revisions),
    })
}

/// What has happened at least once, over all runtimes.
fn counts(stats: &[Arc<Stats>], read: fn(&Stats, Rpc, Code) -> u64) -> Vec<Count> {
    let codes = (0..CODES).filter_map(|code| i32::try_from(code).ok());
    let pairs = Rpc::ALL
        .into_iter()
        .flat_map(|rpc| codes.clone().map(move |code| (rpc, Code::from_i32(code))));
    pairs
        .map(|(rpc, code)| Count {
            name: rpc.name(),
            code,
            value: stats.iter().map(|stats| read(stats, rpc, code)).sum(),
        })
        .filter(|count| count.value > 0)
        .collect()
}

/// Of what has happened at least once.
fn times(stats: &[Arc<Stats>], kind: Kind) -> Vec<Timed> {
    let pairs = Rpc::ALL
        .into_iter()
        .flat_map(|rpc| (0..OUTCOMES.len()).map(move |outcome| (rpc, outcome)));
    pairs
        .map(|(rpc, outcome)| {
            let mut times = Distribution::default();
            for stats in stats {
                stats.add_times(kind, rpc, outcome, &mut times);
            }
            Timed {
                name: rpc.name(),
                outcome: OUTCOMES[outcome],
                times,
            }
        })
        .filter(|timed| timed.times.count() > 0)
        .collect()
}

fn in_flight(stats: &[Arc<Stats>]) -> Vec<(&'static str, u64)> {
    let of = |rpc| stats.iter().map(|stats| stats.in_flight_of(rpc)).sum();
    Rpc::ALL
        .into_iter()
        .map(|rpc| (rpc.name(), of(rpc)))
        .collect()
}

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
