#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests damage bytes at places they know"
)]

use proptest::prelude::*;

use super::*;
use crate::base::op::{LastRecord, OpView, RequestTag};

/// An operation that owns its bytes.
#[derive(Clone, Debug)]
struct Op {
    code: OpCode,
    cause: Cause,
    replaces_expired: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    numbers: [u64; 5],
    last: Option<(Vec<u8>, [u64; 4])>,
}

impl Op {
    fn view(&self) -> OpView<'_> {
        let [
            deadline_ms,
            version,
            create_revision,
            lease_id,
            previous_mod_revision,
        ] = self.numbers;
        let last_record = self.last.as_ref().map(|(value, numbers)| LastRecord {
            value,
            create_revision: numbers[0],
            version: numbers[1],
            deadline_ms: numbers[2],
            lease_id: numbers[3],
        });
        OpView {
            code: self.code,
            cause: self.cause,
            replaces_expired: self.replaces_expired,
            key: &self.key,
            value: (self.code == OpCode::Set).then_some(&self.value),
            deadline_ms,
            version,
            create_revision,
            lease_id,
            previous_mod_revision,
            last_record: last_record.filter(|_| self.code == OpCode::Delete),
        }
    }

    /// Most that it takes.
    fn bound(&self) -> usize {
        let view = self.view();
        OP_OVERHEAD
            + view.key.len()
            + view.value.map_or(0, <[u8]>::len)
            + view.last_record.map_or(0, |last| last.value.len())
    }
}

#[derive(Clone, Debug)]
struct Request {
    id: Vec<u8>,
    fingerprint: u128,
    outcome: Vec<u8>,
}

impl Request {
    fn tag(&self) -> RequestTag<'_> {
        RequestTag {
            id: &self.id,
            fingerprint: self.fingerprint,
            outcome: &self.outcome,
        }
    }
}

#[derive(Clone, Debug)]
struct Unit {
    kind: UnitKind,
    request: Option<Request>,
    ops: Vec<Op>,
}

impl Unit {
    fn encode(&self, out: &mut Vec<u8>) {
        let request = self.request.as_ref().map(Request::tag);
        encode_unit(out, self.kind, request, self.ops.iter().map(Op::view));
    }

    fn bound(&self) -> usize {
        let request = self.request.as_ref();
        UNIT_OVERHEAD
            + request.map_or(0, |r| r.id.len() + r.outcome.len())
            + self.ops.iter().map(Op::bound).sum::<usize>()
    }

    fn assert_is(&self, view: &UnitView<'_>) {
        assert_eq!(view.kind, self.kind);
        assert_eq!(view.request, self.request.as_ref().map(Request::tag));
        assert_eq!(view.ops().len(), self.ops.len());
        assert!(view.ops().eq(self.ops.iter().map(Op::view)));
    }
}

fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

/// Small, large and zero alike.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..65).prop_map(|(n, shift)| n.checked_shr(shift).unwrap_or(0))
}

prop_compose! {
    fn op()(
        code in prop::sample::select(OP_CODES.to_vec()),
        cause in prop::sample::select(CAUSES.to_vec()),
        replaces_expired: bool,
        key in bytes(1..200),
        value in bytes(0..200),
        numbers in prop::array::uniform5(number()),
        last in prop::option::of((bytes(0..50), prop::array::uniform4(number()))),
    ) -> Op {
        Op { code, cause, replaces_expired, key, value, numbers, last }
    }
}

prop_compose! {
    fn unit()(
        request in prop::option::of((bytes(1..65), any::<u128>(), bytes(0..200))),
        single: bool,
        ops in prop::collection::vec(op(), 1..5),
    ) -> Unit {
        let request = request
            .map(|(id, fingerprint, outcome)| Request { id, fingerprint, outcome });
        let kind = if single { UnitKind::Single } else { UnitKind::Txn };
        let ops = if single { ops[..1].to_vec() } else { ops };
        Unit { kind, request, ops }
    }
}

