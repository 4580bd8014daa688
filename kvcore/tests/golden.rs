//! The bytes on disk, held still: what is encoded today equals the files under
//! `tests/golden/v1`, and what those files hold decodes to the same values.
//!
//! A difference here means that stores written by earlier versions are read differently.
//! New files are written by `KVD_WRITE_GOLDEN=1 cargo test -p kvcore --test golden`;
//! an existing one may change only together with the format's version.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kvcore::base::op::{Cause, LastRecord, OpCode, OpView, RequestTag, UnitKind};
use kvcore::base::revision::{Gap, Revision};
use kvcore::format::StoreId;
use kvcore::format::checksum::Seed;
use kvcore::format::frame::{
    FrameBuilder, FrameFields, FrameHead, FrameKind, FrameRead, SealPayload, read_frame,
};
use kvcore::format::manifest::{ClockPair, Manifest, Repaired, SnapshotRef};
use kvcore::format::names::{
    FileName, LOCK, MANIFEST, quarantine_name, segment_name, snapshot_name, spare_name,
};
use kvcore::format::segment_header::{PreviousEnd, SegmentHeader};
use kvcore::format::snapshot::{
    BlockKind, End, Purpose, RecordView, RequestView, SnapshotHeader, put_block, put_record,
    put_request, records, requests,
};
use kvcore::format::unit::{CAUSES, OP_CODES, UNIT_KINDS, UnitView, bits, encode_unit, units};

/// Compares with the golden file, or writes it if that was asked for.
fn assert_golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(name);
    if std::env::var_os("KVD_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, bytes).expect("the golden file is writable");
    }
    let golden = fs::read(&path).expect("the golden file exists; see the top of this test");
    let same = golden.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    assert!(
        golden == bytes,
        "{name}: {} golden bytes, {} encoded, the first difference at {same}\n\
         golden  {:02x?}\nencoded {:02x?}",
        golden.len(),
        bytes.len(),
        golden.get(same..).map(|rest| &rest[..rest.len().min(32)]),
        bytes.get(same..).map(|rest| &rest[..rest.len().min(32)]),
    );
}

const STORE: StoreId = StoreId([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);
const SEED: Seed = Seed {
    salt: 0x1122_3344_5566_7788,
    sequence: 9,
};
const OFFSET: u64 = 4096;

fn headers() -> [(&'static str, SegmentHeader); 3] {
    let first = SegmentHeader {
        store_id: STORE,
        sequence: 1,
        first_revision: Revision(2),
        salt: SEED.salt,
        previous: None,
        recovered: false,
        gap_before: false,
        segment_bytes: 64 << 20,
        engine_ms: 86_400_000,
        wall_ms: 1_700_000_000_000,
    };
    let continued = SegmentHeader {
        sequence: 9,
        first_revision: Revision(1_000_001),
        previous: Some(PreviousEnd {
            sequence: 8,
            end: 67_108_352,
            last_revision: Revision(1_000_000),
            link: 0xdead_beef,
        }),
        ..first
    };
    let recovered = SegmentHeader {
        first_revision: Revision(1_000_000 + Revision::JUMP),
        recovered: true,
        gap_before: true,
        ..continued
    };
    [
        ("segment-header-first.bin", first),
        ("segment-header-continued.bin", continued),
        ("segment-header-recovered.bin", recovered),
    ]
}

#[test]
fn segment_headers() {
    for (name, header) in headers() {
        let bytes = header.encode();
        assert_golden(name, &bytes);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header), "{name}");
    }
}

fn fields(kind: FrameKind, units: u32) -> FrameFields {
    FrameFields {
        kind,
        group_end: kind == FrameKind::Mark,
        first_revision: Revision(1_000_001),
        units,
        link: 0xdead_beef,
        durable: Revision(999_990),
        engine_ms: 86_400_123,
    }
}

fn assert_frame(name: &str, fields: FrameFields, payload: &[u8]) {
    let mut bytes = Vec::new();
    let mut builder = FrameBuilder::begin(&mut bytes);
    builder.payload().extend_from_slice(payload);
    let head_crc = builder.finish(SEED, OFFSET, fields);
    assert_golden(name, &bytes);
    let head = FrameHead {
        kind: fields.kind,
        group_end: fields.group_end,
        payload_bytes: u32::try_from(payload.len()).expect("a small payload"),
        first_revision: fields.first_revision,
        units: fields.units,
        link: fields.link,
        durable: fields.durable,
        engine_ms: fields.engine_ms,
    };
    let frame = FrameRead::Frame {
        head,
        head_crc,
        payload,
        bytes: bytes.len(),
    };
    assert_eq!(read_frame(&bytes, OFFSET, SEED), frame, "{name}");
}

#[test]
fn frames() {
    let mut payload = Vec::new();
    let set = unit_set();
    set.encode(&mut payload);
    set.encode(&mut payload);
    assert_frame("frame-data.bin", fields(FrameKind::Data, 2), &payload);
    assert_frame("frame-mark.bin", fields(FrameKind::Mark, 0), b"");
    let seal = SealPayload {
        end: OFFSET,
        last_revision: Revision(1_000_000),
        frames: 12,
        units: 345,
    };
    assert_frame("frame-seal.bin", fields(FrameKind::Seal, 0), &seal.encode());
    assert_eq!(SealPayload::decode(&seal.encode()), Ok(seal));
}

struct Unit {
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

