//! From locks to unlock: evaluate, draw a ticket, send, apply.
//!
//! Everything that can fail, block, allocate or panic comes before the ticket. From
//! the ticket to the end of the apply an unwinding thread ends the process: the log
//! would hold what memory does not.

use std::sync::Arc;

use super::admission::{Admitted, Gate, Grant};
use super::error::Error;
use super::mutation::{Item, Items, Outcome, Prepared, UnitOutcome, Unmet};
use super::poison::WriteState;
use super::sequencer::{AbortOnUnwind, Sequencer};
use super::unit::{Logged, Unit};
use crate::base::broken;
use crate::base::op::Cause;
use crate::base::revision::Revision;
use crate::log::writer::LogState;
use crate::store::{Change, Found, Memory, Record, Shard, Shards, apply};

/// What a transaction works on.
#[derive(Clone, Debug)]
pub struct Core {
    pub shards: Arc<Shards>,
    pub memory: Arc<Memory>,
    pub sequencer: Arc<Sequencer>,
    pub state: Arc<WriteState>,
    pub gate: Arc<Gate>,
    pub log: Arc<LogState>,
}

/// An item evaluated under the locks: what it replaces and what it becomes.
struct Step {
    item: Item,
    current: Option<Record>,
}

impl Step {
    fn has_effect(&self) -> bool {
        !self.item.delete || self.current.is_some()
    }

    fn bytes(&self) -> (u64, u64) {
        let new = if self.item.delete {
            0
        } else {
            self.item.record.accounted_bytes()
        };
        (
            self.current.as_ref().map_or(0, Record::accounted_bytes),
            new,
        )
    }

    /// Stamps the record with its place in the order and says what is logged.
    fn log(&mut self, revision: Revision) -> Logged {
        let current = self.current.as_ref();
        if self.item.delete {
            let gone = current
                .expect("a delete without effect is not logged")
                .clone();
            return Logged::Delete {
                gone,
                cause: Cause::Deleted,
            };
        }
        let created = current.map_or(revision, Record::create_revision);
        let version = current.map_or(1, |record| record.version().saturating_add(1));
        self.item.record.stamp(revision, created, version);
        let previous = current.map_or(Revision::NONE, Record::mod_revision);
        Logged::Set {
            record: self.item.record.clone(),
            previous,
        }
    }

    fn apply(&self, shard: &mut Shard<'_>, revision: Revision) -> Option<Record> {
        let Item {
            place,
            record,
            delete,
            ..
        } = &self.item;
        let change = if *delete {
            Change::Remove
        } else {
            Change::Put(record.clone())
        };
        apply(shard, *place, record.key(), change, revision)
    }
}

impl Core {
    /// Commits a unit of one key.
    pub fn commit(&self, admitted: Admitted) -> Result<Outcome, Error> {
        let Admitted {
            prepared: Prepared { items, unit },
            grant,
        } = admitted;
        let Items::One(item) = items else {
            unreachable!("a unit of several keys is committed by commit_all")
        };
        let result = self.shards.write(item.place.shard, |shard| {
            self.commit_under_lock(item, unit, grant, shard)
        });
        // After the locks are gone, since waking is a system call.
        let (outcome, late) = result?;
        if let Some((unit, step)) = late {
            // The broken build of this name: ticket and send outside the locks. Every other
            // thread dawdles, as if it had lost the processor here.
            if outcome.revision.0 % 2 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            self.issue(unit, &mut [step]);
        }
        if outcome.applied {
            self.log.watermark.parker().nudge();
        }
        Ok(outcome)
    }

