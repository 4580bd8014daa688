//! `kvbench`: what kvd costs beyond the least that gRPC costs.
//!
//! Absolute numbers of a shared machine mean little, so everything is a ratio of two
//! servers that are asked in turn, by the same driver, in one run.

mod batch;
mod child;
mod client;
mod contents;
mod cpu;
mod driver;
mod etcd;
mod expiry;
mod fill;
mod floor;
mod floor_map;
mod floor_server;
mod interrupt;
mod load;
mod metrics;
mod micro;
mod origin;
mod paused;
mod peers;
mod publish;
mod report;
mod resp;
mod restart;
mod results;
mod rivals;
mod scan;
mod setup;
mod shapes;
mod single;
mod snapshot;
mod status;
mod svg;
mod txn;
mod watchers;
mod zipf;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use expiry::ExpiryArgs;
use floor::FloorArgs;
use metrics::MetricsArgs;
use micro::IndexArgs;
use paused::PausedArgs;
use publish::ReportArgs;
use restart::RestartArgs;
use rivals::PeersArgs;
use scan::ScanArgs;
use setup::Report;
use snapshot::SnapshotArgs;
use txn::TxnArgs;
use watchers::WatchersArgs;

/// The same as kvd's: the floor shall differ in what it does, not in what it runs on.
#[global_allocator]
static ALLOCATOR: kvd::Jemalloc = kvd::Jemalloc;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Parser)]
#[command(
    name = "kvbench",
    version,
    about = "Measures kvd against floors and peers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// kvd against a server with the same messages that answers from a plain map.
    ///
    /// Exit codes: 0, 1 a target was missed (with --check), 2 usage, 70 no figures.
    Floor(Box<FloorArgs>),
    /// Very many keys that end at the same moment, under load.
    ///
    /// Exit codes: 0, 1 a condition was violated (with --check), 2 usage, 70 no figures.
    Expiry(ExpiryArgs),
    /// Scans, beside etcd's Range.
    ///
    /// Exit codes: 0, 1 a condition was violated (with --check), 2 usage, 70 no figures,
    /// 77 etcd is missing.
    Scan(ScanArgs),
    /// Transactions, beside those of etcd and Redis.
    ///
    /// Exit codes: 0, 2 usage, 70 no figures, 77 a peer is missing.
    Txn(TxnArgs),
    /// Starting again with very many keys, beside Redis.
    ///
    /// Exit codes: 0, 1 a ratio was missed (with --check), 2 usage, 70 no figures,
    /// 77 Redis is missing.
    Restart(RestartArgs),
    /// Snapshots under full load, beside Redis.
    ///
    /// Exit codes: 0, 1 a ratio was missed (with --check), 2 usage, 70 no figures,
    /// 77 Redis is missing.
    Snapshot(SnapshotArgs),
    /// What a watcher that does not read costs the daemon, and whether it misses anything.
    ///
    /// Exit codes: 0, 1 a bound was missed (with --check), 2 usage, 70 no figures, or the
    /// watcher was told something else than what was written.
    Paused(PausedArgs),
    /// Very many watchers, beside etcd.
    ///
    /// Exit codes: 0, 1 a ratio was missed (with --check), 2 usage, 70 no figures,
    /// 77 etcd is missing.
    Watchers(WatchersArgs),
    /// Beside Redis and etcd, promise matched to promise.
    ///
    /// Exit codes: 0, 1 a ratio was missed (with --check), 2 usage, 70 no figures,
    /// 77 a peer is missing.
    Peers(PeersArgs),
    /// What it costs that the metrics are read.
    ///
    /// Exit codes: 0, 1 it is too much (with --check), 2 usage, 70 no figures.
    Metrics(MetricsArgs),
    /// Candidates for the ordered index and for the deadlines, without a daemon.
    ///
    /// Exit codes: 0, 2 usage, 70 no figures.
    Index(IndexArgs),
    /// The page of published figures and its plots, from what the others kept.
    ///
    /// Exit codes: 0, 1 the page is stale (with --check), 2 usage, 70 no figures.
    Report(ReportArgs),
    /// The floor itself; serves until its standard input ends.
    FloorServer {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Threads that serve connections.
        #[arg(long, default_value_t = 1)]
        runtimes: usize,
    },
}

/// A peer is missing: the report holds the rest.
const INCOMPLETE: u8 = 77;
/// There are no figures: something failed. Not 1, which is a missed target.
const FAILED: u8 = 70;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Floor(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || floor::run(*args))
        }
        Command::Expiry(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || expiry::run(&args))
        }
        Command::Scan(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || scan::run(args))
        }
        Command::Txn(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || txn::run(args))
        }
        Command::Restart(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            let keep = args.keep.results.clone();
            report(out, check, || kept(keep, restart::run(&args)))
        }
        Command::Snapshot(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            let keep = args.keep.results.clone();
            report(out, check, || kept(keep, snapshot::run(&args)))
        }
        Command::Paused(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || paused::run(&args))
        }
        Command::Watchers(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            let keep = args.keep.results.clone();
            report(out, check, || kept(keep, watchers::run(&args)))
        }
        Command::Peers(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            let keep = args.keep.results.clone();
            report(out, check, || kept(keep, rivals::run(&args)))
        }
        Command::Metrics(args) => {
            let (out, check) = (args.setup.out.clone(), args.setup.check);
            report(out, check, || metrics::run(&args))
        }
        Command::Index(args) => report(args.out.clone(), false, || micro::run(&args)),
        Command::Report(args) => publish(&args),
        Command::FloorServer { listen, runtimes } => {
            floor_server::run(listen, runtimes).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        child::say(&format!("kvbench: {error}"));
        ExitCode::from(FAILED)
    })
}

fn publish(args: &ReportArgs) -> Result<ExitCode> {
    let changed = publish::run(args)?;
    for path in &changed {
        child::say(path);
    }
    Ok(if args.is_stale(&changed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Keeps the figures of a report in `keep`.
fn kept(keep: Option<PathBuf>, report: Result<Report>) -> Result<Report> {
    let report = report?;
    if let (Some(path), Some(results)) = (keep, &report.results) {
        results.write(&path)?;
    }
    Ok(report)
}

/// Shows a report and keeps it in `out`; with `check`, what was missed is a failure.
fn report(
    out: Option<PathBuf>,
    check: bool,
    run: impl FnOnce() -> Result<Report>,
) -> Result<ExitCode> {
    interrupt::catch()?;
    let mut report = run()?;
    for missing in &report.missing {
        // Writing to a String cannot fail.
        let _ = writeln!(report.page, "\nNot measured: {missing}.");
    }
    let page = &report.page;
    write!(std::io::stdout(), "{page}")?;
    if let Some(path) = out {
        fs::write(&path, page).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    for miss in &report.misses {
        child::say(&format!("missed: {miss}"));
    }
    if check && !report.misses.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if report.missing.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::from(INCOMPLETE))
    }
}
