//! From locks to unlock: evaluate, draw a ticket, send, apply.
//!
//! Everything that can fail, block, allocate or panic comes before the ticket. From
//! the ticket to the end of the apply an unwinding thread ends the process: the log
//! would hold what memory does not.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::admission::{Admitted, Gate, Grant};
use super::error::Error;
use super::evaluate::{Effect, Now, Planned, Step};
use super::mutation::Outcome;
use super::poison::WriteState;
use super::prepared::{Act, Item, Prepared, Work};
use super::requests::Named;
use super::sequencer::{AbortOnUnwind, Sequencer};
use super::unit::Unit;
use crate::base::broken;
use crate::base::engine_clock::EngineClock;
use crate::base::remembered::Remembered;
use crate::base::revision::Revision;
use crate::dedup::Table;
use crate::expiry::UnitLimit;
use crate::log::state::LogState;
use crate::store::{Memory, Place, Record, Shard, Shards};
use crate::watch::Hub;

/// What a transaction works on.
#[derive(Clone, Debug)]
pub struct Core {
    pub shards: Arc<Shards>,
    pub memory: Arc<Memory>,
    pub requests: Arc<Table>,
    pub sequencer: Arc<Sequencer>,
    pub state: Arc<WriteState>,
    pub gate: Arc<Gate>,
    pub log: Arc<LogState>,
    pub clock: Arc<EngineClock>,
    /// Records removed because their deadline had passed.
    pub expired: Arc<AtomicU64>,
    pub removal_limit: UnitLimit,
    /// Who is told of changes.
    pub watches: Arc<Hub>,
}

/// What became of an attempt to commit.
#[derive(Debug)]
pub enum Attempt<T> {
    Done(T),
    /// An expired key is in the way. Its removal has to be committed first, so that it is
    /// a change of its own; then `prepared` may try again.
    Due {
        prepared: Prepared,
        due: Vec<Record>,
    },
}

impl<T> Attempt<T> {
    /// The outcome; None if an expired key stood in the way.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(outcome) => Some(outcome),
            Self::Due { .. } => None,
        }
    }
}

/// The shards that a unit holds.
pub(super) trait Locked<'b> {
    fn of(&mut self, place: Place) -> &mut Shard<'b>;
    /// Makes room in the tables.
    fn reserve(&mut self, steps: &[Step]);
}

impl<'b> Locked<'b> for Shard<'b> {
    fn of(&mut self, _: Place) -> &mut Shard<'b> {
        self
    }

    fn reserve(&mut self, steps: &[Step]) {
        Shard::reserve(self, steps.len());
    }
}

impl<'b> Locked<'b> for [Shard<'b>] {
    fn of(&mut self, place: Place) -> &mut Shard<'b> {
        let at = self
            .binary_search_by_key(&place.shard, Shard::index)
            .expect("all shards of the unit are held");
        &mut self[at]
    }

    fn reserve(&mut self, steps: &[Step]) {
        let mut shards: Vec<usize> = steps.iter().map(|step| step.place.shard).collect();
        shards.sort_unstable();
        for same in shards.chunk_by(|a, b| a == b) {
            if let Ok(at) = self.binary_search_by_key(&same[0], Shard::index) {
                self[at].reserve(same.len());
            }
        }
    }
}

impl Core {
    /// Commits a unit of one key.
    pub fn commit(&self, admitted: Admitted<'_>) -> Result<Attempt<Outcome>, Error> {
        let Admitted {
            prepared: Prepared { work, unit },
            grant,
        } = admitted;
        let Work::One(item) = work else {
            unreachable!("a unit of several keys is committed by commit_all")
        };
        #[cfg(feature = "sim")]
        if broken::is(broken::Build::SendAfterUnlock) {
            return self.commit_sending_late(item, unit, grant);
        }
        let mut named = self.named(&unit);
        if let Some(known) = named.known(&unit)? {
            return Ok(Attempt::Done(known.of_one(self)));
        }
        let place = item.place;
        let early = self.early_now();
        let attempt = self.shards.write(place.shard, |shard| {
            let now = self.now(early);
            self.commit_under_lock(item, unit, grant, shard, &mut named, &now)
        })?;
        drop(named);
        // After the locks are gone, since waking is a system call.
        if let Attempt::Done(outcome) = &attempt {
            self.after(outcome.revision);
            self.index_late(place, outcome);
        }
        Ok(attempt)
    }

    fn commit_under_lock(
        &self,
        mut item: Item,
        unit: Box<Unit>,
        grant: Grant<'_>,
        shard: &mut Shard<'_>,
        named: &mut Named<'_>,
        now: &Now<'_>,
    ) -> Result<Attempt<Outcome>, Error> {
        self.state.check(&self.log.watermark)?;
        let place = item.place;
        let found = shard.find(place, item.record.key());
        let (current, revealed) = (found.record().cloned(), found.revealed());
        if let Some(due) = item.due(current.as_ref(), now) {
            let work = Work::One(item);
            let prepared = Prepared { work, unit };
            return Ok(Attempt::Due {
                prepared,
                due: vec![due],
            });
        }
        item.settle(now);
        let evaluated = item.evaluate_once(current.as_ref(), revealed, now)?;
        let counter = evaluated.counter;
        let applied = !matches!(evaluated.effect, Effect::Nothing { applied: false });
        let Some(change) = Planned::new(evaluated.effect) else {
            return Ok(Attempt::Done(Outcome {
                applied,
                record: current,
                value: counter,
                revealed,
                store_revision: self.sequencer.newest(),
                ..Outcome::default()
            }));
        };
        let remembered = counter.map_or(Remembered::Single, Remembered::Counter);
        // Both records move into the step and from there into the outcome: each count of a
        // record that is also the log's costs a trip of its cache line.
        let mut steps = [Step {
            place,
            current,
            change,
        }];
        let change = Change {
            unit,
            grant,
            remembered: &remembered,
            now,
        };
        let revision = self.change(change, &mut steps, named, shard)?;
        let [step] = steps;
        Ok(Attempt::Done(Outcome {
            applied: true,
            revision,
            record: step.change.into_record(),
            previous: step.current,
            value: counter,
            revealed: revision,
            store_revision: revision,
            replayed: false,
        }))
    }

