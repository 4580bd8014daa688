//! The unit: one operation or one transaction, in the order's one revision.
//!
//! ```text
//! unit := len u32      bytes that follow
//!         kind u8      1 single, 2 transaction
//!         flags u8     bit 0: a request follows
//!         [request]
//!         op*          to the end of the unit
//!
//! request := varint id length, id, fingerprint u128, varint outcome length, outcome
//!
//! op := code u8
//!       bits u16       which fields follow, and flags
//!       varint key length, key
//!       then, by bit, from the lowest:
//!       value          varint length, bytes
//!       deadline, version, create_revision        varint
//!       cause          u8
//!       lease, previous mod_revision              varint
//!       last record    varint length, value; create_revision, version, deadline, lease
//! ```
//!
//! Absent fields are zero; an absent cause is the usual one of the code. A field that is
//! present differs from that, so a unit has one encoding.
//!
//! * A value stands in SET and nowhere else; a last record in DELETE only.
//! * A single unit has one operation, a transaction 1 to [`UNIT_CHANGES`].
//! * That no key occurs twice in a unit is the door's promise, not checked here.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub(super) use decode::op as read_op;
pub use decode::{Ops, UnitView, Units, check_units, units};
pub use encode::encode_unit;
pub(super) use encode::put_op as write_op;

use super::FormatError;
use crate::base::limits::{KEY_BYTES_CAP, UNIT_BYTES_CAP, UNIT_CHANGES, VALUE_BYTES_CAP};
use crate::base::op::{Cause, OpCode, UnitKind};

/// Bytes of a request id.
pub const REQUEST_ID_BYTES: usize = 64;
/// Bytes of the outcome that is kept for a repeated request.
pub const OUTCOME_BYTES: usize = 4096;

/// Most that an operation takes besides its key, its value and its last record's value:
/// code, bits, three lengths, eight varints besides the lengths, cause.
pub const OP_OVERHEAD: usize = 1 + 2 + 3 + 4 + 4 + 8 * 10 + 1;
/// Most that a DELETE without a last record takes besides its key: code, bits, the key's
/// length, cause, previous.
pub const DELETE_OVERHEAD: usize = 1 + 2 + 3 + 1 + 10;
/// Most that a unit takes besides its operations, request id and outcome:
/// len, kind, flags, two lengths, fingerprint.
pub const UNIT_OVERHEAD: usize = 4 + 1 + 1 + 1 + 2 + 16;

/// Bytes of the length in front of a unit.
const LEN_BYTES: usize = 4;
/// kind, flags.
const FIXED_BYTES: usize = 2;

const FLAG_REQUEST: u8 = 1;

/// The bits of an operation. Their order is the order of the fields.
pub mod bits {
    pub const VALUE: u16 = 1;
    pub const DEADLINE: u16 = 1 << 1;
    pub const VERSION: u16 = 1 << 2;
    pub const CREATE_REVISION: u16 = 1 << 3;
    pub const CAUSE: u16 = 1 << 4;
    pub const LEASE: u16 = 1 << 5;
    pub const PREVIOUS: u16 = 1 << 6;
    pub const LAST_RECORD: u16 = 1 << 7;
    /// A flag, no field.
    pub const REPLACES_EXPIRED: u16 = 1 << 8;

    /// Every bit with its name in `docs/format.md`, in order.
    pub const ALL: [(u16, &str); 9] = [
        (VALUE, "value"),
        (DEADLINE, "deadline"),
        (VERSION, "version"),
        (CREATE_REVISION, "create_revision"),
        (CAUSE, "cause"),
        (LEASE, "lease"),
        (PREVIOUS, "previous"),
        (LAST_RECORD, "last_record"),
        (REPLACES_EXPIRED, "replaces_expired"),
    ];

    pub(super) const KNOWN: u16 = (1 << ALL.len()) - 1;
}

pub const UNIT_KINDS: [UnitKind; 2] = [UnitKind::Single, UnitKind::Txn];
pub const OP_CODES: [OpCode; 3] = [OpCode::Set, OpCode::Delete, OpCode::Metadata];
pub const CAUSES: [Cause; 6] = [
    Cause::Written,
    Cause::Deleted,
    Cause::RangeDeleted,
    Cause::Expired,
    Cause::Evicted,
    Cause::ExpiryChanged,
];

/// What goes unsaid.
const fn usual_cause(code: OpCode) -> Cause {
    match code {
        OpCode::Set => Cause::Written,
        OpCode::Delete => Cause::Deleted,
        OpCode::Metadata => Cause::ExpiryChanged,
    }
}

const KEY_RANGE: (usize, usize) = (1, KEY_BYTES_CAP);
const VALUE_RANGE: (usize, usize) = (0, VALUE_BYTES_CAP);
const REQUEST_ID_RANGE: (usize, usize) = (1, REQUEST_ID_BYTES);
const OUTCOME_RANGE: (usize, usize) = (0, OUTCOME_BYTES);
/// Of `len`, which does not count itself.
const LEN_RANGE: (u64, u64) = (FIXED_BYTES as u64 + 1, (UNIT_BYTES_CAP - LEN_BYTES) as u64);

/// How many operations a unit of this kind may have.
fn check_op_count(kind: UnitKind, count: usize, at: usize) -> Result<(), FormatError> {
    let (what, max) = match kind {
        UnitKind::Single => ("operations of a single unit", 1),
        UnitKind::Txn => ("operations of a transaction", UNIT_CHANGES as u64),
    };
    FormatError::range(what, at, count as u64, (1, max))
}
