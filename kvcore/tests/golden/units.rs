//! Units, each code, cause and bit of them in some file.

use kvcore::base::op::{Cause, LastRecord, OpCode, OpView, RequestTag, UnitKind};
use kvcore::format::unit::{CAUSES, OP_CODES, UNIT_KINDS, UnitView, bits, encode_unit, units};

use crate::assert_golden;

pub(crate) struct Unit {
    kind: UnitKind,
    request: Option<RequestTag<'static>>,
    ops: Vec<OpView<'static>>,
}

impl Unit {
    fn single(op: OpView<'static>) -> Self {
        Self {
            kind: UnitKind::Single,
            request: None,
            ops: vec![op],
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_unit(out, self.kind, self.request, self.ops.iter().copied());
    }

    fn equals(&self, view: &UnitView<'_>) -> bool {
        view.kind == self.kind
            && view.request == self.request
            && view.ops().eq(self.ops.iter().copied())
    }
}

/// A SET with nothing unusual about it.
const PLAIN: OpView<'static> = OpView {
    code: OpCode::Set,
    cause: Cause::Written,
    replaces_expired: false,
    key: b"key",
    value: Some(b"value"),
    deadline_ms: 0,
    version: 0,
    create_revision: 0,
    lease_id: 0,
    previous_mod_revision: 0,
    last_record: None,
};

const EVERY_FIELD: OpView<'static> = OpView {
    replaces_expired: true,
    deadline_ms: 86_460_000,
    version: 300,
    create_revision: 70_000,
    lease_id: u64::MAX,
    previous_mod_revision: 999_999,
    ..PLAIN
};

const DELETE: OpView<'static> = OpView {
    code: OpCode::Delete,
    cause: Cause::Deleted,
    value: None,
    previous_mod_revision: 128,
    ..PLAIN
};

const METADATA: OpView<'static> = OpView {
    code: OpCode::Metadata,
    cause: Cause::ExpiryChanged,
    value: None,
    deadline_ms: 1,
    version: 2,
    create_revision: 127,
    previous_mod_revision: 16_384,
    ..PLAIN
};

const LAST: LastRecord<'static> = LastRecord {
    value: b"last",
    create_revision: 5,
    version: 6,
    deadline_ms: 7_000,
    lease_id: 0,
};

pub(crate) fn unit_set() -> Unit {
    Unit::single(OpView {
        version: 1,
        ..PLAIN
    })
}

fn with_cause(op: OpView<'static>, cause: Cause) -> OpView<'static> {
    OpView { cause, ..op }
}

pub(crate) fn all_units() -> Vec<(&'static str, Unit)> {
    let last_record = Some(LAST);
    let gone = OpView {
        last_record,
        ..DELETE
    };
    let request = Some(RequestTag {
        id: b"request-1",
        fingerprint: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
        outcome: b"outcome",
    });
    let other = OpView {
        key: b"other",
        ..DELETE
    };
    let moved = OpView {
        key: b"third",
        ..with_cause(METADATA, Cause::Written)
    };
    vec![
        ("unit-set.bin", unit_set()),
        ("unit-set-every-field.bin", Unit::single(EVERY_FIELD)),
        (
            "unit-set-empty-value.bin",
            Unit::single(OpView {
                value: Some(b""),
                ..PLAIN
            }),
        ),
        ("unit-delete.bin", Unit::single(DELETE)),
        (
            "unit-delete-range.bin",
            Unit::single(with_cause(DELETE, Cause::RangeDeleted)),
        ),
        (
            "unit-delete-expired.bin",
            Unit::single(with_cause(gone, Cause::Expired)),
        ),
        (
            "unit-delete-evicted.bin",
            Unit::single(with_cause(gone, Cause::Evicted)),
        ),
        ("unit-metadata.bin", Unit::single(METADATA)),
        (
            "unit-request.bin",
            Unit {
                request,
                ..unit_set()
            },
        ),
        (
            "unit-txn.bin",
            Unit {
                kind: UnitKind::Txn,
                request,
                ops: vec![EVERY_FIELD, other, moved],
            },
        ),
    ]
}

#[test]
fn every_unit() {
    for (name, unit) in all_units() {
        let mut bytes = Vec::new();
        unit.encode(&mut bytes);
        assert_golden(name, &bytes);
        let decoded: Result<Vec<_>, _> = units(&bytes).collect();
        let decoded = decoded.expect("a golden unit decodes");
        assert_eq!(decoded.len(), 1, "{name}");
        assert!(unit.equals(&decoded[0]), "{name}: {:?}", decoded[0]);
    }
}

/// The golden units leave no code, cause, kind or bit out.
#[test]
fn every_code_has_a_golden_file() {
    let all = all_units();
    let ops: Vec<_> = all.iter().flat_map(|(_, unit)| &unit.ops).collect();
    for kind in UNIT_KINDS {
        assert!(all.iter().any(|(_, unit)| unit.kind == kind), "{kind:?}");
    }
    for code in OP_CODES {
        assert!(ops.iter().any(|op| op.code == code), "{code:?}");
    }
    for cause in CAUSES {
        assert!(ops.iter().any(|op| op.cause == cause), "{cause:?}");
    }
    let mut seen = 0;
    for (name, unit) in &all {
        if unit.kind == UnitKind::Single && unit.request.is_none() {
            let mut bytes = Vec::new();
            unit.encode(&mut bytes);
            // Behind len, kind, flags and code.
            assert_eq!(bytes[6], unit.ops[0].code as u8, "{name}");
            seen |= u16::from_le_bytes([bytes[7], bytes[8]]);
        }
    }
    for (bit, name) in bits::ALL {
        assert!(seen & bit != 0, "{name}");
    }
}
