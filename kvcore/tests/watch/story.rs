//! One seed's story: a store that is written to, cut off, restarted, filled up and compacted,
//! and clients that are slow, pause, go away and come back.

use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::base::op::Cause;
use kvcore::disk::{SimDisk, SimRng};
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn as LogTurn;
use kvcore::watch::{Budget, EventKind, Filter, Level, OnCompacted, Want};
use kvcore::{Engine, Environment, KeyRange, OpenErrorKind, Options, SyncPolicy};

use crate::client::{Client, Dispatchers, Went};
use crate::pages::Pages;
use crate::simulated;
use crate::tally::Tally;
use crate::truth::Truth;

const LIVES: u64 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) policy: SyncPolicy,
    pub(crate) verbose: bool,
}

pub(crate) struct Life {
    pub(crate) engine: Engine,
    pub(crate) writer: LogWriter,
    dispatchers: Dispatchers,
}

pub(crate) struct Story<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) rng: SimRng,
    clock: Arc<ManualClock>,
    disk: SimDisk,
    options: Options,
    pub(crate) truth: Truth,
    clients: Vec<Client>,
    pub(crate) tally: Tally,
}

/// Tells the story of a seed; an error is a broken promise.
pub(crate) fn tell(plan: &Plan) -> Result<Tally, String> {
    let mut rng = SimRng::new(plan.seed);
    let options = options(plan.policy, &mut rng);
    let clients = (0..5).map(|_| client(&mut rng)).collect();
    let mut story = Story {
        plan,
        rng,
        clock: Arc::default(),
        disk: SimDisk::new(plan.seed),
        options,
        truth: Truth::default(),
        clients,
        tally: Tally {
            stories: 1,
            ..Tally::default()
        },
    };
    let result = story.live_on();
    if plan.verbose {
        for line in story.disk.history() {
            println!("{line}");
        }
    }
    for client in &story.clients {
        story.tally.saw(&client.seen);
    }
    result.map(|()| story.tally)
}

fn options(policy: SyncPolicy, rng: &mut SimRng) -> Options {
    let mut options = simulated::options();
    options.policy = policy;
    options.retain.bytes = rng.below(3) * (24 << 10);
    options.watch_ring_bytes = [0, 700, 4 << 10, 1 << 20][small(rng.below(4))];
    options
}

fn client(rng: &mut SimRng) -> Client {
    let range = match rng.below(5) {
        0 | 1 => KeyRange::all(),
        2 => KeyRange::prefix(b"a/"),
        3 => KeyRange::key(b"a/1"),
        _ => KeyRange::span(b"a/2", b"b/2"),
    };
    let mut filter = Filter {
        previous: rng.chance(1, 2),
        ..Filter::default()
    };
    match rng.below(6) {
        0 => filter = filter.without_kind(EventKind::Delete),
        1 => filter = filter.without(Cause::Written),
        _ => {}
    }
    let level = if rng.chance(2, 3) {
        Level::Durable
    } else {
        Level::Latest
    };
    let on_compacted = if rng.chance(1, 2) {
        OnCompacted::Resync
    } else {
        OnCompacted::Cancel
    };
    let want = Want {
        range,
        filter,
        level,
        on_compacted,
    };
    Client::new(want, rng.chance(1, 2))
}

fn small(number: u64) -> usize {
    usize::try_from(number).expect("small")
}

