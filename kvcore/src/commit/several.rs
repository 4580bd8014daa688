//! Units of several keys: all of them or none. Also the removals of the store itself.

use super::admission::{Admitted, Grant};
use super::error::Error;
use super::evaluate::{Now, Step};
use super::mutation::{UnitOutcome, Unmet};
use super::prepared::{Item, Prepared, Work};
use super::requests::{Known, Named};
use super::transaction::{Attempt, Change, Core, Locked as _};
use super::unit::Unit;
use crate::base::remembered::{RangeCount, Remembered};
use crate::base::revision::Revision;
use crate::store::{Record, Shard};

/// What a range delete, or a chunk of one, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeDeleted {
    pub deleted: u64,
    /// [`Revision::NONE`] if nothing was removed.
    pub revision: Revision,
    /// There are, or were, keys left.
    pub more: bool,
    pub revealed: Revision,
    pub store_revision: Revision,
    pub replayed: bool,
}

impl Core {
    /// Commits a unit of several keys: all of them, or none.
    pub fn commit_all(&self, admitted: Admitted<'_>) -> Result<Attempt<UnitOutcome>, Error> {
        let Admitted {
            prepared: Prepared { work, unit },
            grant,
        } = admitted;
        let (items, more) = match work {
            Work::One(item) => (vec![item], None),
            Work::Many(items) => (items, None),
            Work::Chunk(items, more) => (items, Some(more)),
            Work::Txn(_) => unreachable!("a transaction is committed by commit_txn"),
        };
        let mut named = self.named(&unit);
        if let Some(known) = named.known(&unit)? {
            return Ok(Attempt::Done(known.of_several(self)));
        }
        let order: Vec<usize> = items.iter().map(|item| item.place.shard).collect();
        let early = self.early_now();
        let attempt = self.shards.write_all(order.into_iter(), |shards| {
            let now = self.now(early);
            let parts = Parts {
                items,
                more,
                unit,
                grant,
            };
            self.commit_all_under_locks(parts, shards, &mut named, &now)
        })?;
        drop(named);
        if let Attempt::Done(outcome) = &attempt {
            self.after(outcome.revision);
        }
        Ok(attempt)
    }

    fn commit_all_under_locks(
        &self,
        parts: Parts<'_>,
        shards: &mut [Shard<'_>],
        named: &mut Named<'_>,
        now: &Now<'_>,
    ) -> Result<Attempt<UnitOutcome>, Error> {
        self.state.check(&self.log.watermark)?;
        if parts.unit.cost.own {
            // The sweeper takes the keys of a whole turn out of the index at its end.
            shards.iter_mut().for_each(Shard::keys_leave_later);
        }
        let found = Found::look(&parts.items, shards, now);
        if !found.due.is_empty() {
            return Ok(parts.again(found.due));
        }
        let Parts {
            items,
            more,
            unit,
            grant,
        } = parts;
        let mut outcome = UnitOutcome {
            previous: found.current,
            revision: Revision::NONE,
            revealed: found.revealed,
            store_revision: self.sequencer.newest(),
            unmet: found.unmet,
            replayed: false,
            count: None,
        };
        if outcome.unmet.is_some() {
            return Ok(Attempt::Done(outcome));
        }
        let mut steps = Vec::with_capacity(items.len());
        for (mut item, current) in items.into_iter().zip(&outcome.previous) {
            item.settle(now);
            let effect = item
                .evaluate(current.as_ref(), outcome.revealed, now)?
                .effect;
            let place = item.place;
            drop(item);
            steps.extend(Step::new(place, current.as_ref(), effect));
        }
        if steps.is_empty() {
            return Ok(Attempt::Done(outcome));
        }
        let count = RangeCount {
            deleted: steps.len() as u64,
            more: more.unwrap_or(false),
        };
        outcome.count = Some(count);
        let remembered = match more {
            Some(_) => Remembered::Range(count),
            None => Remembered::Single,
        };
        let change = Change {
            unit,
            grant,
            remembered: &remembered,
            now,
        };
        outcome.revision = self.change(change, &mut steps, named, shards)?;
        outcome.revealed = outcome.revision;
        outcome.store_revision = self.sequencer.newest();
        Ok(Attempt::Done(outcome))
    }

    /// Commits a chunk of a range delete.
    pub fn commit_chunk(&self, admitted: Admitted<'_>) -> Result<Attempt<RangeDeleted>, Error> {
        let Work::Chunk(_, more) = admitted.prepared.work else {
            unreachable!("a chunk is committed by commit_chunk")
        };
        Ok(match self.commit_all(admitted)? {
            Attempt::Due { prepared, due } => Attempt::Due { prepared, due },
            Attempt::Done(outcome) => Attempt::Done(RangeDeleted {
                deleted: outcome.count.map_or(0, |count| count.deleted),
                revision: outcome.revision,
                more: outcome.count.map_or(more, |count| count.more),
                revealed: outcome.revealed,
                store_revision: outcome.store_revision,
                replayed: outcome.replayed,
            }),
        })
    }
}

/// A unit of several keys, taken apart.
struct Parts<'g> {
    items: Vec<Item>,
    more: Option<bool>,
    unit: Box<Unit>,
    grant: Grant<'g>,
}

impl Parts<'_> {
    /// Puts it together again, for when the records that are due are gone.
    fn again(self, due: Vec<Record>) -> Attempt<UnitOutcome> {
        let work = match self.more {
            Some(more) => Work::Chunk(self.items, more),
            None => Work::Many(self.items),
        };
        let prepared = Prepared {
            work,
            unit: self.unit,
        };
        Attempt::Due { prepared, due }
    }
}

/// What the keys hold.
struct Found {
    current: Vec<Option<Record>>,
    revealed: Revision,
    due: Vec<Record>,
    unmet: Option<Unmet>,
}

impl Found {
    fn look(items: &[Item], shards: &mut [Shard<'_>], now: &Now<'_>) -> Self {
        let mut all = Self {
            current: Vec::with_capacity(items.len()),
            revealed: Revision::NONE,
            due: Vec::new(),
            unmet: None,
        };
        for (index, item) in items.iter().enumerate() {
            let found = shards.of(item.place).find(item.place, item.record.key());
            all.revealed = all.revealed.max(found.revealed());
            let current = found.record().cloned();
            all.due.extend(item.due(current.as_ref(), now));
            if all.unmet.is_none() && !item.holds(current.as_ref()) {
                all.unmet = Some(Unmet {
                    index,
                    current: current.clone(),
                });
            }
            all.current.push(current);
        }
        all
    }
}

impl Known {
    fn of_several(&self, core: &Core) -> UnitOutcome {
        UnitOutcome {
            previous: Vec::new(),
            revision: self.revision,
            revealed: self.revision,
            store_revision: core.sequencer.newest(),
            unmet: None,
            replayed: true,
            count: match self.outcome {
                Remembered::Range(count) => Some(count),
                _ => None,
            },
        }
    }
}
