//! Counts to 100,000 over a line that loses every fifth reply, on a daemon that is
//! killed every two seconds.
//!
//! Each increment carries a request id and is repeated with it until it is answered. So
//! at the end the counter must be exactly the count, every answered value and revision
//! must be another, and no repeat may say anything else than the reply that was lost.
//!
//! `--without-ids` is the test of this test: the same clients without request ids must
//! be able to get the counter wrong, so the run succeeds only if they do.
//!
//! Exit: 0 as it must be, 1 not, 2 usage.

mod clients;
mod proxy;
mod service;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use kvbench::daemon::Daemon;
use kvbench::rng::Rng;
use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use clients::{Job, Told};
use proxy::{Counts, Proxy};

const KEY: &str = "counter";

#[derive(Debug, Parser)]
#[command(about = "Counts exactly, although replies get lost and kvd is killed")]
struct Args {
    /// The daemon to count on
    #[arg(long, value_name = "PATH")]
    kvd: PathBuf,
    /// Directory for the store and its log; a new temporary one by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Increments
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Clients, each with a connection of its own
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Replies of a hundred that get lost
    #[arg(long, default_value_t = 20)]
    drop_percent: u64,
    /// Time between kills in ms
    #[arg(long, default_value_t = 2_000)]
    kill_every_ms: u64,
    /// Of all random choices except the timing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the request ids out, and fail if the counter is right nevertheless
    #[arg(long)]
    without_ids: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    kvbench::run("counter", run(&args))
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::Builder::new().prefix("counter-").tempdir()?;
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| scratch.path().into())
        .join("store");
    let (daemon, line) = watch::channel(None);
    let proxy = Arc::new(Proxy::new(line, args.drop_percent, args.seed));
    let (address, serving) = service::serve(proxy.clone()).await?;
    let mut host = Host::start(&args.kvd, &dir, daemon).await?;
    let job = Job::new(KEY, !args.without_ids, args.count);
    let started = Instant::now();
    let counting = count(&job, address, args.clients, args.seed);
    tokio::pin!(counting);
    let every = Duration::from_millis(args.kill_every_ms);
    let mut kills = 0_u64;
    loop {
        tokio::select! {
            done = &mut counting => { done?; break }
            () = tokio::time::sleep(every) => { host.restart().await?; kills += 1 }
        }
    }
    let took = started.elapsed();
    serving.abort();
    // What counts is what is still there after one more.
    host.restart().await?;
    let counter = host.read().await?;
    let told = job.told.borrow();
    let verdict = verdict(args.count, counter, &told, proxy.counts());
    let report = report(args, counter, &told, proxy.counts(), kills, took);
    std::io::stdout().write_all(report.as_bytes())?;
    match (verdict, args.without_ids) {
        (Ok(()), true) => Err("right without request ids: this test could not fail".into()),
        (Err(what), false) => Err(what.into()),
        _ => Ok(()),
    }
}

/// Sets the clients to work and waits until all increments are answered.
async fn count(job: &Job, proxy: SocketAddr, clients: usize, seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed.wrapping_add(1));
    let tasks: Vec<JoinHandle<_>> = (0..clients)
        .map(|_| tokio::task::spawn_local(job.clone().work(proxy, Rng::new(rng.bits()))))
        .collect();
    for task in tasks {
        // A panic in a client is a bug of this program and must not pass.
        task.await.expect("clients do not panic")?;
    }
    Ok(())
}

/// Whether the count is exact.
fn verdict(count: u64, counter: i64, told: &Told, counts: Counts) -> Result<(), String> {
    let mut wrong = Vec::new();
    if u64::try_from(counter) != Ok(count) {
        wrong.push(format!("the counter is {counter} after {count} increments"));
    }
    for (name, list) in [("values", &told.values), ("revisions", &told.revisions)] {
        let distinct: HashSet<i64> = list.iter().copied().collect();
        if distinct.len() != list.len() || list.len() as u64 != count {
            let (all, distinct) = (list.len(), distinct.len());
            wrong.push(format!("{all} answers hold {distinct} different {name}"));
        }
    }
    if counts.contradictions > 0 {
        let count = counts.contradictions;
        wrong.push(format!(
            "{count} repeats were answered otherwise than before"
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("; "))
}

fn report(
    args: &Args,
    counter: i64,
    told: &Told,
    line: Counts,
    kills: u64,
    took: Duration,
) -> String {
    let ids = if args.without_ids { "without" } else { "with" };
    let mut text = format!(
        "seed {}, {} increments {ids} request ids by {} clients, {kills} kills, {} s\n\n",
        args.seed,
        args.count,
        args.clients,
        took.as_secs()
    );
    let rows = [
        ("counter at the end", counter.to_string()),
        ("requests", line.requests.to_string()),
        ("repeats", told.retries.to_string()),
        ("replies dropped", line.dropped.to_string()),
        (
            "requests that met no daemon or lost it",
            line.failed.to_string(),
        ),
        ("answers from memory", line.replayed.to_string()),
        ("of these delivered", told.replayed.to_string()),
        (
            "answers that contradict an earlier one",
            line.contradictions.to_string(),
        ),
    ];
    text.push_str("| what | number |\n| --- | --- |\n");
    for (what, number) in rows {
        let _ = writeln!(text, "| {what} | {number} |");
    }
    text
}

/// The daemon and the line to it.
struct Host {
    kvd: PathBuf,
    dir: PathBuf,
    daemon: Option<Daemon>,
    line: watch::Sender<Option<KvServiceClient<Channel>>>,
}

impl Host {
    async fn start(
        kvd: &Path,
        dir: &Path,
        line: watch::Sender<Option<KvServiceClient<Channel>>>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut host = Self {
            kvd: kvd.into(),
            dir: dir.into(),
            daemon: None,
            line,
        };
        host.restart().await?;
        Ok(host)
    }

    /// SIGKILL, and a new one on the same store, while clients and proxy go on.
    async fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        let (kvd, dir, old) = (self.kvd.clone(), self.dir.clone(), self.daemon.take());
        let new = tokio::task::spawn_blocking(move || {
            if let Some(mut old) = old {
                old.kill()?;
            }
            Daemon::start(&kvd, &dir, "always")
        });
        let new = new.await??;
        self.line.send_replace(Some(proxy::client(new.endpoint())?));
        self.daemon = Some(new);
        Ok(())
    }

    async fn read(&self) -> Result<i64, Box<dyn Error>> {
        let client = self.line.borrow().clone();
        let mut client = client.ok_or("no daemon")?;
        let request = v1::GetRequest {
            key: KEY.into(),
            options: None,
        };
        let record = client.get(request).await?.into_inner().record;
        let record = record.ok_or("there is no counter")?;
        Ok(std::str::from_utf8(&record.value)?.parse()?)
    }
}
