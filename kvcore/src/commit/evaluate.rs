//! What a change comes to, given what the key holds and what time it is: pure functions.

use std::cell::Cell;

use super::error::Error;
use super::mutation::{Expire, ExpireCondition, Expiry, Increment};
use super::prepared::{Act, Item};
use super::unit::Logged;
use crate::base::engine_clock::EngineClock;
use crate::base::op::Cause;
use crate::base::revision::Revision;
use crate::format::unit::{DELETE_OVERHEAD, OP_OVERHEAD};
use crate::store::{Change, Place, Record, Shard, apply, prepare};

/// The time of one unit: read once, under its locks, and only if something depends on it.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    clock: &'a EngineClock,
    /// 0: not read yet.
    ms: Cell<u64>,
}

impl<'a> Now<'a> {
    /// `early` is a time that was read before, in a build that is broken on purpose.
    pub(crate) fn new(clock: &'a EngineClock, early: Option<u64>) -> Self {
        Self {
            clock,
            ms: Cell::new(early.unwrap_or(0)),
        }
    }

    pub(crate) fn ms(&self) -> u64 {
        if self.ms.get() == 0 {
            self.ms.set(self.clock.now());
        }
        self.ms.get()
    }
}

/// What becomes of a key.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The caller's wish is met, or is not to be met, without a change.
    Nothing {
        applied: bool,
    },
    Put {
        record: Record,
        /// Only the expiry is another.
        value_kept: bool,
    },
    Remove(Cause),
}

/// An effect, and the counter if there is one.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub effect: Effect,
    pub counter: Option<i64>,
}

impl From<Effect> for Evaluated {
    fn from(effect: Effect) -> Self {
        Self {
            effect,
            counter: None,
        }
    }
}

impl Item {
    /// Gives a new record the deadline that it has as of now, in place.
    pub(crate) fn settle(&mut self, now: &Now<'_>) {
        if let Act::Set(expiry @ (Expiry::After(_) | Expiry::At(_))) = self.act {
            self.record.set_deadline(deadline(expiry, now));
        }
    }

    /// What the settled item comes to. `current` is live, and `revealed` is what that sight
    /// gives away.
    ///
    /// The new record is shared with the item, which must be gone before it is stamped.
    pub(crate) fn evaluate(
        &self,
        current: Option<&Record>,
        revealed: Revision,
        now: &Now<'_>,
    ) -> Result<Evaluated, Error> {
        if !self.holds(current) {
            return Ok(Effect::Nothing { applied: false }.into());
        }
        match &self.act {
            Act::Set(expiry) => Ok(set(self.record.clone(), *expiry, current, now).into()),
            Act::Delete(cause) => Ok(removal(current.is_some(), *cause).into()),
            Act::Take(cause) => {
                let there = current.is_some_and(|current| current.is(&self.record));
                Ok(removal(there, *cause).into())
            }
            Act::Increment(increment) => self.increment(increment, current, revealed, now),
            Act::Expire(expire) => Ok(expiry_change(*expire, current, now).into()),
        }
    }

    /// As [`Item::evaluate`], for an item that nobody asks again: a new record is moved, not
    /// shared, which most units do, so it costs them no count.
    pub(crate) fn evaluate_once(
        self,
        current: Option<&Record>,
        revealed: Revision,
        now: &Now<'_>,
    ) -> Result<Evaluated, Error> {
        match self.act {
            Act::Set(expiry) if self.holds(current) => {
                Ok(set(self.record, expiry, current, now).into())
            }
            _ => self.evaluate(current, revealed, now),
        }
    }

    fn increment(
        &self,
        increment: &Increment,
        current: Option<&Record>,
        revealed: Revision,
        now: &Now<'_>,
    ) -> Result<Evaluated, Error> {
        let before = match current {
            None => increment.initial,
            Some(record) => counter(record.value()).ok_or(Error::NotAnInteger { revealed })?,
        };
        let after = add(increment, before).ok_or(Error::OutOfBounds {
            current: before,
            delta: increment.delta,
            min: increment.min,
            max: increment.max,
            revealed,
        })?;
        let deadline = match current {
            Some(record) => record.deadline_ms(),
            None => deadline(increment.expiry, now),
        };
        let effect = if passed(deadline, now) {
            gone(current)
        } else {
            let text = after.to_string();
            Effect::Put {
                record: Record::new(self.record.key(), text.as_bytes(), deadline, 0),
                value_kept: false,
            }
        };
        Ok(Evaluated {
            effect,
            counter: Some(after),
        })
    }
}

fn set(made: Record, expiry: Expiry, current: Option<&Record>, now: &Now<'_>) -> Effect {
    let deadline = match expiry {
        Expiry::Never => 0,
        Expiry::Keep => current.map_or(0, Record::deadline_ms),
        Expiry::After(_) | Expiry::At(_) => made.deadline_ms(),
    };
    if passed(deadline, now) {
        return gone(current);
    }
    // Only a kept deadline asks for another record than the one that was made.
    let record = if deadline == made.deadline_ms() {
        made
    } else {
        Record::new(made.key(), made.value(), deadline, 0)
    };
    Effect::Put {
        record,
        value_kept: false,
    }
}

fn expiry_change(expire: Expire, current: Option<&Record>, now: &Now<'_>) -> Effect {
    let Some(record) = current else {
        return Effect::Nothing { applied: false };
    };
    let (before, after) = (record.deadline_ms(), deadline(expire.to, now));
    // Never is infinitely late.
    let late = |deadline: u64| deadline.wrapping_sub(1);
    let applies = match expire.condition {
        ExpireCondition::Always => true,
        ExpireCondition::IfNone => before == 0,
        ExpireCondition::IfSome => before != 0,
        ExpireCondition::IfLater => late(after) > late(before),
        ExpireCondition::IfEarlier => late(after) < late(before),
    };
    // What never ends cannot be told to end never.
    if !applies || (after, before) == (0, 0) {
        return Effect::Nothing { applied: false };
    }
    if passed(after, now) {
        return Effect::Remove(Cause::Deleted);
    }
    Effect::Put {
        record: Record::new(record.key(), record.value(), after, record.lease_id()),
        value_kept: true,
    }
}

