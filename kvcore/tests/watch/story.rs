//! One seed's story: a store that is written to, cut off, restarted, filled up and compacted,
//! and clients that are slow, pause, go away and come back.

use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::base::op::Cause;
use kvcore::disk::{SimDisk, SimRng};
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn as LogTurn;
use kvcore::watch::{Budget, EventKind, Filter, Level, OnCompacted, Page, Source, Want};
use kvcore::{
    Admitted, Attempt, Engine, Environment, Error, Expiry, KeyRange, Limits, Mutation,
    OpenErrorKind, Options, PageLimit, Prepared, Record, Revision, SyncPolicy,
};

use crate::client::{Client, Dispatchers, Seen, Went};
use crate::truth::Truth;

const LIVES: u64 = 4;
const KEYS: u64 = 9;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) policy: SyncPolicy,
    pub(crate) verbose: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) stories: u64,
    pub(crate) units: u64,
    pub(crate) power_cuts: u64,
    pub(crate) kills: u64,
    pub(crate) closes: u64,
    pub(crate) poisoned: u64,
    pub(crate) no_space: u64,
    pub(crate) snapshots: u64,
    pub(crate) log_reads: u64,
    pub(crate) seen: Seen,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.units += other.units;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.closes += other.closes;
        self.poisoned += other.poisoned;
        self.no_space += other.no_space;
        self.snapshots += other.snapshots;
        self.log_reads += other.log_reads;
        self.saw(&other.seen);
    }

    fn saw(&mut self, seen: &Seen) {
        let all = &mut self.seen;
        all.events += seen.events;
        all.fragments += seen.fragments;
        all.resyncs += seen.resyncs;
        all.compactions += seen.compactions;
        all.lost += seen.lost;
        all.resumed += seen.resumed;
        all.mirrors += seen.mirrors;
        all.previous += seen.previous;
        all.previous_unavailable += seen.previous_unavailable;
        all.values_unavailable += seen.values_unavailable;
        all.refused_state += seen.refused_state;
    }
}

struct Life {
    engine: Engine,
    writer: LogWriter,
    dispatchers: Dispatchers,
}

struct Story<'a> {
    plan: &'a Plan,
    rng: SimRng,
    clock: Arc<ManualClock>,
    disk: SimDisk,
    options: Options,
    truth: Truth,
    clients: Vec<Client>,
    tally: Tally,
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
    let mut options = Options::new("/simulated");
    options.policy = policy;
    options.segment_bytes = 16 << 10;
    options.shards = 4;
    options.replay_threads = 1;
    options.snapshots.rate = None;
    options.retain.bytes = rng.below(3) * (24 << 10);
    options.watch_ring_bytes = [0, 700, 4 << 10, 1 << 20][small(rng.below(4))];
    options.limits = Limits {
        key_bytes: 16,
        value_bytes: 2048,
        unit_operations: 4,
        unit_bytes: 2200,
        in_flight_units: 64,
        in_flight_bytes: 64 << 10,
        ..Limits::default()
    };
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

/// The store as the watches of the story see it: expired records leave by the door.
struct Pages<'a> {
    engine: &'a Engine,
    removed: std::cell::RefCell<Vec<(Revision, Record)>>,
}

impl Source for Pages<'_> {
    fn newest(&self) -> Revision {
        self.engine.store_revision()
    }

    fn page(&self, range: &KeyRange, after: Option<&[u8]>, budget: Budget) -> Result<Page, String> {
        let limit = PageLimit {
            records: budget.events,
            bytes: budget.bytes,
        };
        let look = self
            .engine
            .look_page(range, after, false, limit)
            .expect("within the limits");
        let mut revealed = look.revealed;
        for due in look.due {
            let revision = remove(self.engine, &due).ok_or("no removal is taken now")?;
            revealed = revealed.max(revision);
            self.removed.borrow_mut().push((revision, due));
        }
        Ok(Page {
            records: look.value.records,
            next: look.value.next,
            revealed,
        })
    }
}

