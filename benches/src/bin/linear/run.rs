//! One run: clients at work on a real daemon, which is killed and restarted meanwhile.

use std::cell::Cell;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kvbench::daemon::Daemon;
use kvbench::rng::Rng;
use kvproto::v1;
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::sync::watch;
use tonic::transport::Endpoint;

use super::clients::{Running, Worker};
use super::generate::{Generator, Mix};
use super::history::{History, wall};
use super::op::{Action, Op, Outcome, Step};
use super::watchers::{Watched, Watcher, Watches};
use super::wire::Wire;

/// Nothing here takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be done in one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    pub(crate) kills: usize,
    pub(crate) watchers: usize,
    pub(crate) mix: Mix,
    /// Keys of other runs in the same store begin otherwise.
    pub(crate) prefix: String,
}

impl Plan {
    /// What the seed says. Every fourth run goes without kills and with all levels of
    /// durability: a crash may take back what was not synced, and then all bets are off.
    pub(crate) fn new(number: usize, seed: u64, mix: Mix, watchers: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut size = |from: usize, to: u64| from + usize::try_from(rng.below(to)).unwrap_or(0);
        let kills = size(3, 3);
        let mut mix = mix;
        mix.txn_delete = !mix.etcd || number.is_multiple_of(4);
        Self {
            seed,
            // Their search takes long with many.
            clients: size(8, if mix.etcd { 5 } else { 25 }),
            keys: size(3, 4),
            kills: match (mix.etcd, number % 4) {
                // Each kill leaves operations of which nobody knows, and these cost them most.
                (true, 1..) if watchers > 0 => 2,
                (true, _) | (_, 3) => 0,
                _ => kills,
            },
            watchers,
            mix,
            prefix: format!("l{number:05}/"),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) ops: Vec<Op>,
    pub(crate) kills: usize,
    pub(crate) watches: Vec<Watched>,
}

/// The daemon with all that its clients need to find it.
struct Host<'a> {
    kvd: &'a Path,
    dir: &'a Path,
    history: History,
    running: watch::Sender<Running>,
    daemon: Daemon,
    number: usize,
}

impl Host<'_> {
    fn kill(&mut self) -> Result<(), Box<dyn Error>> {
        self.running.send_replace(None);
        self.daemon.kill()?;
        self.history.died(self.number);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        self.daemon = Daemon::start(self.kvd, self.dir, "always")?;
        self.number += 1;
        let running = (self.number, self.daemon.endpoint().to_owned());
        self.running.send_replace(Some(running));
        Ok(())
    }

    /// Waits until so many operations have been answered.
    async fn answered(&self, count: usize) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        while self.history.answered() < count {
            if started.elapsed() > PATIENCE {
                return Err(format!("only {} operations answered", self.history.answered()).into());
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        Ok(())
    }
}

/// Carries out a plan on the store in `dir`.
pub(crate) async fn run(kvd: &Path, dir: &Path, plan: &Plan) -> Result<Recorded, Box<dyn Error>> {
    let daemon = Daemon::start(kvd, dir, "always")?;
    let (running, watcher) = watch::channel(Some((0, daemon.endpoint().to_owned())));
    let mut host = Host {
        kvd,
        dir,
        history: History::new(),
        running,
        daemon,
        number: 0,
    };
    let watches = Watches::default();
    let watching = watching(plan, &host, &watcher, &watches);
    read_all(&host, plan).await?;
    let mut rng = Rng::new(plan.seed.wrapping_add(1));
    let stop = Rc::new(Cell::new(false));
    let workers = workers(plan, &host, &watcher, &mut rng, &stop);
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|worker| tokio::task::spawn_local(worker.work()))
        .collect();
    let mut share = || plan.clients * (8 + usize::try_from(rng.below(24)).unwrap_or(0));
    for _ in 0..plan.kills {
        host.answered(host.history.answered() + share()).await?;
        host.kill()?;
        host.restart()?;
    }
    let last = if plan.kills == 0 {
        plan.clients * 60
    } else {
        share()
    };
    host.answered(host.history.answered() + last).await?;
    if plan.kills > 0 {
        // The last one is met at work, too.
        host.kill()?;
        stop.set(true);
        host.restart()?;
    }
    stop.set(true);
    for task in tasks {
        // A panic in a client is a bug of this program and must not pass.
        task.await.expect("clients do not panic");
    }
    let revision = read_all(&host, plan).await?;
    caught_up(&watches, revision).await?;
    for (stop, task) in watching {
        stop.set(true);
        // It may wait for a message that does not come.
        task.abort();
    }
    host.kill()?;
    Ok(Recorded {
        ops: host.history.finish(),
        watches: watches.finish(),
        kills: if plan.kills == 0 { 0 } else { plan.kills + 1 },
    })
}