    fn encode(&self, out: &mut Vec<u8>) {
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

fn unit_set() -> Unit {
    Unit::single(OpView {
        version: 1,
        ..PLAIN
    })
}

fn with_cause(op: OpView<'static>, cause: Cause) -> OpView<'static> {
    OpView { cause, ..op }
}

fn all_units() -> Vec<(&'static str, Unit)> {
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

fn manifests() -> [(&'static str, Manifest); 4] {
    let open = Manifest {
        store_id: STORE,
        generation: 17,
        first_segment: 3,
        newest_segment: 9,
        durable: Revision(999_990),
        gaps: Vec::new(),
        clock: ClockPair {
            engine_ms: 86_400_000,
            wall_ms: 1_700_000_000_000,
        },
        clean: None,
        snapshots: Vec::new(),
        repaired: None,
    };
    let clean = Manifest {
        clean: Some(Revision(999_990)),
        ..open.clone()
    };
    let (start, end) = (Revision(500_000), Revision(500_100));
    let gap = |first, last| Gap {
        first: Revision(first),
        last: Revision(last),
    };
    let full = Manifest {
        gaps: vec![gap(10, 20), gap(300_000, 300_000)],
        snapshots: vec![SnapshotRef {
            name: snapshot_name(start, end),
            bytes: 123_456_789,
            crc: 0xcafe_f00d,
            start,
            end,
            first_segment: 5,
        }],
        ..clean.clone()
    };
    let repaired = Manifest {
        repaired: Some(Repaired {
            wall_ms: 1_700_000_100_000,
            lost: 12,
        }),
        ..full.clone()
    };
    [
        ("manifest-repaired.bin", repaired),
        ("manifest-open.bin", open),
        ("manifest-clean.bin", clean),
        ("manifest-gaps-snapshot.bin", full),
    ]
}

#[test]
fn every_manifest() {
    for (name, manifest) in manifests() {
        let bytes = manifest.encode();
        assert_golden(name, &bytes);
        assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest), "{name}");
    }
}

/// A whole file: header, a block of records, one of requests, the End.
#[test]
fn snapshot() {
    let header = SnapshotHeader {
        store_id: StoreId(*b"0123456789abcdef"),
        start: Revision(500_000),
        salt: 0x1122_3344_5566_7788,
        engine_ms: 1_700_000_000_000,
        wall_ms: 1_700_000_000_001,
        purpose: Purpose::Snapshot,
    };
    let plain = RecordView {
        mod_revision: Revision(499_000),
        create_revision: Revision(498_000),
        version: 3,
        deadline_ms: 0,
        lease_id: 0,
        key: b"plain",
        value: b"value",
    };
    let mortal = RecordView {
        mod_revision: Revision(500_050),
        create_revision: Revision(500_050),
        version: 1,
        deadline_ms: 1_700_000_060_000,
        lease_id: 77,
        key: b"session",
        value: b"",
    };
    let request = RequestView {
        tag: RequestTag {
            id: b"request-1",
            fingerprint: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
            outcome: &[0, 1],
        },
        revision: Revision(499_999),
        at_ms: 1_700_000_000_000,
    };
    let end = End {
        end: Revision(500_100),
        records: 2,
        requests: 1,
        blocks: 2,
    };
    let mut bytes = header.encode().to_vec();
    let mut link = SnapshotHeader::crc_of(&bytes);
    let mut payloads = [Vec::new(), Vec::new(), end.encode().to_vec()];
    put_record(&mut payloads[0], &plain);
    put_record(&mut payloads[0], &mortal);
    put_request(&mut payloads[1], &request);
    let kinds = [
        (BlockKind::Records, 2),
        (BlockKind::Requests, 1),
        (BlockKind::End, 0),
    ];
    for (kind, payload) in kinds.into_iter().zip(&payloads) {
        let offset = bytes.len() as u64;
        link = put_block(&mut bytes, header.seed(), offset, link, kind, payload);
    }
    assert_golden("snapshot.bin", &bytes);
    assert_eq!(SnapshotHeader::decode(&bytes), Ok(header));
    let read: Result<Vec<_>, _> = records(&payloads[0], 2).collect();
    assert_eq!(read, Ok(vec![plain, mortal]));
    let read: Result<Vec<_>, _> = requests(&payloads[1], 1).collect();
    assert_eq!(read, Ok(vec![request]));
    assert_eq!(End::decode(&payloads[2]), Ok(end));
}

#[test]
fn file_names() {
    let (start, end) = (Revision(500_000), Revision(500_100));
    let sequence = 9;
    let offset = 67_108_352;
    let names = [
        (MANIFEST.to_owned(), FileName::Manifest),
        (LOCK.to_owned(), FileName::Lock),
        (segment_name(9), FileName::Segment(9)),
        (spare_name(4), FileName::Spare(4)),
        (
            quarantine_name(sequence, offset),
            FileName::Quarantine { sequence, offset },
        ),
        (snapshot_name(start, end), FileName::Snapshot { start, end }),
    ];
    let lines: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_golden("names.txt", format!("{}\n", lines.join("\n")).as_bytes());
    for (name, kind) in &names {
        assert_eq!(FileName::parse(name), *kind, "{name}");
    }
}

#[test]
fn no_golden_file_is_left_unread() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let there: BTreeSet<String> = fs::read_dir(dir)
        .expect("the golden directory is readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let read = headers()
        .map(|(name, _)| name)
        .into_iter()
        .chain(all_units().into_iter().map(|(name, _)| name))
        .chain(manifests().map(|(name, _)| name))
        .chain([
            "frame-data.bin",
            "frame-mark.bin",
            "frame-seal.bin",
            "snapshot.bin",
            "names.txt",
        ])
        .map(str::to_owned);
    assert_eq!(there, read.collect());
}
