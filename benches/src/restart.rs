//! `kvbench restart`: from a stopped server with very many keys to the first answer,
//! beside Redis.
//!
//! Four stores hold the same keys: kvd with nothing but its log, kvd with a snapshot and
//! the log behind it, Redis with its append-only file, and Redis with its dump. They are
//! started again and again, in turn, once with their files in the page cache and once
//! without, and every start ends with a read. kvd itself drops what it reads from the
//! page cache before it reads, so it always starts from the disk.

mod files;
mod store;

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
use files::Cache;
use store::{Kind, Start, Store};

const VALUE_BYTES: usize = 64;
const KEY_BYTES: usize = 16;
/// One key in this many is written once more behind the snapshot.
const CHANGED: u32 = 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct RestartArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1_000..=50_000_000))]
    keys: u32,
    /// Starts of each store in each state of the page cache.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds from the first answer until memory is looked at again: allocators keep for
    /// a while (10 s) what they could give back.
    #[arg(long, default_value = "13", value_parser = seconds)]
    settle: Duration,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// What all stores have in common.
struct Plan {
    contents: Arc<Contents>,
    /// The keys below were written once more.
    changed: u32,
    settle: Duration,
}

/// All starts of one store in one state of the page cache.
struct Series {
    kind: Kind,
    cache: Cache,
    starts: Vec<Start>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &RestartArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let mut report = Report::default();
    let redis = report.find(Peer::Redis);
    let plan = Plan {
        contents: Arc::new(Contents::new(args.keys, KEY_BYTES, VALUE_BYTES)?),
        changed: args.keys / CHANGED,
        settle: args.settle,
    };
    let kinds = Kind::ALL.into_iter();
    let kinds = kinds.filter(|kind| redis.is_some() || kind.is_kvd());
    let stores = kinds.map(|kind| {
        say(&format!("filling {kind}"));
        Store::fill(kind, &plan, &launcher, redis.as_deref())
    });
    let stores: Vec<Store<'_>> = stores.collect::<Result<_>>()?;
    let mut series = Vec::new();
    for cache in Cache::BOTH {
        series.extend(stores.iter().map(|store| Series {
            kind: store.kind,
            cache,
            starts: Vec::new(),
        }));
    }
    for round in 0..args.rounds {
        // Every other round goes backwards: who comes after whom shall not matter.
        let mut order: Vec<usize> = (0..series.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            interrupt::check()?;
            let one = &mut series[at];
            let store = &stores[at % stores.len()];
            let start = store.start(&plan, one.cache, one.starts.is_empty())?;
            say(&format!("  {}, {}: {start}", one.kind, one.cache));
            one.starts.push(start);
        }
    }
    let mut results = Results::new("restart", "Starting again", &origin);
    if let Some(redis) = &redis {
        results.note(version(redis));
    }
    results.note(format!(
        "{} keys of {KEY_BYTES} bytes, values of {VALUE_BYTES}; {} of them written once more, in kvd behind the \
         snapshot; every key is read back after the first start of each store, 10,000 after the others",
        args.keys, plan.changed
    ));
    results.note(format!(
        "seconds from the start of the process to the first key that was read; CPU of the server in that time; \
         MB of the files that a start reads; bytes per key: what the process has resident for each, without pages \
         of files, at the first answer and (after the first start) {} s later",
        args.settle.as_secs_f64(),
    ));
    results.note(
        "every server was stopped in order; stores in turn, every other round backwards; warm: all files were \
         read into the page cache just before; cold: they were dropped from it. kvd drops what it reads itself, \
         so it reads from the disk both times",
    );
    results.tables.push(table(&series, args.keys));
    goals(&mut results, &series);
    Ok(results.into_report(report))
}

fn table(series: &[Series], keys: u32) -> Table {
    let row = |one: &Series| {
        let settled = one.starts.iter().filter_map(|start| start.settled);
        let settled = settled.map(|bytes| bytes / f64::from(keys));
        let of = |figure: &dyn Fn(&Start) -> f64| one.starts.iter().map(figure).collect();
        Row {
            group: one.cache.to_string(),
            subject: one.kind.to_string(),
            cells: vec![
                of(&|start| start.seconds),
                of(&|start| start.cpu_seconds),
                of(&|start| start.megabytes),
                of(&|start| start.megabytes / start.seconds),
                of(&|start| start.resident / f64::from(keys)),
                settled.collect(),
            ],
        }
    };
    Table {
        name: "restart".into(),
        title: "Starts".into(),
        groups: "page cache".into(),
        columns: vec![
            Column::plotted("seconds", 2),
            Column::new("CPU seconds", 2),
            Column::new("MB read", 0),
            Column::new("MB/s", 0),
            Column::new("bytes per key", 1),
            Column::plotted("bytes per key later", 1),
        ],
        rows: series.iter().map(row).collect(),
    }
}

/// How much longer, or how much more, the other takes.
fn goals(results: &mut Results, series: &[Series]) {
    type Figure = fn(&Start) -> Option<f64>;
    let seconds: Figure = |start| Some(start.seconds);
    let cpu: Figure = |start| Some(start.cpu_seconds);
    let later: Figure = |start| start.settled;
    let at_least = |ratio| Some(Wanted::AtLeast(ratio));
    let compared = [
        ("seconds", seconds, Kind::Snapshot, Kind::Aof, at_least(2.0)),
        ("seconds", seconds, Kind::Snapshot, Kind::Rdb, at_least(1.0)),
        ("seconds", seconds, Kind::Log, Kind::Aof, at_least(2.0)),
        ("CPU seconds", cpu, Kind::Snapshot, Kind::Aof, None),
        ("CPU seconds", cpu, Kind::Snapshot, Kind::Rdb, None),
        ("CPU seconds", cpu, Kind::Log, Kind::Aof, None),
        (
            "bytes per key later",
            later,
            Kind::Log,
            Kind::Aof,
            at_least(1.0),
        ),
    ];
    for cache in Cache::BOTH {
        for (what, figure, own, other, wanted) in compared {
            let find = |kind| {
                let mut all = series.iter();
                all.find(|one| one.kind == kind && one.cache == cache)
            };
            let (Some(owns), Some(others)) = (find(own), find(other)) else {
                continue;
            };
            let pairs = owns.starts.iter().zip(&others.starts);
            let ratios = pairs.filter_map(|(own, other)| Some(figure(other)? / figure(own)?));
            let what = format!("{what}: {other} / {own}, {cache}");
            results.goal(what, ratios.collect(), wanted);
        }
    }
}
