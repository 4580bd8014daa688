//! From a request to what can be run: checked, copied, and with its shards known.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::request::{Compare, Operator, Target, Txn, TxnOp};
use crate::base::limits::{Limits, NESTING};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::error::Error;
use crate::commit::mutation::{Action, Mutation};
use crate::commit::prepared::{Item, check_bytes, check_count, check_key};
use crate::format::unit::{OP_OVERHEAD, UNIT_OVERHEAD};
use crate::store::{Place, Shards};

/// A transaction, ready for the locks.
#[derive(Debug)]
pub(crate) struct Plan {
    pub root: Branch,
    /// Of all its keys.
    pub shards: Vec<usize>,
    /// Its ranges, which make it lock all shards.
    pub ranges: Vec<KeyRange>,
    pub reply_bytes: usize,
    /// Keys that its range deletes may remove together.
    pub range_keys: usize,
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub tests: Vec<Test>,
    pub success: Vec<Op>,
    pub failure: Vec<Op>,
}

#[derive(Debug)]
pub(crate) struct Test {
    pub range: KeyRange,
    /// Of a range of one key.
    pub place: Option<Place>,
    pub operator: Operator,
    pub target: KeptTarget,
}

/// A target that owns what it compares with.
#[derive(Debug)]
pub(crate) enum KeptTarget {
    Version(u64),
    CreateRevision(Revision),
    ModRevision(Revision),
    Value(Box<[u8]>),
    Lease(u64),
    Exists(bool),
}

#[derive(Debug)]
pub(crate) enum Op {
    Get {
        key: Box<[u8]>,
        place: Place,
    },
    Change {
        item: Item,
        return_previous: bool,
    },
    RangeGet {
        range: KeyRange,
        limit: usize,
        reverse: bool,
    },
    RangeDelete {
        range: KeyRange,
        limit: usize,
    },
    Txn(Branch),
}

/// What a transaction may cost.
#[derive(Clone, Copy, Debug)]
pub struct TxnLimits {
    /// Bytes of keys and values that it may read; one record alone may be longer.
    pub reply_bytes: usize,
}

impl Default for TxnLimits {
    fn default() -> Self {
        Self {
            reply_bytes: 64 << 20,
        }
    }
}

/// A plan, and how many bytes its unit takes at most.
#[derive(Debug)]
pub(crate) struct Planned {
    pub plan: Plan,
    pub bytes: u64,
    pub deletes_only: bool,
    pub operations: usize,
}

/// Checks and copies a transaction. `unit_max` is what a unit may have at most: what one
/// that deletes a range is granted.
pub(crate) fn plan(
    txn: &Txn<'_>,
    limits: &Limits,
    shards: &Shards,
    unit_max: u64,
) -> Result<Planned, Error> {
    let mut planner = Planner {
        limits,
        shards,
        places: Vec::new(),
        ranges: Vec::new(),
        operations: 0,
        compares: 0,
        bytes: 0,
        logged: 0,
        deletes_ranges: false,
        deletes_only: true,
    };
    let root = planner.branch(txn, 0)?;
    check_bytes(planner.bytes, limits)?;
    check_lists(txn)?;
    let bytes = if planner.deletes_ranges {
        unit_max
    } else {
        (UNIT_OVERHEAD + planner.logged) as u64
    };
    Ok(Planned {
        plan: Plan {
            root,
            shards: planner.places,
            ranges: planner.ranges,
            reply_bytes: usize::MAX,
            range_keys: usize::MAX,
        },
        bytes,
        deletes_only: planner.deletes_only,
        operations: planner.operations,
    })
}

struct Planner<'a> {
    limits: &'a Limits,
    shards: &'a Shards,
    places: Vec<usize>,
    ranges: Vec<KeyRange>,
    operations: usize,
    compares: usize,
    /// Keys, values and range ends that were given.
    bytes: usize,
    /// What its changes take in the log.
    logged: usize,
    deletes_ranges: bool,
    deletes_only: bool,
}

