//! `/metrics`: everything is read when it is asked for, so nothing is paid before.
//! `families` writes what was read.

mod families;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvcore::Distribution;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::exposition::{Count, Timed};
use super::health::Health;
use super::http::Source;
use super::stats::{CODES, Kind, OUTCOMES, Rpc, Stats};
use super::trace;
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
