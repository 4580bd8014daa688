//! What every key held at which revision, as far as anybody was told.
//!
//! Revisions are the order that the store claims. Answered writes and everything that
//! was read are points on the line of their key; a state lasts from its point to the
//! next. Undecided writes that nobody saw may lie hidden between two points, so a state
//! between points is certain only where none of them can.

mod unmask;

use std::collections::{BTreeMap, HashMap};

use super::super::op::{Id, Key, Meta, Op, Record, TOKEN};
use super::facts::{Fact, Way};
use super::model::holds;
use super::{Kind, Violation};

/// Positions from the first to the last; position p is the state after all writes with
/// revisions up to p.
pub(crate) type Window = (i64, i64);

/// What is known of a key at one of its revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Live {
    value: Option<String>,
    meta: Option<Meta>,
}

#[derive(Clone, Debug)]
struct Point {
    /// `None`: absent from here on.
    live: Option<Live>,
    writer: Option<Id>,
}

/// An undecided write that nobody is known to have seen, with the revisions between
/// which it must lie.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    after: i64,
    before: i64,
}

#[derive(Debug)]
pub(crate) struct Timeline {
    keys: Vec<BTreeMap<i64, Point>>,
    hidden: Vec<Vec<Hidden>>,
    /// The operation of each known revision, if that is known too.
    pub(crate) revisions: BTreeMap<i64, Option<Id>>,
}

impl Timeline {
    /// Collects all points of a history.
    pub(crate) fn new(
        ops: &[Op],
        ways: &[Vec<Way>],
        keys: usize,
        violations: &mut Vec<Violation>,
    ) -> Self {
        let mut line = Self {
            keys: vec![BTreeMap::new(); keys],
            hidden: vec![Vec::new(); keys],
            revisions: BTreeMap::new(),
        };
        let decided = || ops.iter().zip(ways).enumerate();
        for (id, (op, ways)) in decided().filter(|(_, (op, _))| !op.undecided()) {
            if let Some(revision) = op.revision() {
                line.own(revision, id, violations);
            }
            for way in ways {
                line.answered(id, way, violations);
            }
        }
        line.unmask(ops, ways, violations);
        let seen: HashMap<Id, i64> = line
            .revisions
            .iter()
            .filter_map(|(revision, id)| id.map(|id| (id, *revision)))
            .collect();
        for (id, (op, ways)) in decided().filter(|(_, (op, _))| op.undecided()) {
            if !seen.contains_key(&id) {
                let hidden = bounds(ops, op);
                for key in 0..keys {
                    let touches = |way: &Way| {
                        let facts = way.facts.get(&key);
                        facts.is_some_and(|facts| facts.iter().any(Fact::writes))
                    };
                    if ways.iter().any(touches) {
                        line.hidden[key].push(hidden);
                    }
                }
            }
        }
        line
    }

    /// Revision `revision` is that of `id` and of no other.
    fn own(&mut self, revision: i64, id: Id, violations: &mut Vec<Violation>) {
        let owner = self.revisions.entry(revision).or_insert(Some(id));
        match owner {
            Some(other) if *other != id => violations.push(Violation::new(
                Kind::Revision,
                format!("revision {revision} belongs to two operations"),
                &[*other, id],
            )),
            _ => *owner = Some(id),
        }
    }

    fn answered(&mut self, id: Id, way: &Way, violations: &mut Vec<Violation>) {
        for (key, facts) in &way.facts {
            for fact in facts {
                let (revision, live, writer) = match fact {
                    Fact::Saw(Some(record)) => {
                        let live = Live {
                            value: Some(record.value.clone()),
                            meta: Some(record.meta),
                        };
                        (record.meta.modified, Some(live), None)
                    }
                    Fact::Set {
                        value,
                        told: Some(meta),
                        ..
                    } => {
                        let (value, meta) = (Some(value.clone()), Some(*meta));
                        (
                            way.revision.unwrap_or(0),
                            Some(Live { value, meta }),
                            Some(id),
                        )
                    }
                    Fact::Increment {
                        told: Some((value, meta)),
                        ..
                    } => {
                        let (value, meta) = (Some(value.to_string()), Some(*meta));
                        (
                            way.revision.unwrap_or(0),
                            Some(Live { value, meta }),
                            Some(id),
                        )
                    }
                    Fact::Expire {
                        told: Some((true, meta)),
                        ..
                    } => {
                        let live = Live {
                            value: None,
                            meta: *meta,
                        };
                        (way.revision.unwrap_or(0), Some(live), Some(id))
                    }
                    Fact::Delete(_) => (way.revision.unwrap_or(0), None, Some(id)),
                    _ => continue,
                };
                self.add(*key, revision, live, writer, id, violations);
            }
        }
    }

