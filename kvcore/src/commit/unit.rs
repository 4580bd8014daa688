//! What travels from a transaction to the log.

use std::sync::Arc;

use crate::base::op::{Cause, LastRecord, OpCode, OpView, RequestTag, UnitKind};
use crate::base::revision::Revision;
use crate::commit::admission::Cost;
use crate::format::unit::encode_unit;
use crate::log::LogUnit;
use crate::store::Record;

/// One key's change, as absolute state. Shares the record with the store: nothing is copied.
#[derive(Debug)]
pub enum Logged {
    Set {
        record: Record,
        previous: Revision,
    },
    /// The value is that of the record before.
    Metadata {
        record: Record,
        previous: Revision,
    },
    Delete {
        gone: Record,
        cause: Cause,
    },
}

impl Logged {
    fn view(&self, unit: Revision) -> OpView<'_> {
        match self {
            Self::Set { record, previous } => OpView {
                value: Some(record.value()),
                ..present(record, *previous, unit)
            },
            Self::Metadata { record, previous } => OpView {
                code: OpCode::Metadata,
                cause: Cause::ExpiryChanged,
                ..present(record, *previous, unit)
            },
            Self::Delete { gone, cause } => absent(gone, *cause),
        }
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

    fn as_slice(&self) -> &[Logged] {
        match self {
            Self::One(slot) => slot.as_slice(),
            Self::Many(all) => all,
        }
    }
}

/// The request that a unit answers, as it is remembered.
#[derive(Debug)]
pub struct Request {
    pub id: Box<[u8]>,
    pub fingerprint: u128,
    pub item: u32,
    /// Bytes that its outcome may take.
    pub outcome_max: usize,
    /// Encoded before the revision is drawn.
    pub outcome: Arc<[u8]>,
}

/// A unit: one revision, all or nothing.
#[derive(Debug)]
pub struct Unit {
    pub revision: Revision,
    pub operations: Operations,
    pub request: Option<Box<Request>>,
    /// The permit; given back by the writer.
    pub cost: Cost,
}

impl LogUnit for Unit {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let operations = self.operations.as_slice();
        let kind = if operations.len() == 1 {
            UnitKind::Single
        } else {
            UnitKind::Txn
        };
        let tag = self.request.as_ref().map(|request| RequestTag {
            id: &request.id,
            fingerprint: request.fingerprint,
            outcome: &request.outcome,
        });
        encode_unit(
            out,
            kind,
            tag,
            operations.iter().map(|op| op.view(self.revision)),
        );
    }

    fn encoded_max(&self) -> usize {
        usize::try_from(self.cost.bytes).unwrap_or(usize::MAX)
    }

    fn reserved(&self) -> u64 {
        self.cost.reserved()
    }
}
