//! A change that was checked and copied: everything that can be done before a lock.

use std::sync::Arc;

use super::admission::Cost;
use super::error::Error;
use super::mutation::{Action, Condition, Expire, Expiry, Increment, Mutation, RequestId};
use super::txn::plan::Plan;
use super::unit::{Operations, Request, Unit};
use crate::base::limits::{COUNTER_BYTES, Limits, TTL_MAX_MS};
use crate::base::op::Cause;
use crate::base::revision::Revision;
use crate::format::outcome::SMALL_OUTCOME_BYTES;
use crate::format::unit::{OP_OVERHEAD, OUTCOME_BYTES, REQUEST_ID_BYTES, UNIT_OVERHEAD};
use crate::store::{Place, Record, Shards};

/// What an item does to its key.
#[derive(Debug)]
pub(crate) enum Act {
    /// The item's record takes the key's place.
    Set(Expiry),
    Delete(Cause),
    /// Takes the item's record away, if it is still what the key holds.
    Take(Cause),
    /// Boxed, so that an item stays small on the way that most take.
    Increment(Box<Increment>),
    Expire(Expire),
}

/// One key of a unit, ready for the locks.
#[derive(Debug)]
pub(crate) struct Item {
    pub place: Place,
    /// For a set the new record, for a removal of exactly one record that one; for the
    /// others only its key counts.
    pub record: Record,
    pub act: Act,
    pub condition: Option<Kept>,
}

/// A condition that owns what it compares with.
#[derive(Debug)]
pub(crate) enum Kept {
    Plain(Condition<'static>),
    Value(Box<[u8]>),
}

impl Kept {
    fn new(condition: Condition<'_>) -> Self {
        Self::Plain(match condition {
            Condition::Value(value) => return Self::Value(value.into()),
            Condition::Exists(wanted) => Condition::Exists(wanted),
            Condition::ModRevision(wanted) => Condition::ModRevision(wanted),
            Condition::CreateRevision(wanted) => Condition::CreateRevision(wanted),
            Condition::Version(wanted) => Condition::Version(wanted),
        })
    }

    pub(crate) fn holds(&self, current: Option<&Record>) -> bool {
        match self {
            Self::Plain(condition) => condition.holds(current),
            Self::Value(value) => Condition::Value(value).holds(current),
        }
    }
}

impl Item {
    pub(crate) fn new(
        mutation: &Mutation<'_>,
        limits: &Limits,
        shards: &Shards,
    ) -> Result<Self, Error> {
        let Mutation {
            key,
            action,
            condition,
        } = *mutation;
        check_key(key, limits)?;
        let (record, act) = match action {
            Action::Set { value, expiry } => {
                check_value(value, limits)?;
                (set_record(key, value, expiry)?, Act::Set(expiry))
            }
            Action::Delete => (bare(key), Act::Delete(Cause::Deleted)),
            Action::Increment(increment) => {
                check_increment(&increment)?;
                (bare(key), Act::Increment(Box::new(increment)))
            }
            Action::Expire(expire) => {
                if expire.to == Expiry::Keep {
                    return Err(Error::BadNumber(
                        "an expiry cannot be changed to what it is",
                    ));
                }
                check_expiry(expire.to)?;
                (bare(key), Act::Expire(expire))
            }
        };
        Ok(Self {
            place: shards.place(key),
            record,
            act,
            condition: condition.map(Kept::new),
        })
    }

    /// The removal of exactly this record.
    pub(crate) fn take(record: &Record, cause: Cause, shards: &Shards) -> Self {
        Self {
            place: shards.place(record.key()),
            record: record.clone(),
            act: Act::Take(cause),
            condition: None,
        }
    }

    /// The removal of a key that lies in a range.
    pub(crate) fn range_delete(key: &[u8], shards: &Shards) -> Self {
        Self {
            place: shards.place(key),
            record: bare(key),
            act: Act::Delete(Cause::RangeDeleted),
            condition: None,
        }
    }

    pub(crate) fn holds(&self, current: Option<&Record>) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| condition.holds(current))
    }

    /// Bytes of key and value that its change can take in the log.
    pub(crate) fn size(&self) -> usize {
        let value = match self.act {
            Act::Set(_) | Act::Take(_) => self.record.value().len(),
            Act::Increment(_) => COUNTER_BYTES,
            Act::Delete(_) | Act::Expire(_) => 0,
        };
        self.record.key().len() + value
    }

    pub(crate) fn only_deletes(&self) -> bool {
        matches!(self.act, Act::Delete(_) | Act::Take(_))
    }
}

/// A record that carries a key.
fn bare(key: &[u8]) -> Record {
    Record::new(key, &[], 0, 0)
}

/// A record with room for the deadline that it will get.
fn set_record(key: &[u8], value: &[u8], expiry: Expiry) -> Result<Record, Error> {
    check_expiry(expiry)?;
    let room = matches!(expiry, Expiry::After(_) | Expiry::At(_));
    Ok(Record::new(key, value, u64::from(room), 0))
}

/// A unit that was checked and copied, and holds no permit yet.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) work: Work,
    pub(crate) unit: Box<Unit>,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// One item without an allocation of its own.
    One(Item),
    Many(Vec<Item>),
    /// As many, of one chunk of a range; says whether there were more keys behind it.
    Chunk(Vec<Item>, bool),
    Txn(Box<Plan>),
}

