//! What one key holds, as far as it can be known, and what facts make of it.
//!
//! Revisions of undecided writes are unknown until somebody sees them; then the state
//! takes them over. A state with unknown numbers stands for all that they may be, so no
//! correct history is rejected for them.

use super::super::op::{Change, Meta, Operator, Record, Target, Test, Until, When};
use super::facts::Fact;

/// Clocks are read in two processes, and a request may wait long.
const EARLY: i64 = 1_000;
const LATE: i64 = 600_000;

/// One key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The newest revision that is known to have touched the key.
    floor: i64,
    held: Option<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    value: String,
    modified: Option<i64>,
    created: Option<i64>,
    version: i64,
    /// Earliest and latest possible end; both 0 for never.
    expires: (i64, i64),
}

impl State {
    /// The state after `facts`, if they can hold in this one. `revision` is that of the
    /// whole operation, if it wrote and is known.
    pub(crate) fn after(&self, facts: &[Fact], revision: Option<i64>) -> Option<Self> {
        let mut state = self.clone();
        let mut wrote = false;
        for fact in facts {
            if fact.writes()
                && !wrote
                && let Some(revision) = revision
            {
                if revision <= state.floor {
                    return None;
                }
                state.floor = revision;
            }
            wrote |= fact.writes();
            state.hold(fact, revision)?;
        }
        Some(state)
    }

    fn hold(&mut self, fact: &Fact, revision: Option<i64>) -> Option<()> {
        match fact {
            Fact::Test(test, held) => self.test(test, *held),
            Fact::Saw(None) => self.held.is_none().then_some(()),
            Fact::Saw(Some(record)) => {
                let same = self.held.as_ref()?.value == record.value;
                same.then_some(())?;
                self.numbers(&record.meta)
            }
            Fact::NotAnInteger => {
                let number = self.held.as_ref()?.value.parse::<i64>();
                number.is_err().then_some(())
            }
            Fact::Set {
                value,
                until,
                wall,
                told,
            } => {
                let expires = match until {
                    Until::Never => (0, 0),
                    Until::Keep => self.held.as_ref().map_or((0, 0), |held| held.expires),
                    Until::At(at) => (*at, *at),
                    Until::Within(ttl) => within(*wall, *ttl),
                };
                self.put(value.clone(), expires, revision);
                told.as_ref().map_or(Some(()), |meta| self.numbers(meta))
            }
            Fact::Delete(certain) => {
                if *certain && self.held.is_none() {
                    return None;
                }
                self.held = None;
                Some(())
            }
            Fact::Increment { delta, told } => {
                let (before, expires) = match &self.held {
                    None => (0, (0, 0)),
                    Some(held) => (held.value.parse::<i64>().ok()?, held.expires),
                };
                let value = before.checked_add(*delta)?;
                self.put(value.to_string(), expires, revision);
                match told {
                    Some((told, _)) if *told != value => None,
                    Some((_, meta)) => self.numbers(meta),
                    None => Some(()),
                }
            }
            Fact::Expire {
                change,
                when,
                wall,
                told,
            } => self.expire(*change, *when, *wall, told.as_ref(), revision),
        }
    }

    fn put(&mut self, value: String, expires: (i64, i64), revision: Option<i64>) {
        let (created, version) = match &self.held {
            None => (revision, 1),
            Some(held) => (held.created, held.version + 1),
        };
        self.held = Some(Held {
            value,
            modified: revision,
            created,
            version,
            expires,
        });
    }

