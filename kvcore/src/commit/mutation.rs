//! What a caller asks of one key, and what became of it.

use crate::base::remembered::RangeCount;
use crate::base::revision::Revision;
use crate::store::Record;

/// One change of one key, as asked for.
#[derive(Clone, Copy, Debug)]
pub struct Mutation<'a> {
    pub key: &'a [u8],
    pub action: Action<'a>,
    pub condition: Option<Condition<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// The key gets this value, and this expiry in place of any that it had.
    Set {
        value: &'a [u8],
        expiry: Expiry,
    },
    Delete,
    /// Adds to a counter: decimal text of a 64-bit integer. An expiry is kept.
    Increment(Increment),
    /// Changes the expiry and nothing else.
    Expire(Expire),
}

impl<'a> Mutation<'a> {
    fn new(key: &'a [u8], action: Action<'a>) -> Self {
        Self {
            key,
            action,
            condition: None,
        }
    }

    /// Sets a value without expiry.
    pub fn set(key: &'a [u8], value: &'a [u8]) -> Self {
        Self::set_until(key, value, Expiry::Never)
    }

    pub fn set_until(key: &'a [u8], value: &'a [u8], expiry: Expiry) -> Self {
        Self::new(key, Action::Set { value, expiry })
    }

    pub fn delete(key: &'a [u8]) -> Self {
        Self::new(key, Action::Delete)
    }

    /// Adds `delta`; a missing key counts as 0.
    pub fn increment(key: &'a [u8], delta: i64) -> Self {
        let increment = Increment {
            delta,
            ..Increment::default()
        };
        Self::new(key, Action::Increment(increment))
    }

    pub fn expire(key: &'a [u8], to: Expiry) -> Self {
        let condition = ExpireCondition::Always;
        Self::new(key, Action::Expire(Expire { to, condition }))
    }

    pub fn only_if(self, condition: Condition<'a>) -> Self {
        Self {
            condition: Some(condition),
            ..self
        }
    }
}

/// When a key ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    #[default]
    Never,
    /// This many ms from the moment of the change; at least 1.
    After(u64),
    /// This moment, in ms since the Unix epoch. One that has passed removes the key.
    At(u64),
    /// As it was; never, for a new key.
    Keep,
}

/// How a counter changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Increment {
    /// Not 0.
    pub delta: i64,
    /// What a missing key counts as before the addition.
    pub initial: i64,
    /// The lowest and the highest result.
    pub min: i64,
    pub max: i64,
    /// Stop at a bound instead of refusing.
    pub saturate: bool,
    /// Of a key that this creates.
    pub expiry: Expiry,
}

impl Default for Increment {
    fn default() -> Self {
        Self {
            delta: 1,
            initial: 0,
            min: i64::MIN,
            max: i64::MAX,
            saturate: false,
            expiry: Expiry::Never,
        }
    }
}

/// How an expiry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expire {
    /// [`Expiry::Never`] takes the expiry away.
    pub to: Expiry,
    pub condition: ExpireCondition,
}

/// When [`Expire`] applies. A key without expiry counts as one that ends infinitely late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpireCondition {
    #[default]
    Always,
    /// Only a key without expiry.
    IfNone,
    /// Only a key that has one.
    IfSome,
    /// Only to a later end.
    IfLater,
    /// Only to an earlier end.
    IfEarlier,
}

/// What must hold for the key, or nothing happens. An absent key has revision and
/// version 0, and no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    Exists(bool),
    ModRevision(Revision),
    CreateRevision(Revision),
    Version(u64),
    Value(&'a [u8]),
}

impl Condition<'_> {
    pub fn holds(self, current: Option<&Record>) -> bool {
        let revision = |of: fn(&Record) -> Revision| current.map_or(Revision::NONE, of);
        match self {
            Self::Exists(wanted) => current.is_some() == wanted,
            Self::ModRevision(wanted) => revision(Record::mod_revision) == wanted,
            Self::CreateRevision(wanted) => revision(Record::create_revision) == wanted,
            Self::Version(wanted) => current.map_or(0, Record::version) == wanted,
            Self::Value(wanted) => current.is_some_and(|record| record.value() == wanted),
        }
    }
}

/// A client's name for a mutation, so that a repeat is answered and not applied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'a> {
    /// 1 to 64 bytes.
    pub id: &'a [u8],
    /// Of the whole request, so that an id used for another one is noticed.
    pub fingerprint: u128,
    /// Which unit of the request, for requests that take several.
    pub item: u32,
}

/// What became of a unit of one key.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub applied: bool,
    /// The unit's revision; [`Revision::NONE`] if nothing changed.
    pub revision: Revision,
    /// Applied: the new record, unless the key is gone. Not applied: the current one.
    pub record: Option<Record>,
    /// What the key held before, if something changed.
    pub previous: Option<Record>,
    /// The counter after an increment.
    pub value: Option<i64>,
    /// What a reply about this unit gives away: its own revision, or what it saw.
    pub revealed: Revision,
    /// The store's newest revision at that moment.
    pub store_revision: Revision,
    /// Remembered from an earlier request with the same id: no records.
    pub replayed: bool,
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
    pub replayed: bool,
    /// How many keys have changed.
    pub(crate) count: Option<RangeCount>,
}

/// A condition that did not hold.
#[derive(Clone, Debug)]
pub struct Unmet {
    pub index: usize,
    pub current: Option<Record>,
}
