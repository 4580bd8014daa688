//! The model's transactions: compares on the state before, then one list on a copy.

use std::collections::BTreeMap;

use super::actions::{Effect, exactly};
use super::answers::{Branch, Done, Rec, Refusal};
use super::model::{Changes, Model, Twist};
use super::ops::{Action, Bytes, Compare, Operator, Range, Target, Txn, TxnOp};

/// One transaction. It changes nothing but its own copy.
pub(crate) struct Run<'a> {
    model: &'a mut Model,
    /// What it has changed.
    own: BTreeMap<Bytes, Option<Rec>>,
    /// The newest revision that its answer gives away.
    seen: u64,
}

/// Which lists run, decided before any of them does.
struct Choice {
    succeeded: bool,
    nested: Vec<Choice>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(model: &'a mut Model) -> Self {
        Self {
            model,
            own: BTreeMap::new(),
            seen: 0,
        }
    }

    pub(crate) fn root(&mut self, txn: &Txn) -> Result<Branch, Refusal> {
        let choice = self.choose(txn);
        self.run(txn, choice)
    }

    /// Its changes, and what it has seen.
    pub(crate) fn finish(self) -> (Changes, u64) {
        (self.own.into_iter().collect(), self.seen)
    }

    fn choose(&mut self, txn: &Txn) -> Choice {
        let mut succeeded = true;
        for compare in &txn.compares {
            succeeded &= self.compare(compare);
        }
        let ops = if succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        let nested = ops.iter().filter_map(|op| match op {
            TxnOp::Txn(inner) => Some(self.choose(inner)),
            _ => None,
        });
        let nested = nested.collect();
        Choice { succeeded, nested }
    }

    fn run(&mut self, txn: &Txn, choice: Choice) -> Result<Branch, Refusal> {
        let (name, ops) = if choice.succeeded {
            ("success", &txn.success)
        } else {
            ("failure", &txn.failure)
        };
        let mut nested = choice.nested.into_iter();
        let mut results = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let done = match op {
                TxnOp::Txn(inner) => {
                    let mut choice = nested.next().expect("one for each");
                    if self.model.is(Twist::NestedComparesSeeEarlierWrites) {
                        choice = self.choose(inner);
                    }
                    self.run(inner, choice).map(Done::Txn)
                }
                op => self.op(op),
            };
            results.push(done.map_err(|refusal| refusal.within(name, index))?);
        }
        Ok(Branch {
            succeeded: choice.succeeded,
            results,
        })
    }

    /// What a key holds, with what was changed here.
    fn see(&mut self, key: &Bytes) -> Option<Rec> {
        if let Some(own) = self.own.get(key) {
            return own.clone();
        }
        self.seen = self.seen.max(self.model.last_change(key));
        self.model.find(key)
    }

    fn keys(&self, range: &Range) -> Vec<Bytes> {
        let stored = self.model.records().map(|rec| &rec.key);
        let mut keys: Vec<Bytes> = stored.chain(self.own.keys()).cloned().collect();
        keys.retain(|key| range.contains(key));
        keys.sort();
        keys.dedup();
        keys
    }

    fn op(&mut self, op: &TxnOp) -> Result<Done, Refusal> {
        match op {
            TxnOp::Get(key) => Ok(Done::Get(self.see(key))),
            TxnOp::Change {
                key,
                action,
                show_previous,
            } => self.change(key, action, *show_previous),
            TxnOp::RangeGet {
                range,
                limit,
                reverse,
            } => {
                let mut keys = self.keys(range);
                if *reverse {
                    keys.reverse();
                }
                let (records, more) = self.first(range, keys, *limit);
                Ok(Done::RangeGet { records, more })
            }
            TxnOp::RangeDelete { range, limit } => {
                let (records, more) = self.first(range, self.keys(range), *limit);
                let deleted = records.len() as u64;
                let removed = records.into_iter().map(|rec| (rec.key, None));
                self.own.extend(removed);
                Ok(Done::RangeDelete { deleted, more })
            }
            TxnOp::Txn(_) => unreachable!("run by its own choice"),
        }
    }

    /// The first records of a range's keys, and whether there are more.
    fn first(&mut self, range: &Range, keys: Vec<Bytes>, limit: usize) -> (Vec<Rec>, bool) {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut records = Vec::new();
        for key in keys {
            let Some(rec) = self.see(&key) else { continue };
            if records.len() == limit {
                let more = !self.model.is(Twist::ALimitCutsWithoutSayingSo);
                return (records, more);
            }
            records.push(rec);
        }
        let seen = self.model.last_change_where(|key| range.contains(key));
        self.seen = self.seen.max(seen);
        (records, false)
    }

    fn change(&mut self, key: &Bytes, action: &Action, show: bool) -> Result<Done, Refusal> {
        let current = self.see(key);
        let outcome = self.model.act(key, action, current.as_ref())?;
        let (applied, record) = match &outcome.effect {
            Effect::Nothing { applied } => (*applied, current.clone()),
            Effect::Put(rec) => (true, Some(rec.clone())),
            Effect::Remove => (true, None),
        };
        self.own.extend(outcome.effect.change(key));
        let found = current.is_some();
        let previous = current.filter(|_| show);
        Ok(match action {
            Action::Set { .. } => Done::Set { record, previous },
            Action::Delete => Done::Delete {
                deleted: applied,
                previous,
            },
            Action::Increment(_) => Done::Increment {
                value: outcome.counter.expect("an increment counts"),
                record,
            },
            Action::Expire { .. } => Done::Expire {
                applied,
                found,
                record,
            },
        })
    }

    /// It must hold for every key; a range without keys is like one absent key.
    fn compare(&mut self, compare: &Compare) -> bool {
        let found: Vec<Rec> = if self.model.is(Twist::NestedComparesSeeEarlierWrites) {
            let keys = self.keys(&compare.range);
            keys.iter().filter_map(|key| self.see(key)).collect()
        } else {
            self.model.find_in(&compare.range)
        };
        let seen = self
            .model
            .last_change_where(|key| compare.range.contains(key));
        self.seen = self.seen.max(seen);
        if found.is_empty() {
            let passes = self.model.is(Twist::AnEmptyRangePassesEveryCompare);
            return passes || holds(compare, None);
        }
        found.iter().all(|rec| holds(compare, Some(rec)))
    }
}

fn holds(compare: &Compare, rec: Option<&Rec>) -> bool {
    let number = |of: fn(&Rec) -> u64, given| rec.map_or(0, of).cmp(&exactly(given));
    let order = match &compare.target {
        Target::Version(given) => number(|rec| rec.version, *given),
        Target::Created(given) => number(|rec| rec.created, *given),
        Target::Modified(given) => number(|rec| rec.modified, *given),
        Target::Lease(given) => 0.cmp(given),
        Target::Exists(given) => rec.is_some().cmp(given),
        Target::Value(given) => match rec {
            Some(rec) => rec.value.cmp(given),
            None => return false,
        },
    };
    match compare.operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Greater => order.is_gt(),
        Operator::Less => order.is_lt(),
    }
}