impl Prepared {
    pub(crate) fn cost(&self) -> Cost {
        self.unit.cost
    }

    /// Checks one mutation against the limits and copies its bytes.
    pub(crate) fn one(
        mutation: &Mutation<'_>,
        request: Option<RequestId<'_>>,
        limits: &Limits,
        shards: &Shards,
    ) -> Result<Self, Error> {
        let item = Item::new(mutation, limits, shards)?;
        let unit = unit(item.size(), 1, item.only_deletes());
        let work = Work::One(item);
        Self { work, unit }.remember(request, SMALL_OUTCOME_BYTES)
    }

    /// Checks several; all or none will be applied.
    pub(crate) fn all(
        mutations: &[Mutation<'_>],
        request: Option<RequestId<'_>>,
        limits: &Limits,
        shards: &Shards,
    ) -> Result<Self, Error> {
        check_count(mutations.len(), limits)?;
        refuse_duplicates(mutations)?;
        let items: Vec<Item> = mutations
            .iter()
            .map(|mutation| Item::new(mutation, limits, shards))
            .collect::<Result<_, _>>()?;
        let len = items.iter().map(Item::size).sum();
        check_bytes(len, limits)?;
        Self::many(Work::Many(items)).remember(request, SMALL_OUTCOME_BYTES)
    }

    /// Several items of different keys, or a chunk of them.
    pub(crate) fn many(work: Work) -> Self {
        let (Work::Many(items) | Work::Chunk(items, _)) = &work else {
            unreachable!("made of several items")
        };
        let len = items.iter().map(Item::size).sum();
        let deletes_only = items.iter().all(Item::only_deletes);
        let unit = unit(len, items.len(), deletes_only);
        Self { work, unit }
    }

    /// A unit whose size is known under the locks only: it takes the most there may be.
    pub(crate) fn txn(plan: Plan, bytes: u64, deletes_only: bool) -> Self {
        let mut unit = unit(0, 2, deletes_only);
        unit.cost.bytes = bytes;
        Self {
            work: Work::Txn(Box::new(plan)),
            unit,
        }
    }

    /// Work of the store itself, which has permits of its own.
    pub(crate) fn own(mut self) -> Self {
        self.unit.cost.own = true;
        self.unit.cost.deletes_only = false;
        self
    }

    /// Gives the request a name.
    pub(crate) fn remember(
        mut self,
        request: Option<RequestId<'_>>,
        outcome_max: usize,
    ) -> Result<Self, Error> {
        let Some(request) = request else {
            return Ok(self);
        };
        let len = request.id.len();
        if len == 0 || len > REQUEST_ID_BYTES {
            return Err(Error::BadRequestId(len));
        }
        debug_assert!(outcome_max <= OUTCOME_BYTES);
        self.unit.cost.bytes += (len + outcome_max) as u64;
        self.unit.request = Some(Box::new(Request {
            id: request.id.into(),
            fingerprint: request.fingerprint,
            item: request.item,
            outcome_max,
            outcome: Arc::from([]),
        }));
        Ok(self)
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "the log takes units boxed")]
fn unit(bytes: usize, operations: usize, deletes_only: bool) -> Box<Unit> {
    Box::new(Unit {
        revision: Revision::NONE,
        operations: Operations::with_capacity(operations),
        request: None,
        cost: Cost {
            bytes: (UNIT_OVERHEAD + bytes + operations * OP_OVERHEAD) as u64,
            deletes_only,
            own: false,
        },
    })
}

/// A key that may be looked up or changed.
pub fn check_key(key: &[u8], limits: &Limits) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if key.len() > limits.key_bytes {
        return Err(Error::KeyTooLarge {
            len: key.len(),
            max: limits.key_bytes,
        });
    }
    Ok(())
}

fn check_value(value: &[u8], limits: &Limits) -> Result<(), Error> {
    if value.len() > limits.value_bytes {
        return Err(Error::ValueTooLarge {
            len: value.len(),
            max: limits.value_bytes,
        });
    }
    Ok(())
}

fn check_expiry(expiry: Expiry) -> Result<(), Error> {
    match expiry {
        Expiry::After(ms) if ms == 0 || ms > TTL_MAX_MS => Err(Error::BadTtl(ms)),
        _ => Ok(()),
    }
}

fn check_increment(increment: &Increment) -> Result<(), Error> {
    if increment.delta == 0 {
        return Err(Error::BadNumber(
            "delta is 0: a counter changes by something",
        ));
    }
    if increment.min > increment.max {
        return Err(Error::BadNumber(
            "min is above max: no counter is in between",
        ));
    }
    check_expiry(increment.expiry)
}

pub(crate) fn check_count(count: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.unit_operations;
    if count == 0 || count > max {
        return Err(Error::TooManyOperations { count, max });
    }
    Ok(())
}

pub(crate) fn check_bytes(len: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.unit_bytes;
    if len > max {
        return Err(Error::UnitTooLarge { len, max });
    }
    Ok(())
}

fn refuse_duplicates(mutations: &[Mutation<'_>]) -> Result<(), Error> {
    let mut order: Vec<usize> = (0..mutations.len()).collect();
    order.sort_by_key(|&i| (mutations[i].key, i));
    match order
        .windows(2)
        .find(|pair| mutations[pair[0]].key == mutations[pair[1]].key)
    {
        Some(pair) => Err(Error::DuplicateKey {
            first: pair[0],
            second: pair[1],
        }),
        None => Ok(()),
    }
}