fn removal(there: bool, cause: Cause) -> Effect {
    if there {
        Effect::Remove(cause)
    } else {
        Effect::Nothing { applied: false }
    }
}

/// A change whose own deadline has passed leaves nothing behind.
fn gone(current: Option<&Record>) -> Effect {
    match current {
        Some(_) => Effect::Remove(Cause::Deleted),
        None => Effect::Nothing { applied: true },
    }
}

fn passed(deadline_ms: u64, now: &Now<'_>) -> bool {
    deadline_ms != 0 && deadline_ms <= now.ms()
}

/// A deadline on the engine's clock; 0 = never.
fn deadline(expiry: Expiry, now: &Now<'_>) -> u64 {
    match expiry {
        Expiry::Never | Expiry::Keep => 0,
        Expiry::After(ms) => now.ms().saturating_add(ms),
        // The moment before all is a moment, not never.
        Expiry::At(wall_ms) => now.clock.engine_of(wall_ms).max(1),
    }
}

/// Decimal text as this store writes it: no sign but a minus, no leading zero.
fn counter(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" && text == "0"
        || (digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.starts_with('0'));
    canonical.then_some(number)
}

fn add(increment: &Increment, before: i64) -> Option<i64> {
    let sum = i128::from(before) + i128::from(increment.delta);
    let (min, max) = (i128::from(increment.min), i128::from(increment.max));
    if increment.saturate {
        return i64::try_from(sum.clamp(min, max)).ok();
    }
    i64::try_from(sum)
        .ok()
        .filter(|sum| (min..=max).contains(&i128::from(*sum)))
}

/// A change of one key that will be made.
#[derive(Debug)]
pub(crate) struct Step {
    pub place: Place,
    pub current: Option<Record>,
    pub change: Planned,
}

#[derive(Debug)]
pub(crate) enum Planned {
    Put { record: Record, value_kept: bool },
    Remove(Cause),
}

impl Planned {
    /// None if nothing changes.
    pub(crate) fn new(effect: Effect) -> Option<Self> {
        match effect {
            Effect::Nothing { .. } => None,
            Effect::Put { record, value_kept } => Some(Self::Put { record, value_kept }),
            Effect::Remove(cause) => Some(Self::Remove(cause)),
        }
    }

    pub(crate) fn into_record(self) -> Option<Record> {
        match self {
            Self::Put { record, .. } => Some(record),
            Self::Remove(_) => None,
        }
    }
}

impl Step {
    /// None if nothing changes.
    pub(crate) fn new(place: Place, current: Option<&Record>, effect: Effect) -> Option<Self> {
        Some(Self {
            place,
            change: Planned::new(effect)?,
            current: current.cloned(),
        })
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.change {
            Planned::Put { record, .. } => Some(record),
            Planned::Remove(_) => None,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        let record = self.record().or(self.current.as_ref());
        record.map(Record::key).unwrap_or_default()
    }

    /// Accounted bytes before and after.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let bytes = |record: Option<&Record>| record.map_or(0, Record::accounted_bytes);
        (bytes(self.current.as_ref()), bytes(self.record()))
    }

    /// Upper bound of its bytes in the log.
    pub(crate) fn logged_max(&self) -> usize {
        let key = self.key().len();
        match &self.change {
            Planned::Put {
                value_kept: true, ..
            } => key + OP_OVERHEAD,
            Planned::Put { record, .. } => key + record.value().len() + OP_OVERHEAD,
            Planned::Remove(Cause::Expired | Cause::Evicted) => {
                let last = self.current.as_ref().map_or(0, |gone| gone.value().len());
                key + last + OP_OVERHEAD
            }
            Planned::Remove(_) => key + DELETE_OVERHEAD,
        }
    }

    /// Enters a new key where it must be before the revision is drawn.
    pub(crate) fn prepare(&self, shard: &Shard<'_>) {
        if let Some(record) = self.record() {
            prepare(shard, self.place, record, self.current.as_ref());
        }
    }

    /// Stamps the record with its place in the order and says what is logged.
    /// With `displaced`, what was there before goes along for whoever watches.
    pub(crate) fn log(&mut self, revision: Revision, displaced: bool) -> Logged {
        let current = self.current.as_ref();
        let previous = current.map_or(Revision::NONE, Record::mod_revision);
        let displaced = current.filter(|_| displaced).cloned();
        match &mut self.change {
            Planned::Remove(cause) => Logged::Delete {
                gone: current.expect("only what is there is removed").clone(),
                cause: *cause,
            },
            Planned::Put { record, value_kept } => {
                let created = current.map_or(revision, Record::create_revision);
                let version = current.map_or(1, |record| record.version().saturating_add(1));
                record.stamp(revision, created, version);
                let record = record.clone();
                if *value_kept {
                    Logged::Metadata {
                        record,
                        previous,
                        displaced,
                    }
                } else {
                    Logged::Set {
                        record,
                        previous,
                        displaced,
                    }
                }
            }
        }
    }

    pub(crate) fn apply(&self, shard: &mut Shard<'_>, revision: Revision) -> Option<Record> {
        let change = match self.record() {
            Some(record) => Change::Put(record.clone()),
            None => Change::Remove,
        };
        apply(shard, self.place, self.key(), change, revision)
    }
}
