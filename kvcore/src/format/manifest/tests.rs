#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests damage bytes at places they know"
)]

use proptest::prelude::*;

use super::*;
use crate::format::names::snapshot_name;

fn plain_manifest() -> Manifest {
    Manifest {
        store_id: StoreId([9; 16]),
        generation: 3,
        first_segment: 1,
        newest_segment: 4,
        durable: Revision(77),
        gaps: Vec::new(),
        clock: ClockPair {
            engine_ms: 10,
            wall_ms: 20,
        },
        clean: None,
        snapshots: Vec::new(),
        repaired: None,
    }
}

fn full_manifest() -> Manifest {
    Manifest {
        gaps: vec![gap(10, 20), gap(22, 22)],
        clean: Some(Revision(77)),
        snapshots: vec![snapshot(30, 40), snapshot(50, 60)],
        repaired: Some(Repaired {
            wall_ms: 1_700_000_000_000,
            lost: 3,
        }),
        ..plain_manifest()
    }
}

const fn gap(first: u64, last: u64) -> Gap {
    Gap {
        first: Revision(first),
        last: Revision(last),
    }
}

fn snapshot(start: u64, end: u64) -> SnapshotRef {
    let (start, end) = (Revision(start), Revision(end));
    SnapshotRef {
        name: snapshot_name(start, end),
        bytes: 123_456,
        crc: 0x0a0b_0c0d,
        start,
        end,
        first_segment: 2,
    }
}

fn sign(bytes: &mut [u8]) {
    let end = bytes.len() - CRC_BYTES;
    let crc = plain(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

/// A MANIFEST of these fields, whatever they are.
fn with_fields(fields: &[u8]) -> Vec<u8> {
    let mut bytes = plain_manifest().encode()[..HEAD_BYTES].to_vec();
    let len = u32::try_from(fields.len()).unwrap();
    FIELDS_BYTES.put(&mut bytes, &len.to_le_bytes());
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(&[0; CRC_BYTES]);
    sign(&mut bytes);
    bytes
}

fn fields_of(manifest: &Manifest) -> Vec<u8> {
    let mut fields = Vec::new();
    manifest.put_fields(&mut fields);
    fields
}

fn field(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn said(bytes: &[u8]) -> String {
    Manifest::decode(bytes).unwrap_err().to_string()
}

prop_compose! {
    fn manifest()(
        store_id: [u8; 16],
        generation: u64,
        numbers in prop::array::uniform3(0..NUMBER_CAP),
        steps in prop::collection::vec((1u64..1000, 0u64..1000), 0..20),
        clock: (u64, u64),
        clean in prop::option::of(0..NUMBER_CAP),
        snapshots in prop::collection::vec((0u64..1000, 0u64..1000), 0..3),
        repaired in prop::option::of((any::<u64>(), any::<u64>())),
    ) -> Manifest {
        let mut at = 1;
        let gaps = steps.into_iter().map(|(apart, long)| {
            let first = at + apart;
            at = first + long;
            gap(first, at)
        }).collect();
        Manifest {
            store_id: StoreId(store_id),
            generation,
            first_segment: numbers[0].min(numbers[1]).max(1),
            newest_segment: numbers[0].max(numbers[1]).max(2),
            durable: Revision(numbers[2]),
            gaps,
            clock: ClockPair { engine_ms: clock.0, wall_ms: clock.1 },
            clean: clean.map(Revision),
            snapshots: snapshots.into_iter().map(|(at, n)| snapshot(at, at + n)).collect(),
            repaired: repaired.map(|(wall_ms, lost)| Repaired { wall_ms, lost }),
        }
    }
}

proptest! {
    #[test]
    fn manifests_round_trip(manifest in manifest()) {
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Manifest::decode(&bytes).is_err());
        // The same as fields behind a right head and checksum.
        prop_assert!(Manifest::decode(&with_fields(&bytes)).is_err());
    }

    #[test]
    fn a_signed_lie_is_refused_or_writes_the_same(
        manifest in manifest(),
        lies in prop::collection::vec((HEAD_BYTES..1000usize, any::<u8>()), 1..4),
    ) {
        let mut bytes = manifest.encode();
        let len = bytes.len();
        for (at, byte) in lies {
            bytes[HEAD_BYTES + at % (len - HEAD_BYTES)] = byte;
        }
        sign(&mut bytes);
        if let Ok(lie) = Manifest::decode(&bytes) {
            prop_assert!(lie.gaps.capacity() * 16 <= len);
            prop_assert_eq!(lie.encode(), bytes);
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = full_manifest().encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&damaged).is_err(), "bit {bit}");
    }
    for n in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..n]).is_err(), "{n} bytes");
    }
}

