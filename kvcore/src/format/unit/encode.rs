//! Units to bytes, straight into the frame's payload.

use super::{
    FLAG_REQUEST, KEY_RANGE, LEN_BYTES, LEN_RANGE, OUTCOME_RANGE, REQUEST_ID_RANGE, VALUE_RANGE,
    bits, check_op_count, usual_cause,
};
use crate::base::op::{LastRecord, OpCode, OpView, RequestTag, UnitKind};
use crate::format::cursor::{put_bytes, put_varint};
use crate::format::error::assert_writable;

/// Appends one unit to `out`. The length is filled in afterwards, so `ops` is walked once
/// and nothing but `out` is allocated.
///
/// # Panics
/// If no reader would accept the unit: the door has refused such a thing long before.
pub fn encode_unit<'a>(
    out: &mut Vec<u8>,
    kind: UnitKind,
    request: Option<RequestTag<'_>>,
    ops: impl IntoIterator<Item = OpView<'a>>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; LEN_BYTES]);
    out.push(kind as u8);
    out.push(if request.is_some() { FLAG_REQUEST } else { 0 });
    if let Some(tag) = request {
        put_request(out, &tag);
    }
    let mut count = 0usize;
    for op in ops {
        put_op(out, &op);
        count = count.saturating_add(1);
    }
    assert_writable("unit", check_op_count(kind, count, start));
    fill_in_length(out, start);
}

#[expect(
    clippy::indexing_slicing,
    reason = "the caller made room for the length at start"
)]
fn fill_in_length(out: &mut [u8], start: usize) {
    let (len_bytes, rest) = out[start..].split_at_mut(LEN_BYTES);
    let len = rest.len() as u64;
    assert!(
        len <= LEN_RANGE.1,
        "refusing to write a unit of {len} bytes"
    );
    len_bytes.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_request(out: &mut Vec<u8>, tag: &RequestTag<'_>) {
    assert_len("request id", tag.id, REQUEST_ID_RANGE);
    assert_len("outcome", tag.outcome, OUTCOME_RANGE);
    put_bytes(out, tag.id);
    out.extend_from_slice(&tag.fingerprint.to_le_bytes());
    put_bytes(out, tag.outcome);
}

#[inline]
pub(in crate::format) fn put_op(out: &mut Vec<u8>, op: &OpView<'_>) {
    assert_op(op);
    let fields = bits_of(op);
    out.push(op.code as u8);
    out.extend_from_slice(&fields.to_le_bytes());
    put_bytes(out, op.key);
    if let Some(value) = op.value {
        put_bytes(out, value);
    }
    for (bit, number) in [
        (bits::DEADLINE, op.deadline_ms),
        (bits::VERSION, op.version),
        (bits::CREATE_REVISION, op.create_revision),
    ] {
        if fields & bit != 0 {
            put_varint(out, number);
        }
    }
    if fields & bits::CAUSE != 0 {
        out.push(op.cause as u8);
    }
    if fields & bits::LEASE != 0 {
        put_varint(out, op.lease_id);
    }
    if fields & bits::PREVIOUS != 0 {
        put_varint(out, op.previous_mod_revision);
    }
    if let Some(last) = &op.last_record {
        put_last_record(out, last);
    }
}

fn put_last_record(out: &mut Vec<u8>, last: &LastRecord<'_>) {
    put_bytes(out, last.value);
    put_varint(out, last.create_revision);
    put_varint(out, last.version);
    put_varint(out, last.deadline_ms);
    put_varint(out, last.lease_id);
}

/// Which fields are not what their absence would say.
#[inline]
fn bits_of(op: &OpView<'_>) -> u16 {
    let bit = |present, bit| if present { bit } else { 0 };
    bit(op.value.is_some(), bits::VALUE)
        | bit(op.deadline_ms != 0, bits::DEADLINE)
        | bit(op.version != 0, bits::VERSION)
        | bit(op.create_revision != 0, bits::CREATE_REVISION)
        | bit(op.cause != usual_cause(op.code), bits::CAUSE)
        | bit(op.lease_id != 0, bits::LEASE)
        | bit(op.previous_mod_revision != 0, bits::PREVIOUS)
        | bit(op.last_record.is_some(), bits::LAST_RECORD)
        | bit(op.replaces_expired, bits::REPLACES_EXPIRED)
}

#[inline]
fn assert_op(op: &OpView<'_>) {
    assert_len("key", op.key, KEY_RANGE);
    assert!(
        op.value.is_some() == (op.code == OpCode::Set),
        "a value belongs to SET and to nothing else"
    );
    assert_len("value", op.value.unwrap_or_default(), VALUE_RANGE);
    if let Some(last) = &op.last_record {
        assert!(op.code == OpCode::Delete, "a last record belongs to DELETE");
        assert_len("last value", last.value, VALUE_RANGE);
    }
}

#[inline]
fn assert_len(what: &str, bytes: &[u8], (min, max): (usize, usize)) {
    let len = bytes.len();
    assert!(
        (min..=max).contains(&len),
        "refusing to write a {what} of {len} bytes"
    );
}
