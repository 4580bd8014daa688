#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests damage bytes at places they know"
)]

use proptest::prelude::*;

use super::*;
use crate::base::op::RequestTag;

const HEADER: SnapshotHeader = SnapshotHeader {
    store_id: StoreId([7; 16]),
    start: Revision(40),
    salt: 0x1122_3344_5566_7788,
    engine_ms: 5,
    wall_ms: 6,
    purpose: Purpose::Backup,
};

fn view<'a>(numbers: &[u64; 4], key: &'a [u8], value: &'a [u8]) -> RecordView<'a> {
    RecordView {
        mod_revision: Revision(1 + numbers[0] % (1 << 40)),
        create_revision: Revision(1 + numbers[1] % (1 + numbers[0] % (1 << 40))),
        version: 1 + numbers[2] % 1000,
        deadline_ms: numbers[3],
        lease_id: numbers[3] / 2,
        key,
        value,
    }
}

proptest! {
    #[test]
    fn records_round_trip_and_no_cut_of_them_reads(
        all in prop::collection::vec(
            (any::<[u64; 4]>(), prop::collection::vec(any::<u8>(), 1..40), prop::collection::vec(any::<u8>(), 0..80)),
            1..8,
        )
    ) {
        let views: Vec<_> = all.iter().map(|(n, k, v)| view(n, k, v)).collect();
        let mut payload = Vec::new();
        for one in &views {
            put_record(&mut payload, one);
        }
        let count = u32::try_from(views.len()).unwrap();
        let read: Result<Vec<_>, _> = records(&payload, count).collect();
        prop_assert_eq!(read.as_ref(), Ok(&views));
        for cut in 0..payload.len() {
            prop_assert!(records(&payload[..cut], count).any(|one| one.is_err()));
        }
        prop_assert!(records(&payload, count + 1).any(|one| one.is_err()));
        prop_assert!(records(&payload, count - 1).any(|one| one.is_err()));
    }

    #[test]
    fn requests_round_trip(
        id in prop::collection::vec(any::<u8>(), 1..64),
        outcome in prop::collection::vec(any::<u8>(), 0..90),
        numbers: (u128, u32, u64),
    ) {
        let one = RequestView {
            tag: RequestTag { id: &id, fingerprint: numbers.0, outcome: &outcome },
            revision: Revision(1 + u64::from(numbers.1)),
            at_ms: numbers.2,
        };
        let mut payload = Vec::new();
        put_request(&mut payload, &one);
        prop_assert_eq!(requests(&payload, 1).collect::<Result<Vec<_>, _>>(), Ok(vec![one]));
        for cut in 0..payload.len() {
            prop_assert!(requests(&payload[..cut], 1).any(|one| one.is_err()));
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), entries in 0_u32..9) {
        let _ = SnapshotHeader::decode(&bytes);
        let _ = End::decode(&bytes);
        let _ = BackupEnd::decode(&bytes);
        let _ = frame(&bytes);
        let _ = records(&bytes, entries).count();
        let _ = requests(&bytes, entries).count();
    }
}

#[test]
fn a_header_round_trips_and_no_bit_of_it_may_change() {
    let bytes = HEADER.encode();
    assert_eq!(SnapshotHeader::decode(&bytes), Ok(HEADER));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes;
        bad[bit / 8] ^= 1 << (bit % 8);
        // The minor version is information, but its checksum is not.
        assert!(SnapshotHeader::decode(&bad).is_err(), "bit {bit}");
    }
    assert!(SnapshotHeader::decode(&bytes[..127]).is_err());
}

#[test]
fn a_block_is_whole_or_refused() {
    let seed = HEADER.seed();
    let mut out = Vec::new();
    let kind = (BlockKind::Records, 3);
    let crc = put_block(&mut out, seed, 128, 9, kind, b"payload");
    let read = |bytes: &[u8], offset, link| {
        let head: &[u8; BLOCK_HEAD_BYTES] = bytes.first_chunk().unwrap();
        let head = BlockHead::decode(head, seed, offset, link)?;
        head.check_payload(seed, offset, &bytes[BLOCK_HEAD_BYTES..])?;
        Ok::<_, FormatError>(head)
    };
    let head = read(&out, 128, 9).unwrap();
    assert_eq!(
        (head.kind, head.entries, head.crc),
        (BlockKind::Records, 3, crc)
    );
    assert_eq!(head.payload_bytes, 7);
    assert!(read(&out, 136, 9).is_err(), "elsewhere");
    assert!(read(&out, 128, 8).is_err(), "behind another block");
    for bit in 0..out.len() * 8 {
        let mut bad = out.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bad, 128, 9).is_err(), "bit {bit}");
    }
}

#[test]
fn a_foreign_or_newer_file_is_called_that() {
    let mut bytes = HEADER.encode();
    bytes[8] = 2;
    let said = SnapshotHeader::decode(&bytes).unwrap_err().to_string();
    assert!(said.contains("format version 2.0"), "{said}");
    bytes[0] = b'X';
    let said = SnapshotHeader::decode(&bytes).unwrap_err().to_string();
    assert!(said.contains("not such a file"), "{said}");
}

#[test]
fn a_frame_and_the_end_of_a_backup_round_trip() {
    let view = FrameView {
        first_revision: Revision(300),
        engine_ms: 1 << 40,
        units: b"units",
    };
    let mut payload = Vec::new();
    put_frame(&mut payload, &view);
    assert_eq!(frame(&payload), Ok(view));
    for cut in 0..4 {
        assert!(frame(&payload[..cut]).is_err());
    }
    let end = BackupEnd {
        end: End {
            end: Revision(50),
            records: 3,
            requests: 1,
            blocks: 2,
        },
        units: 9,
        exact_from: Revision(44),
        beyond_log: true,
    };
    assert_eq!(BackupEnd::decode(&end.encode()), Ok(end));
    for (at, byte) in [(48, 2), (40, 51), (0, 0)] {
        let mut bad = end.encode();
        bad[at] = byte;
        assert!(BackupEnd::decode(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn an_end_round_trips() {
    let end = End {
        end: Revision(50),
        records: 3,
        requests: 1,
        blocks: 2,
    };
    assert_eq!(End::decode(&end.encode()), Ok(end));
    assert!(End::decode(&end.encode()[..31]).is_err());
}
