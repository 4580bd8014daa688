//! What a commit leaves behind of each key that it changed: for the log, and for whoever
//! watches.
//!
//! Records are shared with the store, so nothing is copied. A change is absolute state: what
//! the key holds after it, and which revision it had before.

use super::entry::Record;
use crate::base::op::{Cause, LastRecord, OpCode, OpView};
use crate::base::revision::Revision;

/// One key's change, as absolute state. Shares the record with the store: nothing is copied.
#[derive(Debug)]
pub enum Logged {
    Set {
        record: Record,
        previous: Revision,
        /// The record before, if somebody watches who wants it.
        displaced: Option<Record>,
    },
    /// The value is that of the record before.
    Metadata {
        record: Record,
        previous: Revision,
        displaced: Option<Record>,
    },
    Delete {
        gone: Record,
        cause: Cause,
    },
}

impl Logged {
    /// As the log holds it.
    pub fn view(&self, unit: Revision) -> OpView<'_> {
        match self {
            Self::Set {
                record, previous, ..
            } => OpView {
                value: Some(record.value()),
                ..present(record, *previous, unit)
            },
            Self::Metadata {
                record, previous, ..
            } => OpView {
                code: OpCode::Metadata,
                cause: Cause::ExpiryChanged,
                ..present(record, *previous, unit)
            },
            Self::Delete { gone, cause } => absent(gone, *cause),
        }
    }
}

impl Logged {
    /// Brings what [`Logged::view`] shows into the processor's cache. The number only keeps
    /// the look alive.
    pub fn fetch(&self) -> u64 {
        match self {
            Self::Set { record, .. } | Self::Metadata { record, .. } => record.fetch(),
            Self::Delete { gone, .. } => gone.fetch(),
        }
    }

    /// The key that changed.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Set { record, .. } | Self::Metadata { record, .. } => record.key(),
            Self::Delete { gone, .. } => gone.key(),
        }
    }

    /// Bytes that it keeps from being freed.
    pub fn kept_bytes(&self) -> u64 {
        let of = |record: &Record| record.accounted_bytes();
        let kept = match self {
            Self::Set {
                record, displaced, ..
            }
            | Self::Metadata {
                record, displaced, ..
            } => of(record) + displaced.as_ref().map_or(0, of),
            Self::Delete { gone, .. } => of(gone),
        };
        kept + size_of::<Self>() as u64
    }
}

fn present(record: &Record, previous: Revision, unit: Revision) -> OpView<'_> {
    OpView {
        code: OpCode::Set,
        cause: Cause::Written,
        replaces_expired: false,
        key: record.key(),
        value: None,
        deadline_ms: record.deadline_ms(),
        version: record.version(),
        create_revision: own_or(record.create_revision(), unit),
        lease_id: record.lease_id(),
        previous_mod_revision: previous.0,
        last_record: None,
    }
}

/// A removal that nobody asked for carries what the key held.
fn absent(gone: &Record, cause: Cause) -> OpView<'_> {
    let unasked = matches!(cause, Cause::Expired | Cause::Evicted);
    OpView {
        code: OpCode::Delete,
        cause,
        replaces_expired: false,
        key: gone.key(),
        value: None,
        deadline_ms: 0,
        version: 0,
        create_revision: 0,
        lease_id: 0,
        previous_mod_revision: gone.mod_revision().0,
        last_record: unasked.then(|| LastRecord {
            value: gone.value(),
            create_revision: gone.create_revision().0,
            version: gone.version(),
            deadline_ms: gone.deadline_ms(),
            lease_id: gone.lease_id(),
        }),
    }
}

/// In the log, 0 stands for the unit's own revision.
fn own_or(created: Revision, unit: Revision) -> u64 {
    if created == unit { 0 } else { created.0 }
}

/// The operations of a unit; a single one needs no allocation of its own.
#[derive(Debug)]
pub enum Operations {
    One(Option<Logged>),
    Many(Vec<Logged>),
}

impl Operations {
    /// Room for `count`, so that [`Operations::push`] cannot allocate.
    pub fn with_capacity(count: usize) -> Self {
        if count == 1 {
            Self::One(None)
        } else {
            Self::Many(Vec::with_capacity(count))
        }
    }

    /// Room for `count` after all, for units whose size is known under the locks only.
    pub fn make_room(&mut self, count: usize) {
        match self {
            Self::Many(all) => all.reserve(count),
            Self::One(_) if count > 1 => *self = Self::with_capacity(count),
            Self::One(_) => {}
        }
    }

    pub fn push(&mut self, logged: Logged) {
        match self {
            Self::One(slot) => *slot = Some(logged),
            Self::Many(all) => all.push(logged),
        }
    }

    pub fn as_slice(&self) -> &[Logged] {
        match self {
            Self::One(slot) => slot.as_slice(),
            Self::Many(all) => all,
        }
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self::One(None)
    }
}
