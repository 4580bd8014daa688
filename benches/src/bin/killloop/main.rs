//! Kills a real daemon in the middle of its work, again and again, and checks what
//! comes back.
//!
//! A cycle: start kvd on what the last one left, compare it with everything that was
//! ever answered, let 16 clients write with random durability, and send SIGKILL while
//! at least 8 requests have no answer. [`history`] says what must hold.
//!
//! With `--power PROGRAM` the disk is cut off instead, and the process killed a moment
//! later: then what was only LOGGED may be lost.
//!
//! Exit: 0 nothing was violated, 1 something was (stderr says what, with the cycle
//! and the seed), 2 usage.

mod history;
mod load;
mod power;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use kvbench::daemon::Daemon;
use kvbench::rng::Rng;

use history::History;
use power::Power;

/// A kill counts only if at least this many requests had no answer.
const UNANSWERED_MIN: usize = 8;
/// Policies in turn: none of them may lose what was acknowledged as LOGGED.
const POLICIES: [&str; 3] = ["always", "interval:20ms", "never"];

#[derive(Debug, Parser)]
#[command(about = "Kills kvd under load and checks what survives")]
struct Args {
    /// The daemon to kill
    #[arg(long, value_name = "PATH")]
    kvd: PathBuf,
    /// Directory for stores and logs; a new temporary one by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Kills that must count
    #[arg(long, default_value_t = 20)]
    cycles: u32,
    /// Of all random choices except the timing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin with an empty store after this many kills
    #[arg(long, default_value_t = 25)]
    fresh_every: u32,
    /// Fail unless at least one write acknowledged with NONE was lost
    #[arg(long)]
    must_lose: bool,
    /// This policy alone: always, interval:DURATION or never
    #[arg(long)]
    policy: Option<String>,
    /// Cut the disk off with this program, which is called with make, cut, again or drop and
    /// the store's directory
    #[arg(long, value_name = "PROGRAM")]
    power: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    kvbench::run("killloop", run(&args))
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::Builder::new().prefix("killloop-").tempdir()?;
    let root = args.dir.clone().unwrap_or_else(|| scratch.path().into());
    let mut totals = history::Totals::default();
    let mut done = 0;
    let mut store = 0;
    while done < args.cycles {
        let dir = root.join(format!("store-{store}"));
        store += 1;
        let kills = args.fresh_every.clamp(1, args.cycles - done);
        let power = args.power.clone().map(|program| Power { program });
        if let Some(power) = &power {
            std::fs::create_dir_all(&dir)?;
            power.tell("make", &dir)?;
        }
        let held = one_store(args, power.as_ref(), &dir, (done, kills), &mut totals).await;
        if let Some(power) = &power {
            power.tell("drop", &dir)?;
        }
        held?;
        std::fs::remove_dir_all(&dir)?;
        done += kills;
        let mut stderr = std::io::stderr();
        writeln!(stderr, "killloop: {done} of {} kills", args.cycles)?;
    }
    std::io::stdout().write_all(totals.report(args.seed).as_bytes())?;
    if args.must_lose && totals.lost_none() == 0 {
        return Err("no write acknowledged with NONE was lost: the kills did not bite".into());
    }
    Ok(())
}

/// Kills one store `kills` times and checks it after each.
async fn one_store(
    args: &Args,
    power: Option<&Power>,
    dir: &Path,
    (first, kills): (u32, u32),
    totals: &mut history::Totals,
) -> Result<(), Box<dyn Error>> {
    let history = History::shared(power.is_some());
    let (mut counted, mut attempt) = (0, 0);
    while counted < kills {
        if attempt > 3 * kills + 10 {
            return Err(format!(
                "{attempt} kills and only {counted} of them met {UNANSWERED_MIN} open requests"
            )
            .into());
        }
        let number = u64::from(first) * 1000 + u64::from(attempt);
        let seed = args.seed.wrapping_mul(1_000_003).wrapping_add(number);
        attempt += 1;
        let mut rng = Rng::new(seed);
        let policy = args.policy.as_deref().unwrap_or(*rng.pick(&POLICIES));
        let mut daemon = Daemon::start(&args.kvd, dir, policy)?;
        check(&history, &daemon, totals)
            .await
            .map_err(|what| at(first + counted, seed, policy, &what))?;
        let clients = load::start(daemon.endpoint(), &history, &mut rng).await?;
        tokio::time::sleep(Duration::from_millis(20 + rng.below(120))).await;
        history.wait_for_open(UNANSWERED_MIN).await?;
        if let Some(power) = power {
            // Clients go on meanwhile, and must not be told of anything that is lost.
            let (power, at) = (power.clone(), dir.to_owned());
            tokio::task::spawn_blocking(move || power.tell("cut", &at)).await??;
            tokio::time::sleep(Duration::from_millis(rng.below(30))).await;
        }
        daemon.kill()?;
        clients.ended().await;
        if let Some(power) = power {
            power.tell("again", dir)?;
        }
        let open = history.end_cycle(totals)?;
        if open >= UNANSWERED_MIN {
            counted += 1;
        }
    }
    let mut daemon = Daemon::start(&args.kvd, dir, "always")?;
    let what = check(&history, &daemon, totals).await;
    daemon.kill()?;
    what.map_err(|what| at(first + counted, args.seed, "always", &what))
}

async fn check(
    history: &history::Shared,
    daemon: &Daemon,
    totals: &mut history::Totals,
) -> Result<(), String> {
    let found = load::read_everything(daemon.endpoint())
        .await
        .map_err(|error| format!("cannot read the store back: {error}"))?;
    history.check(&found, totals)
}

fn at(cycle: u32, seed: u64, policy: &str, what: &str) -> Box<dyn Error> {
    format!("kill {cycle} (seed {seed}, policy {policy}): {what}").into()
}