#[test]
fn a_manifest_says_what_is_wrong_with_it() {
    let plain = fields_of(&plain_manifest());
    let and = |more: Vec<u8>| with_fields(&[plain.clone(), more].concat());
    let mut newer = plain_manifest().encode();
    newer[8] = 2;
    let mut longer = plain_manifest().encode();
    longer.push(0);
    let backwards = [3u64, 2].map(u64::to_le_bytes).concat();
    let touching = [2u64, 5, 5, 6].map(u64::to_le_bytes).concat();
    let endless = [2, u64::MAX].map(u64::to_le_bytes).concat();
    let mut elsewhere = snapshot(1, 2);
    elsewhere.name = "../../etc/passwd".to_owned();
    let elsewhere = fields_of(&Manifest {
        snapshots: vec![elsewhere],
        ..plain_manifest()
    });
    for (bytes, wanted) in [
        (
            b"KVDSEG\r\n\x01\0\0\0\0\0\0\0".to_vec(),
            "MANIFEST begins with",
        ),
        (
            newer,
            "format version 2.0, this program reads 1.x: use a newer kvd",
        ),
        (longer, "1 bytes follow byte"),
        (
            vec![0; MANIFEST_BYTES_CAP + 1],
            "MANIFEST size at byte 0 is 524289",
        ),
        (
            with_fields(&plain[22..]),
            "MANIFEST lacks the field store_id",
        ),
        (
            with_fields(&plain[..plain.len() - 22]),
            "MANIFEST lacks the field clock",
        ),
        (and(field(11, b"")), "unknown MANIFEST field 11 at byte 116"),
        (and(field(6, &[0; 16])), "not in the order of their tags"),
        (and(field(7, &[0; 9])), "1 bytes follow byte 130"),
        (
            and(field(7, &[0xff; 8])),
            "clean revision at byte 0 is 18446744073709551615",
        ),
        (and(field(8, b"")), "number of gaps at byte 116 is 0"),
        (and(field(8, &backwards)), "a gap ends before it begins"),
        (
            and(field(8, &endless)),
            "a gap ends before it begins, or nowhere",
        ),
        (and(field(8, &touching)), "not in ascending order"),
        (
            and(field(8, &vec![0; 16 * (GAPS_CAP + 1)])),
            "number of gaps at byte 116 is 16385",
        ),
        (
            and(field(9, &[0; 35])),
            "snapshot checksum at byte 154 needs 4 bytes",
        ),
        (and(field(9, &[0xff; 40])), "a snapshot's name is not text"),
        (
            with_fields(&elsewhere),
            "a snapshot's name does not say its revisions",
        ),
    ] {
        let said = said(&bytes);
        assert!(said.contains(wanted), "wanted {wanted:?}: {said}");
    }
}

#[test]
fn a_repair_is_told_whole() {
    let plain = fields_of(&plain_manifest());
    let cut = with_fields(&[plain, field(10, &[0; 12])].concat());
    assert!(said(&cut).contains("revisions lost at a repair at byte 130 needs 8 bytes"));
}

#[test]
fn snapshots_are_bounded() {
    let one = fields_of(&Manifest {
        repaired: None,
        ..full_manifest()
    });
    let one = &one[one.len() - field_len(&snapshot(50, 60))..];
    let many = [fields_of(&plain_manifest()), one.repeat(SNAPSHOTS_CAP + 1)].concat();
    assert!(said(&with_fields(&many)).contains("too many snapshots"));
}

fn field_len(snapshot: &SnapshotRef) -> usize {
    6 + 36 + snapshot.name.len()
}

#[test]
fn gaps_grow_together_and_stay_bounded() {
    let mut manifest = plain_manifest();
    manifest.add_gap(gap(10, 20));
    manifest.add_gap(gap(21, 30));
    assert_eq!(manifest.gaps, [gap(10, 30)]);
    for n in 0..GAPS_CAP as u64 {
        manifest.add_gap(gap(100 + 2 * n, 100 + 2 * n));
    }
    assert_eq!(manifest.gaps.len(), GAPS_CAP);
    assert_eq!(
        manifest.gaps.first(),
        Some(&gap(100, 100)),
        "the oldest is forgotten"
    );
    let bytes = manifest.encode();
    assert!(bytes.len() < MANIFEST_BYTES_CAP);
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
}

#[test]
#[should_panic(expected = "refusing to write a MANIFEST: MANIFEST: its gaps are not in ascending")]
fn gaps_out_of_order_are_not_written() {
    let mut manifest = plain_manifest();
    manifest.gaps = vec![gap(22, 22), gap(10, 20)];
    manifest.encode();
}
