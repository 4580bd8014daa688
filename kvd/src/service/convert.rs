//! From the wire to the engine's words and back, with every check that needs no
//! store: sizes, options, conditions.
//!
//! **No option is ever ignored.** What this version does not know or support is
//! refused by the name of its field.

use bytes::Bytes;
use kvproto::v1::{self, ErrorReason as Reason, condition::Test};

use super::limits::Limits;
use super::status::Refusal;
use crate::backend::{Condition, Durability, ReadLevel, Record, Revision, Store};

/// What `require` may name, and what GetCapabilities lists.
pub const CAPABILITIES: [v1::Capability; 27] = [
    v1::Capability::ConditionExists,
    v1::Capability::ConditionModRevision,
    v1::Capability::ConditionVersion,
    v1::Capability::ConditionValue,
    v1::Capability::ConditionCreateRevision,
    v1::Capability::ReturnPrevious,
    v1::Capability::BatchGet,
    v1::Capability::BatchWrite,
    v1::Capability::Pipeline,
    v1::Capability::WaitDurable,
    v1::Capability::WriteDurability,
    v1::Capability::ReadLevel,
    v1::Capability::RequestId,
    v1::Capability::Ttl,
    v1::Capability::Increment,
    v1::Capability::Txn,
    v1::Capability::TxnRange,
    v1::Capability::TxnNested,
    v1::Capability::Scan,
    v1::Capability::DeleteRange,
    v1::Capability::Hash,
    v1::Capability::Snapshot,
    v1::Capability::Backup,
    v1::Capability::Verify,
    v1::Capability::Watch,
    v1::Capability::WatchResync,
    v1::Capability::WatchPrevious,
];

/// Values from this size on are shared with the store instead of copied.
const SHARE_FROM: usize = 1024;

pub fn key(key: &[u8], limits: &Limits) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::new(
            Reason::EmptyKey,
            format!(
                "the key is empty: a key has 1 to {} bytes",
                limits.key_bytes
            ),
        )
        .field("key"));
    }
    within(Reason::KeyTooLarge, "key", key.len(), limits.key_bytes)
}

pub fn value(value: &[u8], limits: &Limits) -> Result<(), Refusal> {
    within(
        Reason::ValueTooLarge,
        "value",
        value.len(),
        limits.value_bytes,
    )
}

pub fn within(reason: Reason, what: &str, size: usize, limit: usize) -> Result<(), Refusal> {
    if size <= limit {
        return Ok(());
    }
    Err(Refusal::new(
        reason,
        format!("the {what} has {size} bytes; the limit is {limit}"),
    )
    .field(what)
    .with("size", size)
    .with("limit", limit))
}

/// How many operations and bytes a batch or message may have.
pub fn batch(what: &str, operations: usize, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    if operations == 0 {
        return Err(Refusal::new(
            Reason::EmptyBatch,
            format!("{what} is empty: give 1 to {}", limits.batch_operations),
        )
        .field(what));
    }
    if operations > limits.batch_operations {
        return Err(Refusal::new(
            Reason::TooManyOperations,
            format!(
                "{operations} {what}; the limit is {}",
                limits.batch_operations
            ),
        )
        .field(what)
        .with("size", operations)
        .with("limit", limits.batch_operations));
    }
    if bytes > limits.batch_bytes {
        return Err(Refusal::new(
            Reason::BatchTooLarge,
            format!(
                "{bytes} bytes of {what}; the limit is {}",
                limits.batch_bytes
            ),
        )
        .field(what)
        .with("size", bytes)
        .with("limit", limits.batch_bytes));
    }
    Ok(())
}

pub fn require(capabilities: &[i32]) -> Result<(), Refusal> {
    for number in capabilities {
        match v1::Capability::try_from(*number) {
            Ok(v1::Capability::Unspecified) => {
                return Err(unsupported("require", "0 is not a capability"));
            }
            Ok(known) if CAPABILITIES.contains(&known) => {}
            Ok(known) => return Err(missing(known.as_str_name())),
            Err(_) => return Err(missing(&format!("number {number}"))),
        }
    }
    Ok(())
}

fn missing(name: &str) -> Refusal {
    Refusal::new(
        Reason::CapabilityMissing,
        format!("this server lacks the capability {name}; GetCapabilities lists what it has"),
    )
    .field("require")
    .with("capability", name)
}

pub fn unsupported(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::UnsupportedOption, format!("{field}: {problem}")).field(field)
}

/// The level of a read: as asked, else the server's.
pub fn read_level(
    options: Option<&v1::ReadOptions>,
    default: ReadLevel,
) -> Result<ReadLevel, Refusal> {
    let Some(options) = options else {
        return Ok(default);
    };
    require(&options.require).map_err(|e| e.inside("options"))?;
    if options.at_revision != 0 {
        return Err(unsupported(
            "options.at_revision",
            "this version keeps no history to read",
        ));
    }
    if !options.min_position.is_empty() {
        return Err(unsupported(
            "options.min_position",
            "not supported by this version",
        ));
    }
    level(options.level, default)
}