    fn add(
        &mut self,
        key: Key,
        revision: i64,
        live: Option<Live>,
        writer: Option<Id>,
        told: Id,
        violations: &mut Vec<Violation>,
    ) {
        self.revisions.entry(revision).or_insert(None);
        let point = self.keys[key].entry(revision).or_insert_with(|| Point {
            live: live.clone(),
            writer,
        });
        point.writer = point.writer.or(writer);
        let same = match (&mut point.live, live) {
            (None, None) => true,
            (Some(known), Some(live)) => {
                let fits = agree(known.value.as_ref(), live.value.as_ref())
                    && agree(known.meta.as_ref(), live.meta.as_ref());
                known.value = known.value.take().or(live.value);
                known.meta = known.meta.or(live.meta);
                fits
            }
            _ => false,
        };
        if !same {
            let mut ops = vec![told];
            ops.extend(point.writer.filter(|writer| *writer != told));
            violations.push(Violation::new(
                Kind::Revision,
                format!("revision {revision} of key {key} holds two different things"),
                &ops,
            ));
        }
    }

    /// The positions at which `fact` may hold, joined and in order.
    pub(crate) fn windows(&self, key: Key, fact: &Fact) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        let points = &self.keys[key];
        let mut from = (0, None);
        let ends = points
            .iter()
            .map(|(revision, point)| (*revision, Some(point)));
        for (end, point) in ends.chain([(i64::MAX, None)]) {
            if self.may_hold(key, from, (end, point), fact) {
                match windows.last_mut() {
                    Some(last) if last.1 == from.0 - 1 => last.1 = end - 1,
                    _ => windows.push((from.0, end - 1)),
                }
            }
            from = (end, point);
        }
        windows
    }

    fn may_hold(
        &self,
        key: Key,
        (start, at): (i64, Option<&Point>),
        (end, next): (i64, Option<&Point>),
        fact: &Fact,
    ) -> bool {
        let live = at.and_then(|point| point.live.as_ref());
        let hidden = || {
            let between = |hidden: &Hidden| hidden.after < end && hidden.before > start;
            let follows = next.and_then(|point| point.live.as_ref());
            let metas = live
                .and_then(|live| live.meta)
                .zip(follows.and_then(|live| live.meta));
            let adjacent =
                metas.is_some_and(|(a, b)| a.created == b.created && a.version + 1 == b.version);
            !adjacent && self.hidden[key].iter().any(between)
        };
        match fact {
            Fact::Saw(Some(record)) => start == record.meta.modified,
            Fact::Saw(None) => live.is_none() || hidden(),
            Fact::Test(test, held) => {
                let record = live.map(|live| live.value.clone().zip(live.meta));
                let certain = match record {
                    None => Some(None),
                    Some(Some((value, meta))) => Some(Some(Record { value, meta })),
                    Some(None) => None,
                };
                certain.is_none_or(|record| holds(test, record.as_ref()) == *held) || hidden()
            }
            Fact::NotAnInteger => {
                let value = live.map(|live| live.value.as_ref());
                let word = |value: &String| value.parse::<i64>().is_err();
                value.is_some_and(|value| value.is_none_or(word)) || hidden()
            }
            _ => true,
        }
    }
}

fn agree<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    a.zip(b).is_none_or(|(a, b)| a == b)
}

/// The revisions between which an undecided write lies, by real time.
fn bounds(ops: &[Op], op: &Op) -> Hidden {
    let mut hidden = Hidden {
        after: 0,
        before: i64::MAX,
    };
    for other in ops {
        if let Some(revision) = other.revision() {
            if other.returned < op.invoked {
                hidden.after = hidden.after.max(revision);
            }
            if other.invoked > op.returned {
                hidden.before = hidden.before.min(revision);
            }
        }
    }
    hidden
}

/// The number of the Set that a value comes from; 0 if a counter began at nothing.
pub(crate) fn token(value: &str) -> Option<i64> {
    match value.strip_prefix('w') {
        Some(token) => token.parse().ok(),
        None => value.parse::<i64>().ok().map(|value| value / TOKEN),
    }
}
