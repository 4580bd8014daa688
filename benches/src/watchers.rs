//! `kvbench watchers`: very many watchers, each on its own prefix, or all on one key.
//!
//! Each watcher is a stream of its own, as clients of their own would have, over some
//! connections. Two kinds of windows: at a fixed rate of SETs (what the watchers cost those
//! who write, against the same load that nobody watches), and as fast as events are taken
//! (writers stay only so far ahead of the watchers, so that what is delivered is what is
//! counted). Every event is counted and its revision held against the one before; at the end
//! of a window each watcher must have got each change once. kvd and etcd take turns.

mod listen;
mod side;

use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::{Launcher, say};
use crate::interrupt;
use crate::origin::Origin;
use crate::peers::{Peer, version};
use crate::results::{Column, Results, Row, Table, Wanted};
use crate::setup::{KeepArgs, Report, SetupArgs, seconds};
use crate::single::Protocol;
use side::{Seen, Side};

#[derive(Args, Clone, Debug)]
pub(crate) struct WatchersArgs {
    /// Number of watchers.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    watchers: u32,
    /// Connections that they share.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of a window.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// SETs per second, where each watcher has a prefix.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// SETs per second, where all watch one key.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    key_rate: u32,
    /// kvd alone.
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Each watcher has a prefix; SETs are of keys below all of them.
    Prefixes,
    /// All watch one key, which all SETs are of.
    Key,
}

const BOTH: [Watched; 2] = [Watched::Prefixes, Watched::Key];

impl Watched {
    fn title(self, watchers: u32) -> String {
        match self {
            Self::Prefixes => format!("{watchers} watchers on {watchers} prefixes"),
            Self::Key => format!("{watchers} watchers on one key"),
        }
    }
}

/// The windows of one server on what is watched in one way.
struct Windows {
    none: Seen,
    paced: Seen,
    full: Seen,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &WatchersArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let mut report = Report::default();
    let etcd = if args.alone {
        None
    } else {
        report.find(Peer::Etcd)
    };
    let mut protocols = vec![Protocol::Kvd];
    protocols.extend(etcd.as_ref().map(|_| Protocol::Etcd));
    let mut found: Vec<Vec<[Windows; 2]>> = protocols.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..protocols.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            found[at].push(windows(args, &launcher, protocols[at], etcd.as_deref())?);
        }
    }
    let mut results = Results::new("watchers", "Very many watchers", &origin);
    if let Some(etcd) = &etcd {
        results.note(version(etcd));
    }
    results.note(format!(
        "{} watchers, a stream each, over {} connections; keys of {} bytes, values of {}; SET from {}, on stable \
         storage when answered (kvd: --sync always, SYNCED, watches at DURABLE)",
        args.watchers,
        args.connections,
        side::KEY_BYTES,
        side::VALUE_BYTES,
        side::SHAPE,
    ));
    results.note(format!(
        "windows of {} s: at a fixed rate ({} SETs/s below the prefixes, {} on the one key), nobody watching and then \
         all; and as fast as the events are taken; each event checked; server and clients share the cores",
        args.seconds.as_secs_f64(),
        args.rate,
        args.key_rate,
    ));
    for (at, watched) in BOTH.into_iter().enumerate() {
        goals(
            &mut results,
            &protocols,
            &found,
            at,
            &watched.title(args.watchers),
        );
    }
    results.tables.push(table(args, &protocols, &found));
    Ok(results.into_report(report))
}

fn windows(
    args: &WatchersArgs,
    launcher: &Launcher,
    protocol: Protocol,
    etcd: Option<&std::path::Path>,
) -> Result<[Windows; 2]> {
    let side = Side::start(protocol, launcher, etcd, args.watchers, args.connections)?;
    let mut both = Vec::new();
    for watched in BOTH {
        let rate = match watched {
            Watched::Prefixes => args.rate,
            Watched::Key => args.key_rate,
        };
        let window = |watchers: bool, rate: Option<u32>| {
            interrupt::check()?;
            let seen = side.window(watched, watchers, rate, args.seconds)?;
            say(&format!(
                "  {protocol}, {watched:?}, {watchers}, {rate:?}: {seen}"
            ));
            Ok::<_, crate::Error>(seen)
        };
        both.push(Windows {
            none: window(false, Some(rate))?,
            paced: window(true, Some(rate))?,
            full: window(true, None)?,
        });
    }
    side.stop()?;
    both.try_into().map_err(|_| "two ways to watch".into())
}

