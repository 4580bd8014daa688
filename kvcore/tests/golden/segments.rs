//! Headers and frames of segments.

use kvcore::base::revision::Revision;
use kvcore::format::frame::{
    FrameBuilder, FrameFields, FrameHead, FrameKind, FrameRead, SealPayload, read_frame,
};
use kvcore::format::segment_header::{PreviousEnd, SegmentHeader};

use crate::units::unit_set;
use crate::{SEED, STORE, assert_golden};

const OFFSET: u64 = 4096;

pub(crate) fn headers() -> [(&'static str, SegmentHeader); 3] {
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
