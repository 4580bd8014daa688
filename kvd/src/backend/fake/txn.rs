//! Transactions of the store for tests: run on a copy, kept if all went well.

use super::state::{Remembered, State, Step};
use super::*;

impl State {
    pub(super) fn txn(
        &mut self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        request: Option<RequestId<'_>>,
    ) -> Result<TxnOutcome, Error> {
        let replay = match self.known(request)? {
            Some(Remembered::Txn(revision, succeeded)) => Some((revision, succeeded)),
            _ => None,
        };
        if let Some((revision, succeeded)) = replay {
            return Ok(TxnOutcome {
                branch: TxnBranch {
                    succeeded,
                    results: Vec::new(),
                },
                revision: kvcore::Revision(revision),
                revealed: kvcore::Revision(revision),
                store_revision: kvcore::Revision(self.revision),
                replayed: true,
            });
        }
        let mut run = Run {
            before: self,
            after: self.clone(),
            changed: false,
            bytes: 0,
        };
        let branch = run.branch(txn)?;
        let (mut after, changed, bytes) = (run.after, run.changed, run.bytes);
        let all: Vec<_> = self.map.values().cloned().collect();
        let seen = self.revealed_by(&all);
        if bytes > limits.reply_bytes {
            return Err(Error {
                revealed: seen,
                ..Error::new(ErrorKind::ReplyTooLarge, "the reply is too large")
            });
        }
        let mut revision = 0;
        if changed {
            after.revision += 1;
            revision = after.revision;
            *self = after;
            self.remember(request, Remembered::Txn(revision, branch.succeeded));
        }
        Ok(TxnOutcome {
            branch,
            revision: kvcore::Revision(revision),
            revealed: kvcore::Revision(if changed { revision } else { seen }),
            store_revision: kvcore::Revision(self.revision),
            replayed: false,
        })
    }

    fn holds(&self, compare: &Compare<'_>) -> bool {
        let records = self.range(&compare.range);
        if records.is_empty() {
            return holds(None, compare);
        }
        records.iter().all(|record| holds(Some(record), compare))
    }
}

struct Run<'a> {
    before: &'a State,
    after: State,
    changed: bool,
    bytes: usize,
}

impl Run<'_> {
    fn branch(&mut self, txn: &Txn<'_>) -> Result<TxnBranch, Error> {
        let before = self.before;
        let succeeded = txn.compares.iter().all(|compare| before.holds(compare));
        let (name, operations) = if succeeded {
            ("success", &txn.success)
        } else {
            ("failure", &txn.failure)
        };
        let mut results = Vec::new();
        for (i, operation) in operations.iter().enumerate() {
            results.push(self.run(operation).map_err(|error| {
                let inner = match error.place.as_str() {
                    "" => String::new(),
                    place => format!(".txn.{place}"),
                };
                Error {
                    place: format!("{name}[{i}]{inner}"),
                    operation_index: Some(i),
                    ..error
                }
            })?);
        }
        Ok(TxnBranch { succeeded, results })
    }

    fn step(&mut self, key: &[u8], action: Action<'_>) -> Result<Step, Error> {
        let step = self.after.step(key, action)?;
        self.changed |= step.changed;
        Ok(step)
    }

    fn range_get(&mut self, range: &KeyRange, limit: usize, reverse: bool) -> TxnResult {
        let limit = PageLimit {
            records: if limit == 0 { usize::MAX } else { limit },
            bytes: usize::MAX,
        };
        let page = self.after.page(range, None, reverse, limit);
        let bytes = page.records.iter().map(|record| record.value().len());
        self.bytes += bytes.sum::<usize>();
        TxnResult::RangeGet {
            records: page.records,
            more: page.next.is_some(),
        }
    }

    fn run(&mut self, operation: &TxnOp<'_>) -> Result<TxnResult, Error> {
        Ok(match operation {
            TxnOp::Get { key } => {
                let found = self.after.get(key).0;
                self.bytes += found.as_ref().map_or(0, |record| record.value().len());
                TxnResult::Get(found)
            }
            TxnOp::Set {
                key,
                value,
                expiry,
                return_previous,
            } => {
                let (value, expiry) = (*value, *expiry);
                let step = self.step(key, Action::Set { value, expiry })?;
                TxnResult::Set {
                    record: step.record,
                    previous: step.previous.filter(|_| *return_previous),
                }
            }
            TxnOp::Delete {
                key,
                return_previous,
            } => {
                let step = self.step(key, Action::Delete)?;
                TxnResult::Delete {
                    deleted: step.applied,
                    previous: step.previous.filter(|_| *return_previous),
                }
            }
            TxnOp::Increment { key, increment } => {
                let step = self.step(key, Action::Increment(*increment))?;
                TxnResult::Increment {
                    value: step.value.unwrap_or(0),
                    record: step.record,
                }
            }
            TxnOp::Expire { key, expire } => {
                let step = self.step(key, Action::Expire(*expire))?;
                TxnResult::Expire {
                    applied: step.applied,
                    found: step.applied || step.record.is_some(),
                    record: step.record,
                }
            }
            TxnOp::RangeGet {
                range,
                limit,
                reverse,
            } => self.range_get(range, *limit, *reverse),
            TxnOp::RangeDelete { range, .. } => {
                let keys = self.after.range(range);
                for record in &keys {
                    self.step(record.key(), Action::Delete)?;
                }
                TxnResult::RangeDelete {
                    deleted: keys.len() as u64,
                    more: false,
                }
            }
            TxnOp::Txn(txn) => TxnResult::Txn(self.branch(txn)?),
        })
    }
}

fn holds(record: Option<&Record>, compare: &Compare<'_>) -> bool {
    use std::cmp::Ordering as Order;
    let number = |of: fn(&Record) -> u64| record.map_or(0, of);
    let order = match compare.target {
        Target::Version(wanted) => number(Record::version).cmp(&wanted),
        Target::CreateRevision(wanted) => number(|r| r.create_revision().0).cmp(&wanted.0),
        Target::ModRevision(wanted) => number(|r| r.mod_revision().0).cmp(&wanted.0),
        Target::Lease(wanted) => number(Record::lease_id).cmp(&wanted),
        Target::Exists(wanted) => record.is_some().cmp(&wanted),
        Target::Value(wanted) => match record {
            Some(record) => record.value().cmp(wanted),
            None => return false,
        },
    };
    match compare.operator {
        Operator::Equal => order == Order::Equal,
        Operator::NotEqual => order != Order::Equal,
        Operator::Greater => order == Order::Greater,
        Operator::Less => order == Order::Less,
    }
}