impl Story<'_> {
    fn live_on(&mut self) -> Result<(), String> {
        for _ in 0..LIVES {
            let Some(mut life) = self.open()? else {
                self.tally.power_cuts += 1;
                self.disk = self.disk.crash(self.rng.next_u64());
                continue;
            };
            self.act(&mut life)?;
            self.end(life);
        }
        let mut life = loop {
            if let Some(life) = self.open()? {
                break life;
            }
            self.disk = self.disk.crash(self.rng.next_u64());
        };
        self.catch_up(&mut life)
    }

    /// None: the power went.
    fn open(&mut self) -> Result<Option<Life>, String> {
        // Whoever starts a store on a full disk has made room.
        self.disk.set_capacity(None);
        let environment = Environment {
            disk: Arc::new(self.disk.clone()),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(self.rng.next_u64())),
        };
        let opened = Engine::open_manual(self.options.clone(), &environment);
        let (engine, writer) = match opened {
            Ok(opened) => opened,
            Err(error) if self.disk.power_is_cut() && error.kind() == OpenErrorKind::Io => {
                return Ok(None);
            }
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        engine.fill_spares();
        let recovered = engine.store_revision();
        self.truth.forget_after(recovered);
        for client in &mut self.clients {
            client.recovered(recovered);
        }
        let dispatchers = Dispatchers::new(&engine);
        Ok(Some(Life {
            engine,
            writer,
            dispatchers,
        }))
    }

    fn act(&mut self, life: &mut Life) -> Result<(), String> {
        if self.rng.chance(1, 3) {
            self.disk.cut_power_after(300 + self.rng.below(900));
        }
        if self.rng.chance(1, 5) {
            self.disk.fail_sync_at(self.rng.below(40));
        }
        if self.rng.chance(1, 5) {
            let more = self.rng.below(96 << 10);
            self.disk.set_capacity(Some(self.disk.allocated() + more));
        }
        let steps = 150 + self.rng.below(350);
        for _ in 0..steps {
            match self.rng.below(20) {
                0..=8 => self.write(life)?,
                9..=12 => {
                    for _ in 0..=self.rng.below(3) {
                        let _turn = life.writer.turn();
                    }
                }
                13..=16 => self.client_turns(life)?,
                17 if self.rng.chance(1, 4) => self.snapshot(life),
                17 => life.dispatchers.run(),
                18 => self.burst(life)?,
                _ => {
                    self.clock.advance(self.rng.below(15));
                    life.engine.fill_spares();
                    self.sweep(life);
                }
            }
            if self.disk.power_is_cut() {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self, mut life: Life) {
        for client in &mut self.clients {
            client.disconnect();
        }
        self.tally.log_reads += life
            .engine
            .watches()
            .counters
            .log_reads
            .load(std::sync::atomic::Ordering::Relaxed);
        let healthy = !self.disk.power_is_cut() && life.engine.watermark().failure().is_none();
        self.tally.poisoned += u64::from(life.engine.watermark().failure().is_some());
        if healthy && self.rng.chance(1, 3) {
            life.engine.fill_spares();
            life.engine.close_manual(&mut life.writer);
            drop(life);
            self.tally.closes += 1;
            self.disk = self.disk.crash(self.rng.next_u64());
        } else if healthy && self.rng.chance(1, 2) {
            drop(life);
            self.tally.kills += 1;
            self.disk = self.disk.kill();
        } else {
            drop(life);
            self.tally.power_cuts += 1;
            self.disk = self.disk.crash(self.rng.next_u64());
        }
    }

    /// Everything that was written becomes durable, and every client hears of it.
    fn catch_up(&mut self, life: &mut Life) -> Result<(), String> {
        life.engine.fill_spares();
        for _ in 0..2000 {
            let newest = life.engine.store_revision();
            life.engine.watermark().want_sync(newest);
            while life.writer.turn() == LogTurn::Worked {
                life.engine.fill_spares();
            }
            life.dispatchers.run();
            let mut idle = true;
            for at in 0..self.clients.len() {
                for _ in 0..64 {
                    match self.client_turn(life, at)? {
                        Went::Idle if self.clients[at].is_connected() => break,
                        _ => idle = false,
                    }
                }
            }
            if idle && life.engine.store_revision() == newest {
                let behind = self
                    .clients
                    .iter()
                    .find(|client| client.position < Some(newest));
                return match behind {
                    None => Ok(()),
                    Some(client) => Err(format!(
                        "{:?} stays at {:?} of {newest}",
                        client.want, client.position
                    )),
                };
            }
        }
        Err("the clients do not catch up".into())
    }

    fn client_turns(&mut self, life: &mut Life) -> Result<(), String> {
        if self.rng.chance(3, 4) {
            life.dispatchers.run();
        }
        // Some are slow, some pause: who has a turn is left to chance.
        let at = small(self.rng.below(self.clients.len() as u64));
        if self.rng.chance(1, 12) {
            self.clients[at].disconnect();
        }
        for _ in 0..self.rng.below(12) {
            self.client_turn(life, at)?;
        }
        Ok(())
    }

    fn client_turn(&mut self, life: &Life, at: usize) -> Result<Went, String> {
        let budget = Budget {
            events: small(1 + self.rng.below(40)),
            bytes: small(300 + self.rng.below(4000)),
        };
        let client = &mut self.clients[at];
        if !client.is_connected() {
            client.connect(&life.engine, &self.truth, Some(&life.dispatchers))?;
        }
        let pages = Pages::of(&life.engine);
        let went = client.turn(&life.engine, &pages, &self.truth, budget);
        for (revision, record) in pages.removed() {
            self.truth.add(revision, record.key(), Cause::Expired, None);
        }
        let went = went?;
        if let Went::Waits(revision) = went {
            life.engine.watermark().want_sync(revision);
        }
        Ok(went)
    }

    fn snapshot(&mut self, life: &mut Life) {
        let engine = life.engine.clone();
        let Ok(draft) = engine.draft_snapshot(&mut || ()) else {
            return;
        };
        engine.watermark().want_sync(draft.end());
        for _ in 0..50 {
            let _turn = life.writer.turn();
        }
        self.tally.snapshots += u64::from(engine.publish_snapshot(draft).is_ok());
    }

    /// Many units at once, more than a client keeps in mind.
    fn burst(&mut self, life: &mut Life) -> Result<(), String> {
        if self.rng.chance(2, 3) {
            return self.write(life);
        }
        for _ in 0..90 {
            self.set(life, self.plan.seed.is_multiple_of(2))?;
            if self.rng.chance(1, 8) {
                let _turn = life.writer.turn();
                life.engine.fill_spares();
            }
        }
        Ok(())
    }
}
