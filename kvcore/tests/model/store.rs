//! The engine under test: on a simulated disk, its clock, log and sweeper turned by hand.

use std::sync::Arc;
use std::time::Duration;

use kvcore::base::clock::{Clock as _, ManualClock};
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::SimDisk;
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{
    AdmitFailure, Admitted, Attempt, Engine, Environment, Error, Limits, Options, Prepared, Record,
    Revision, SyncPolicy, TxnLimits,
};

use crate::answers::{Answer, Rec};
use crate::engine;
use crate::ops::{End, Request, Write};

/// What was answered, and what the store did on the way.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) answer: Answer,
    pub(crate) revealed: u64,
    pub(crate) store_revision: u64,
    pub(crate) removals: Vec<Removal>,
}

/// Expired records that were in the way, and the revision that took them away.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) due: Vec<Rec>,
    pub(crate) revision: u64,
}

pub(crate) struct Store {
    pub(crate) engine: Engine,
    writer: LogWriter,
    pub(crate) clock: Arc<ManualClock>,
    disk: SimDisk,
    options: Options,
}

pub(crate) fn options(policy: SyncPolicy) -> Options {
    let mut options = Options::new("/simulated");
    options.policy = policy;
    options.shards = 8;
    options.replay_threads = 1;
    options.segment_bytes = 64 << 10;
    options.limits = Limits {
        key_bytes: 64,
        value_bytes: 1024,
        unit_operations: 16,
        unit_bytes: 4 << 10,
        request_id_ms: 60_000,
        ..Limits::default()
    };
    options
}

pub(crate) fn policy_of(seed: u64) -> SyncPolicy {
    match seed % 3 {
        0 => SyncPolicy::Always,
        1 => SyncPolicy::Interval(Duration::from_millis(20)),
        _ => SyncPolicy::Never,
    }
}

impl Store {
    pub(crate) fn new(seed: u64) -> Result<Self, String> {
        let options = options(policy_of(seed));
        Self::open(options, SimDisk::new(seed), Arc::default(), seed)
    }

