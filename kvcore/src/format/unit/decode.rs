//! Bytes to units. A unit is checked as a whole before anything of it is handed out.

use super::{
    FLAG_REQUEST, KEY_RANGE, LEN_RANGE, OUTCOME_RANGE, REQUEST_ID_RANGE, VALUE_RANGE, bits,
    check_op_count, usual_cause,
};
use crate::base::op::{Cause, LastRecord, OpCode, OpView, RequestTag, UnitKind};
use crate::format::FormatError;
use crate::format::cursor::Cursor;

/// The units of a frame's payload, in order. Ends after the first error.
pub const fn units(payload: &[u8]) -> Units<'_> {
    Units {
        cursor: Cursor::new(payload, 0),
    }
}

/// Checks a whole payload, so that a frame can be refused before any of it is applied:
/// every unit is sound, and there are as many as the frame's head says.
pub fn check_units(payload: &[u8], expected: u32) -> Result<(), FormatError> {
    let mut found = 0u64;
    for unit in units(payload) {
        unit?;
        found = found.saturating_add(1);
    }
    if found == u64::from(expected) {
        return Ok(());
    }
    Err(FormatError::UnitCount { found, expected })
}

/// See [`units`].
#[derive(Clone, Debug)]
pub struct Units<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<UnitView<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let unit = unit(&mut self.cursor);
        if unit.is_err() {
            self.cursor = Cursor::new(&[], self.cursor.at());
        }
        Some(unit)
    }
}

impl std::iter::FusedIterator for Units<'_> {}

/// One sound unit; borrows the payload.
#[derive(Clone, Copy, Debug)]
pub struct UnitView<'a> {
    pub kind: UnitKind,
    pub request: Option<RequestTag<'a>>,
    count: usize,
    ops: Cursor<'a>,
}

impl<'a> UnitView<'a> {
    pub const fn ops(&self) -> Ops<'a> {
        Ops {
            left: self.count,
            cursor: self.ops,
        }
    }
}

/// The operations of a sound unit, in order.
#[derive(Clone, Debug)]
pub struct Ops<'a> {
    left: usize,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Ops<'a> {
    type Item = OpView<'a>;

    fn next(&mut self) -> Option<OpView<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Cannot fail: these bytes were read once already, when the unit was checked.
        op(&mut self.cursor).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Ops<'_> {}

fn unit<'a>(payload: &mut Cursor<'a>) -> Result<UnitView<'a>, FormatError> {
    let at = payload.at();
    let len = payload.u32("length of a unit")?;
    FormatError::range("length of a unit", at, u64::from(len), LEN_RANGE)?;
    let start = payload.at();
    let mut unit = Cursor::new(payload.take(len as usize, "unit")?, start);
    let kind = kind(&mut unit)?;
    let request = request(&mut unit)?;
    let ops = unit;
    let mut count = 0usize;
    while !unit.is_empty() {
        op(&mut unit)?;
        count = count.saturating_add(1);
    }
    check_op_count(kind, count, at)?;
    Ok(UnitView {
        kind,
        request,
        count,
        ops,
    })
}

fn kind(unit: &mut Cursor<'_>) -> Result<UnitKind, FormatError> {
    let at = unit.at();
    match unit.u8("unit kind")? {
        1 => Ok(UnitKind::Single),
        2 => Ok(UnitKind::Txn),
        kind => Err(FormatError::UnknownUnitKind { kind, at }),
    }
}

fn request<'a>(unit: &mut Cursor<'a>) -> Result<Option<RequestTag<'a>>, FormatError> {
    let at = unit.at();
    let flags = unit.u8("unit flags")?;
    if flags & !FLAG_REQUEST != 0 {
        return Err(FormatError::UnknownUnitFlags { flags, at });
    }
    if flags == 0 {
        return Ok(None);
    }
    Ok(Some(RequestTag {
        id: unit.bytes("request id", REQUEST_ID_RANGE)?,
        fingerprint: u128::from_le_bytes(unit.array("request fingerprint")?),
        outcome: unit.bytes("request outcome", OUTCOME_RANGE)?,
    }))
}

