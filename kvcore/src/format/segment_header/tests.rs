#![expect(
    clippy::indexing_slicing,
    reason = "tests damage bytes at places they know"
)]

use proptest::prelude::*;

use super::*;

fn first() -> SegmentHeader {
    SegmentHeader {
        store_id: StoreId([7; 16]),
        sequence: 1,
        first_revision: Revision(2),
        salt: 0x5ec2_e75e_c2e7,
        previous: None,
        recovered: false,
        gap_before: false,
        segment_bytes: 64 << 20,
        engine_ms: 5,
        wall_ms: 6,
    }
}

fn later() -> SegmentHeader {
    SegmentHeader {
        sequence: 9,
        first_revision: Revision(1001),
        previous: Some(PreviousEnd {
            sequence: 8,
            end: 12_344,
            last_revision: Revision(1000),
            link: 0xaabb_ccdd,
        }),
        ..first()
    }
}

fn sign(page: &mut [u8]) {
    let crc = SegmentHeader::crc_of(page);
    CRC.put(page, &crc.to_le_bytes());
}

prop_compose! {
    fn header()(
        store_id: [u8; 16],
        salt: u64,
        sequence in 2..NUMBER_CAP,
        first in 2..NUMBER_CAP,
        previous in prop::option::of((1u64..100, 512u64..1 << 40, 0u64..3, any::<u32>())),
        recovered: bool,
        segment_bytes in 4096..NUMBER_CAP,
        engine_ms: u64,
        wall_ms: u64,
    ) -> SegmentHeader {
        let previous = previous.map(|(back, end, lost, link)| PreviousEnd {
            sequence: sequence.saturating_sub(back).max(1),
            end: end.saturating_mul(8),
            last_revision: Revision(first.saturating_sub(lost).saturating_sub(1)),
            link,
        });
        let gap_before = previous.is_some_and(|p| p.last_revision.0.saturating_add(1) != first);
        SegmentHeader {
            store_id: StoreId(store_id), sequence, first_revision: Revision(first), salt,
            previous, recovered, gap_before, segment_bytes, engine_ms, wall_ms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn headers_round_trip(header in header(), more in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&more);
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(SegmentHeader::crc_of(&bytes), CRC.u32(&bytes));
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
    }

    /// What passes after a signed lie is a header that could have been written.
    #[test]
    fn a_signed_lie_is_refused_or_writes_the_same(
        header in header(),
        lies in prop::collection::vec((0usize..128, any::<u8>()), 1..4),
    ) {
        let mut page = header.encode();
        for (at, byte) in lies {
            page[at] = byte;
        }
        sign(&mut page);
        if let Ok(lie) = SegmentHeader::decode(&page) {
            // The minor version is for people; everything else is said in one way.
            MINOR.put(&mut page, &SEGMENT_MINOR.to_le_bytes());
            sign(&mut page);
            prop_assert_eq!(lie.encode(), page);
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let page = later().encode();
    // All of the fields, and samples of the zeros behind them.
    let fields = 0..REST.at * 8;
    let zeros = (REST.at * 8..page.len() * 8).step_by(37);
    for bit in fields.chain(zeros) {
        let mut damaged = page;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit}");
    }
    assert!(SegmentHeader::decode(&page[..4095]).is_err());
}

#[test]
fn a_header_says_what_is_wrong_with_it() {
    let refusal = |field: Field, value: &[u8]| {
        let mut page = later().encode();
        field.put(&mut page, value);
        sign(&mut page);
        SegmentHeader::decode(&page).unwrap_err().to_string()
    };
    for (field, value, wanted) in [
        (MAGIC, &b"KVDMANIF"[..], "not such a file"),
        (
            MAJOR,
            &[2, 0],
            "format version 2.0, this program reads 1.x: use a newer kvd",
        ),
        (HEADER_BYTES, &[0; 4], "header_bytes at byte 12 is 0"),
        (ALIGN, &[0; 4], "group_align at byte 60 is 0"),
        (FLAGS, &[9, 0, 0, 0], "unknown segment flags 0x00000009"),
        (FLAGS, &[0; 4], "reserved byte 64 is 0x08"),
        (FLAGS, &[5, 0, 0, 0], "the gap flag"),
        (SEQUENCE, &[0; 8], "segment sequence at byte 32 is 0"),
        (
            SEQUENCE,
            &[8, 0, 0, 0, 0, 0, 0, 0],
            "does not come after the segment",
        ),
        (FIRST_REVISION, &[0xff; 8], "first revision at byte 40"),
        (
            FIRST_REVISION,
            &[1, 0, 0, 0, 0, 0, 0, 0],
            "revisions do not come after",
        ),
        (FIRST_REVISION, &[0, 0, 0, 1, 0, 0, 0, 0], "the gap flag"),
        (PREVIOUS_END, &[0; 8], "cannot end inside its header"),
        (
            PREVIOUS_END,
            &[1, 32, 0, 0, 0, 0, 0, 0],
            "between multiples of 8",
        ),
        (SEGMENT_BYTES, &[0; 8], "segment size at byte 96 is 0"),
        (RESERVED, &[0, 0, 1, 0], "reserved byte 94 is 0x01"),
    ] {
        let said = refusal(field, value);
        assert!(said.contains(wanted), "{}: {said}", field.name);
    }
}

#[test]
fn a_newer_minor_version_is_read() {
    let mut page = later().encode();
    MINOR.put(&mut page, &[7, 0]);
    sign(&mut page);
    assert_eq!(SegmentHeader::decode(&page), Ok(later()));
}

#[test]
fn the_gap_lies_between_the_segments() {
    assert_eq!(later().gap(), None);
    let jumped = SegmentHeader {
        first_revision: Revision(5000),
        gap_before: true,
        ..later()
    };
    let gap = Gap {
        first: Revision(1001),
        last: Revision(4999),
    };
    assert_eq!(jumped.gap(), Some(gap));
    assert_eq!(SegmentHeader::decode(&jumped.encode()), Ok(jumped));
}

#[test]
fn the_salt_is_not_shown() {
    let shown = format!("{:?}", first());
    assert!(shown.contains("salt: (secret)"), "{shown}");
    assert!(
        shown.contains("store_id: 07070707070707070707070707070707"),
        "{shown}"
    );
}

#[test]
#[should_panic(expected = "refusing to write a segment header")]
fn an_impossible_header_is_not_written() {
    let header = SegmentHeader {
        sequence: 0,
        ..first()
    };
    header.encode();
}
