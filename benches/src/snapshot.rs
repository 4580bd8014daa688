//! `kvbench snapshot`: what a snapshot under full load does to those who read and write,
//! and to memory; beside Redis, which rewrites its append-only file in a forked child.
//!
//! Two closed loops run at once, one of writes and one of reads, on keys of their own. In
//! one window nothing else happens; in the other one snapshot follows the next, so that
//! the window holds nothing else. The windows of a server are one pair of a round.

mod side;
mod work;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::say;
use crate::contents::Contents;
use crate::interrupt;
use crate::origin::Origin;
use crate::peers::{Peer, version};
use crate::results::{Column, Results, Row, Table, Wanted};
use crate::setup::{KeepArgs, Report, SetupArgs, seconds};
use side::{Seen, Side};
pub(crate) use work::create;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 64;

#[derive(Args, Clone, Debug)]
pub(crate) struct SnapshotArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    keys: u32,
    /// Pairs of windows of each server.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of a window.
    #[arg(long, default_value = "8", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// One window without and one with snapshots.
struct Pair {
    without: Seen,
    with: Seen,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &SnapshotArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let mut report = Report::default();
    let redis = report.find(Peer::Redis);
    let contents = Arc::new(Contents::new(args.keys, KEY_BYTES, VALUE_BYTES)?);
    let mut sides = vec![Side::kvd(&launcher, &contents)?];
    if let Some(program) = &redis {
        sides.push(Side::redis(program, &launcher, &contents)?);
    }
    for side in &sides {
        say(&format!("filling {}", side.name()));
        side.fill()?;
    }
    let mut pairs: Vec<Vec<Pair>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            pairs[at].push(pair(&sides[at], args.seconds, round)?);
        }
    }
    for side in &sides {
        say(&format!("reading back {}", side.name()));
        side.read_back()?;
    }
    let mut results = Results::new("snapshot", "Snapshots under load", &origin);
    if let Some(redis) = &redis {
        results.note(version(redis));
    }
    results.note(format!(
        "{} keys of {KEY_BYTES} bytes, values of {VALUE_BYTES}; {}; closed loops at once: SET {} on one half of the \
         keys, GET {} on the other; all cores are busy",
        args.keys,
        side::PROMISE,
        side::SETS,
        side::GETS,
    ));
    results.note(format!(
        "windows of {} s in turn, without and with snapshots one after the other (kvd: CreateSnapshot at its default \
         rate; Redis: BGREWRITEAOF); resident: the most in a window, without pages of files; of Redis with what its \
         child has copied, by its own count; the load ends with its window, which the last snapshot may outlast",
        args.seconds.as_secs_f64(),
    ));
    for (side, pairs) in sides.iter().zip(&pairs) {
        goals(&mut results, side, pairs);
    }
    results.tables.push(table(&sides, &pairs));
    for side in sides {
        side.stop()?;
    }
    Ok(results.into_report(report))
}

/// Both windows of a server; which comes first changes from round to round.
fn pair(side: &Side, seconds: Duration, round: u32) -> Result<Pair> {
    let window = |with: bool| {
        interrupt::check()?;
        let seen = side.window(seconds, 2 * round + 1 + u32::from(with), with)?;
        let what = if with { "with snapshots" } else { "without" };
        say(&format!("  {}, {what}: {seen}", side.name()));
        Ok::<_, crate::Error>(seen)
    };
    if round.is_multiple_of(2) {
        let without = window(false)?;
        let with = window(true)?;
        return Ok(Pair { without, with });
    }
    let with = window(true)?;
    let without = window(false)?;
    Ok(Pair { without, with })
}

fn goals(results: &mut Results, side: &Side, pairs: &[Pair]) {
    type Figure = fn(&Seen) -> f64;
    let figures: [(&str, Figure, f64); 3] = [
        ("p99 of SET", |seen| seen.sets.latency_us[1], 2.0),
        ("p99 of GET", |seen| seen.gets.latency_us[1], 2.0),
        ("resident", |seen| seen.resident, 1.05),
    ];
    for (what, figure, most) in figures {
        let ratios = pairs
            .iter()
            .map(|pair| figure(&pair.with) / figure(&pair.without));
        let wanted = side.is_kvd().then_some(Wanted::AtMost(most));
        let what = format!("{}: {what} with / without", side.name());
        results.goal(what, ratios.collect(), wanted);
    }
    let rates = pairs
        .iter()
        .map(|pair| pair.with.sets.ops_per_second / pair.without.sets.ops_per_second);
    let what = format!("{}: SETs a second with / without", side.name());
    results.goal(what, rates.collect(), None);
}

fn table(sides: &[Side], pairs: &[Vec<Pair>]) -> Table {
    let mut rows = Vec::new();
    for (side, pairs) in sides.iter().zip(pairs) {
        for with in [false, true] {
            let of = |figure: &dyn Fn(&Seen) -> f64| {
                let seen = pairs
                    .iter()
                    .map(|pair| if with { &pair.with } else { &pair.without });
                seen.map(figure).collect()
            };
            let of_snapshots = |figure: fn(&Seen) -> Vec<f64>| {
                let seen = pairs.iter().filter(|_| with).map(|pair| &pair.with);
                seen.flat_map(figure).collect()
            };
            rows.push(Row {
                group: side.name(),
                subject: if with { "with snapshots" } else { "without" }.to_owned(),
                cells: vec![
                    of(&|seen| seen.sets.ops_per_second),
                    of(&|seen| seen.sets.latency_us[1] / 1e3),
                    of(&|seen| seen.sets.latency_us[2] / 1e3),
                    of(&|seen| seen.gets.ops_per_second),
                    of(&|seen| seen.gets.latency_us[1] / 1e3),
                    of(&|seen| seen.gets.latency_us[2] / 1e3),
                    of(&|seen| seen.resident / f64::from(1 << 20)),
                    of(&|seen| f64::from(u32::try_from(seen.snapshots.len()).unwrap_or(u32::MAX))),
                    of_snapshots(Seen::seconds_each),
                    of_snapshots(Seen::loaded_percent),
                ],
            });
        }
    }
    Table {
        name: "snapshot".into(),
        title: "Load with and without snapshots".into(),
        groups: "server".into(),
        columns: vec![
            Column::new("SETs/s", 0),
            Column::plotted("SET p99 in ms", 2),
            Column::new("p99.9", 2),
            Column::new("GETs/s", 0),
            Column::plotted("GET p99 in ms", 2),
            Column::new("p99.9", 2),
            Column::plotted("MiB resident", 0),
            Column::new("snapshots begun", 0),
            Column::new("s each", 2),
            Column::new("% of it under load", 0),
        ],
        rows,
    }
}
