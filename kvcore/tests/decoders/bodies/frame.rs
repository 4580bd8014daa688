//! One frame, at a place of a segment.

use kvcore::format::checksum::Seed;
use kvcore::format::frame::{
    Body, FRAME_HEAD_BYTES, FrameBuilder, FrameFields, FrameHead, FrameKind, FrameRead,
    SealPayload, mend_frame, probe_head, read_frame, read_head,
};

use super::budget::within;
use super::{RESEAL, golden, resealed, split};

/// As in the golden files.
const SEED: Seed = Seed {
    salt: 0x1122_3344_5566_7788,
    sequence: 9,
};
const OFFSET: u64 = 4096;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        golden!("frame-data.bin"),
        golden!("frame-mark.bin"),
        golden!("frame-seal.bin"),
    ]
    .iter()
    .flat_map(|file| super::input(0, &[file]))
    .collect()
}

pub(super) fn run(input: &[u8]) {
    let Some((control, bytes)) = split(input) else {
        return;
    };
    // The checksums depend on the place, so the frame is read where it lies.
    let lead = usize::try_from(OFFSET).expect("small");
    let mut file = vec![0; lead];
    file.extend_from_slice(bytes);
    if control & RESEAL != 0 && bytes.len() >= FRAME_HEAD_BYTES {
        resealed::frame(&mut file, lead, SEED);
    }
    let bytes = &file[lead..];
    let len = bytes.len();
    match within(len, 0, || read_frame(bytes, OFFSET, SEED)) {
        FrameRead::Frame {
            head,
            head_crc,
            payload,
            bytes: taken,
        } => {
            assert_eq!(rebuilt(&head, payload), bytes[..taken], "another encoding");
            assert_eq!(read_head(bytes, OFFSET, SEED), Some((head, head_crc)));
            assert_eq!(probe_head(bytes, OFFSET, SEED), Some(head));
            let mended = mend_frame(bytes, OFFSET, SEED).expect("it is whole");
            assert_eq!((mended.head, mended.bytes), (head, taken));
            assert_eq!(mended.body, Body::Whole);
            if head.kind == FrameKind::Seal
                && let Ok(seal) = SealPayload::decode(payload)
            {
                assert_eq!(seal.encode()[..], *payload);
            }
        }
        FrameRead::Zero => assert!(bytes.iter().take(FRAME_HEAD_BYTES).all(|byte| *byte == 0)),
        FrameRead::Bad { reason, .. } => {
            assert!(!reason.to_string().is_empty());
            let mended = within(len, 2, || mend_frame(bytes, OFFSET, SEED));
            if let Some(mended) = mended {
                assert!(mended.bytes <= len, "longer than what is there");
                if let Body::OneBit { at, payload } = &mended.body {
                    assert_eq!(payload.len(), mended.head.payload_bytes as usize);
                    assert!(*at < payload.len());
                }
            }
        }
    }
    // A search steps over whatever is there.
    within(len, 0, || {
        (0..len).step_by(8).for_each(|at| {
            let _head = probe_head(&bytes[at..], OFFSET + at as u64, SEED);
        });
    });
}

fn rebuilt(head: &FrameHead, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut builder = FrameBuilder::begin(&mut out);
    builder.payload().extend_from_slice(payload);
    let fields = FrameFields {
        kind: head.kind,
        group_end: head.group_end,
        first_revision: head.first_revision,
        units: head.units,
        link: head.link,
        durable: head.durable,
        engine_ms: head.engine_ms,
    };
    builder.finish(SEED, OFFSET, fields);
    out
}