    /// Makes the change: the one place where memory, log and remembered requests move.
    pub(super) fn change<'b>(
        &self,
        change: Change<'_>,
        steps: &mut [Step],
        named: &mut Named<'_>,
        locked: &mut (impl Locked<'b> + ?Sized),
    ) -> Result<Revision, Error> {
        let Change {
            mut unit,
            grant,
            remembered,
            now,
        } = change;
        self.make_room(steps)?;
        locked.reserve(steps);
        for step in &*steps {
            step.prepare(locked.of(step.place));
        }
        unit.operations.make_room(steps.len());
        let entry = named.prepare(&mut unit, remembered, now);
        let displaced = self.watches.wants_previous();
        grant.travel();
        let _abort = AbortOnUnwind;
        let revision = self.sequencer.issue(unit, |unit, revision| {
            for step in &mut *steps {
                unit.operations.push(step.log(revision, displaced));
            }
        });
        for step in &*steps {
            // The displaced record lives on in the step: nothing is freed under the locks.
            step.apply(locked.of(step.place), revision);
        }
        named.record(entry, revision);
        Ok(revision)
    }

    fn make_room(&self, steps: &[Step]) -> Result<(), Error> {
        let (old, new) = steps
            .iter()
            .map(Step::bytes)
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        self.memory
            .exchange(old, new)
            .map_err(|full| Error::MemoryLimit {
                growth: full.growth,
                used: full.used,
                max: full.max,
            })
    }

    /// To be called with no lock held.
    pub(super) fn after(&self, revision: Revision) {
        if revision != Revision::NONE {
            self.log.watermark.parker().nudge();
        }
    }

    /// The time of a unit whose locks are all held.
    pub(super) fn now(&self, early: Option<u64>) -> Now<'_> {
        Now::new(&self.clock, early)
    }

    /// The broken build of this name takes the time before the locks.
    pub(super) fn early_now(&self) -> Option<u64> {
        let early = broken::is(broken::Build::NowBeforeLock).then(|| self.clock.now());
        if early.is_some() {
            crate::base::sync::point();
        }
        early
    }

    #[cfg(not(feature = "sim"))]
    #[expect(clippy::unused_self, reason = "the broken build of this name needs it")]
    const fn index_late(&self, _: Place, _: &Outcome) {}

    /// The broken build of this name.
    #[cfg(feature = "sim")]
    fn index_late(&self, place: Place, outcome: &Outcome) {
        if broken::is(broken::Build::IndexAfterUnlock)
            && outcome.previous.is_none()
            && let Some(record) = &outcome.record
        {
            crate::base::sync::point();
            self.shards.index_late(place, record.key());
        }
    }
}

/// What [`Core::change`] needs besides the steps.
pub(super) struct Change<'a> {
    pub unit: Box<Unit>,
    pub grant: Grant<'a>,
    pub remembered: &'a Remembered,
    pub now: &'a Now<'a>,
}

impl Item {
    /// The record that has to be taken away before this item may see the key as absent.
    pub(super) fn due(&self, current: Option<&Record>, now: &Now<'_>) -> Option<Record> {
        if matches!(self.act, Act::Take(_)) {
            return None;
        }
        current
            .filter(|record| record.is_expired(|| now.ms()))
            .cloned()
    }
}

#[cfg(feature = "sim")]
impl Core {
    /// The broken build of this name: ticket and send outside the locks. Every other
    /// thread dawdles, as if it had lost the processor there.
    fn commit_sending_late(
        &self,
        item: Item,
        unit: Box<Unit>,
        grant: Grant<'_>,
    ) -> Result<Attempt<Outcome>, Error> {
        let place = item.place;
        let copy = |record: &Record| {
            let (deadline, lease) = (record.deadline_ms(), record.lease_id());
            Record::new(record.key(), record.value(), deadline, lease)
        };
        let late = self.shards.write(place.shard, |shard| {
            let found = shard.find(place, item.record.key());
            let (current, revealed) = (found.record().cloned(), found.revealed());
            let effect = item
                .evaluate(current.as_ref(), revealed, &self.now(None))?
                .effect;
            let again = match &effect {
                Effect::Put { record, .. } => Effect::Put {
                    record: copy(record),
                    value_kept: false,
                },
                Effect::Remove(cause) => Effect::Remove(*cause),
                Effect::Nothing { .. } => return Ok(None),
            };
            drop(item);
            let mut step = Step::new(place, current.as_ref(), effect).expect("something");
            self.make_room(std::slice::from_ref(&step))?;
            shard.reserve(1);
            step.prepare(shard);
            grant.travel();
            let revision = self.sequencer.next();
            drop(step.log(revision, false));
            step.apply(shard, revision);
            Ok::<_, Error>(Some((Step::new(place, current.as_ref(), again), revision)))
        })?;
        let Some((Some(mut step), provisional)) = late else {
            return Ok(Attempt::Done(Outcome::default()));
        };
        if provisional.0.is_multiple_of(2) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        self.sequencer.issue(unit, |unit, revision| {
            unit.operations.push(step.log(revision, false));
        });
        self.after(provisional);
        Ok(Attempt::Done(Outcome {
            applied: true,
            revision: provisional,
            revealed: provisional,
            ..Outcome::default()
        }))
    }
}
