#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests damage bytes at places they know"
)]

use proptest::prelude::*;

use super::*;
use crate::format::unit::{check_units, units};

const SEED: Seed = Seed {
    salt: 0xfeed_f00d_dead_beef,
    sequence: 3,
};
const OFFSET: u64 = 8192;

fn fields(kind: FrameKind, units: u32) -> FrameFields {
    FrameFields {
        kind,
        group_end: true,
        first_revision: Revision(100),
        units,
        link: 0x0102_0304,
        durable: Revision(90),
        engine_ms: 1_234_567,
    }
}

fn frame_at(offset: u64, fields: FrameFields, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut frame = FrameBuilder::begin(&mut out);
    frame.payload().extend_from_slice(payload);
    frame.finish(SEED, offset, fields);
    out
}

fn data(payload: &[u8]) -> Vec<u8> {
    frame_at(OFFSET, fields(FrameKind::Data, 1), payload)
}

fn read(bytes: &[u8]) -> FrameRead<'_> {
    read_frame(bytes, OFFSET, SEED)
}

/// Puts right the checksums of a frame whose fields were changed.
fn sign(frame: &mut [u8]) {
    let end = frame.len() - FRAME_TRAILER_BYTES;
    let body = SEED.crc(OFFSET, &frame[FRAME_HEAD_BYTES..end]);
    BODY_CRC.put(frame, &body.to_le_bytes());
    let head: HeadBytes = *frame.first_chunk().unwrap();
    let crc = head_crc(&head, OFFSET, SEED);
    HEAD_CRC.put(frame, &crc.to_le_bytes());
    frame[end..].copy_from_slice(&trailer(crc));
}

fn bad(bytes: &[u8]) -> (Option<FrameHead>, BadFrame, bool) {
    match read(bytes) {
        FrameRead::Bad {
            head,
            reason,
            suspect,
        } => (head, reason, suspect),
        other => panic!("{other:?}"),
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..300)
}

