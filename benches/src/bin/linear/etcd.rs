//! A history in the form that the validators of etcd's robustness tests read.
//!
//! `client-N/operations.json` holds one `porcupine.Operation` a line, with an
//! `EtcdRequest` as input and a `MaybeEtcdResponse` as output (etcd,
//! tests/robustness/model/types.go at v3.7.3; declared unstable there);
//! `client-N/watch.json` a `WatchOperation` a line; `persisted.json` an `EtcdRequest` for
//! each revision of the log, which they read from etcd's WAL and we from `kvd dump`.
//!
//! | here | there |
//! | --- | --- |
//! | Get, a range in a Txn, BatchGet | `range`; for BatchGet a `txn` of range operations |
//! | Set and Delete, with a condition on mod_revision, version or absence | `txn` of one put or delete, after a condition |
//! | Txn with equal compares of mod_revision or version, over get, set, delete, range | `txn` |
//! | undecided | `Error` |
//! | Increment that was answered | put of its result |
//! | anything else | left out, and counted in `left-out.txt` |
//!
//! Their model numbers changes without gaps, from a new store, and every response carries
//! the revision of its moment. So all revisions are told as their rank in the log (see
//! [`super::persisted`]). kvd does not tell the moment of a read; [`place`] takes it from the
//! log, and whether it can be right they see for themselves. A history
//! passes there only if nothing was left out and the store was new: that is what `--etcd`
//! is for. How watches are told is in [`watches`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

mod place;
mod watches;

use super::op::{
    Action, Answer, Beside, Key, Op, Operator, Outcome, Record, Reply, Step, Target, TxnStep,
};
use super::persisted::Log;
pub(crate) use watches::write as write_watches;

/// Writes what can be said in that form below `dir`.
pub(crate) fn write(dir: &Path, prefix: &str, log: &Log, ops: &[Op]) -> io::Result<()> {
    let mut clients: BTreeMap<usize, String> = BTreeMap::new();
    let mut left_out = 0;
    let form = Form { prefix, log };
    let ranks = place::ranks(prefix, log, ops);
    for (op, rank) in ops.iter().zip(ranks) {
        // What was sent to a daemon that was dead already did nothing either.
        if matches!(op.outcome, Outcome::Refused(_)) || op.returned < op.invoked {
            continue;
        }
        let Some((input, output)) = form.operation(op, rank) else {
            left_out += 1;
            continue;
        };
        let line = json!({
            "ClientId": op.process,
            "Input": input,
            "Call": op.invoked,
            "Output": output,
            "Return": i64::try_from(op.returned).unwrap_or(i64::MAX),
        });
        let file = clients.entry(op.process).or_default();
        file.push_str(&line.to_string());
        file.push('\n');
    }
    for (client, text) in clients {
        let dir = dir.join(format!("client-{client}"));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("operations.json"), text)?;
    }
    fs::write(dir.join("left-out.txt"), format!("{left_out}\n"))
}

struct Form<'a> {
    prefix: &'a str,
    log: &'a Log,
}