    fn expire(
        &mut self,
        change: Change,
        when: When,
        wall: i64,
        told: Option<&(bool, Option<Meta>)>,
        revision: Option<i64>,
    ) -> Option<()> {
        let Some(held) = &self.held else {
            let fits = told.is_none_or(|(applied, meta)| !applied && meta.is_none());
            return fits.then_some(());
        };
        let never = held.expires == (0, 0);
        let allowed = match when {
            When::Always => true,
            When::Nx => never,
            When::Xx => !never,
        };
        // Whether it counts to take an expiry from a key that has none is not promised.
        let either = allowed && never && change == Change::Persist;
        let applies = match told {
            Some((applied, _)) if either => *applied,
            _ => allowed,
        };
        if told.is_some_and(|(applied, _)| *applied != applies) {
            return None;
        }
        if applies {
            let value = held.value.clone();
            let expires = match change {
                Change::At(at) => (at, at),
                Change::Within(ttl) => within(wall, ttl),
                Change::Persist => (0, 0),
            };
            self.put(value, expires, revision);
        }
        match told {
            Some((_, meta)) => self.numbers(meta.as_ref()?),
            None => Some(()),
        }
    }

    /// The record has these numbers.
    fn numbers(&mut self, meta: &Meta) -> Option<()> {
        let floor = self.floor;
        let held = self.held.as_mut()?;
        let (early, late) = held.expires;
        let fits = held.version == meta.version
            && (early..=late).contains(&meta.expires)
            && held.created.is_none_or(|known| known == meta.created)
            && match held.modified {
                Some(known) => known == meta.modified,
                None => meta.modified > floor,
            }
            && (meta.version == 1) == (meta.created == meta.modified)
            && meta.created <= meta.modified;
        fits.then_some(())?;
        held.modified = Some(meta.modified);
        held.created = Some(meta.created);
        held.expires = (meta.expires, meta.expires);
        self.floor = floor.max(meta.modified);
        Some(())
    }

    fn test(&mut self, test: &Test, held: bool) -> Option<()> {
        if let Some(is) = self.judge(test) {
            return (is == held).then_some(());
        }
        if held && test.operator == Operator::Equal {
            let record = self.held.as_mut()?;
            match test.target {
                Target::Modified(is) => record.modified = Some(is),
                Target::Created(is) => record.created = Some(is),
                _ => (),
            }
        }
        Some(())
    }

    /// Whether a test holds, if that can be known.
    fn judge(&self, test: &Test) -> Option<bool> {
        let held = self.held.as_ref();
        let number = |is: Option<i64>, than: i64| match is {
            Some(is) => Some(compare(test.operator, &is, &than)),
            // A record has no number below 1.
            None if than < 1 => Some(compare(test.operator, &1, &than)),
            None => None,
        };
        match &test.target {
            Target::Exists(than) => Some(compare(test.operator, &held.is_some(), than)),
            Target::Version(than) => number(Some(held.map_or(0, |held| held.version)), *than),
            Target::Modified(than) => number(held.map_or(Some(0), |held| held.modified), *than),
            Target::Created(than) => number(held.map_or(Some(0), |held| held.created), *than),
            Target::Value(than) => {
                Some(held.is_some_and(|held| compare(test.operator, &held.value, than)))
            }
        }
    }
}

/// How a test of a record whose numbers are all known turns out.
pub(crate) fn holds(test: &Test, record: Option<&Record>) -> bool {
    let number = |of: fn(&Meta) -> i64, than: i64| {
        let is = record.map_or(0, |record| of(&record.meta));
        compare(test.operator, &is, &than)
    };
    match &test.target {
        Target::Exists(than) => compare(test.operator, &record.is_some(), than),
        Target::Version(than) => number(|meta| meta.version, *than),
        Target::Modified(than) => number(|meta| meta.modified, *than),
        Target::Created(than) => number(|meta| meta.created, *than),
        Target::Value(than) => {
            record.is_some_and(|record| compare(test.operator, &record.value, than))
        }
    }
}

fn compare<T: Ord + ?Sized>(operator: Operator, is: &T, than: &T) -> bool {
    match operator {
        Operator::Equal => is == than,
        Operator::NotEqual => is != than,
        Operator::Greater => is > than,
        Operator::Less => is < than,
    }
}

fn within(wall: i64, ttl: i64) -> (i64, i64) {
    (wall + ttl - EARLY, wall + ttl + LATE)
}