type Watching = (Rc<Cell<bool>>, tokio::task::JoinHandle<()>);

fn watching(
    plan: &Plan,
    host: &Host<'_>,
    running: &watch::Receiver<Running>,
    watches: &Watches,
) -> Vec<Watching> {
    let start = |number| {
        let history = &host.history;
        let watcher = Watcher::new(number, &plan.prefix, plan.keys, history, running, watches);
        let stop = watcher.stopper();
        (stop, tokio::task::spawn_local(watcher.work()))
    };
    (0..plan.watchers).map(start).collect()
}

/// A watch that lost something may also never end: all have to be told of all.
async fn caught_up(watches: &Watches, revision: i64) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while !watches.all_reached(revision)? {
        if started.elapsed() > PATIENCE {
            return Err(format!("not every watcher was told of revision {revision}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn workers(
    plan: &Plan,
    host: &Host<'_>,
    watcher: &watch::Receiver<Running>,
    rng: &mut Rng,
    stop: &Rc<Cell<bool>>,
) -> Vec<Worker> {
    let tokens = Rc::new(Cell::new(0));
    let wall = wall();
    let mut workers = Vec::new();
    for _ in 0..plan.clients {
        let (durability, level) = if plan.kills > 0 || plan.watchers > 0 {
            (v1::Durability::Synced, v1::ReadLevel::Durable)
        } else {
            let durability = *rng.pick(&[
                v1::Durability::None,
                v1::Durability::Logged,
                v1::Durability::Synced,
            ]);
            let level = *rng.pick(&[v1::ReadLevel::Durable, v1::ReadLevel::Latest]);
            (durability, level)
        };
        workers.push(Worker {
            history: host.history.clone(),
            generator: Generator {
                rng: Rng::new(rng.bits()),
                mix: plan.mix,
                keys: plan.keys,
                tokens: tokens.clone(),
                wall,
            },
            wire: Wire {
                prefix: plan.prefix.clone(),
                durability,
                level,
            },
            running: watcher.clone(),
            stop: stop.clone(),
        });
    }
    workers
}

/// What is there before and at the end counts like any other read. In etcd's form
/// a history is only accepted if a read shows that the store was new. Gives the newest
/// revision that they were told of.
async fn read_all(host: &Host<'_>, plan: &Plan) -> Result<i64, Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(host.daemon.endpoint().to_owned())?;
    let mut client = KvServiceClient::new(endpoint.connect().await?);
    let wire = Wire {
        prefix: plan.prefix.clone(),
        durability: v1::Durability::Synced,
        level: v1::ReadLevel::Durable,
    };
    let process = host.history.process();
    let get = |key| Action::One {
        key,
        step: Step::Get,
        condition: None,
        previous: false,
    };
    let mut newest = 0;
    let all = Action::BatchGet((0..plan.keys).collect());
    for action in (0..plan.keys).map(get).chain([all]) {
        let id = host.history.invoke(process, host.number, action.clone());
        let outcome = wire.call(&mut client, &action).await;
        if let Outcome::Answered(_, header) = &outcome {
            newest = newest.max(header.durable);
        }
        host.history.outcome(id, outcome);
    }
    Ok(newest)
}

/// What the daemon can do of what is asked for here, and what it lacks.
pub(crate) async fn probe(endpoint: &str) -> Result<(Mix, Vec<&'static str>), Box<dyn Error>> {
    let channel = Endpoint::from_shared(endpoint.to_owned())?
        .connect()
        .await?;
    let request = v1::GetCapabilitiesRequest::default();
    let mut admin = AdminServiceClient::new(channel);
    let reply = admin.get_capabilities(request).await?.into_inner();
    let mut lacks = Vec::new();
    let mut has = |capability: v1::Capability, name| {
        let has = reply.capabilities.contains(&capability.into());
        if !has {
            lacks.push(name);
        }
        has
    };
    let mix = Mix {
        increment: has(v1::Capability::Increment, "Increment"),
        expire: has(v1::Capability::Ttl, "expiries"),
        txn: has(v1::Capability::Txn, "Txn"),
        range: has(v1::Capability::TxnRange, "ranges in Txn"),
        version: has(v1::Capability::ConditionVersion, "tests of a version"),
        value: has(v1::Capability::ConditionValue, "tests of a value"),
        created: has(
            v1::Capability::ConditionCreateRevision,
            "tests of create_revision",
        ),
        previous: has(v1::Capability::ReturnPrevious, "return_previous"),
        etcd: false,
        txn_delete: true,
    };
    Ok((mix, lacks))
}
