//! Puts every operation at a position in the order of revisions.
//!
//! A write is at its revision and must have seen the state just before. An operation
//! that changed nothing must have seen one single state, and is put at the earliest
//! position that shows it and that is not before anything that had returned when it
//! was invoked. The earliest is always right: all that later operations ask of it is
//! not to be late. So if there is no such position, there is no order.

use super::super::op::{Id, Op};
use super::facts::{Fact, Way};
use super::timeline::{Timeline, Window};
use super::{Kind, Violation};

/// Where the operations are.
#[derive(Debug)]
pub(crate) struct Places {
    /// Absent for what has no place: refused, undecided and unseen, or in the wrong.
    pub(crate) at: Vec<Option<i64>>,
    /// The position that real time demands at least.
    pub(crate) least: Vec<i64>,
}

/// The facts of an operation about the state before it.
pub(crate) fn before(facts: &[Fact]) -> impl Iterator<Item = &Fact> {
    facts.iter().take_while(|fact| !fact.writes())
}

/// Places all operations of a history.
pub(crate) fn place(
    ops: &[Op],
    ways: &[Vec<Way>],
    line: &Timeline,
    violations: &mut Vec<Violation>,
) -> Places {
    let mut places = Places {
        at: vec![None; ops.len()],
        least: vec![0; ops.len()],
    };
    for (revision, id) in &line.revisions {
        if let Some(id) = id {
            places.at[*id] = Some(*revision);
        }
    }
    let mut invoked: Vec<Id> = (0..ops.len()).collect();
    invoked.sort_by_key(|&id| ops[id].invoked);
    let mut returned = invoked.clone();
    returned.sort_by_key(|&id| ops[id].returned);
    let mut returned = returned.into_iter().peekable();
    let mut newest: Option<(i64, Id)> = None;
    for id in invoked {
        while let Some(&done) = returned.peek() {
            if ops[done].returned >= ops[id].invoked {
                break;
            }
            returned.next();
            newest = newest.max(places.at[done].map(|at| (at, done)));
        }
        let least = newest.map_or(0, |(at, _)| at);
        places.least[id] = least;
        if let Some(revision) = places.at[id] {
            if let Some((_, earlier)) = newest.filter(|_| revision <= least) {
                violations.push(Violation::new(
                    Kind::RealTime,
                    format!("revision {revision} was given after {least} had been seen"),
                    &[earlier, id],
                ));
            }
            if !ops[id].undecided() {
                saw_the_state_before(id, revision, &ways[id], line, violations);
            }
        } else if !ops[id].undecided()
            && let [way] = &ways[id][..]
        {
            places.at[id] = read(id, way, newest, line, violations);
        }
    }
    places
}

fn saw_the_state_before(
    id: Id,
    revision: i64,
    ways: &[Way],
    line: &Timeline,
    violations: &mut Vec<Violation>,
) {
    let position = revision - 1;
    let mut wrong = |what: String| {
        violations.push(Violation::new(Kind::Snapshot, what, &[id]));
    };
    for way in ways {
        for (key, facts) in &way.facts {
            for fact in before(facts) {
                let windows = line.windows(*key, fact);
                if !windows.iter().any(|window| contains(window, position)) {
                    wrong(format!(
                        "at revision {revision}, but {fact:?} of key {key} was so at {windows:?}"
                    ));
                }
            }
        }
        let windows = one_failed(way, line);
        if windows.is_some_and(|all| !all.iter().any(|window| contains(window, position))) {
            wrong(format!("at revision {revision} all its tests held"));
        }
    }
}

/// The place of an operation that changed nothing.
fn read(
    id: Id,
    way: &Way,
    newest: Option<(i64, Id)>,
    line: &Timeline,
    violations: &mut Vec<Violation>,
) -> Option<i64> {
    let mut common: Vec<Window> = vec![(0, i64::MAX)];
    for (key, facts) in &way.facts {
        for fact in facts {
            common = intersect(&common, &line.windows(*key, fact));
        }
    }
    if let Some(windows) = one_failed(way, line) {
        common = intersect(&common, &windows);
    }
    if common.is_empty() {
        let what = "saw together what never was at one moment".to_owned();
        violations.push(Violation::new(Kind::Snapshot, what, &[id]));
        return None;
    }
    let least = newest.map_or(0, |(at, _)| at);
    let place = common.iter().find(|window| window.1 >= least);
    if place.is_none() {
        let what = format!("saw a state of {common:?} when {least} had been seen");
        let ops: Vec<Id> = newest.map(|(_, earlier)| earlier).into_iter().collect();
        violations.push(Violation::new(
            Kind::Stale,
            what,
            &[&ops[..], &[id]].concat(),
        ));
    }
    place.map(|window| window.0.max(least))
}

/// Where at least one of the tests fails of which one must have failed.
pub(crate) fn one_failed(way: &Way, line: &Timeline) -> Option<Vec<Window>> {
    if way.one_failed.is_empty() {
        return None;
    }
    let mut all: Vec<Window> = Vec::new();
    for (key, test) in &way.one_failed {
        all.extend(line.windows(*key, &Fact::Test(test.clone(), false)));
    }
    all.sort_unstable();
    let mut joined: Vec<Window> = Vec::new();
    for window in all {
        match joined.last_mut() {
            Some(last) if window.0 <= last.1.saturating_add(1) => last.1 = last.1.max(window.1),
            _ => joined.push(window),
        }
    }
    Some(joined)
}

fn contains(window: &Window, position: i64) -> bool {
    (window.0..=window.1).contains(&position)
}

fn intersect(a: &[Window], b: &[Window]) -> Vec<Window> {
    let mut both = Vec::new();
    for a in a {
        for b in b {
            let window = (a.0.max(b.0), a.1.min(b.1));
            if window.0 <= window.1 {
                both.push(window);
            }
        }
    }
    both
}
