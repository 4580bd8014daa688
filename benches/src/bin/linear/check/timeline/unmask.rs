//! Finds undecided writes by the values that were seen.
//!
//! A value names the Set that it comes from, so the revision of a record that nobody
//! else wrote is that of its Set, unless an Expire or a counter has touched it since.
//! The revision found, what else that operation wrote has it too: that is how a
//! transaction of which nobody was told, and that is seen by half, is noticed.

use std::collections::{BTreeMap, HashMap};

use super::super::super::op::{Id, Key, Op};
use super::super::facts::{Fact, Way};
use super::super::{Kind, Violation};
use super::{Live, Point, Timeline};

/// Which undecided operation may have written a value, and in which of its ways.
type Sources<'a> = HashMap<(Key, &'a str), (Id, usize)>;

impl Timeline {
    pub(super) fn unmask(
        &mut self,
        ops: &[Op],
        ways: &[Vec<Way>],
        violations: &mut Vec<Violation>,
    ) {
        let mut sources = Sources::new();
        let mut expires: Vec<bool> = vec![false; self.keys.len()];
        for (id, _) in ops.iter().enumerate().filter(|(_, op)| op.undecided()) {
            for (number, way) in ways[id].iter().enumerate() {
                for (key, facts) in &way.facts {
                    for fact in facts {
                        match fact {
                            Fact::Set { value, .. } => {
                                sources.insert((*key, value), (id, number));
                            }
                            Fact::Expire { .. } => expires[*key] = true,
                            _ => (),
                        }
                    }
                }
            }
        }
        let mut found: BTreeMap<(i64, Id), usize> = BTreeMap::new();
        for (key, points) in self.keys.iter().enumerate() {
            let mut previous = None;
            for (revision, point) in points {
                let value = point.live.as_ref().and_then(|live| live.value.as_deref());
                if point.writer.is_none()
                    && let Some(&(id, way)) = value.and_then(|value| sources.get(&(key, value)))
                    && (!expires[key] || changed(previous, point))
                {
                    found.insert((*revision, id), way);
                }
                previous = Some(point);
            }
        }
        let mut before: HashMap<Id, i64> = HashMap::new();
        for ((revision, id), way) in found {
            if let Some(first) = before.insert(id, revision) {
                violations.push(Violation::new(
                    Kind::Revision,
                    format!("one write took effect at revision {first} and at {revision}"),
                    &[id],
                ));
                continue;
            }
            self.own(revision, id, violations);
            self.also(revision, id, &ways[id][way], violations);
        }
    }

    /// The operation at this revision wrote all that it had to write.
    fn also(&mut self, revision: i64, id: Id, way: &Way, violations: &mut Vec<Violation>) {
        for (key, facts) in &way.facts {
            for fact in facts {
                let live = match fact {
                    Fact::Set { value, .. } => Some(Live {
                        value: Some(value.clone()),
                        meta: None,
                    }),
                    Fact::Increment { .. } => Some(Live::default()),
                    Fact::Delete(_) => None,
                    _ => continue,
                };
                self.add(*key, revision, live, Some(id), id, violations);
            }
        }
    }
}

/// Whether the value certainly came with this revision: it created the key, or directly
/// follows one with another value.
fn changed(previous: Option<&Point>, point: &Point) -> bool {
    let Some(live) = &point.live else {
        return false;
    };
    let Some(meta) = live.meta else {
        return false;
    };
    let follows = || {
        let before = previous?.live.as_ref()?;
        let (value, numbers) = (before.value.as_ref()?, before.meta?);
        let adjacent = numbers.created == meta.created && numbers.version + 1 == meta.version;
        Some(adjacent && Some(value) != live.value.as_ref())
    };
    meta.version == 1 || follows().unwrap_or(false)
}
