//! What a caller asks for, checked and copied, and what became of it.

use super::admission::Cost;
use super::error::Error;
use super::unit::{Operations, Unit};
use crate::base::limits::Limits;
use crate::base::revision::Revision;
use crate::format::unit::{OP_OVERHEAD, UNIT_OVERHEAD};
use crate::store::{Found, Place, Record, Shards};

/// One change of one key, as asked for.
#[derive(Clone, Copy, Debug)]
pub struct Mutation<'a> {
    pub key: &'a [u8],
    pub action: Action<'a>,
    pub condition: Option<Condition>,
}

#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    Set { value: &'a [u8] },
    Delete,
}

impl<'a> Mutation<'a> {
    pub fn set(key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            key,
            action: Action::Set { value },
            condition: None,
        }
    }

    pub fn delete(key: &'a [u8]) -> Self {
        Self {
            key,
            action: Action::Delete,
            condition: None,
        }
    }

    pub fn only_if(self, condition: Condition) -> Self {
        Self {
            condition: Some(condition),
            ..self
        }
    }
}

/// What must hold for the key, or nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Exists(bool),
    /// The key was last changed by this revision; [`Revision::NONE`] = it is absent.
    ModRevision(Revision),
}

impl Condition {
    pub fn holds(self, current: Option<&Record>) -> bool {
        match self {
            Self::Exists(wanted) => current.is_some() == wanted,
            Self::ModRevision(wanted) => {
                current.map_or(Revision::NONE, Record::mod_revision) == wanted
            }
        }
    }
}

/// One key of a unit, ready for the locks.
#[derive(Debug)]
pub(crate) struct Item {
    pub place: Place,
    /// For a set the new record; for a delete only its key counts.
    pub record: Record,
    pub delete: bool,
    pub condition: Option<Condition>,
}

impl Item {
    pub(crate) fn holds(&self, found: Found<'_>) -> bool {
        self.condition
            .is_none_or(|condition| condition.holds(found.record()))
    }
}

/// A unit that was checked and copied, and holds no permit yet.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) items: Items,
    pub(crate) unit: Box<Unit>,
}

/// One item without an allocation of its own, or several.
#[derive(Debug)]
pub(crate) enum Items {
    One(Item),
    Many(Vec<Item>),
}

impl Prepared {
    pub(crate) fn cost(&self) -> Cost {
        self.unit.cost
    }

    /// Checks one mutation against the limits and copies its bytes.
    pub(crate) fn one(
        mutation: &Mutation<'_>,
        limits: &Limits,
        shards: &Shards,
    ) -> Result<Self, Error> {
        let item = item(mutation, limits, shards)?;
        Ok(Self {
            unit: unit(&[size(mutation)], item.delete),
            items: Items::One(item),
        })
    }

    /// Checks several; all or none will be applied.
    pub(crate) fn all(
        mutations: &[Mutation<'_>],
        limits: &Limits,
        shards: &Shards,
    ) -> Result<Self, Error> {
        if mutations.is_empty() || mutations.len() > limits.unit_operations {
            return Err(Error::TooManyOperations {
                count: mutations.len(),
                max: limits.unit_operations,
            });
        }
        let sizes: Vec<usize> = mutations.iter().map(size).collect();
        let len = sizes.iter().sum();
        if len > limits.unit_bytes {
            return Err(Error::UnitTooLarge {
                len,
                max: limits.unit_bytes,
            });
        }
        refuse_duplicates(mutations)?;
        let items: Vec<Item> = mutations
            .iter()
            .map(|mutation| item(mutation, limits, shards))
            .collect::<Result<_, _>>()?;
        let deletes_only = items.iter().all(|item| item.delete);
        Ok(Self {
            unit: unit(&sizes, deletes_only),
            items: Items::Many(items),
        })
    }
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

fn size(mutation: &Mutation<'_>) -> usize {
    let value = if let Action::Set { value } = mutation.action {
        value.len()
    } else {
        0
    };
    mutation.key.len() + value
}

fn item(mutation: &Mutation<'_>, limits: &Limits, shards: &Shards) -> Result<Item, Error> {
    check_key(mutation.key, limits)?;
    let (value, delete) = match mutation.action {
        Action::Set { value } => (value, false),
        Action::Delete => (&[][..], true),
    };
    if value.len() > limits.value_bytes {
        return Err(Error::ValueTooLarge {
            len: value.len(),
            max: limits.value_bytes,
        });
    }
    Ok(Item {
        place: shards.place(mutation.key),
        record: Record::new(mutation.key, value, 0, 0),
        delete,
        condition: mutation.condition,
    })
}

#[expect(clippy::unnecessary_box_returns, reason = "the log takes units boxed")]
fn unit(sizes: &[usize], deletes_only: bool) -> Box<Unit> {
    let bytes = UNIT_OVERHEAD + sizes.iter().map(|size| size + OP_OVERHEAD).sum::<usize>();
    Box::new(Unit {
        revision: Revision::NONE,
        operations: Operations::with_capacity(sizes.len()),
        cost: Cost {
            bytes: bytes as u64,
            deletes_only,
        },
    })
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

/// What became of a unit of one key.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub applied: bool,
    /// The unit's revision; [`Revision::NONE`] if nothing was applied.
    pub revision: Revision,
    /// Set: the new record. Not applied: the current one.
    pub record: Option<Record>,
    /// What the key held before, if it was applied.
    pub previous: Option<Record>,
    /// What a reply about this unit gives away: its own revision, or what it saw.
    pub revealed: Revision,
    /// The store's newest revision at that moment.
    pub store_revision: Revision,
}

/// What became of a unit of several keys.
#[derive(Clone, Debug)]
pub struct UnitOutcome {
    /// Per key: the record it had before.
    pub previous: Vec<Option<Record>>,
    pub revision: Revision,
    pub revealed: Revision,
    pub store_revision: Revision,
    /// The first condition that did not hold; then nothing was applied.
    pub unmet: Option<Unmet>,
}

/// A condition that did not hold.
#[derive(Clone, Debug)]
pub struct Unmet {
    pub index: usize,
    pub current: Option<Record>,
}
