//! A snapshot or a backup, read whole, block by block, and sifted.

use kvcore::format::snapshot::{BackupEnd, End};
use kvcore::format::snapshot::{
    BlockKind, Purpose, SNAPSHOT_HEADER_BYTES, SnapshotHeader, frame, put_block, put_frame,
    put_record, put_request, records, requests,
};
use kvcore::format::unit::encode_unit;
use kvcore::format::unit::units;
use kvcore::recovery::report::Class;
use kvcore::recovery::sift_snapshot::{judge_snapshot, sift_snapshot};
use kvcore::snapshot::{Block, Reader, verify};

use super::budget::within;
use super::files::InMemory;
use super::{RESEAL, SECOND, golden, resealed, split};

/// Bit 1 of control leaves what the end counts as it is although it is sealed again.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let golden = golden!("snapshot.bin");
    let mut all = super::input(0, &[golden]);
    all.extend(super::input(SECOND, &[golden]));
    all.extend(super::input(0, &[&backup(Purpose::Backup)]));
    all.extend(super::input(0, &[&backup(Purpose::Increment)]));
    all
}

/// A backup of one frame of the log.
fn backup(purpose: Purpose) -> Vec<u8> {
    let mut file = golden!("snapshot.bin")[..SNAPSHOT_HEADER_BYTES].to_vec();
    resealed::put(&mut file, 64, &(purpose as u32).to_le_bytes());
    let start = resealed::u64_at(&file, 32);
    let crc = SnapshotHeader::crc_of(&file);
    resealed::put(&mut file, 124, &crc.to_le_bytes());
    let seed = SnapshotHeader::decode(&file).expect("a header").seed();
    let view = kvcore::format::snapshot::FrameView {
        first_revision: kvcore::Revision(start + 1),
        engine_ms: 5,
        units: golden!("unit-set.bin"),
    };
    let mut payload = Vec::new();
    put_frame(&mut payload, &view);
    let end = BackupEnd {
        end: End {
            end: kvcore::Revision(start + 1),
            records: 0,
            requests: 0,
            blocks: 1,
        },
        units: 1,
        exact_from: kvcore::Revision(start),
        beyond_log: false,
    };
    let mut link = crc;
    for (what, payload) in [
        ((BlockKind::Units, 1), &payload[..]),
        ((BlockKind::BackupEnd, 0), &end.encode()[..]),
    ] {
        let offset = file.len() as u64;
        link = put_block(&mut file, seed, offset, link, what, payload);
    }
    file
}

pub(super) fn run(input: &[u8]) {
    let Some((control, bytes)) = split(input) else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if control & RESEAL != 0 {
        resealed::snapshot(&mut bytes, control & SECOND == 0);
    }
    let (len, file) = (bytes.len(), InMemory(&bytes));
    let verified = within(len, 2, || verify(&file));
    let header = SnapshotHeader::decode(&bytes);
    let id = header.as_ref().ok().map(|header| header.store_id);
    let report = within(len, 24, || judge_snapshot("a-snapshot", &file, None, id));
    match verified {
        Ok((header, _, crc)) => {
            assert_eq!(report.class, Class::Duplicate, "{report}");
            assert_eq!(rewritten(&file, &header, crc), bytes, "another encoding");
        }
        Err(_) => assert!(
            report.class == Class::Corrupt && !report.places.is_empty(),
            "{report}"
        ),
    }
    if let Ok(header) = header {
        within(len, 24, || {
            sift_snapshot(&file, &header, &mut |kind, payload, entries| {
                let _sound = entries_of(kind, payload, entries);
            })
        });
    }
}

/// The file as its encoders would have written it.
fn rewritten(file: &InMemory<'_>, header: &SnapshotHeader, crc: u32) -> Vec<u8> {
    let mut out = header.encode().to_vec();
    out[10..12].copy_from_slice(&file.0[10..12]);
    let link = SnapshotHeader::crc_of(&out);
    resealed::put(&mut out, 124, &link.to_le_bytes());
    let mut link = link;
    let mut reader = Reader::open(file).expect("it was read before");
    while let Some(block) = reader.next_block().expect("it was read before") {
        let payload = payload_of(&block);
        let what = (block.head.kind, block.head.entries);
        let offset = out.len() as u64;
        link = put_block(&mut out, header.seed(), offset, link, what, &payload);
    }
    let end = reader.end().expect("read");
    let offset = out.len() as u64;
    let last = if header.purpose == Purpose::Snapshot {
        let what = (BlockKind::End, 0);
        put_block(
            &mut out,
            header.seed(),
            offset,
            link,
            what,
            &end.end.encode(),
        )
    } else {
        let what = (BlockKind::BackupEnd, 0);
        put_block(&mut out, header.seed(), offset, link, what, &end.encode())
    };
    assert_eq!(last, crc);
    out
}

fn payload_of(block: &Block) -> Vec<u8> {
    let mut out = Vec::new();
    let (payload, entries) = (&block.payload[..], block.head.entries);
    match block.head.kind {
        BlockKind::Records => {
            for record in records(payload, entries) {
                put_record(&mut out, &record.expect("sound"));
            }
        }
        BlockKind::Requests => {
            for request in requests(payload, entries) {
                put_request(&mut out, &request.expect("sound"));
            }
        }
        _ => {
            let view = frame(payload).expect("sound");
            let mut inner = Vec::new();
            for unit in units(view.units) {
                let unit = unit.expect("sound");
                encode_unit(&mut inner, unit.kind, unit.request, unit.ops());
            }
            let view = kvcore::format::snapshot::FrameView {
                units: &inner,
                ..view
            };
            put_frame(&mut out, &view);
        }
    }
    out
}

fn entries_of(kind: BlockKind, payload: &[u8], entries: u32) -> usize {
    match kind {
        BlockKind::Records => records(payload, entries).map_while(Result::ok).count(),
        BlockKind::Requests => requests(payload, entries).map_while(Result::ok).count(),
        _ => 0,
    }
}
