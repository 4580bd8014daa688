//! Random operations on few keys, so that they collide.
//!
//! Values name their Set, see [`super::op`]. Half of the tests ask for what the client
//! saw last, so that both outcomes happen.

use std::cell::Cell;
use std::rc::Rc;

use kvbench::rng::Rng;

use super::op::{
    Action, Change, Key, Operator, Record, Step, TOKEN, Target, Test, TxnStep, Until, When,
};

/// Nothing expires during a run.
const LONG_MS: i64 = 1_000_000_000;

/// What the server can do, and what was asked for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing a server may lack"
)]
pub(crate) struct Mix {
    pub(crate) increment: bool,
    pub(crate) expire: bool,
    pub(crate) txn: bool,
    pub(crate) range: bool,
    /// Tests of these.
    pub(crate) version: bool,
    pub(crate) value: bool,
    pub(crate) created: bool,
    /// The record that a write replaced.
    pub(crate) previous: bool,
    /// Only what the model of etcd's robustness tests knows.
    pub(crate) etcd: bool,
    /// Deletes inside a Txn. Of one that sets and deletes, and was cut off, etcd's
    /// validators believe that it was done if its key was ever deleted.
    pub(crate) txn_delete: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) rng: Rng,
    pub(crate) mix: Mix,
    pub(crate) keys: usize,
    /// The number of the last Set of all clients.
    pub(crate) tokens: Rc<Cell<i64>>,
    /// Wall clock in ms at the start of the run.
    pub(crate) wall: i64,
}

impl Generator {
    /// The next operation of a client that saw `seen` of each key last.
    pub(crate) fn action(&mut self, seen: &[Option<Record>]) -> Action {
        if self.mix.etcd {
            return self.etcd(seen);
        }
        let key = self.key();
        let kind = self.rng.below(100);
        let previous = self.rng.below(4) == 0 && self.mix.previous;
        let one = |step, condition| Action::One {
            key,
            step,
            condition,
            previous,
        };
        match kind {
            0..16 => one(Step::Get, None),
            16..24 => Action::BatchGet(self.some_keys()),
            24..44 if self.mix.txn => self.txn(seen),
            44..56 if self.mix.increment => one(self.increment(), None),
            56..64 if self.mix.expire => one(self.expire(), None),
            64..70 => one(Step::Delete, None),
            70..74 => {
                let condition = self.target(key, seen);
                one(Step::Delete, Some(condition))
            }
            74..88 => {
                let condition = self.target(key, seen);
                one(self.set(), Some(condition))
            }
            _ => one(self.set(), None),
        }
    }

    fn key(&mut self) -> Key {
        pick(&mut self.rng, self.keys)
    }

    /// Two or three different keys, or all if there are fewer.
    fn some_keys(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        for _ in 0..2 + self.rng.below(2) {
            let key = self.key();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    fn token(&mut self) -> i64 {
        self.tokens.set(self.tokens.get() + 1);
        self.tokens.get()
    }

    fn set(&mut self) -> Step {
        let token = self.token();
        let value = if self.rng.below(12) == 0 {
            format!("w{token}")
        } else {
            (token * TOKEN).to_string()
        };
        let until = match self.rng.below(10) {
            _ if !self.mix.expire => Until::Never,
            0 => Until::At(self.wall + LONG_MS + token),
            1 => Until::Within(LONG_MS),
            2 | 3 => Until::Keep,
            _ => Until::Never,
        };
        Step::Set { value, until }
    }

    fn increment(&mut self) -> Step {
        Step::Increment(1 + i64::try_from(self.rng.below(99)).unwrap_or(0))
    }

    fn expire(&mut self) -> Step {
        let when = *self
            .rng
            .pick(&[When::Always, When::Always, When::Nx, When::Xx]);
        match self.rng.below(3) {
            0 => Step::Expire(Change::Persist, When::Always),
            1 => Step::Expire(Change::Within(LONG_MS), when),
            _ => {
                let at = self.wall + LONG_MS + self.token();
                Step::Expire(Change::At(at), when)
            }
        }
    }

    fn target(&mut self, key: Key, seen: &[Option<Record>]) -> Target {
        let known = seen[key].as_ref();
        let number = |of: fn(&Record) -> i64| known.map_or(0, of);
        match self.rng.below(6) {
            0 => Target::Exists(true),
            1 => Target::Exists(false),
            3 if self.mix.created => Target::Created(number(|record| record.meta.created)),
            4 if self.mix.version => Target::Version(number(|record| record.meta.version)),
            5 if self.mix.value => {
                Target::Value(known.map_or_else(|| "w0".into(), |record| record.value.clone()))
            }
            _ => Target::Modified(number(|record| record.meta.modified)),
        }
    }

    fn txn(&mut self, seen: &[Option<Record>]) -> Action {
        let keys = self.some_keys();
        let mut compares = Vec::new();
        for &key in keys.iter().take(pick(&mut self.rng, 3)) {
            let target = self.target(key, seen);
            let operator = match target {
                Target::Exists(_) => *self.rng.pick(&[Operator::Equal, Operator::NotEqual]),
                _ => *self.rng.pick(&[
                    Operator::Equal,
                    Operator::Equal,
                    Operator::NotEqual,
                    Operator::Greater,
                    Operator::Less,
                ]),
            };
            compares.push((key, Test { target, operator }));
        }
        let writes = self.rng.below(4) != 0;
        let success = self.steps(&keys, writes);
        let failure = match self.rng.below(3) {
            0 => Vec::new(),
            1 => self.steps(&keys, false),
            _ => self.steps(&keys, writes),
        };
        Action::Txn {
            compares,
            success,
            failure,
        }
    }

    fn steps(&mut self, keys: &[Key], writes: bool) -> Vec<TxnStep> {
        let mut steps = Vec::new();
        if self.mix.range && self.rng.below(3) == 0 {
            steps.push(TxnStep::Range);
        }
        for &key in keys {
            let step = match self.rng.below(8) {
                0..3 if writes => self.set(),
                3 if writes && self.mix.txn_delete => Step::Delete,
                // Of the others some would fail the whole for what the key holds.
                4 | 5 if writes && self.mix.increment && self.rng.below(2) == 0 => self.increment(),
                6 if writes && self.mix.expire => self.expire(),
                _ => Step::Get,
            };
            let read_again = step.writes() && self.rng.below(3) == 0;
            steps.push(TxnStep::On(key, step));
            if read_again {
                steps.push(TxnStep::On(key, Step::Get));
            }
        }
        steps
    }

    /// Gets, sets, deletes, and transactions of these that test revisions and versions.
    fn etcd(&mut self, seen: &[Option<Record>]) -> Action {
        let key = self.key();
        let one = |step| Action::One {
            key,
            step,
            condition: None,
            previous: false,
        };
        match self.rng.below(10) {
            0..3 => one(Step::Get),
            3..6 => one(self.set()),
            6 => one(Step::Delete),
            _ if !self.mix.txn => one(self.set()),
            _ => {
                let keys = self.some_keys();
                let number = |of: fn(&Record) -> i64| seen[key].as_ref().map_or(0, of);
                let target = if self.rng.below(2) == 0 {
                    Target::Modified(number(|record| record.meta.modified))
                } else {
                    Target::Version(number(|record| record.meta.version))
                };
                let compares = vec![(key, Test::equal(target))];
                Action::Txn {
                    compares,
                    success: self.steps(&keys, true),
                    failure: self.steps(&keys, false),
                }
            }
        }
    }
}

fn pick(rng: &mut Rng, of: usize) -> usize {
    usize::try_from(rng.below(of as u64)).unwrap_or(0)
}
