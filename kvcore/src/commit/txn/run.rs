//! One run of a transaction under its locks. It changes nothing: what it would change is
//! an overlay, which its own reads see.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::plan::{Branch, KeptTarget, Op, Test};
use super::request::Operator;
use super::results::{Draft, DraftBranch, Seen};
use crate::base::limits::RANGE_VISITS;
use crate::base::op::Cause;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::error::Error;
use crate::commit::evaluate::{Effect, Now, Step};
use crate::commit::prepared::{Act, Item};
use crate::store::{Place, Record, Shard, Shards};

/// What a record costs in a reply beside its bytes.
const RECORD_OVERHEAD: usize = 48;

/// See the module.
pub(super) struct Run<'a, 'b> {
    pub shards: &'a Shards,
    pub held: &'a [Shard<'b>],
    pub now: &'a Now<'a>,
    pub reply_max: usize,
    pub range_keys: usize,
    /// Expired records that it met; if there are any, nothing else counts.
    pub due: Vec<Record>,
    pub revealed: Revision,
    pub steps: Vec<Step>,
    /// Which change a key has; by index into `steps`.
    pub own: BTreeMap<Box<[u8]>, usize>,
    pub reply_bytes: usize,
    pub visits: usize,
}

impl Run<'_, '_> {
    /// Judges all tests of a branch and of those nested in it before anything else: on the
    /// state before the transaction.
    pub(super) fn choose(&mut self, branch: &Branch) -> Result<Choice, Error> {
        let mut succeeded = true;
        for (index, test) in branch.tests.iter().enumerate() {
            // All of them, so that what a reply reveals does not depend on their order.
            let held = self.test(test);
            succeeded &= held.map_err(|error| error.in_txn("compares", index))?;
        }
        let (name, ops) = if succeeded {
            ("success", &branch.success)
        } else {
            ("failure", &branch.failure)
        };
        let mut nested = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            if let Op::Txn(inner) = op {
                let choice = self.choose(inner);
                nested.push(choice.map_err(|error| error.in_txn(name, index))?);
            }
        }
        Ok(Choice { succeeded, nested })
    }

    /// Runs the list that was chosen.
    pub(super) fn run(
        &mut self,
        branch: &mut Branch,
        choice: Choice,
    ) -> Result<DraftBranch, Error> {
        let (name, ops) = if choice.succeeded {
            ("success", &mut branch.success)
        } else {
            ("failure", &mut branch.failure)
        };
        let mut nested = choice.nested.into_iter();
        let mut results = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter_mut().enumerate() {
            let result = self.op(op, &mut nested);
            results.push(result.map_err(|error| error.in_txn(name, index))?);
        }
        Ok(DraftBranch {
            succeeded: choice.succeeded,
            results,
        })
    }

    fn op(
        &mut self,
        op: &mut Op,
        nested: &mut impl Iterator<Item = Choice>,
    ) -> Result<Draft, Error> {
        match op {
            Op::Get { key, place } => {
                let seen = self.see(key, *place);
                self.reply(&seen)?;
                Ok(Draft::Get(seen))
            }
            Op::Change {
                item,
                return_previous,
            } => self.change(item, *return_previous),
            Op::RangeGet {
                range,
                limit,
                reverse,
            } => self.range_get(range, *limit, *reverse),
            Op::RangeDelete { range, limit } => self.range_delete(range, *limit),
            Op::Txn(branch) => {
                let choice = nested.next().expect("every nested transaction was judged");
                self.run(branch, choice).map(Draft::Txn)
            }
        }
    }

    fn change(&mut self, item: &mut Item, return_previous: bool) -> Result<Draft, Error> {
        let (current, seen_at) = self.find(item.record.key(), item.place);
        item.settle(self.now);
        let evaluated = item.evaluate(current.as_ref(), seen_at, self.now)?;
        let found = current.is_some();
        let applied = !matches!(evaluated.effect, Effect::Nothing { applied: false });
        let removed = matches!(evaluated.effect, Effect::Remove(_));
        let step = Step::new(item.place, current.as_ref(), evaluated.effect);
        let seen = match (step, &current) {
            (Some(step), _) => Seen::Own(self.add(step)),
            (None, Some(current)) => Seen::Stored(current.clone()),
            (None, None) => Seen::Nothing,
        };
        let previous = current.filter(|_| return_previous);
        if let Some(previous) = &previous {
            self.count(previous)?;
        }
        Ok(match item.act {
            Act::Set(_) => Draft::Set { seen, previous },
            Act::Delete(_) | Act::Take(_) => Draft::Delete {
                deleted: removed,
                previous,
            },
            Act::Increment(_) => Draft::Increment {
                value: evaluated.counter.unwrap_or_default(),
                seen,
            },
            Act::Expire(_) => Draft::Expire {
                applied,
                found,
                seen,
            },
        })
    }

    fn add(&mut self, step: Step) -> usize {
        let index = self.steps.len();
        self.own.insert(step.key().into(), index);
        self.steps.push(step);
        index
    }

    fn range_get(&mut self, range: &KeyRange, limit: usize, reverse: bool) -> Result<Draft, Error> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut seen = Vec::new();
        let mut more = false;
        for key in self.keys(range, reverse)? {
            let one = self.see(&key, self.shards.place(&key));
            if matches!(one, Seen::Nothing) {
                continue;
            }
            if seen.len() == limit {
                more = true;
                break;
            }
            self.reply(&one)?;
            seen.push(one);
        }
        Ok(Draft::RangeGet { seen, more })
    }

    fn range_delete(&mut self, range: &KeyRange, limit: usize) -> Result<Draft, Error> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let (mut deleted, mut more) = (0, false);
        for key in self.keys(range, false)? {
            // What this transaction has changed already is not changed again: duplicates
            // were refused, so it is a key that an earlier range delete took.
            if self.own.contains_key(&key) {
                continue;
            }
            let place = self.shards.place(&key);
            let (Some(current), _) = self.find(&key, place) else {
                continue;
            };
            if deleted == limit {
                more = true;
                break;
            }
            if deleted == self.range_keys {
                return Err(self.too_large(self.range_keys));
            }
            let effect = Effect::Remove(Cause::RangeDeleted);
            if let Some(step) = Step::new(place, Some(&current), effect) {
                self.add(step);
            }
            deleted += 1;
        }
        Ok(Draft::RangeDelete {
            deleted: deleted as u64,
            more,
        })
    }

    /// The keys of a range, stored and own, in order. With all shards held none is missing;
    /// of those that have just expired some may have no record any more.
    fn keys(&mut self, range: &KeyRange, reverse: bool) -> Result<Vec<Box<[u8]>>, Error> {
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        let left = RANGE_VISITS - self.visits;
        let all = range.is_empty()
            || self.shards.walk(range, None, false, |key| {
                keys.push(key.into());
                keys.len() <= left
            });
        self.revealed = self.revealed.max(self.shards.last_delete_of_all());
        if !all {
            return Err(self.too_large(RANGE_VISITS));
        }
        self.visits += keys.len();
        let own = self.own.keys().filter(|key| range.contains(key));
        keys.extend(own.cloned());
        keys.sort_unstable();
        keys.dedup();
        if reverse {
            keys.reverse();
        }
        Ok(keys)
    }

    fn too_large(&self, max: usize) -> Error {
        Error::RangeTooLarge {
            max,
            revealed: self.revealed,
        }
    }

    /// What the store holds, and what that sight gives away.
    fn find(&mut self, key: &[u8], place: Place) -> (Option<Record>, Revision) {
        let Ok(at) = self.held.binary_search_by_key(&place.shard, Shard::index) else {
            // Only a build that is broken on purpose does not hold it.
            return (None, Revision::NONE);
        };
        let found = self.held[at].find(place, key);
        let revealed = found.revealed();
        self.revealed = self.revealed.max(revealed);
        match found.record() {
            Some(record) if record.is_expired(|| self.now.ms()) => {
                self.due.push(record.clone());
                (None, revealed)
            }
            record => (record.cloned(), revealed),
        }
    }

    /// What the transaction sees: its own changes, else the store.
    fn see(&mut self, key: &[u8], place: Place) -> Seen {
        if let Some(&step) = self.own.get(key) {
            return match self.steps[step].record() {
                Some(_) => Seen::Own(step),
                None => Seen::Nothing,
            };
        }
        match self.find(key, place).0 {
            Some(record) => Seen::Stored(record),
            None => Seen::Nothing,
        }
    }

    fn reply(&mut self, seen: &Seen) -> Result<(), Error> {
        let record = match seen {
            Seen::Nothing => return Ok(()),
            Seen::Stored(record) => record.clone(),
            Seen::Own(step) => match self.steps[*step].record() {
                Some(record) => return self.count_bytes(size(record)),
                None => return Ok(()),
            },
        };
        self.count(&record)
    }

    fn count(&mut self, record: &Record) -> Result<(), Error> {
        self.count_bytes(size(record))
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        let before = self.reply_bytes;
        self.reply_bytes += bytes;
        if before > 0 && self.reply_bytes > self.reply_max {
            return Err(Error::ReplyTooLarge {
                max: self.reply_max,
                revealed: self.revealed,
            });
        }
        Ok(())
    }

    fn test(&mut self, test: &Test) -> Result<bool, Error> {
        if let (Some(place), Some(key)) = (test.place, test.range.as_key()) {
            let (record, _) = self.find(key, place);
            return Ok(holds(test, record.as_ref()));
        }
        let mut any = false;
        let mut all = true;
        for key in self.keys(&test.range, false)? {
            let (record, _) = self.find(&key, self.shards.place(&key));
            if record.is_some() {
                any = true;
                all &= holds(test, record.as_ref());
            }
        }
        // A range without keys is judged like one absent key.
        Ok(if any { all } else { holds(test, None) })
    }
}

/// Which lists run: of a transaction, and of those nested in the list that runs.
#[derive(Debug)]
pub(super) struct Choice {
    succeeded: bool,
    nested: Vec<Choice>,
}

fn size(record: &Record) -> usize {
    record.key().len() + record.value().len() + RECORD_OVERHEAD
}

fn holds(test: &Test, record: Option<&Record>) -> bool {
    let number = |of: fn(&Record) -> u64, given: u64| record.map_or(0, of).cmp(&given);
    let order = match &test.target {
        KeptTarget::Version(given) => number(Record::version, *given),
        KeptTarget::CreateRevision(given) => number(|r| r.create_revision().0, given.0),
        KeptTarget::ModRevision(given) => number(|r| r.mod_revision().0, given.0),
        KeptTarget::Lease(given) => number(Record::lease_id, *given),
        KeptTarget::Exists(given) => record.is_some().cmp(given),
        KeptTarget::Value(given) => match record {
            Some(record) => record.value().cmp(given),
            None => return false,
        },
    };
    match test.operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Greater => order == Ordering::Greater,
        Operator::Less => order == Ordering::Less,
    }
}
