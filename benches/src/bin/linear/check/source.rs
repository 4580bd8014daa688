//! Every value that is seen was written: for that key, by an operation that had been
//! invoked, was not refused, and says so itself. And headers only ever go up.

use std::collections::HashMap;

use super::super::op::{Action, Id, Key, Op, Outcome, Record, Step, TxnStep};
use super::facts::{Fact, Way};
use super::timeline::token;
use super::{Kind, Violation};

/// Where a Set stands.
#[derive(Clone, Copy, Debug)]
struct Source {
    id: Id,
    key: Key,
    /// The list of a Txn that it belongs to.
    branch: Option<bool>,
}

/// No dirty read, no read of the future, nothing invented.
pub(crate) fn values(ops: &[Op], ways: &[Vec<Way>], violations: &mut Vec<Violation>) {
    let mut sources: HashMap<i64, Source> = HashMap::new();
    for (id, op) in ops.iter().enumerate() {
        let mut add = |key: Key, step: &Step, branch| {
            if let Step::Set { value, .. } = step
                && let Some(token) = token(value)
            {
                sources.insert(token, Source { id, key, branch });
            }
        };
        match &op.action {
            Action::One { key, step, .. } => add(*key, step, None),
            Action::BatchGet(_) => (),
            Action::Txn {
                success, failure, ..
            } => {
                for (steps, branch) in [(success, true), (failure, false)] {
                    for step in steps {
                        if let TxnStep::On(key, step) = step {
                            add(*key, step, Some(branch));
                        }
                    }
                }
            }
        }
    }
    for (id, op) in ops.iter().enumerate().filter(|(_, op)| !op.undecided()) {
        for way in &ways[id] {
            for (key, facts) in &way.facts {
                for fact in facts {
                    let value = match fact {
                        Fact::Saw(Some(Record { value, .. })) => value.clone(),
                        Fact::Increment {
                            told: Some((value, _)),
                            ..
                        } => value.to_string(),
                        _ => continue,
                    };
                    if let Err((what, source)) = trace(ops, op, *key, &value, &sources) {
                        let what = format!("saw {value:?} at key {key}, {what}");
                        let mut ids: Vec<Id> = source.into_iter().collect();
                        ids.push(id);
                        violations.push(Violation::new(Kind::Dirty, what, &ids));
                    }
                }
            }
        }
    }
}

fn trace(
    ops: &[Op],
    reader: &Op,
    key: Key,
    value: &str,
    sources: &HashMap<i64, Source>,
) -> Result<(), (&'static str, Option<Id>)> {
    let source = match token(value) {
        Some(0) => return Ok(()),
        Some(token) => sources.get(&token),
        None => None,
    };
    let Some(source) = source else {
        return Err(("which nobody wrote", None));
    };
    let writer = &ops[source.id];
    let error = |what| Err((what, Some(source.id)));
    if source.key != key {
        return error("which was written to another key");
    }
    if writer.invoked > reader.returned {
        return error("which was written later");
    }
    match (&writer.outcome, writer.reply()) {
        (Outcome::Refused(_), _) => error("which was refused"),
        (_, Some(super::super::op::Reply::Txn { succeeded, .. }))
            if source.branch != Some(*succeeded) =>
        {
            error("which belongs to the list that did not run")
        }
        (Outcome::Answered(..), _) if writer.revision().is_none() => {
            error("which was answered as not applied")
        }
        _ => Ok(()),
    }
}

/// What replies say of the store.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The daemon, its newest revision, and who was told.
    store: (usize, i64, Id),
    durable: (i64, Id),
}

/// A reply knows of all that earlier replies knew of, and a write comes after it. What a
/// daemon held in memory may go with it, but the numbers are not given again.
pub(crate) fn headers(ops: &[Op], violations: &mut Vec<Violation>) {
    let mut invoked: Vec<Id> = (0..ops.len()).collect();
    invoked.sort_by_key(|&id| ops[id].invoked);
    let mut returned = invoked.clone();
    returned.sort_by_key(|&id| ops[id].returned);
    let mut returned = returned.into_iter().peekable();
    let mut told = Told::default();
    for id in invoked {
        while let Some(&done) = returned.peek() {
            if ops[done].returned >= ops[id].invoked {
                break;
            }
            returned.next();
            if let Outcome::Answered(_, header) = &ops[done].outcome {
                // A later daemon has the higher revisions, or has not begun to write.
                told.store = told.store.max((ops[done].daemon, header.store, done));
                told.durable = told.durable.max((header.durable, done));
            }
        }
        if let Outcome::Answered(_, header) = &ops[id].outcome
            && header.store != 0
        {
            let revision = ops[id].revision();
            let (daemon, store, by) = told.store;
            let mut wrong = |what: &str, than: i64, by: Id| {
                let what = format!("{what}: {header:?}, revision {revision:?}, {than} was told");
                violations.push(Violation::new(Kind::RealTime, what, &[by, id]));
            };
            if header.store < revision.unwrap_or(0) || header.store < header.durable {
                wrong("store_revision is too low", header.store, id);
            }
            if daemon == ops[id].daemon && header.store < store {
                wrong("store_revision goes back", store, by);
            }
            if header.durable < told.durable.0 {
                wrong("durable_revision goes back", told.durable.0, told.durable.1);
            }
            if revision.is_some_and(|revision| revision <= store) {
                wrong("a revision below what was told", store, by);
            }
        }
    }
}