fn encode_all(units: &[Unit]) -> Vec<u8> {
    let mut payload = Vec::new();
    for unit in units {
        unit.encode(&mut payload);
    }
    payload
}

/// What decodes must encode to the same bytes.
fn again(payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for unit in units(payload) {
        let unit = unit.ok()?;
        encode_unit(&mut out, unit.kind, unit.request, unit.ops());
    }
    Some(out)
}

proptest! {
    #[test]
    fn units_round_trip(list in prop::collection::vec(unit(), 0..5)) {
        let payload = encode_all(&list);
        let bound: usize = list.iter().map(Unit::bound).sum();
        prop_assert!(payload.len() <= bound, "{} of at most {bound} bytes", payload.len());
        let count = u32::try_from(list.len()).unwrap();
        prop_assert_eq!(check_units(&payload, count), Ok(()));
        let wrong = FormatError::UnitCount { found: u64::from(count), expected: count + 1 };
        prop_assert_eq!(check_units(&payload, count + 1), Err(wrong));
        for (view, unit) in units(&payload).zip(&list) {
            unit.assert_is(&view.unwrap());
        }
    }

    #[test]
    fn a_cut_unit_is_refused(unit in unit()) {
        let payload = encode_all(&[unit]);
        for n in 1..payload.len() {
            prop_assert!(check_units(&payload[..n], 1).is_err(), "{n} of {}", payload.len());
        }
    }

    #[test]
    fn a_lie_is_refused_or_means_what_it_says(
        list in prop::collection::vec(unit(), 1..3),
        lies in prop::collection::vec((0usize..4096, any::<u8>()), 1..4),
    ) {
        let mut payload = encode_all(&list);
        let len = payload.len();
        for (at, byte) in lies {
            payload[at % len] = byte;
        }
        if let Some(again) = again(&payload) {
            prop_assert_eq!(again, payload);
        }
    }

    #[test]
    fn random_bytes_never_panic(payload in bytes(0..100), len in 3u32..100) {
        let _ = again(&payload);
        let mut fitting = len.to_le_bytes().to_vec();
        fitting.extend_from_slice(&payload);
        let _ = again(&fitting);
    }
}

#[test]
fn iteration_ends_at_the_first_error() {
    let mut all = units(&[1, 0, 0, 0, 9]);
    assert!(all.next().is_some_and(|first| first.is_err()));
    assert!(all.next().is_none());
}

/// len 9, single, no request, then SET without fields but a one-byte key and value.
const PLAIN: [u8; 13] = [9, 0, 0, 0, 1, 0, 1, 1, 0, 1, b'k', 1, b'v'];

#[test]
fn the_smallest_set_is_thirteen_bytes() {
    let unit = units(&PLAIN).next().unwrap().unwrap();
    let op = unit.ops().next().unwrap();
    assert_eq!((op.key, op.value), (&b"k"[..], Some(&b"v"[..])));
    assert_eq!((op.code, op.cause), (OpCode::Set, Cause::Written));
    assert_eq!(again(&PLAIN).unwrap(), PLAIN);
}

#[test]
fn a_refusal_names_the_thing_and_the_byte() {
    let said = |at: usize, byte: u8| {
        let mut payload = PLAIN;
        payload[at] = byte;
        check_units(&payload, 1).unwrap_err().to_string()
    };
    for (at, byte, wanted) in [
        (0, 2, "length of a unit at byte 0 is 2"),
        (0, 10, "unit at byte 4 needs 10 bytes, 9 are left"),
        (3, 2, "length of a unit at byte 0 is 33554441"),
        (4, 3, "unknown unit kind 3 at byte 4"),
        (5, 2, "unknown unit flags 0x02 at byte 5"),
        (6, 4, "unknown operation code 4 at byte 6"),
        (6, 2, "a value belongs to SET"),
        (7, 0, "a value belongs to SET"),
        (7, 0x81, "a last record belongs to DELETE"),
        (8, 2, "unknown operation bits 0x0201 at byte 7"),
        (9, 0, "key at byte 9 is 0, allowed are 1 to 65536"),
        (11, 2, "value at byte 12 needs 2 bytes, 1 are left"),
        (11, 0, "unknown operation code 118 at byte 12"),
    ] {
        let text = said(at, byte);
        assert!(text.contains(wanted), "byte {at} = {byte}: {text}");
    }
}

