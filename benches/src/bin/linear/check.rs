//! Whether a history can be explained: pure functions of the history, no server.
//!
//! Two checkers that know nothing of one another. [`wgl`] looks for an order of the
//! operations on each key and uses revisions only to prune. [`place`] and [`graph`] take
//! the order that the revisions claim, over all keys, and look for what contradicts it.
//! [`source`] asks where values come from. What must hold is strict serializability in
//! the order of revisions, and that nothing was invented, lost or applied twice.

mod facts;
mod graph;
mod model;
mod place;
mod source;
mod timeline;
mod wgl;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::op::{Id, Key, Op};
use facts::{Fact, Way};
use timeline::Timeline;
use wgl::{Event, Verdict};

/// Steps of the search on one key. A correct history of a thousand operations takes a
/// few thousand.
const BUDGET: u64 = 3_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A reply that does not fit its request.
    Malformed,
    /// A revision means two things, or one write took two.
    Revision,
    /// Against the order of real time.
    RealTime,
    /// A value without a source.
    Dirty,
    /// A state that never was.
    Snapshot,
    /// A state that had been left behind.
    Stale,
    /// Dependencies in a circle.
    Cycle,
    /// No order of the operations on one key.
    Key,
    /// The search on one key was given up.
    Inconclusive,
}

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    /// In the order in which they are to be read.
    pub(crate) ops: Vec<Id>,
}

impl Violation {
    fn new(kind: Kind, what: String, ops: &[Id]) -> Self {
        let ops = ops.to_vec();
        Self { kind, what, ops }
    }
}

/// What the checks found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    /// How many undecided writes took effect, as far as that shows.
    pub(crate) applied: usize,
}

/// Everything that is wrong with a history over keys `0..keys`, all absent at first.
pub(crate) fn check(ops: &[Op], keys: usize) -> Report {
    let mut violations = Vec::new();
    let mut ways: Vec<Vec<Way>> = Vec::with_capacity(ops.len());
    for (id, op) in ops.iter().enumerate() {
        ways.push(facts::ways(op, keys).unwrap_or_else(|what| {
            violations.push(Violation::new(Kind::Malformed, what, &[id]));
            Vec::new()
        }));
    }
    source::values(ops, &ways, &mut violations);
    source::headers(ops, &mut violations);
    let line = Timeline::new(ops, &ways, keys, &mut violations);
    let places = place::place(ops, &ways, &line, &mut violations);
    graph::cycles(ops, &ways, &line, &places, &mut violations);
    let mut applied: BTreeSet<Id> = line.revisions.values().copied().flatten().collect();
    applied.retain(|id| ops[*id].undecided());
    for key in 0..keys {
        match one_key(ops, &ways, key) {
            Ok(needed) => applied.extend(needed),
            Err(violation) => violations.push(violation),
        }
    }
    Report {
        violations,
        applied: applied.len(),
    }
}

/// The operations on one key as the search wants them.
fn events(ops: &[Op], ways: &[Vec<Way>], key: Key) -> Vec<Event> {
    let about_key = |(id, op): (Id, &Op)| {
        let about: Vec<Vec<Fact>> = ways[id]
            .iter()
            .filter_map(|way| way.facts.get(&key).cloned())
            .filter(|facts| !op.undecided() || facts.iter().any(Fact::writes))
            .collect();
        let wrote = about.iter().flatten().any(Fact::writes);
        (!about.is_empty()).then(|| Event {
            id,
            invoked: op.invoked,
            returned: op.returned,
            optional: op.undecided(),
            revision: op.revision().filter(|_| wrote),
            ways: about,
        })
    };
    ops.iter().enumerate().filter_map(about_key).collect()
}

fn one_key(ops: &[Op], ways: &[Vec<Way>], key: Key) -> Result<Vec<Id>, Violation> {
    match wgl::linearize(&events(ops, ways, key), BUDGET) {
        Verdict::Linearizable(needed) => Ok(needed),
        Verdict::Not {
            explained,
            state,
            stuck,
        } => {
            let recent = explained.len().saturating_sub(6);
            let what = format!(
                "key {key}: {} operations can be explained, the last of them below, up to \
                 {state:?}; then none of the {} last ones fits",
                explained.len(),
                stuck.len()
            );
            let ids = [&explained[recent..], &stuck].concat();
            Err(Violation::new(Kind::Key, what, &ids))
        }
        Verdict::Unknown => {
            let what = format!("key {key}: no answer within {BUDGET} steps");
            Err(Violation::new(Kind::Inconclusive, what, &[]))
        }
    }
}
