//! One seed's story: several lives of one store, each ended by a power cut, a kill or an
//! orderly close.

use std::sync::Arc;

use kvcore::base::broken::Build;
use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::{Disk, SimDisk, SimRng};
use kvcore::engine::open::LogWriter;
use kvcore::engine::snapshots::Draft;
use kvcore::{
    Durability, Engine, Environment, Mutation, OpenErrorKind, Options, Revision, SyncPolicy,
};

use crate::oracle::{Changes, Oracle, Promise, Survived};
use crate::small;
use crate::tally::Tally;

const KEYS: u64 = 8;
const LIVES: u64 = 5;

/// What a story is made from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) policy: SyncPolicy,
    /// Let syncs fail now and then.
    pub(crate) failing_syncs: bool,
    pub(crate) verbose: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64, policy: SyncPolicy) -> Self {
        Self {
            seed,
            policy,
            failing_syncs: seed.is_multiple_of(4),
            verbose: false,
        }
    }
}

/// The options of a store small enough that everything happens within a hundred steps.
pub(crate) fn options(policy: SyncPolicy) -> Options {
    let mut options = small::options();
    options.policy = policy;
    options.retain.bytes = 0;
    options
}

pub(crate) fn environment(disk: &SimDisk, clock: &Arc<ManualClock>, seed: u64) -> Environment {
    Environment {
        disk: Arc::new(disk.clone()),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(seed)),
    }
}

struct Life {
    engine: Engine,
    writer: LogWriter,
    /// Told as soon as the log has got there.
    waiting: Vec<(bool, Promise)>,
    /// Written, and not published before the log is durable up to its end.
    draft: Option<Draft>,
}

struct Story<'a> {
    plan: &'a Plan,
    rng: SimRng,
    clock: Arc<ManualClock>,
    disk: SimDisk,
    oracle: Oracle,
    tally: Tally,
}