impl Form<'_> {
    fn operation(&self, op: &Op, rank: Option<i64>) -> Option<(Value, Value)> {
        let input = self.request(&op.action, op.reply())?;
        let output = match &op.outcome {
            Outcome::Answered(reply, _) => self.response(&op.action, reply, rank?)?,
            Outcome::Undecided(why) => json!({ "Error": why }),
            Outcome::Refused(_) => return None,
        };
        Some((input, output))
    }

    fn key(&self, key: Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn request(&self, action: &Action, reply: Option<&Reply>) -> Option<Value> {
        match action {
            Action::One {
                key,
                step: Step::Get,
                ..
            } => {
                let key = self.key(*key);
                Some(json!({
                    "Type": "range",
                    "Range": { "Start": key, "End": "", "Limit": 0, "Revision": 0 },
                }))
            }
            Action::One {
                key,
                step,
                condition,
                ..
            } => {
                let conditions = match condition {
                    None => Vec::new(),
                    Some(target) => vec![self.condition(*key, target)?],
                };
                let put = match (step, reply) {
                    (_, Some(Reply::One(Answer::Increment(value, _)))) => {
                        self.put(*key, &value.to_string())
                    }
                    _ => self.step(&TxnStep::On(*key, step.clone()))?,
                };
                Some(txn(&conditions, &[put], &[]))
            }
            Action::BatchGet(keys) => {
                let get = |key: &Key| self.step(&TxnStep::On(*key, Step::Get));
                let steps = keys.iter().map(get).collect::<Option<Vec<_>>>()?;
                Some(txn(&[], &steps, &[]))
            }
            Action::Txn {
                compares,
                success,
                failure,
            } => {
                let conditions = compares.iter().map(|(key, test)| {
                    (test.operator == Operator::Equal).then_some(())?;
                    self.condition(*key, &test.target)
                });
                let steps = |steps: &[TxnStep]| {
                    let steps = steps.iter().map(|step| self.step(step));
                    steps.collect::<Option<Vec<_>>>()
                };
                Some(txn(
                    &conditions.collect::<Option<Vec<_>>>()?,
                    &steps(success)?,
                    &steps(failure)?,
                ))
            }
        }
    }

    fn condition(&self, key: Key, target: &Target) -> Option<Value> {
        let (revision, version) = match target {
            Target::Modified(is) => (*is, 0),
            Target::Version(is) => (0, *is),
            Target::Exists(false) => (0, 0),
            _ => return None,
        };
        // Of the two only one is looked at: the version, if it is not 0.
        Some(json!({
            "Key": self.key(key),
            "ExpectedRevision": self.log.exact(revision),
            "ExpectedVersion": version,
        }))
    }

    fn put(&self, key: Key, value: &str) -> Value {
        json!({
            "Type": "put-operation",
            "Put": { "Key": self.key(key), "Value": { "Value": value, "Hash": 0 }, "LeaseID": 0 },
        })
    }

    fn step(&self, step: &TxnStep) -> Option<Value> {
        match step {
            TxnStep::On(key, Step::Get) => Some(json!({
                "Type": "range-operation",
                "Range": { "Start": self.key(*key), "End": "", "Limit": 0 },
            })),
            TxnStep::Range => {
                // The end of a prefix that ends in '/'.
                let end = self.prefix.replace('/', "0");
                Some(json!({
                    "Type": "range-operation",
                    "Range": { "Start": self.prefix, "End": end, "Limit": 0 },
                }))
            }
            TxnStep::On(key, Step::Set { value, .. }) => Some(self.put(*key, value)),
            TxnStep::On(key, Step::Delete) => Some(json!({
                "Type": "delete-operation",
                "Delete": { "Key": self.key(*key) },
            })),
            TxnStep::On(_, Step::Increment(_) | Step::Expire(..)) => None,
        }
    }

    fn response(&self, action: &Action, reply: &Reply, revision: i64) -> Option<Value> {
        match (action, reply) {
            (Action::One { key, .. }, Reply::One(Answer::Got(record))) => {
                let found = self.found(record.iter().map(|record| (*key, record)));
                Some(json!({ "Range": found, "Revision": revision }))
            }
            (Action::One { condition, .. }, Reply::One(answer)) => {
                let applied = match answer {
                    Answer::Set(meta, _) => meta.is_some(),
                    Answer::Delete(revision, _) => revision.is_some(),
                    Answer::Increment(..) => true,
                    _ => return None,
                };
                let deleted = i64::from(applied && matches!(answer, Answer::Delete(..)));
                // A delete of nothing is a success there, unless its condition asked for more.
                let failed = match answer {
                    Answer::Delete(None, Beside::Absent) => !condition.iter().all(is_absence),
                    _ => !applied,
                };
                let result = json!({ "KVs": null, "Count": 0, "Deleted": deleted });
                let results = if failed { json!([]) } else { json!([result]) };
                Some(json!({
                    "Txn": { "Failure": failed, "Results": results },
                    "Revision": revision,
                }))
            }
            (Action::BatchGet(keys), Reply::BatchGet(records)) => {
                let results = keys
                    .iter()
                    .zip(records)
                    .map(|(key, record)| self.found(record.iter().map(|record| (*key, record))));
                let results: Vec<Value> = results.collect();
                Some(json!({
                    "Txn": { "Failure": false, "Results": results },
                    "Revision": revision,
                }))
            }
            (
                Action::Txn {
                    success, failure, ..
                },
                Reply::Txn {
                    succeeded, answers, ..
                },
            ) => {
                let steps = if *succeeded { success } else { failure };
                let results =
                    steps
                        .iter()
                        .zip(answers)
                        .map(|(step, answer)| match (step, answer) {
                            (TxnStep::On(key, _), Answer::Got(record)) => {
                                self.found(record.iter().map(|record| (*key, record)))
                            }
                            (_, Answer::Range(records)) => {
                                self.found(records.iter().map(|(key, record)| (*key, record)))
                            }
                            (_, Answer::Delete(Some(_), _)) => {
                                json!({ "KVs": null, "Count": 0, "Deleted": 1 })
                            }
                            _ => json!({ "KVs": null, "Count": 0, "Deleted": 0 }),
                        });
                let results: Vec<Value> = results.collect();
                Some(json!({
                    "Txn": { "Failure": !succeeded, "Results": results },
                    "Revision": revision,
                }))
            }
            _ => None,
        }
    }

    fn found<'a>(&self, records: impl Iterator<Item = (Key, &'a Record)>) -> Value {
        let records = records.map(|(key, record)| {
            json!({
                "Key": self.key(key),
                "Value": { "Value": record.value, "Hash": 0 },
                "ModRevision": self.log.exact(record.meta.modified),
                "Version": record.meta.version,
            })
        });
        let records: Vec<Value> = records.collect();
        json!({ "KVs": records, "Count": records.len() })
    }
}

/// Whether an absent key meets the condition.
fn is_absence(target: &Target) -> bool {
    matches!(
        target,
        Target::Modified(0) | Target::Version(0) | Target::Exists(false)
    )
}

fn txn(conditions: &[Value], success: &[Value], failure: &[Value]) -> Value {
    json!({
        "Type": "txn",
        "Txn": {
            "Conditions": conditions,
            "OperationsOnSuccess": success,
            "OperationsOnFailure": failure,
        },
    })
}