pub(in crate::format) fn op<'a>(unit: &mut Cursor<'a>) -> Result<OpView<'a>, FormatError> {
    let code = code(unit)?;
    let fields = fields(unit, code)?;
    let has = |bit| fields & bit != 0;
    let key = unit.bytes("key", KEY_RANGE)?;
    let value = if has(bits::VALUE) {
        Some(unit.bytes("value", VALUE_RANGE)?)
    } else {
        None
    };
    Ok(OpView {
        code,
        replaces_expired: has(bits::REPLACES_EXPIRED),
        key,
        value,
        deadline_ms: number(unit, has(bits::DEADLINE), "deadline")?,
        version: number(unit, has(bits::VERSION), "version")?,
        create_revision: number(unit, has(bits::CREATE_REVISION), "create revision")?,
        cause: cause(unit, has(bits::CAUSE), code)?,
        lease_id: number(unit, has(bits::LEASE), "lease id")?,
        previous_mod_revision: number(unit, has(bits::PREVIOUS), "previous revision")?,
        last_record: last_record(unit, has(bits::LAST_RECORD))?,
    })
}

fn code(unit: &mut Cursor<'_>) -> Result<OpCode, FormatError> {
    let at = unit.at();
    match unit.u8("operation code")? {
        1 => Ok(OpCode::Set),
        2 => Ok(OpCode::Delete),
        3 => Ok(OpCode::Metadata),
        code => Err(FormatError::UnknownOpCode { code, at }),
    }
}

/// The bitmap, held against what the code may carry.
fn fields(unit: &mut Cursor<'_>, code: OpCode) -> Result<u16, FormatError> {
    let at = unit.at();
    let fields = unit.u16("operation bits")?;
    if fields & !bits::KNOWN != 0 {
        return Err(FormatError::UnknownOpBits { bits: fields, at });
    }
    FormatError::rule(
        (fields & bits::VALUE != 0) == (code == OpCode::Set),
        "operation",
        "a value belongs to SET and to nothing else",
    )?;
    FormatError::rule(
        fields & bits::LAST_RECORD == 0 || code == OpCode::Delete,
        "operation",
        "a last record belongs to DELETE",
    )?;
    Ok(fields)
}

/// A number that is absent when it is zero.
fn number(unit: &mut Cursor<'_>, present: bool, what: &'static str) -> Result<u64, FormatError> {
    if !present {
        return Ok(0);
    }
    let at = unit.at();
    let number = unit.varint(what)?;
    FormatError::range(what, at, number, (1, u64::MAX))?;
    Ok(number)
}

fn cause(unit: &mut Cursor<'_>, present: bool, code: OpCode) -> Result<Cause, FormatError> {
    if !present {
        return Ok(usual_cause(code));
    }
    let at = unit.at();
    let cause = match unit.u8("cause")? {
        1 => Cause::Written,
        2 => Cause::Deleted,
        3 => Cause::RangeDeleted,
        4 => Cause::Expired,
        5 => Cause::Evicted,
        6 => Cause::ExpiryChanged,
        cause => return Err(FormatError::UnknownCause { cause, at }),
    };
    FormatError::rule(
        cause != usual_cause(code),
        "operation",
        "the usual cause of a code goes unsaid",
    )?;
    Ok(cause)
}

fn last_record<'a>(
    unit: &mut Cursor<'a>,
    present: bool,
) -> Result<Option<LastRecord<'a>>, FormatError> {
    if !present {
        return Ok(None);
    }
    Ok(Some(LastRecord {
        value: unit.bytes("last value", VALUE_RANGE)?,
        create_revision: unit.varint("last create revision")?,
        version: unit.varint("last version")?,
        deadline_ms: unit.varint("last deadline")?,
        lease_id: unit.varint("last lease id")?,
    }))
}
