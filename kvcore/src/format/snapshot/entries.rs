//! What stands in the payloads of a snapshot's blocks.
//!
//! ```text
//! record  := varint mod_revision, op        a Set as in a unit, create_revision always there
//! request := varint id length, id, fingerprint u128, varint revision,
//!            varint engine clock in ms, varint outcome length, outcome
//! units   := varint first revision, varint engine clock in ms, units as in a frame
//! ```

use crate::base::op::{Cause, OpCode, OpView, RequestTag};
use crate::base::revision::Revision;
use crate::format::cursor::{Cursor, put_bytes, put_varint};
use crate::format::unit::{OUTCOME_BYTES, REQUEST_ID_BYTES, read_op, write_op};
use crate::format::{FormatError, NUMBER_CAP};

const NUMBERS: (u64, u64) = (1, NUMBER_CAP);

/// A record as it is written; borrows its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    pub mod_revision: Revision,
    pub create_revision: Revision,
    pub version: u64,
    /// Engine clock, ms; 0 = never.
    pub deadline_ms: u64,
    /// 0 = none.
    pub lease_id: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The change that would make this record.
    pub fn as_op(&self) -> OpView<'a> {
        OpView {
            code: OpCode::Set,
            cause: Cause::Written,
            replaces_expired: false,
            key: self.key,
            value: Some(self.value),
            deadline_ms: self.deadline_ms,
            version: self.version,
            create_revision: self.create_revision.0,
            lease_id: self.lease_id,
            previous_mod_revision: 0,
            last_record: None,
        }
    }
}

/// A remembered request as it is written; borrows its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView<'a> {
    pub tag: RequestTag<'a>,
    pub revision: Revision,
    /// Engine clock when it was applied.
    pub at_ms: u64,
}

/// # Panics
/// If no reader would accept the record.
pub fn put_record(out: &mut Vec<u8>, record: &RecordView<'_>) {
    put_varint(out, record.mod_revision.0);
    write_op(out, &record.as_op());
}

pub fn put_request(out: &mut Vec<u8>, request: &RequestView<'_>) {
    put_bytes(out, request.tag.id);
    out.extend_from_slice(&request.tag.fingerprint.to_le_bytes());
    put_varint(out, request.revision.0);
    put_varint(out, request.at_ms);
    put_bytes(out, request.tag.outcome);
}

/// The units of one frame of the log; borrows their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameView<'a> {
    pub first_revision: Revision,
    /// Engine clock when the frame was written.
    pub engine_ms: u64,
    /// To be read by [`units`](crate::format::unit::units).
    pub units: &'a [u8],
}

pub fn put_frame(out: &mut Vec<u8>, frame: &FrameView<'_>) {
    put_varint(out, frame.first_revision.0);
    put_varint(out, frame.engine_ms);
    out.extend_from_slice(frame.units);
}

/// The payload of a block of units.
pub fn frame(payload: &[u8]) -> Result<FrameView<'_>, FormatError> {
    let mut cursor = Cursor::new(payload, 0);
    let first_revision = number(&mut cursor, "first revision of a frame")?;
    let engine_ms = cursor.varint("engine clock of a frame")?;
    Ok(FrameView {
        first_revision,
        engine_ms,
        units: cursor.take(cursor.left(), "units")?,
    })
}

/// The records of a payload that holds `entries` of them.
pub fn records(payload: &[u8], entries: u32) -> Records<'_> {
    Records(Entries::new(payload, entries))
}

/// The requests of a payload that holds `entries` of them.
pub fn requests(payload: &[u8], entries: u32) -> Requests<'_> {
    Requests(Entries::new(payload, entries))
}

/// Counts entries; an error ends the walk.
#[derive(Clone, Debug)]
struct Entries<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Entries<'a> {
    fn new(payload: &'a [u8], left: u32) -> Self {
        Self {
            cursor: Cursor::new(payload, 0),
            left,
        }
    }

    fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, FormatError>,
    ) -> Option<Result<T, FormatError>> {
        let Some(left) = self.left.checked_sub(1) else {
            let cursor = std::mem::replace(&mut self.cursor, Cursor::new(&[], 0));
            return cursor.finish("snapshot block").err().map(Err);
        };
        self.left = left;
        let entry = read(&mut self.cursor);
        if entry.is_err() {
            *self = Self::new(&[], 0);
        }
        Some(entry)
    }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a>(Entries<'a>);

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(record)
    }
}

/// See [`requests`].
#[derive(Clone, Debug)]
pub struct Requests<'a>(Entries<'a>);

impl<'a> Iterator for Requests<'a> {
    type Item = Result<RequestView<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(request)
    }
}

fn record<'a>(cursor: &mut Cursor<'a>) -> Result<RecordView<'a>, FormatError> {
    let mod_revision = number(cursor, "mod_revision")?;
    let at = cursor.at();
    let op = read_op(cursor)?;
    let plain = op.code == OpCode::Set
        && op.cause == Cause::Written
        && !op.replaces_expired
        && op.previous_mod_revision == 0;
    let rule = "a record is a Set that says nothing of what was before";
    FormatError::rule(plain, "snapshot record", rule)?;
    FormatError::range(
        "create_revision",
        at,
        op.create_revision,
        (1, mod_revision.0),
    )?;
    FormatError::range("version", at, op.version, (1, u64::MAX))?;
    Ok(RecordView {
        mod_revision,
        create_revision: Revision(op.create_revision),
        version: op.version,
        deadline_ms: op.deadline_ms,
        lease_id: op.lease_id,
        key: op.key,
        value: op.value.unwrap_or_default(),
    })
}

fn request<'a>(cursor: &mut Cursor<'a>) -> Result<RequestView<'a>, FormatError> {
    let id = cursor.bytes("request id", (1, REQUEST_ID_BYTES))?;
    let fingerprint = u128::from_le_bytes(cursor.array("request fingerprint")?);
    let revision = number(cursor, "request's revision")?;
    let at_ms = cursor.varint("request's time")?;
    let outcome = cursor.bytes("request outcome", (0, OUTCOME_BYTES))?;
    Ok(RequestView {
        tag: RequestTag {
            id,
            fingerprint,
            outcome,
        },
        revision,
        at_ms,
    })
}

fn number(cursor: &mut Cursor<'_>, what: &'static str) -> Result<Revision, FormatError> {
    let at = cursor.at();
    let number = cursor.varint(what)?;
    FormatError::range(what, at, number, NUMBERS)?;
    Ok(Revision(number))
}