type Found = [Vec<[Windows; 2]>];

fn goals(results: &mut Results, protocols: &[Protocol], found: &Found, at: usize, title: &str) {
    for (protocol, rounds) in protocols.iter().zip(found) {
        let ratios = rounds
            .iter()
            .map(|round| round[at].paced.sets.latency_us[1] / round[at].none.sets.latency_us[1]);
        let what = format!("{protocol}: p99 of SET, {title} / none");
        results.goal(what, ratios.collect(), None);
    }
    let [kvd, etcd] = found else { return };
    let pairs = || kvd.iter().zip(etcd).map(|(a, b)| (&a[at], &b[at]));
    let wanted = Some(Wanted::AtLeast(1.0));
    let speed = pairs().map(|(a, b)| a.full.events_per_second / b.full.events_per_second);
    let what = format!("events/s: kvd / etcd, {title}");
    results.goal(what, speed.collect(), wanted);
    let cost = pairs().map(|(a, b)| b.full.event_us / a.full.event_us);
    let what = format!("events per second of server CPU: kvd / etcd, {title}");
    results.goal(what, cost.collect(), wanted);
}

fn table(args: &WatchersArgs, protocols: &[Protocol], found: &Found) -> Table {
    let mut rows = Vec::new();
    for (at, watched) in BOTH.into_iter().enumerate() {
        for (protocol, rounds) in protocols.iter().zip(found) {
            type Pick = fn(&Windows) -> &Seen;
            let picks: [(&str, Pick); 3] = [
                ("nobody watches", |windows| &windows.none),
                ("fixed rate", |windows| &windows.paced),
                ("as fast as taken", |windows| &windows.full),
            ];
            for (what, pick) in picks {
                let of = |figure: &dyn Fn(&Seen) -> f64| {
                    let seen = rounds.iter().map(|round| pick(&round[at]));
                    seen.map(figure).collect::<Vec<f64>>()
                };
                let told = |figure: &dyn Fn(&Seen) -> f64| {
                    let all = of(figure);
                    if all.iter().all(|value| value.is_finite()) {
                        all
                    } else {
                        Vec::new()
                    }
                };
                // As fast as events are taken, a SET waits for its turn: that is no latency.
                let latency = |figure: &dyn Fn(&Seen) -> f64| {
                    if what == "as fast as taken" {
                        Vec::new()
                    } else {
                        of(figure)
                    }
                };
                rows.push(Row {
                    group: watched.title(args.watchers),
                    subject: format!("{protocol}, {what}"),
                    cells: vec![
                        told(&|seen| seen.events_per_second),
                        told(&|seen| seen.event_us),
                        of(&|seen| seen.sets.ops_per_second),
                        of(&|seen| seen.sets.server_us),
                        latency(&|seen| seen.sets.latency_us[0] / 1e3),
                        latency(&|seen| seen.sets.latency_us[1] / 1e3),
                        of(&|seen| seen.sets.other_cores),
                    ],
                });
            }
        }
    }
    Table {
        name: "watchers".to_owned(),
        title: "Events delivered, and what they cost".to_owned(),
        groups: "watched".to_owned(),
        columns: vec![
            Column::new("events/s", 0),
            Column::new("server CPU µs per event", 2),
            Column::new("SETs/s", 0),
            Column::new("server CPU µs per SET", 1),
            Column::new("SET p50 in ms", 2),
            Column::new("SET p99 in ms", 2),
            Column::new("other cores", 2),
        ],
        rows,
    }
}