/// A level by its number.
pub fn level(number: i32, default: ReadLevel) -> Result<ReadLevel, Refusal> {
    match v1::ReadLevel::try_from(number) {
        Ok(v1::ReadLevel::Unspecified) => Ok(default),
        Ok(v1::ReadLevel::Durable) => Ok(ReadLevel::Durable),
        Ok(v1::ReadLevel::Latest) => Ok(ReadLevel::Latest),
        Err(_) => Err(unknown_number("options.level", number)),
    }
}

/// The durability of a write: as asked, else the server's.
pub fn durability(
    options: Option<&v1::WriteOptions>,
    default: Durability,
) -> Result<Durability, Refusal> {
    let Some(options) = options else {
        return Ok(default);
    };
    require(&options.require).map_err(|e| e.inside("options"))?;
    durable(options.durability, default)
}

/// A durability by its number.
pub fn durable(number: i32, default: Durability) -> Result<Durability, Refusal> {
    match v1::Durability::try_from(number) {
        Ok(v1::Durability::Unspecified) => Ok(default),
        Ok(v1::Durability::None) => Ok(Durability::None),
        Ok(v1::Durability::Logged) => Ok(Durability::Logged),
        Ok(v1::Durability::Synced) => Ok(Durability::Synced),
        Err(_) => Err(unknown_number("options.durability", number)),
    }
}

pub fn unknown_number(field: &str, number: i32) -> Refusal {
    unsupported(
        field,
        &format!("this version does not know number {number}"),
    )
}

/// Items of a batch or a transaction have no options of their own.
pub fn no_options<T>(options: Option<&T>) -> Result<(), Refusal> {
    match options {
        None => Ok(()),
        Some(_) => Err(conflict(
            "options",
            "a part of a batch or transaction has no options of its own: set those of the whole",
        )),
    }
}

pub fn conflict(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::OptionConflict, problem).field(field)
}

pub fn bad_number(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::BadNumber, format!("{field}: {problem}")).field(field)
}

pub fn condition<'a>(
    condition: Option<&'a v1::Condition>,
    limits: &Limits,
) -> Result<Option<Condition<'a>>, Refusal> {
    let Some(condition) = condition else {
        return Ok(None);
    };
    let number = |name, number| revision(&format!("condition.{name}"), number);
    Ok(Some(match &condition.test {
        Some(Test::Exists(exists)) => Condition::Exists(*exists),
        Some(Test::ModRevision(wanted)) => {
            Condition::ModRevision(kvcore::Revision(number("mod_revision", *wanted)?))
        }
        Some(Test::CreateRevision(wanted)) => {
            Condition::CreateRevision(kvcore::Revision(number("create_revision", *wanted)?))
        }
        Some(Test::Version(wanted)) => Condition::Version(number("version", *wanted)?),
        Some(Test::Value(wanted)) => {
            value(wanted, limits).map_err(|e| e.inside("condition"))?;
            Condition::Value(wanted)
        }
        None => {
            return Err(unsupported(
                "condition",
                "the message is present but tests nothing",
            ));
        }
    }))
}

/// A revision or a version.
pub fn revision(field: &str, number: i64) -> Result<Revision, Refusal> {
    u64::try_from(number).map_err(|_| bad_number(field, &format!("it is not negative: {number}")))
}

/// A limit; 0 is none.
pub fn limit(field: &str, number: i64) -> Result<Option<u64>, Refusal> {
    let number = u64::try_from(number)
        .map_err(|_| bad_number(field, &format!("a limit is not negative: {number}")))?;
    Ok((number > 0).then_some(number))
}

/// For the wire; revisions stay far below 2^63.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The record with key and value.
pub fn record<S: Store>(store: &S, key: Bytes, record: &Record) -> v1::Record {
    let value = record.value();
    let value = if value.len() < SHARE_FROM {
        Bytes::copy_from_slice(value)
    } else {
        Bytes::from_owner(Shared(record.clone()))
    };
    v1::Record {
        key,
        value,
        ..numbers(store, record)
    }
}

/// The record without key and value.
pub fn numbers<S: Store>(store: &S, record: &Record) -> v1::Record {
    v1::Record {
        key: Bytes::new(),
        value: Bytes::new(),
        create_revision: signed(record.create_revision().0),
        mod_revision: signed(record.mod_revision().0),
        version: signed(record.version()),
        expires_at_ms: signed(store.expires_at_ms(record)),
        lease_id: signed(record.lease_id()),
    }
}

/// Lends a record's value to a reply for as long as that is being sent.
struct Shared(Record);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}