    fn open(
        options: Options,
        disk: SimDisk,
        clock: Arc<ManualClock>,
        seed: u64,
    ) -> Result<Self, String> {
        let environment = Environment {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let (engine, writer) = Engine::open_manual(options.clone(), &environment)
            .map_err(|error| format!("the store does not open: {error}"))?;
        engine.fill_spares();
        Ok(Self {
            engine,
            writer,
            clock,
            disk,
            options,
        })
    }

    /// Lets the log do all there is to do.
    pub(crate) fn turn(&mut self) {
        while self.writer.turn() == Turn::Worked {
            self.engine.fill_spares();
        }
    }

    /// As [`Store::turn`], until everything is durable.
    pub(crate) fn sync(&mut self) {
        let newest = self.engine.store_revision();
        self.engine.watermark().want_sync(newest);
        self.turn();
    }

    /// Makes a snapshot, if the log is durable already: nothing else may happen by it.
    pub(crate) fn snapshot(&self) -> bool {
        let Ok(draft) = self.engine.draft_snapshot(&mut || ()) else {
            return false;
        };
        let durable = self.engine.watermark().durable() >= draft.end();
        durable && self.engine.publish_snapshot(draft).is_ok()
    }

    /// The newest revisions that are in the file, and on the device.
    pub(crate) fn reached(&self) -> (u64, u64) {
        let watermark = self.engine.watermark();
        let named = |position| self.engine.named(position).0;
        (named(watermark.logged()), named(watermark.durable()))
    }

    /// Wall clock less the engine's, as the engine has it.
    pub(crate) fn skew(&self) -> i64 {
        const FAR: u64 = 1 << 50;
        let far = Record::new(b"k", b"", FAR, 0);
        self.engine.expires_at_ms(&far).cast_signed() - FAR.cast_signed()
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    pub(crate) fn boot_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    /// Ends this run. What the log had reached when the end came, and what the next run
    /// will find.
    pub(crate) fn end(mut self, end: &End, seed: u64) -> (Ended, (u64, u64)) {
        match *end {
            End::Close => self.engine.close_manual(&mut self.writer),
            End::Crash { durable: true } => self.sync(),
            End::Crash { durable: false } | End::Kill => {}
            End::Cut { after } => {
                self.disk.cut_power_after(after);
                self.sync();
            }
        }
        let reached = self.reached();
        let Self {
            engine,
            writer,
            clock,
            disk,
            options,
        } = self;
        drop((engine, writer));
        // What was closed is as safe from a power cut as from a kill.
        let kill = *end == End::Kill || (*end == End::Close && seed.is_multiple_of(2));
        let disk = if kill { disk.kill() } else { disk.crash(seed) };
        let ended = Ended {
            clock,
            disk,
            options,
        };
        (ended, reached)
    }

    pub(crate) fn write(
        &mut self,
        write: &Write,
        request: Option<&Request>,
    ) -> Result<Written, String> {
        let request = request.map(engine::request);
        let engine = self.engine.clone();
        match write {
            Write::One(change) => {
                let prepared = engine.prepare(&engine::mutation(change), request);
                self.finish(prepared, |engine, admitted| {
                    told(engine.commit(admitted)?, |o| {
                        (engine::one(o), o.revealed, o.store_revision)
                    })
                })
            }
            Write::All(changes) => {
                let mutations: Vec<_> = changes.iter().map(engine::mutation).collect();
                let prepared = engine.prepare_all(&mutations, request);
                self.finish(prepared, |engine, admitted| {
                    told(engine.commit_all(admitted)?, |o| {
                        (engine::all(o), o.revealed, o.store_revision)
                    })
                })
            }
            Write::Txn(txn) => {
                let limits = TxnLimits::default();
                let prepared = engine.prepare_txn(&engine::txn(txn), limits, request);
                self.finish(prepared, |engine, admitted| {
                    told(engine.commit_txn(admitted)?, |o| {
                        (engine::txn_outcome(o), o.revealed, o.store_revision)
                    })
                })
            }
            Write::DeleteRange { range, limit } => {
                let range = engine::range(range);
                let prepared = engine.prepare_range_delete(&range, *limit, request);
                self.finish(prepared, delete_range)
            }
            Write::Chunk { range, limit } => {
                let range = engine::range(range);
                match engine.prepare_chunk(&range, *limit, request).transpose() {
                    Some(prepared) => self.finish(prepared, delete_range),
                    None => Ok(self.written(Answer::NoChunk, Vec::new())),
                }
            }
        }
    }

    fn written(&self, answer: Answer, removals: Vec<Removal>) -> Written {
        Written {
            answer,
            revealed: 0,
            store_revision: self.engine.store_revision().0,
            removals,
        }
    }

    /// Commits what was prepared, taking away what is in the way.
    fn finish(
        &mut self,
        prepared: Result<Prepared, Error>,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<Told>, Error>,
    ) -> Result<Written, String> {
        let mut removals = Vec::new();
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(self.refused(&error, removals)),
        };
        for _ in 0..3 {
            let admitted = self.admit(prepared)?;
            match commit(&self.engine, admitted) {
                Ok(Attempt::Done((answer, revealed, store_revision))) => {
                    return Ok(Written {
                        answer,
                        revealed: revealed.0,
                        store_revision: store_revision.0,
                        removals,
                    });
                }
                Ok(Attempt::Due {
                    prepared: again,
                    due,
                }) => {
                    removals.extend(self.remove(&due)?);
                    prepared = again;
                }
                Err(error) => return Ok(self.refused(&error, removals)),
            }
        }
        Err("expired keys keep standing in the way".to_owned())
    }

    fn refused(&self, error: &Error, removals: Vec<Removal>) -> Written {
        Written {
            revealed: error.revealed().0,
            ..self.written(Answer::Refused(engine::refusal(error)), removals)
        }
    }

    fn admit(&self, prepared: Prepared) -> Result<Admitted<'_>, String> {
        self.engine
            .try_admit(prepared)
            .map_err(|failure| match failure {
                AdmitFailure::Refused(error) => format!("not admitted: {error}"),
                AdmitFailure::Busy(_) => "not admitted: busy".to_owned(),
            })
    }

    /// Commits the removal of what is due, as whoever met it has to.
    pub(crate) fn remove(&self, due: &[Record]) -> Result<Option<Removal>, String> {
        let mut removal: Option<Removal> = None;
        for prepared in self.engine.prepare_removal(due) {
            let admitted = self.admit(prepared)?;
            let revision = self
                .engine
                .commit_removal(admitted)
                .map_err(|error| format!("a removal was refused: {error}"))?;
            if removal.is_some() {
                return Err(format!("{} removals take more than a unit", due.len()));
            }
            removal = Some(Removal {
                due: engine::recs(due),
                revision: revision.0,
            });
        }
        Ok(removal)
    }
}

/// What the next run begins with.
pub(crate) struct Ended {
    pub(crate) clock: Arc<ManualClock>,
    disk: SimDisk,
    options: Options,
}

impl Ended {
    pub(crate) fn start(self, seed: u64) -> Result<Store, String> {
        Store::open(self.options, self.disk, self.clock, seed)
    }
}

/// Answer, what it reveals, and where the store was.
type Told = (Answer, Revision, Revision);

#[expect(clippy::unnecessary_wraps, reason = "the last step of what can fail")]
fn told<T>(attempt: Attempt<T>, f: impl Fn(&T) -> Told) -> Result<Attempt<Told>, Error> {
    Ok(match attempt {
        Attempt::Done(outcome) => Attempt::Done(f(&outcome)),
        Attempt::Due { prepared, due } => Attempt::Due { prepared, due },
    })
}

fn delete_range(engine: &Engine, admitted: Admitted<'_>) -> Result<Attempt<Told>, Error> {
    told(engine.commit_range_delete(admitted)?, |o| {
        (engine::range_deleted(o), o.revealed, o.store_revision)
    })
}