    #[expect(
        clippy::type_complexity,
        reason = "the second half exists in one broken build only"
    )]
    fn commit_under_lock(
        &self,
        item: Item,
        unit: Box<Unit>,
        grant: Grant,
        shard: &mut Shard<'_>,
    ) -> Result<(Outcome, Option<(Box<Unit>, Step)>), Error> {
        self.state.check(&self.log.watermark)?;
        let found = shard.find(item.place, item.record.key());
        let (holds, revealed) = (item.holds(found), found.revealed());
        let mut step = Step {
            current: found.record().cloned(),
            item,
        };
        if !holds || !step.has_effect() {
            return Ok((self.unchanged(step.current, revealed), None));
        }
        self.make_room(std::slice::from_ref(&step))?;
        shard.reserve(1);
        grant.travel();
        if broken::is(broken::Build::SendAfterUnlock) {
            let revision = self.sequencer.next();
            drop(step.log(revision));
            let previous = step.apply(shard, revision);
            let mut outcome = self.applied(&step, previous, revision);
            outcome.record = None;
            let Step { item, current } = step;
            let key = item.record.key();
            let again = Record::new(key, item.record.value(), 0, 0);
            return Ok((
                outcome,
                Some((
                    unit,
                    Step {
                        item: Item {
                            record: again,
                            ..item
                        },
                        current,
                    },
                )),
            ));
        }
        let _abort = AbortOnUnwind;
        let revision = self.issue(unit, std::slice::from_mut(&mut step));
        let previous = step.apply(shard, revision);
        Ok((self.applied(&step, previous, revision), None))
    }

    /// Commits a unit of several keys: all of them, or none.
    pub fn commit_all(&self, admitted: Admitted) -> Result<UnitOutcome, Error> {
        let Admitted {
            prepared: Prepared { items, unit },
            grant,
        } = admitted;
        let items = match items {
            Items::One(item) => vec![item],
            Items::Many(items) => items,
        };
        let order: Vec<usize> = items.iter().map(|item| item.place.shard).collect();
        let outcome = self.shards.write_all(order.into_iter(), |shards| {
            self.commit_all_under_locks(items, unit, grant, shards)
        })?;
        if outcome.revision != Revision::NONE {
            self.log.watermark.parker().nudge();
        }
        Ok(outcome)
    }

    fn commit_all_under_locks(
        &self,
        items: Vec<Item>,
        unit: Box<Unit>,
        grant: Grant,
        shards: &mut [Shard<'_>],
    ) -> Result<UnitOutcome, Error> {
        self.state.check(&self.log.watermark)?;
        let mut revealed = Revision::NONE;
        let mut unmet = None;
        let mut steps = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let found = held(shards, &item).find(item.place, item.record.key());
            revealed = revealed.max(found.revealed());
            let current = found.record().cloned();
            if unmet.is_none() && !item.holds(found) {
                unmet = Some(Unmet {
                    index,
                    current: current.clone(),
                });
            }
            steps.push(Step { item, current });
        }
        let previous: Vec<_> = steps.iter().map(|step| step.current.clone()).collect();
        steps.retain(Step::has_effect);
        let store_revision = self.sequencer.newest();
        if unmet.is_some() || steps.is_empty() {
            let revision = Revision::NONE;
            return Ok(UnitOutcome {
                previous,
                revision,
                revealed,
                store_revision,
                unmet,
            });
        }
        self.make_room(&steps)?;
        for shard in shards.iter_mut() {
            let more = steps
                .iter()
                .filter(|step| step.item.place.shard == shard.index())
                .count();
            shard.reserve(more);
        }
        grant.travel();
        let _abort = AbortOnUnwind;
        let revision = self.issue(unit, &mut steps);
        for step in &steps {
            // The displaced record lives on in `previous`: nothing is freed under the locks.
            step.apply(held(shards, &step.item), revision);
        }
        let store_revision = self.sequencer.newest();
        Ok(UnitOutcome {
            previous,
            revision,
            revealed: revision,
            store_revision,
            unmet: None,
        })
    }

    /// Ticket and send.
    fn issue(&self, unit: Box<Unit>, steps: &mut [Step]) -> Revision {
        self.sequencer.issue(unit, |unit, revision| {
            for step in steps {
                unit.operations.push(step.log(revision));
            }
        })
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

    fn applied(&self, step: &Step, previous: Option<Record>, revision: Revision) -> Outcome {
        Outcome {
            applied: true,
            revision,
            record: (!step.item.delete).then(|| step.item.record.clone()),
            previous,
            revealed: revision,
            store_revision: self.sequencer.newest(),
        }
    }

    fn unchanged(&self, current: Option<Record>, revealed: Revision) -> Outcome {
        Outcome {
            applied: false,
            revision: Revision::NONE,
            record: current,
            previous: None,
            revealed,
            store_revision: self.sequencer.newest(),
        }
    }

    /// Reads one key.
    pub fn read(&self, key: &[u8]) -> (Option<Record>, Revision, Revision) {
        let place = self.shards.place(key);
        self.shards.read(place, key, |found| {
            (
                found.record().cloned(),
                found.revealed(),
                self.sequencer.newest(),
            )
        })
    }

    /// Reads several keys in one consistent view.
    pub fn read_all(&self, keys: &[&[u8]]) -> (Vec<Option<Record>>, Revision, Revision) {
        let places: Vec<_> = keys
            .iter()
            .map(|&key| (key, self.shards.place(key)))
            .collect();
        self.shards.read_all(&places, |found| {
            let revealed = found.iter().map(|f| f.revealed()).max().unwrap_or_default();
            let records = found
                .iter()
                .map(|f: &Found<'_>| f.record().cloned())
                .collect();
            (records, revealed, self.sequencer.newest())
        })
    }
}

/// The held shard of an item.
fn held<'a, 'b>(shards: &'a mut [Shard<'b>], item: &Item) -> &'a mut Shard<'b> {
    let at = shards
        .binary_search_by_key(&item.place.shard, Shard::index)
        .expect("all shards of the unit are held");
    &mut shards[at]
}
