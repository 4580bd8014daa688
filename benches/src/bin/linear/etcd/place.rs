//! At which revision an operation that changed nothing took place.
//!
//! kvd does not tell. It is the first state of the log that shows what the operation was
//! answered, and is not before anything that had returned when it began. Of all places that
//! can be right this is the earliest, so if any choice fits, these fit together; if none
//! does, the operation is left at the earliest, and the validators find that wrong.

use std::collections::BTreeMap;

use super::super::op::{Action, Answer, Beside, Op, Record, Reply, Step, Target, TxnStep};
use super::super::persisted::Log;

/// What a key holds: value, revision, version.
type State = BTreeMap<String, (String, i64, i64)>;

/// The rank of each operation; None for those that were not answered.
pub(super) fn ranks(prefix: &str, log: &Log, ops: &[Op]) -> Vec<Option<i64>> {
    let states = states(log);
    let mut order: Vec<usize> = (0..ops.len()).collect();
    order.sort_by_key(|&id| ops[id].invoked);
    let mut ranks = vec![None; ops.len()];
    // By their return.
    let mut returned: BTreeMap<u64, i64> = BTreeMap::new();
    for id in order {
        let op = &ops[id];
        let Some(reply) = op.reply() else {
            continue;
        };
        let before = returned.range(..op.invoked).map(|(_, rank)| *rank).max();
        let earliest = before.unwrap_or(1);
        let rank = op.revision().map_or_else(
            || {
                let from = usize::try_from(earliest - 1).unwrap_or(0);
                let shown = |state: &State| Shown { prefix, state }.shows(&op.action, reply);
                let found = states.iter().skip(from).position(shown);
                found.map_or(earliest, |at| {
                    i64::try_from(from + at + 1).unwrap_or(earliest)
                })
            },
            |revision| log.exact(revision),
        );
        ranks[id] = Some(rank);
        returned.insert(op.returned, rank);
    }
    ranks
}

/// The state at each rank, from the new store on.
fn states(log: &Log) -> Vec<State> {
    let mut states = vec![State::new()];
    for (revision, changes) in log.revisions() {
        let mut state = states.last().cloned().unwrap_or_default();
        for change in changes {
            let version = state.get(&change.key).map_or(0, |(_, _, version)| *version);
            match &change.value {
                Some(value) => {
                    let now = (value.clone(), revision, version + 1);
                    state.insert(change.key.clone(), now);
                }
                None => drop(state.remove(&change.key)),
            }
        }
        states.push(state);
    }
    states
}

/// What an answer says of a state.
struct Shown<'a> {
    prefix: &'a str,
    state: &'a State,
}

impl Shown<'_> {
    fn holds(&self, key: usize) -> Option<&(String, i64, i64)> {
        self.state.get(&format!("{}{key}", self.prefix))
    }

    fn is(&self, key: usize, record: Option<&Record>) -> bool {
        let told = record.map(|record| {
            let meta = record.meta;
            (&record.value, meta.modified, meta.version)
        });
        let holds = self.holds(key);
        holds.map(|(value, modified, version)| (value, *modified, *version)) == told
    }

    fn passes(&self, key: usize, target: &Target) -> bool {
        let (modified, version) = self.holds(key).map_or((0, 0), |(_, m, v)| (*m, *v));
        match target {
            Target::Modified(wanted) => *wanted == modified,
            Target::Version(wanted) => *wanted == version,
            Target::Exists(wanted) => *wanted == (version > 0),
            // They have no such thing: it is left out before.
            Target::Created(_) | Target::Value(_) => false,
        }
    }

    fn shows(&self, action: &Action, reply: &Reply) -> bool {
        match (action, reply) {
            (Action::One { key, .. }, Reply::One(Answer::Got(record))) => {
                self.is(*key, record.as_ref())
            }
            (Action::One { key, .. }, Reply::One(Answer::Delete(None, Beside::Record(record)))) => {
                self.is(*key, Some(record))
            }
            (Action::One { key, step, .. }, _) if *step == Step::Delete => self.is(*key, None),
            (Action::BatchGet(keys), Reply::BatchGet(records)) => {
                let mut all = keys.iter().zip(records);
                all.all(|(key, record)| self.is(*key, record.as_ref()))
            }
            (
                Action::Txn {
                    compares,
                    success,
                    failure,
                },
                Reply::Txn {
                    succeeded, answers, ..
                },
            ) => {
                let mut tests = compares.iter();
                let passed = tests.all(|(key, test)| self.passes(*key, &test.target));
                let steps = if *succeeded { success } else { failure };
                let mut told = steps.iter().zip(answers);
                passed == *succeeded && told.all(|(step, answer)| self.step(step, answer))
            }
            _ => true,
        }
    }

    fn step(&self, step: &TxnStep, answer: &Answer) -> bool {
        match (step, answer) {
            (TxnStep::On(key, _), Answer::Got(record)) => self.is(*key, record.as_ref()),
            (TxnStep::On(key, Step::Delete), _) => self.is(*key, None),
            (_, Answer::Range(records)) => {
                let mut each = records.iter();
                let count = self.state.range(self.prefix.to_owned()..);
                let count = count.take_while(|(key, _)| key.starts_with(self.prefix));
                count.count() == records.len()
                    && each.all(|(key, record)| self.is(*key, Some(record)))
            }
            _ => true,
        }
    }
}
