//! Is the real daemon linearizable, also when it is killed?
//!
//! A run: 8 to 32 clients do everything that is promised to be strictly serializable on
//! a handful of keys, with the policy `always`; the daemon is killed and restarted
//! several times meanwhile. What was asked and answered is recorded outside the server,
//! in [`history`], and looked at afterwards by [`check`]. Operations of which nobody
//! knows what became of them are part of it; a run with kills counts only if they are
//! at least 1 % of all.
//!
//! Exit: 0 nothing was violated, 1 something was (stderr says what, with the seed, and
//! where the history is), 2 usage.

mod check;
mod clients;
mod etcd;
mod generate;
mod history;
mod json;
mod op;
mod persisted;
mod run;
mod totals;
mod watchers;
mod wire;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use kvbench::daemon::Daemon;

use check::{Kind, Report};
use generate::Mix;
use persisted::Log;
use run::{Plan, Recorded};
use totals::{Run, Totals};

/// Runs that share a store, so that kills also meet one with a past.
const RUNS_PER_STORE: usize = 10;
/// Violations of one kind that are printed; the history has all.
const MOST: usize = 3;

#[derive(Debug, Parser)]
#[command(about = "Checks that kvd is linearizable, also across kill -9")]
struct Args {
    /// The daemon to check
    #[arg(long, value_name = "PATH")]
    kvd: PathBuf,
    /// Directory for stores and logs; a new temporary one by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Runs that must count
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Of all random choices except the timing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every history into a directory of its own in here
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// No kills, and only what the model of etcd's robustness tests knows, so that its
    /// validators read the whole history
    #[arg(long)]
    etcd: bool,
    /// With --etcd and --history: so many watchers, and kills, with what they were told and
    /// what the log holds written beside the operations
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "etcd",
        requires = "history"
    )]
    watchers: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    kvbench::run("linear", all(&args))
}

async fn all(args: &Args) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::Builder::new().prefix("linear-").tempdir()?;
    let root = args.dir.clone().unwrap_or_else(|| scratch.path().into());
    let mix = mix(args, &root.join("probe")).await?;
    let mut totals = Totals::new(args.seed);
    let (mut counted, mut number) = (0, 0);
    while counted < args.runs {
        if number > 2 * args.runs + 10 {
            return Err(format!("of {number} runs only {counted} had 1 % undecided").into());
        }
        let seed = args
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number as u64);
        let plan = Plan::new(number, seed, mix, args.watchers);
        // Their model begins with an empty store.
        let runs = if args.etcd { 1 } else { RUNS_PER_STORE };
        let dir = root.join(format!("store-{}", number / runs));
        if number.is_multiple_of(runs) && dir.exists() {
            return Err(format!("{} is there already", dir.display()).into());
        }
        let run = one(args, &dir, number, &plan).await?;
        counted += usize::from(run.counts());
        writeln!(std::io::stderr(), "linear: run {number}: {run}")?;
        totals.add(&run);
        number += 1;
        if number.is_multiple_of(runs) {
            std::fs::remove_dir_all(&dir)?;
        }
    }
    std::io::stdout().write_all(totals.report().as_bytes())?;
    Ok(())
}

/// What this daemon can be asked for.
async fn mix(args: &Args, dir: &Path) -> Result<Mix, Box<dyn Error>> {
    let daemon = Daemon::start(&args.kvd, dir, "always")?;
    let (mut mix, lacks) = run::probe(daemon.endpoint()).await?;
    drop(daemon);
    if args.etcd {
        mix.etcd = true;
        mix.increment = false;
        mix.expire = false;
    }
    if !lacks.is_empty() {
        let lacks = lacks.join(", ");
        writeln!(
            std::io::stderr(),
            "linear: left out, the daemon lacks it: {lacks}"
        )?;
    }
    Ok(mix)
}

async fn one(args: &Args, store: &Path, number: usize, plan: &Plan) -> Result<Run, Box<dyn Error>> {
    let Recorded {
        ops,
        kills,
        watches,
    } = run::run(&args.kvd, store, plan)
        .await
        .map_err(|error| format!("run {number} (seed {}): {error}", plan.seed))?;
    let started = Instant::now();
    let Report {
        violations,
        applied,
    } = check::check(&ops, plan.keys);
    let took = started.elapsed();
    let keep = |root: &Path| -> Result<PathBuf, Box<dyn Error>> {
        let dir = root.join(format!("run-{number}"));
        json::write(&dir, &ops)?;
        let log = Log::read(&args.kvd, store)?;
        etcd::write(&dir, &plan.prefix, &log, &ops)?;
        etcd::write_watches(&dir, &plan.prefix, &log, &watches)?;
        Ok(dir)
    };
    if let Some(root) = &args.history {
        keep(root)?;
    }
    if violations.is_empty() {
        return Ok(Run::new(plan, &ops, kills, applied, took));
    }
    let root = match &args.history {
        Some(root) => root.clone(),
        None => tempfile::Builder::new()
            .prefix("linear-violation-")
            .tempdir()?
            .keep(),
    };
    let dir = keep(&root)?;
    let mut text = format!(
        "run {number} (seed {}, {} clients, {} keys, {kills} kills): {} violations, history in {}",
        plan.seed,
        plan.clients,
        plan.keys,
        violations.len(),
        dir.display()
    );
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for violation in &violations {
        let printed = kinds.entry(violation.kind).or_default();
        *printed += 1;
        if *printed > MOST {
            continue;
        }
        let _ = write!(text, "\n  {:?}: {}", violation.kind, violation.what);
        for &id in &violation.ops {
            let _ = write!(text, "\n    {id}: {}", ops[id]);
        }
    }
    Err(text.into())
}
