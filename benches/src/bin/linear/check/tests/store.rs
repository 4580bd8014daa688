//! A store that does one thing at a time, written without the model of the checkers.

use crate::op::{
    Action, Answer, Beside, Change, Key, Meta, Operator, Record, Reply, Step, Target, Test,
    TxnStep, Until, When,
};

pub(super) const WALL: i64 = 1_700_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) revision: i64,
    pub(super) records: Vec<Option<Record>>,
}

/// The whole fails.
pub(super) struct Fails;

impl Store {
    pub(super) fn execute(&mut self, action: &Action) -> Result<Reply, Fails> {
        let next = self.revision + 1;
        let saved = self.clone();
        let reply = match action {
            Action::One {
                key,
                step,
                condition,
                previous,
            } => {
                let now = self.records[*key].clone();
                let beside = now.clone().map_or(Beside::Absent, Beside::Record);
                let fits = condition
                    .as_ref()
                    .is_none_or(|target| test(&Test::equal(target.clone()), now.as_ref()));
                if fits {
                    match self.step(*key, step, next) {
                        Ok(Answer::Set(meta, _)) if *previous => {
                            Reply::One(Answer::Set(meta, beside))
                        }
                        Ok(Answer::Delete(Some(revision), _)) if *previous => {
                            Reply::One(Answer::Delete(Some(revision), beside))
                        }
                        Ok(answer) => Reply::One(answer),
                        Err(Fails) => Reply::One(Answer::NotAnInteger),
                    }
                } else if *step == Step::Delete {
                    Reply::One(Answer::Delete(None, beside))
                } else {
                    Reply::One(Answer::Set(None, beside))
                }
            }
            Action::BatchGet(keys) => {
                Reply::BatchGet(keys.iter().map(|key| self.records[*key].clone()).collect())
            }
            Action::Txn {
                compares,
                success,
                failure,
            } => {
                let succeeded = compares
                    .iter()
                    .all(|(key, what)| test(what, self.records[*key].as_ref()));
                let steps = if succeeded { success } else { failure };
                let mut answers = Vec::new();
                for step in steps {
                    let answer = match step {
                        TxnStep::On(key, step) => self.step(*key, step, next),
                        TxnStep::Range => Ok(Answer::Range(self.range())),
                    };
                    answers.push(answer.inspect_err(|Fails| *self = saved.clone())?);
                }
                let revision = if self.records == saved.records {
                    0
                } else {
                    next
                };
                Reply::Txn {
                    succeeded,
                    answers,
                    revision,
                }
            }
        };
        if self.records != saved.records {
            self.revision = next;
        }
        Ok(reply)
    }

    fn range(&self) -> Vec<(Key, Record)> {
        let all = self.records.iter().cloned().enumerate();
        all.filter_map(|(key, record)| Some((key, record?)))
            .collect()
    }

    fn step(&mut self, key: Key, step: &Step, next: i64) -> Result<Answer, Fails> {
        let now = self.records[key].clone();
        let expires = now.as_ref().map_or(0, |record| record.meta.expires);
        Ok(match step {
            Step::Get => Answer::Got(now),
            Step::Set { value, until } => {
                let expires = match until {
                    Until::Never => 0,
                    Until::Keep => expires,
                    Until::At(at) => *at,
                    Until::Within(ttl) => WALL + 17 + ttl,
                };
                let meta = self.put(key, value.clone(), expires, next);
                Answer::Set(Some(meta), Beside::NotAsked)
            }
            Step::Delete => {
                self.records[key] = None;
                match now {
                    Some(_) => Answer::Delete(Some(next), Beside::NotAsked),
                    None => Answer::Delete(None, Beside::Absent),
                }
            }
            Step::Increment(delta) => {
                let before = now.map_or(Ok(0), |record| record.value.parse::<i64>());
                let value = before.map_err(|_| Fails)? + delta;
                let meta = self.put(key, value.to_string(), expires, next);
                Answer::Increment(value, meta)
            }
            Step::Expire(change, when) => {
                let expires = match change {
                    Change::At(at) => *at,
                    Change::Within(ttl) => WALL + 23 + ttl,
                    Change::Persist => 0,
                };
                let Some(record) = now else {
                    return Ok(Answer::Expire {
                        applied: false,
                        meta: None,
                    });
                };
                let applied = match when {
                    When::Always => true,
                    When::Nx => record.meta.expires == 0,
                    When::Xx => record.meta.expires != 0,
                };
                let meta = if applied {
                    self.put(key, record.value, expires, next)
                } else {
                    record.meta
                };
                Answer::Expire {
                    applied,
                    meta: Some(meta),
                }
            }
        })
    }

    fn put(&mut self, key: Key, value: String, expires: i64, next: i64) -> Meta {
        let before = self.records[key].as_ref().map(|record| record.meta);
        let meta = Meta {
            created: before.map_or(next, |meta| meta.created),
            modified: next,
            version: before.map_or(0, |meta| meta.version) + 1,
            expires,
        };
        self.records[key] = Some(Record { value, meta });
        meta
    }
}

fn test(test: &Test, record: Option<&Record>) -> bool {
    let meta = record.map(|record| record.meta);
    let number = |is: i64, than: i64| match test.operator {
        Operator::Equal => is == than,
        Operator::NotEqual => is != than,
        Operator::Greater => is > than,
        Operator::Less => is < than,
    };
    match &test.target {
        Target::Exists(is) => number(i64::from(record.is_some()), i64::from(*is)),
        Target::Modified(is) => number(meta.map_or(0, |meta| meta.modified), *is),
        Target::Created(is) => number(meta.map_or(0, |meta| meta.created), *is),
        Target::Version(is) => number(meta.map_or(0, |meta| meta.version), *is),
        Target::Value(is) => record.is_some_and(|record| match test.operator {
            Operator::Equal => record.value == *is,
            Operator::NotEqual => record.value != *is,
            Operator::Greater => record.value > *is,
            Operator::Less => record.value < *is,
        }),
    }
}