/// Takes one expired record away; the revision of that. None: refused.
fn remove(engine: &Engine, due: &Record) -> Option<Revision> {
    let prepared = engine.prepare_removal(std::slice::from_ref(due)).pop()?;
    let before = engine.store_revision();
    let revision = engine
        .commit_removal(engine.try_admit(prepared).ok()?)
        .ok()?;
    (revision > before || engine.store_revision() > before).then_some(revision)
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
        let pages = Pages {
            engine: &life.engine,
            removed: std::cell::RefCell::default(),
        };
        let went = client.turn(&life.engine, &pages, &self.truth, budget);
        for (revision, record) in pages.removed.into_inner() {
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

    fn key(&mut self) -> Vec<u8> {
        let prefix = if self.rng.chance(2, 3) { 'a' } else { 'b' };
        format!("{prefix}/{}", self.rng.below(KEYS / 2 + 1)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let len = if self.rng.chance(1, 6) {
            self.rng.below(2000)
        } else {
            self.rng.below(40)
        };
        let byte = self.rng.below(255).to_le_bytes()[0];
        vec![byte; usize::try_from(len).expect("small")]
    }

    fn write(&mut self, life: &mut Life) -> Result<(), String> {
        match self.rng.below(10) {
            0..=3 => self.set(life, false),
            4 => {
                self.delete(life);
                Ok(())
            }
            5..=6 => self.several(life),
            7..=8 => self.expire(life),
            _ => {
                self.delete_range(life);
                Ok(())
            }
        }
    }

    fn set(&mut self, life: &mut Life, one_key: bool) -> Result<(), String> {
        let key = if one_key { b"a/1".to_vec() } else { self.key() };
        let value = self.value();
        let expiry = if self.rng.chance(1, 3) {
            Expiry::After(1 + self.rng.below(60))
        } else {
            Expiry::Never
        };
        let mutation = Mutation::set_until(&key, &value, expiry);
        let prepared = life
            .engine
            .prepare(&mutation, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit) else {
            return Ok(());
        };
        let record = outcome.record.ok_or("a set without a record")?;
        self.changed(outcome.revision, &key, Cause::Written, Some(record));
        Ok(())
    }

    fn delete(&mut self, life: &mut Life) {
        let key = self.key();
        let prepared = life
            .engine
            .prepare(&Mutation::delete(&key), None)
            .expect("within the limits");
        let outcome = self.commit(life, prepared, Engine::commit);
        if let Some(outcome) = outcome.filter(|outcome| outcome.revision != Revision::NONE) {
            self.changed(outcome.revision, &key, Cause::Deleted, None);
        }
    }

    fn expire(&mut self, life: &mut Life) -> Result<(), String> {
        let key = self.key();
        let to = if self.rng.chance(1, 3) {
            Expiry::Never
        } else {
            Expiry::After(1 + self.rng.below(60))
        };
        let mutation = Mutation::expire(&key, to);
        let prepared = life
            .engine
            .prepare(&mutation, None)
            .expect("within the limits");
        let outcome = self.commit(life, prepared, Engine::commit);
        if let Some(outcome) = outcome.filter(|outcome| outcome.revision != Revision::NONE) {
            let record = outcome.record.ok_or("an expiry without a record")?;
            self.changed(outcome.revision, &key, Cause::ExpiryChanged, Some(record));
        }
        Ok(())
    }

    fn several(&mut self, life: &mut Life) -> Result<(), String> {
        let mut changes: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for _ in 0..4 {
            let key = self.key();
            if changes.iter().all(|(other, _)| *other != key) {
                let value = self.rng.chance(3, 4).then(|| {
                    let mut value = self.value();
                    value.truncate(500);
                    value
                });
                changes.push((key, value));
            }
        }
        let mutations: Vec<Mutation<'_>> = changes
            .iter()
            .map(|(key, value)| match value {
                Some(value) => Mutation::set(key, value),
                None => Mutation::delete(key),
            })
            .collect();
        let prepared = life
            .engine
            .prepare_all(&mutations, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit_all) else {
            return Ok(());
        };
        for (key, value) in &changes {
            if value.is_some() {
                let record = life.engine.look(key).expect("within the limits").value;
                let record = record.ok_or("a set key is not there")?;
                self.changed(outcome.revision, key, Cause::Written, Some(record));
            } else if self.truth.now.contains_key(key) {
                self.changed(outcome.revision, key, Cause::Deleted, None);
            }
        }
        Ok(())
    }

    fn delete_range(&mut self, life: &mut Life) {
        let range = if self.rng.chance(1, 2) {
            KeyRange::prefix(b"b/")
        } else {
            KeyRange::span(b"a/1", b"a/3")
        };
        let prepared = life
            .engine
            .prepare_range_delete(&range, 0, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit_range_delete) else {
            return;
        };
        let keys: Vec<_> = self.truth.now.keys().cloned().collect();
        for key in keys.iter().filter(|key| range.contains(key)) {
            self.changed(outcome.revision, key, Cause::RangeDeleted, None);
        }
    }

    fn sweep(&mut self, life: &Life) {
        let key = self.key();
        let due = life.engine.look(&key).expect("within the limits").due;
        self.remove_all(life, &due);
    }

    fn remove_all(&mut self, life: &Life, due: &[Record]) -> bool {
        due.iter().all(|record| {
            let removed = remove(&life.engine, record);
            if let Some(revision) = removed {
                self.changed(revision, record.key(), Cause::Expired, None);
            }
            removed.is_some()
        })
    }

    fn changed(&mut self, revision: Revision, key: &[u8], cause: Cause, record: Option<Record>) {
        self.tally.units += 1;
        self.truth.add(revision, key, cause, record);
    }

    /// Commits, taking expired keys away first. None: refused, which is legal.
    fn commit<T>(
        &mut self,
        life: &Life,
        mut prepared: Prepared,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, Error>,
    ) -> Option<T> {
        loop {
            let Ok(admitted) = life.engine.try_admit(prepared) else {
                let no_space = matches!(life.engine.state(), kvcore::EngineState::NoSpace { .. });
                self.tally.no_space += u64::from(no_space);
                return None;
            };
            match commit(&life.engine, admitted).ok()? {
                Attempt::Done(outcome) => return Some(outcome),
                Attempt::Due {
                    prepared: again,
                    due,
                } => {
                    if !self.remove_all(life, &due) {
                        return None;
                    }
                    prepared = again;
                }
            }
        }
    }
}