impl Planner<'_> {
    fn branch(&mut self, txn: &Txn<'_>, depth: usize) -> Result<Branch, Error> {
        if depth > NESTING {
            return Err(Error::NestedTooDeep { max: NESTING });
        }
        self.compares += txn.compares.len();
        check_count(self.compares.max(1), self.limits)?;
        let tests = txn.compares.iter().enumerate().map(|(index, compare)| {
            self.test(compare)
                .map_err(|error| error.in_txn("compares", index))
        });
        Ok(Branch {
            tests: tests.collect::<Result<_, _>>()?,
            success: self.list("success", &txn.success, depth)?,
            failure: self.list("failure", &txn.failure, depth)?,
        })
    }

    fn list(&mut self, name: &str, ops: &[TxnOp<'_>], depth: usize) -> Result<Vec<Op>, Error> {
        self.operations += ops.len();
        check_count(self.operations.max(1), self.limits)?;
        let ops = ops.iter().enumerate().map(|(index, op)| {
            self.op(op, depth)
                .map_err(|error| error.in_txn(name, index))
        });
        ops.collect()
    }

    fn test(&mut self, compare: &Compare<'_>) -> Result<Test, Error> {
        let ordered = matches!(compare.operator, Operator::Greater | Operator::Less);
        if ordered && matches!(compare.target, Target::Exists(_)) {
            return Err(Error::BadNumber(
                "existence is equal or not, never greater or less",
            ));
        }
        let target = match compare.target {
            Target::Version(number) => KeptTarget::Version(number),
            Target::CreateRevision(number) => KeptTarget::CreateRevision(number),
            Target::ModRevision(number) => KeptTarget::ModRevision(number),
            Target::Lease(number) => KeptTarget::Lease(number),
            Target::Exists(wanted) => KeptTarget::Exists(wanted),
            Target::Value(value) => {
                self.bytes += value.len();
                KeptTarget::Value(value.into())
            }
        };
        let key = compare.range.as_key();
        let place = key.map(|key| self.key(key)).transpose()?;
        if place.is_none() {
            self.range(&compare.range);
        }
        Ok(Test {
            range: compare.range.clone(),
            place,
            operator: compare.operator,
            target,
        })
    }

    fn op(&mut self, op: &TxnOp<'_>, depth: usize) -> Result<Op, Error> {
        Ok(match op {
            TxnOp::Get { key } => Op::Get {
                place: self.key(key)?,
                key: (*key).into(),
            },
            TxnOp::Set {
                key,
                value,
                expiry,
                return_previous,
            } => self.change(&Mutation::set_until(key, value, *expiry), *return_previous)?,
            TxnOp::Delete {
                key,
                return_previous,
            } => self.change(&Mutation::delete(key), *return_previous)?,
            TxnOp::Increment { key, increment } => {
                self.change(&action(key, Action::Increment(*increment)), false)?
            }
            TxnOp::Expire { key, expire } => {
                self.change(&action(key, Action::Expire(*expire)), false)?
            }
            TxnOp::RangeGet {
                range,
                limit,
                reverse,
            } => {
                self.range(range);
                Op::RangeGet {
                    range: range.clone(),
                    limit: *limit,
                    reverse: *reverse,
                }
            }
            TxnOp::RangeDelete { range, limit } => {
                self.range(range);
                self.deletes_ranges = true;
                Op::RangeDelete {
                    range: range.clone(),
                    limit: *limit,
                }
            }
            TxnOp::Txn(txn) => Op::Txn(self.branch(txn, depth + 1)?),
        })
    }

    fn change(&mut self, mutation: &Mutation<'_>, return_previous: bool) -> Result<Op, Error> {
        let item = Item::new(mutation, self.limits, self.shards)?;
        self.places.push(item.place.shard);
        self.bytes += item.size();
        self.logged += item.size() + OP_OVERHEAD;
        self.deletes_only &= item.only_deletes();
        Ok(Op::Change {
            item,
            return_previous,
        })
    }

    fn key(&mut self, key: &[u8]) -> Result<Place, Error> {
        check_key(key, self.limits)?;
        let place = self.shards.place(key);
        self.places.push(place.shard);
        self.bytes += key.len();
        Ok(place)
    }

    fn range(&mut self, range: &KeyRange) {
        self.bytes += range.start().len() + range.end().map_or(0, <[u8]>::len);
        self.ranges.push(range.clone());
    }
}

fn action<'a>(key: &'a [u8], action: Action<'a>) -> Mutation<'a> {
    Mutation {
        key,
        action,
        condition: None,
    }
}

/// The keys and ranges that a list changes, each with the operation that does.
#[derive(Default)]
struct Touched<'a> {
    keys: BTreeMap<&'a [u8], usize>,
    ranges: Vec<(&'a KeyRange, usize)>,
}

/// Refuses a key that one list changes twice. The two lists of a transaction may repeat
/// each other: one of them runs.
fn check_lists<'a>(txn: &'a Txn<'a>) -> Result<Touched<'a>, Error> {
    let mut both = touched("success", &txn.success)?;
    let failure = touched("failure", &txn.failure)?;
    both.keys.extend(failure.keys);
    both.ranges.extend(failure.ranges);
    Ok(both)
}

fn touched<'a>(name: &str, ops: &'a [TxnOp<'a>]) -> Result<Touched<'a>, Error> {
    let mut all = Touched::default();
    for (index, op) in ops.iter().enumerate() {
        let mut own = Touched::default();
        match op {
            TxnOp::Get { .. } | TxnOp::RangeGet { .. } => {}
            TxnOp::Set { key, .. }
            | TxnOp::Delete { key, .. }
            | TxnOp::Increment { key, .. }
            | TxnOp::Expire { key, .. } => drop(own.keys.insert(key, index)),
            TxnOp::RangeDelete { range, .. } => own.ranges.push((range, index)),
            TxnOp::Txn(txn) => {
                own = check_lists(txn).map_err(|error| error.in_txn(name, index))?;
            }
        }
        if let Some(first) = all.meets(&own) {
            let twice = Error::DuplicateKey {
                first,
                second: index,
            };
            return Err(twice.in_txn(name, index));
        }
        all.keys
            .extend(own.keys.into_keys().map(|key| (key, index)));
        all.ranges
            .extend(own.ranges.into_iter().map(|(range, _)| (range, index)));
    }
    Ok(all)
}

impl Touched<'_> {
    /// An earlier operation that changes what `own` changes. Two range deletes may overlap:
    /// the second finds nothing.
    fn meets(&self, own: &Self) -> Option<usize> {
        let within = |keys: &BTreeMap<&[u8], usize>, range: &KeyRange| {
            let from = (Bound::Included(range.start()), Bound::Unbounded);
            let mut from = keys.range::<[u8], _>(from);
            from.next()
                .filter(|(key, _)| range.contains(key))
                .map(|(_, &index)| index)
        };
        let same = own.keys.keys().find_map(|key| self.keys.get(key).copied());
        let in_mine = || {
            self.ranges
                .iter()
                .find(|(range, _)| within(&own.keys, range).is_some())
                .map(|&(_, index)| index)
        };
        let in_own = || {
            own.ranges
                .iter()
                .find_map(|(range, _)| within(&self.keys, range))
        };
        same.or_else(in_mine).or_else(in_own)
    }
}
