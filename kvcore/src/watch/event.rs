//! What a watch is told of one change, and which changes it wants.

use crate::base::op::{Cause, LastRecord, OpCode, OpView};
use crate::base::revision::Revision;
use crate::store::{Logged, Record};

/// What happened to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Set,
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Event {
    pub revision: Revision,
    pub kind: EventKind,
    pub cause: Cause,
    /// After a set the record; after a removal only its key and mod_revision count.
    pub record: Record,
    /// Only the expiry changed, and what the value is nobody knows any more: it is the one
    /// that the key had before.
    pub value_unavailable: bool,
    pub previous: Previous,
}

/// The record before a change.
#[derive(Clone, Debug)]
pub enum Previous {
    /// Nobody asked for it.
    Unasked,
    Absent,
    Known(Record),
    /// There was one, and it is not kept any more.
    Unavailable,
}

impl Event {
    /// An upper bound of what the event takes in a message.
    pub fn weight(&self, keys_only: bool) -> usize {
        let previous = match &self.previous {
            Previous::Known(record) => weight(record, keys_only),
            _ => 0,
        };
        weight(&self.record, keys_only) + previous + 32
    }
}

/// An upper bound of what a record takes in a message.
pub fn weight(record: &Record, keys_only: bool) -> usize {
    let value = if keys_only { 0 } else { record.value().len() };
    // Six numbers of at most eleven bytes, lengths and tags.
    record.key().len() + value + 96
}

/// Which changes a watch wants, and how much of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The record before each change.
    pub previous: bool,
    /// Values are not looked at.
    pub keys_only: bool,
    /// Not wanted, by bit: 1 << kind, 1 << cause.
    pub no_kinds: u8,
    pub no_causes: u8,
}

impl Filter {
    #[must_use]
    pub fn without(self, cause: Cause) -> Self {
        Self {
            no_causes: self.no_causes | 1 << (cause as u8),
            ..self
        }
    }

    #[must_use]
    pub fn without_kind(self, kind: EventKind) -> Self {
        Self {
            no_kinds: self.no_kinds | 1 << (kind as u8),
            ..self
        }
    }

    /// Every change is wanted.
    pub fn wants_all(&self) -> bool {
        self.no_kinds == 0 && self.no_causes == 0
    }

    pub fn wants(&self, kind: EventKind, cause: Cause) -> bool {
        self.no_kinds & 1 << (kind as u8) == 0 && self.no_causes & 1 << (cause as u8) == 0
    }
}

/// What is needed of the log to tell an event whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The record before, of this revision.
    Previous(Revision),
    /// The value, which the record before has.
    Value(Revision),
}

pub(super) fn kind_of(logged: &Logged) -> (EventKind, Cause) {
    match logged {
        Logged::Set { .. } => (EventKind::Set, Cause::Written),
        Logged::Metadata { .. } => (EventKind::Set, Cause::ExpiryChanged),
        Logged::Delete { cause, .. } => (EventKind::Delete, *cause),
    }
}

pub(super) fn kind_of_op(op: &OpView<'_>) -> EventKind {
    match op.code {
        OpCode::Set | OpCode::Metadata => EventKind::Set,
        OpCode::Delete => EventKind::Delete,
    }
}

/// Removals that nobody asked for tell always what they took.
const fn carries_last(cause: Cause) -> bool {
    matches!(cause, Cause::Expired | Cause::Evicted)
}

/// An event of what is still in memory, and what is missing of it.
pub(super) fn of_logged(
    logged: &Logged,
    revision: Revision,
    filter: Filter,
) -> (Event, Option<Missing>) {
    let (kind, cause) = kind_of(logged);
    let (record, previous, missing) = match logged {
        Logged::Set {
            record,
            previous,
            displaced,
        }
        | Logged::Metadata {
            record,
            previous,
            displaced,
        } => {
            let (known, missing) = before(*previous, displaced.as_ref(), filter.previous);
            (record.clone(), known, missing)
        }
        Logged::Delete { gone, .. } => {
            let wanted = filter.previous || carries_last(cause);
            let previous = if wanted {
                Previous::Known(gone.clone())
            } else {
                Previous::Unasked
            };
            (bare(gone.key(), revision), previous, None)
        }
    };
    let event = Event {
        revision,
        kind,
        cause,
        record,
        value_unavailable: false,
        previous,
    };
    (event, missing)
}

fn before(
    previous: Revision,
    displaced: Option<&Record>,
    wanted: bool,
) -> (Previous, Option<Missing>) {
    match displaced {
        _ if !wanted => (Previous::Unasked, None),
        _ if previous == Revision::NONE => (Previous::Absent, None),
        Some(record) => (Previous::Known(record.clone()), None),
        None => (Previous::Unavailable, Some(Missing::Previous(previous))),
    }
}

/// An event of what the log says, and what is missing of it.
pub(super) fn of_op(
    op: &OpView<'_>,
    revision: Revision,
    filter: Filter,
) -> (Event, Option<Missing>) {
    let before = Revision(op.previous_mod_revision);
    let (record, previous, missing) = match op.code {
        OpCode::Set | OpCode::Metadata => {
            let record = present(op, op.value.unwrap_or_default(), revision);
            let (previous, mut missing) = self::before(before, None, filter.previous);
            if op.code == OpCode::Metadata && !filter.keys_only {
                missing = Some(Missing::Value(before));
            }
            (record, previous, missing)
        }
        OpCode::Delete => {
            let bare = bare(op.key, revision);
            if let Some(last) = op.last_record {
                (bare, Previous::Known(taken(op, last)), None)
            } else {
                let (previous, missing) = self::before(before, None, filter.previous);
                (bare, previous, missing)
            }
        }
    };
    let event = Event {
        revision,
        kind: kind_of_op(op),
        cause: op.cause,
        record,
        value_unavailable: op.code == OpCode::Metadata,
        previous,
    };
    (event, missing)
}

/// The record that an operation leaves behind, with this value.
pub(super) fn present(op: &OpView<'_>, value: &[u8], revision: Revision) -> Record {
    let mut record = Record::new(op.key, value, op.deadline_ms, op.lease_id);
    let created = match op.create_revision {
        0 => revision,
        created => Revision(created),
    };
    record.stamp(revision, created, op.version);
    record
}

/// The same record with another value.
pub(super) fn with_value(record: &Record, value: &[u8]) -> Record {
    let mut whole = Record::new(record.key(), value, record.deadline_ms(), record.lease_id());
    let (modified, created) = (record.mod_revision(), record.create_revision());
    whole.stamp(modified, created, record.version());
    whole
}

fn bare(key: &[u8], revision: Revision) -> Record {
    let mut record = Record::new(key, &[], 0, 0);
    record.stamp(revision, Revision::NONE, 0);
    record
}

fn taken(op: &OpView<'_>, last: LastRecord<'_>) -> Record {
    let mut record = Record::new(op.key, last.value, last.deadline_ms, last.lease_id);
    let modified = Revision(op.previous_mod_revision);
    record.stamp(modified, Revision(last.create_revision), last.version);
    record
}