proptest! {
    #[test]
    fn a_frame_round_trips(
        payload in payload(),
        group_end: bool,
        link: u32,
        first in 2u64..NUMBER_CAP - 1,
        behind in 1u64..1000,
        engine_ms: u64,
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let first_revision = Revision(first);
        let durable = Revision(first.saturating_sub(behind));
        let kind = FrameKind::Data;
        let wanted = FrameFields {
            kind, group_end, first_revision, units: 1, link, durable, engine_ms,
        };
        let mut out = b"earlier".to_vec();
        let mut builder = FrameBuilder::begin(&mut out);
        builder.payload().extend_from_slice(&payload);
        prop_assert_eq!(builder.payload_len(), payload.len());
        let next_link = builder.finish(SEED, OFFSET, wanted);
        let frame = out.split_off(7);
        prop_assert_eq!(&out, b"earlier");
        prop_assert_eq!(frame.len(), frame_bytes(payload.len()));

        let mut file = frame.clone();
        file.extend_from_slice(&more);
        let payload_bytes = u32::try_from(payload.len()).unwrap();
        let head = FrameHead {
            kind, group_end, payload_bytes, first_revision, units: 1, link, durable, engine_ms,
        };
        prop_assert_eq!(read(&file), FrameRead::Frame {
            head, head_crc: next_link, payload: &payload, bytes: frame.len(),
        });
        prop_assert_eq!(probe_head(&file, OFFSET, SEED), Some(head));
        prop_assert_eq!(probe_head(&file, OFFSET + 8, SEED), None);
    }

    #[test]
    fn random_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let is_frame = matches!(read(&bytes), FrameRead::Frame { .. });
        prop_assert!(!is_frame);
        prop_assert_eq!(probe_head(&bytes, OFFSET, SEED), None);
    }

    /// Damage behind right checksums: whatever comes out keeps the rules and the bounds.
    #[test]
    fn a_signed_lie_never_panics(
        payload in payload(),
        lies in prop::collection::vec((0usize..400, any::<u8>()), 1..6),
    ) {
        let mut frame = data(&payload);
        let len = frame.len();
        for (at, byte) in lies {
            frame[at % len] = byte;
        }
        sign(&mut frame);
        match read(&frame) {
            FrameRead::Frame { head, payload, bytes, .. } => {
                prop_assert_eq!(payload.len(), head.payload_bytes as usize);
                prop_assert!(bytes <= len);
                prop_assert!(head.durable < head.first_revision);
                let _ = check_units(payload, head.units);
                prop_assert!(units(payload).count() <= payload.len());
            }
            FrameRead::Bad { reason, suspect, .. } => {
                // A shorter length moves body and trailer away from what was signed.
                prop_assert!(suspect || reason.may_be_torn());
            }
            FrameRead::Zero => prop_assert!(false, "a signed head is not zero"),
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_and_not_taken_for_a_torn_write() {
    // No zero word anywhere, so nothing about this frame can have been torn.
    let frame = data(b"a payload of some twenty-seven b");
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (head, reason, suspect) = bad(&damaged);
        assert!(suspect, "bit {bit}: {reason}");
        assert_eq!(head.is_some(), bit / 8 >= FRAME_HEAD_BYTES, "bit {bit}");
        let evidence = probe_head(&damaged, OFFSET, SEED).is_some();
        assert_eq!(evidence, bit / 8 >= FRAME_HEAD_BYTES, "bit {bit}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let frame = data(b"payload");
    for n in 0..frame.len() {
        match read(&frame[..n]) {
            FrameRead::Zero => assert_eq!(n, 0),
            FrameRead::Bad { reason, .. } if n < FRAME_HEAD_BYTES => {
                assert_eq!(reason, BadFrame::HeadCutOff { have: n });
            }
            FrameRead::Bad { reason, .. } => {
                let need = frame.len();
                assert_eq!(reason, BadFrame::DoesNotFit { need, have: n });
            }
            FrameRead::Frame { .. } => panic!("{n} bytes of {} are a frame", frame.len()),
        }
    }
}

#[test]
fn what_power_loss_leaves_is_torn() {
    let frame = data(&[0xab; 200]);
    for missing in 0..frame.len() / 8 {
        let mut torn = frame.clone();
        torn[missing * 8..][..8].fill(0);
        let (_, reason, suspect) = bad(&torn);
        assert!(!suspect && reason.may_be_torn(), "word {missing}: {reason}");
    }
    let mut no_head = frame.clone();
    no_head[..FRAME_HEAD_BYTES].fill(0);
    assert_eq!(read(&no_head), FrameRead::Zero);
}

#[test]
fn a_payload_with_zeros_of_its_own_is_torn_when_in_doubt() {
    let mut frame = data(&[0; 64]);
    frame[60] ^= 1;
    let (_, reason, suspect) = bad(&frame);
    assert!(matches!(reason, BadFrame::BodyChecksum { .. }));
    assert!(!suspect);
}

#[test]
fn a_frame_counts_only_where_it_was_written() {
    let frame = data(b"payload");
    for (offset, seed) in [
        (OFFSET + 512, SEED),
        (OFFSET, Seed { salt: 0, ..SEED }),
        (
            OFFSET,
            Seed {
                sequence: 4,
                ..SEED
            },
        ),
    ] {
        let is_frame = matches!(read_frame(&frame, offset, seed), FrameRead::Frame { .. });
        assert!(!is_frame);
        assert_eq!(probe_head(&frame, offset, seed), None);
    }
}

#[test]
fn zeros_are_where_nothing_was_written() {
    for n in [0, 1, 47, 48, 49, 4096] {
        assert_eq!(read(&vec![0; n]), FrameRead::Zero, "{n} zeros");
    }
    let (head, reason, suspect) = bad(&[0, 0, 0, 1]);
    assert_eq!(
        (head, reason, suspect),
        (None, BadFrame::HeadCutOff { have: 4 }, false)
    );
}

/// A head that was signed and breaks a rule: (what is changed, what is said about it).
#[test]
fn a_signed_head_that_breaks_a_rule_is_never_torn() {
    let sizes = |payload_bytes, units| BadFrame::Sizes {
        kind: FrameKind::Data,
        payload_bytes,
        units,
    };
    let revisions = |durable, first| BadFrame::Revisions {
        durable: Revision(durable),
        first: Revision(first),
    };
    let too_long = u32::try_from(FRAME_PAYLOAD_CAP + 1).unwrap();
    let number = |n: u64| n.to_le_bytes().to_vec();
    for (field, value, wanted) in [
        (KIND, vec![0], BadFrame::UnknownKind(0)),
        (KIND, vec![4], BadFrame::UnknownKind(4)),
        (FLAGS, vec![3], BadFrame::UnknownFlags(3)),
        (RESERVED, vec![0, 1], BadFrame::Reserved(256)),
        (UNITS, vec![0, 0, 0, 0], sizes(7, 0)),
        (UNITS, vec![8, 0, 0, 0], sizes(7, 8)),
        (
            PAYLOAD_BYTES,
            too_long.to_le_bytes().to_vec(),
            sizes(too_long, 1),
        ),
        (DURABLE, number(100), revisions(100, 100)),
        (FIRST_REVISION, number(0), revisions(90, 0)),
        (
            FIRST_REVISION,
            number(NUMBER_CAP),
            revisions(90, NUMBER_CAP),
        ),
        (FIRST_REVISION, number(u64::MAX), revisions(90, u64::MAX)),
    ] {
        let mut frame = data(b"payload");
        field.put(&mut frame, &value);
        sign(&mut frame);
        let (head, reason, suspect) = bad(&frame);
        assert_eq!((head, reason), (None, wanted));
        assert!(suspect && !reason.may_be_torn());
        assert_eq!(probe_head(&frame, OFFSET, SEED), None);
    }
}

#[test]
fn padding_is_zero() {
    let mut frame = data(b"payload");
    frame[FRAME_HEAD_BYTES + 7] = 1;
    sign(&mut frame);
    assert_eq!(bad(&frame).1, BadFrame::Padding);
}

#[test]
fn a_head_is_held_against_its_place_in_the_log() {
    let frame = data(b"payload");
    let FrameRead::Frame { head, .. } = read(&frame) else {
        panic!("a frame is a frame");
    };
    assert_eq!(head.check(Revision(100), 0x0102_0304), Ok(()));
    assert_eq!(head.next_revision(), Revision(101));
    let expected = Revision(101);
    let found = Revision(100);
    let order = BadFrame::OutOfOrder { expected, found };
    assert_eq!(head.check(expected, 0x0102_0304), Err(order));
    let link = BadFrame::Link {
        expected: 1,
        found: 0x0102_0304,
    };
    assert_eq!(head.check(Revision(100), 1), Err(link));
}

#[test]
fn marks_and_seals_carry_no_units() {
    let mark = frame_at(OFFSET, fields(FrameKind::Mark, 0), b"");
    assert_eq!(mark.len(), 56);
    assert!(matches!(read(&mark), FrameRead::Frame { payload: b"", .. }));

    let seal = SealPayload {
        end: OFFSET,
        last_revision: Revision(99),
        frames: 7,
        units: 20,
    };
    let sealed = frame_at(OFFSET, fields(FrameKind::Seal, 0), &seal.encode());
    let FrameRead::Frame { payload, .. } = read(&sealed) else {
        panic!("a seal is a frame");
    };
    assert_eq!(SealPayload::decode(payload), Ok(seal));
    assert!(SealPayload::decode(&payload[1..]).is_err());
    let mut lie = seal.encode();
    FRAMES_OF_SEAL.put(&mut lie, &0u64.to_le_bytes());
    assert!(SealPayload::decode(&lie).is_err());
}

const FRAMES_OF_SEAL: Field = SEAL_FIELDS[2];

#[test]
#[should_panic(expected = "refusing to write a frame: a Mark frame cannot have 1 bytes")]
fn a_mark_with_a_payload_is_not_written() {
    frame_at(OFFSET, fields(FrameKind::Mark, 0), b"x");
}

#[test]
#[should_panic(expected = "cannot call revision 100 durable")]
fn a_frame_that_is_durable_before_it_is_written_is_not_written() {
    let durable = Revision(100);
    let fields = fields(FrameKind::Data, 1);
    frame_at(OFFSET, FrameFields { durable, ..fields }, b"x");
}

#[test]
fn groups_end_at_sectors() {
    assert_eq!(next_frame(4152, false), 4152);
    assert_eq!(next_frame(4152, true), 4608);
    assert_eq!(next_frame(4608, true), 4608);
}