/// Tells the story of a seed; an error is a broken promise.
pub(crate) fn tell(plan: &Plan) -> Result<Tally, String> {
    let mut story = Story {
        plan,
        rng: SimRng::new(plan.seed),
        clock: Arc::default(),
        disk: SimDisk::new(plan.seed),
        oracle: Oracle::default(),
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
    result.map(|()| story.tally)
}

impl Story<'_> {
    fn live_on(&mut self) -> Result<(), String> {
        let mut survived = Survived::Kill;
        for _ in 0..LIVES {
            let Some(mut life) = self.start(&mut survived)? else {
                continue;
            };
            self.act(&mut life)?;
            survived = self.end(life);
        }
        // The last word: whatever happened, it opens, twice, and says the same.
        for _ in 0..2 {
            if let Some(life) = self.open(survived)? {
                drop(life);
                self.disk = self.disk.kill();
                survived = Survived::Kill;
            }
        }
        Ok(())
    }

    /// Opens the store; the power may go while it does. None: try again with what is left.
    fn start(&mut self, survived: &mut Survived) -> Result<Option<Life>, String> {
        if self.rng.chance(2, 5) {
            self.disk.cut_power_after(self.rng.below(90));
        }
        if let Some(life) = self.open(*survived)? {
            return Ok(Some(life));
        }
        self.tally.power_cuts += 1;
        self.tally.cuts_in_recovery += 1;
        self.disk = self.disk.crash(self.rng.next_u64());
        *survived = Survived::PowerCut;
        Ok(None)
    }

    /// None: the power went. Any other refusal is a violation, since nothing was corrupted.
    fn open(&mut self, survived: Survived) -> Result<Option<Life>, String> {
        let environment = environment(&self.disk, &self.clock, self.rng.next_u64());
        let opened = Engine::open_manual(options(self.plan.policy), &environment);
        let (engine, writer) = match opened {
            Ok(opened) => opened,
            Err(error) if self.disk.power_is_cut() && error.kind() == OpenErrorKind::Io => {
                return Ok(None);
            }
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        self.tally.lost_unacknowledged += self.oracle.check(&engine, survived)?;
        let recovery = engine.status().recovery;
        self.tally.torn_tails += u64::from(recovery.torn_bytes > 0);
        self.tally.starts_from_snapshots += u64::from(recovery.snapshot.is_some());
        Ok(Some(Life {
            engine,
            writer,
            waiting: Vec::new(),
            draft: None,
        }))
    }

    fn act(&mut self, life: &mut Life) -> Result<(), String> {
        let steps = if self.rng.chance(1, 3) {
            200
        } else {
            20 + self.rng.below(60)
        };
        if self.rng.chance(1, 2) {
            let within = if self.rng.chance(1, 2) { 150 } else { 650 };
            self.disk.cut_power_after(self.rng.below(within));
        }
        if self.plan.failing_syncs && self.rng.chance(1, 3) {
            self.disk.fail_sync_at(self.rng.below(20));
        }
        if self.plan.failing_syncs && self.rng.chance(1, 6) {
            self.miss_stores();
        }
        for _ in 0..steps {
            self.tally.operations += 1;
            match self.rng.below(10) {
                0..=4 => self.write(life)?,
                5..=6 => self.read(life),
                7..=8 => self.turn(life),
                _ if self.rng.chance(1, 4) => self.snapshot(life)?,
                _ => {
                    self.clock.advance(self.rng.below(15));
                    life.engine.fill_spares();
                }
            }
            if self.disk.power_is_cut() {
                break;
            }
            self.collect(life);
        }
        Ok(())
    }

    /// Stores into the segment that is being written go nowhere from now on.
    fn miss_stores(&self) {
        let files = Disk::list(&self.disk).unwrap_or_default();
        let newest = files.iter().rfind(|file| file.name.starts_with("seg-"));
        if let Some(newest) = newest {
            self.disk.fault_stores(&newest.name);
        }
    }

    /// Ends a life and takes the disk that the next one finds.
    fn end(&mut self, mut life: Life) -> Survived {
        let status = life.engine.status();
        self.tally.rotations += status.counters.rotations;
        self.tally.failed_syncs += u64::from(life.engine.watermark().failure().is_some());
        let healthy = !self.disk.power_is_cut() && life.engine.watermark().failure().is_none();
        if healthy && self.rng.chance(1, 4) {
            life.engine.fill_spares();
            life.engine.close_manual(&mut life.writer);
            self.collect(&mut life);
            // A close makes everything durable: power loss right after it loses nothing.
            let closed = !self.disk.power_is_cut() && life.engine.watermark().failure().is_none();
            self.tally.closes += u64::from(closed);
            self.tally.power_cuts += u64::from(!closed);
            drop(life);
            self.disk = self.disk.crash(self.rng.next_u64());
            return if closed {
                Survived::Kill
            } else {
                Survived::PowerCut
            };
        }
        if healthy && self.rng.chance(1, 3) {
            self.tally.kills += 1;
            drop(life);
            self.disk = self.disk.kill();
            return Survived::Kill;
        }
        let failed = !self.disk.power_is_cut() && !healthy;
        if failed && self.rng.chance(1, 2) {
            self.tally.kills_of_failed += 1;
            drop(life);
            self.disk = self.disk.kill();
            return Survived::PowerCut;
        }
        self.tally.power_cuts += 1;
        drop(life);
        self.disk = self.disk.crash(self.rng.next_u64());
        Survived::PowerCut
    }

    /// Writes a snapshot, with changes of the store in between, or publishes the last one.
    fn snapshot(&mut self, life: &mut Life) -> Result<(), String> {
        let durable = life.engine.watermark().durable();
        if let Some(draft) = life.draft.take() {
            let sound = !kvcore::base::broken::is(Build::PublishBeforeDurable);
            if draft.end() > durable && sound {
                life.engine.watermark().want_sync(draft.end());
                life.draft = Some(draft);
                return Ok(());
            }
            let published = life.engine.publish_snapshot(draft).is_ok();
            self.tally.snapshots += u64::from(published);
            return Ok(());
        }
        let mut violation = Ok(());
        let engine = life.engine.clone();
        let draft = engine.draft_snapshot(&mut || {
            if violation.is_ok() && self.rng.chance(1, 2) {
                violation = self.write(life);
            }
            if self.rng.chance(1, 4) {
                self.turn(life);
            }
            if self.rng.chance(1, 4) {
                life.engine.fill_spares();
            }
        });
        // It may fail, as the disk or the log may have; then there is none.
        life.draft = draft.ok();
        violation
    }

    fn turn(&mut self, life: &mut Life) {
        for _ in 0..=self.rng.below(3) {
            let _turn = life.writer.turn();
        }
    }

    /// Tells clients what the log has reached. Nobody hears of it if the power is gone.
    fn collect(&mut self, life: &mut Life) {
        let watermark = life.engine.watermark();
        let (logged, durable) = (watermark.logged(), watermark.durable());
        let oracle = &mut self.oracle;
        life.waiting.retain(|(needs_durable, promise)| {
            let reached = if *needs_durable { durable } else { logged };
            if promise.revision > reached {
                return true;
            }
            let told = if *needs_durable {
                &mut oracle.durable
            } else {
                &mut oracle.logged
            };
            told.push(promise.clone());
            false
        });
        self.tally.synced_acknowledged = self.oracle.durable.len() as u64;
        self.tally.logged_acknowledged = self.oracle.logged.len() as u64;
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key{}", self.rng.below(KEYS)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let len = if self.rng.chance(1, 6) {
            self.rng.below(2000)
        } else {
            self.rng.below(60)
        };
        let byte = self.rng.below(255).to_le_bytes()[0] + 1;
        vec![byte; usize::try_from(len).expect("small")]
    }

    /// A unit of one to three keys. Refusals are legal; what was applied is remembered.
    fn write(&mut self, life: &mut Life) -> Result<(), String> {
        let mut changes: Changes = Vec::new();
        for _ in 0..=(self.rng.below(6) / 4 * 2) {
            let key = self.key();
            if changes.iter().all(|(other, _)| *other != key) {
                let value = self.rng.chance(3, 4).then(|| self.value());
                changes.push((key, value));
            }
        }
        let total: usize = changes
            .iter()
            .map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len))
            .sum();
        if total > 2200 {
            changes.truncate(1);
        }
        let Some(revision) = commit(&life.engine, &changes) else {
            return Ok(());
        };
        let present: Vec<_> = changes
            .into_iter()
            .filter(|(key, value)| value.is_some() || self.is_present(key))
            .collect();
        self.oracle.applied(revision, present)?;
        let durability = match self.rng.below(3) {
            0 => Durability::None,
            1 => Durability::Logged,
            _ => Durability::Synced,
        };
        if durability != Durability::None {
            let durable = durability == Durability::Synced;
            if durable {
                life.engine.watermark().want_sync(revision);
            }
            let what = format!("a write was acknowledged as {durability:?}");
            life.waiting.push((durable, Promise { revision, what }));
        }
        Ok(())
    }

    fn is_present(&self, key: &[u8]) -> bool {
        self.oracle.present(key)
    }

    /// A read at level DURABLE: it is shown once what it reveals is durable. What it truly
    /// reveals is known here: the key's last change, be it a delete.
    fn read(&mut self, life: &mut Life) {
        let key = self.key();
        let answer = life.engine.get(&key).expect("a valid key");
        let Some(truth) = self.oracle.last_change(&key) else {
            return;
        };
        let durable = life.engine.watermark().durable();
        if answer.revealed <= durable {
            let what = format!(
                "a durable read showed {} ({})",
                String::from_utf8_lossy(&key),
                if answer.value.is_some() {
                    "a value"
                } else {
                    "absent"
                }
            );
            self.oracle.durable.push(Promise {
                revision: truth,
                what,
            });
            self.tally.durable_reads += 1;
        } else {
            life.engine.watermark().want_sync(answer.revealed);
        }
    }
}

/// Commits a unit; None if it was refused or without effect.
pub(crate) fn commit(engine: &Engine, changes: &Changes) -> Option<Revision> {
    let mutations: Vec<Mutation<'_>> = changes
        .iter()
        .map(|(key, value)| match value {
            Some(value) => Mutation::set(key, value),
            None => Mutation::delete(key),
        })
        .collect();
    let admitted = |prepared| engine.try_admit(prepared).ok();
    let revision = if let [one] = &mutations[..] {
        let prepared = engine.prepare(one, None).expect("within the limits");
        engine.commit(admitted(prepared)?).ok()?.done()?.revision
    } else {
        let prepared = engine
            .prepare_all(&mutations, None)
            .expect("within the limits");
        engine
            .commit_all(admitted(prepared)?)
            .ok()?
            .done()?
            .revision
    };
    (revision != Revision::NONE).then_some(revision)
}