#[test]
fn what_goes_without_saying_is_not_said() {
    let zero_version = [10, 0, 0, 0, 1, 0, 1, 5, 0, 1, b'k', 1, b'v', 0];
    let refused = check_units(&zero_version, 1).unwrap_err().to_string();
    assert_eq!(
        refused,
        format!("version at byte 13 is 0, allowed are 1 to {}", u64::MAX)
    );
    let usual_cause = [10, 0, 0, 0, 1, 0, 1, 0x11, 0, 1, b'k', 1, b'v', 1];
    let refused = check_units(&usual_cause, 1).unwrap_err().to_string();
    assert_eq!(refused, "operation: the usual cause of a code goes unsaid");
    let cause = [10, 0, 0, 0, 1, 0, 1, 0x11, 0, 1, b'k', 1, b'v', 7];
    let refused = FormatError::UnknownCause { cause: 7, at: 13 };
    assert_eq!(check_units(&cause, 1), Err(refused));
}

fn small(key: u16) -> Op {
    Op {
        code: OpCode::Delete,
        cause: Cause::Deleted,
        replaces_expired: false,
        key: key.to_le_bytes().to_vec(),
        value: Vec::new(),
        numbers: [0; 5],
        last: None,
    }
}

fn txn(ops: usize) -> Unit {
    Unit {
        kind: UnitKind::Txn,
        request: None,
        ops: (0..ops).map(|n| small(u16::try_from(n).unwrap())).collect(),
    }
}

#[test]
fn a_transaction_has_as_many_operations_as_the_limit_says() {
    let full = encode_all(&[txn(UNIT_CHANGES)]);
    assert_eq!(check_units(&full, 1), Ok(()));
    // One more, spliced in behind the last: DELETE of a one-byte key.
    let mut over = full;
    over.extend_from_slice(&[2, 0, 0, 1, b'k']);
    let len = u32::try_from(over.len() - 4).unwrap();
    over[..4].copy_from_slice(&len.to_le_bytes());
    let refused = check_units(&over, 1).unwrap_err().to_string();
    assert_eq!(
        refused,
        "operations of a transaction at byte 0 is 16385, allowed are 1 to 16384"
    );
}

#[test]
fn a_single_unit_has_one_operation() {
    let mut two = encode_all(&[txn(2)]);
    two[4] = UnitKind::Single as u8;
    assert!(check_units(&two, 1).is_err());
}

#[test]
fn the_largest_key_and_value_pass() {
    let largest = Op {
        code: OpCode::Set,
        key: vec![1; KEY_BYTES_CAP],
        value: vec![2; VALUE_BYTES_CAP],
        numbers: [u64::MAX; 5],
        cause: Cause::Evicted,
        ..small(0)
    };
    let unit = Unit {
        kind: UnitKind::Single,
        request: None,
        ops: vec![largest],
    };
    let payload = encode_all(std::slice::from_ref(&unit));
    assert!(payload.len() <= unit.bound());
    unit.assert_is(&units(&payload).next().unwrap().unwrap());
}

#[test]
#[should_panic(expected = "refusing to write a key of 0 bytes")]
fn an_empty_key_is_not_written() {
    let op = Op {
        key: Vec::new(),
        ..small(0)
    };
    encode_unit(&mut Vec::new(), UnitKind::Single, None, [op.view()]);
}

#[test]
#[should_panic(expected = "refusing to write a unit: operations of a single unit")]
fn a_unit_without_operations_is_not_written() {
    encode_unit(&mut Vec::new(), UnitKind::Single, None, []);
}
