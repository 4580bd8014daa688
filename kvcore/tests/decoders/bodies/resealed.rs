//! Puts checksums, links and lengths right in bytes that were changed, as whoever knows the
//! salt could, so that what they protect is reached.

use kvcore::format::checksum::Seed;
use kvcore::format::frame::{FRAME_HEAD_BYTES, frame_bytes, next_frame};
use kvcore::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use kvcore::format::snapshot::{BLOCK_HEAD_BYTES, SNAPSHOT_HEADER_BYTES, SnapshotHeader};

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Where the last frame of a segment ends, and its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) end: u64,
    pub(super) link: u32,
}

/// The header's checksum, then every frame's.
pub(super) fn segment(bytes: &mut [u8]) -> Option<Reached> {
    segment_header(bytes)?;
    let seed = Seed {
        salt: u64_at(bytes, 48),
        sequence: u64_at(bytes, 32),
    };
    let link = SegmentHeader::crc_of(&bytes[..SEGMENT_HEADER_BYTES]);
    Some(frames(bytes, SEGMENT_HEADER_BYTES, seed, link))
}

pub(super) fn segment_header(bytes: &mut [u8]) -> Option<()> {
    let page = bytes.get_mut(..SEGMENT_HEADER_BYTES)?;
    let crc = SegmentHeader::crc_of(page);
    put(page, SEGMENT_HEADER_BYTES - 4, &crc.to_le_bytes());
    Some(())
}

/// Every frame from `at` on, each by the length that its head announces.
pub(super) fn frames(bytes: &mut [u8], mut at: usize, seed: Seed, mut link: u32) -> Reached {
    loop {
        let reached = Reached {
            end: at as u64,
            link,
        };
        let Some(head) = bytes.get(at..at + FRAME_HEAD_BYTES) else {
            return reached;
        };
        if head.iter().all(|byte| *byte == 0) {
            return reached;
        }
        put(bytes, at + 28, &link.to_le_bytes());
        let (len, crc) = frame(bytes, at, seed);
        link = crc;
        let group_end = bytes[at + 13] & 1 == 1;
        match at.checked_add(len) {
            Some(end) if end <= bytes.len() => {
                at = usize::try_from(next_frame(end as u64, group_end)).expect("in memory");
            }
            _ => return Reached { link, ..reached },
        }
    }
}

/// One frame at `at`: what it takes, and its checksum.
pub(super) fn frame(bytes: &mut [u8], at: usize, seed: Seed) -> (usize, u32) {
    let offset = at as u64;
    let payload = u32_at(bytes, at + 4) as usize;
    let len = frame_bytes(payload);
    let whole = at.checked_add(len).is_some_and(|end| end <= bytes.len());
    if whole {
        let body = &bytes[at + FRAME_HEAD_BYTES..at + len - 8];
        let crc = seed.crc(offset, body);
        put(bytes, at + 8, &crc.to_le_bytes());
    }
    let crc = seed.crc(offset, &bytes[at + 4..at + FRAME_HEAD_BYTES]);
    put(bytes, at, &crc.to_le_bytes());
    if whole {
        put(bytes, at + len - 8, &crc.to_le_bytes());
        put(bytes, at + len - 4, &(!crc).to_le_bytes());
    }
    (len, crc)
}

pub(super) fn manifest(bytes: &mut [u8]) -> Option<()> {
    let fields = bytes.len().checked_sub(20)?;
    put(bytes, 12, &u32::try_from(fields).ok()?.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..bytes.len() - 4]);
    let at = bytes.len() - 4;
    put(bytes, at, &crc.to_le_bytes());
    Some(())
}

/// The header's checksum, then every block's; with `counts`, what its end says it holds, too.
/// Returns the checksum that stands for the file.
pub(super) fn snapshot(bytes: &mut [u8], counts: bool) -> Option<u32> {
    let header = bytes.get_mut(..SNAPSHOT_HEADER_BYTES)?;
    let crc = SnapshotHeader::crc_of(header);
    put(header, 124, &crc.to_le_bytes());
    let seed = Seed {
        salt: u64_at(header, 40),
        sequence: u64_at(header, 32),
    };
    let (mut at, mut link) = (SNAPSHOT_HEADER_BYTES, crc);
    let mut seen = [0_u64; 4];
    while bytes.get(at..at + BLOCK_HEAD_BYTES).is_some() {
        let len = u32_at(bytes, at + 4) as usize;
        let begin = at + BLOCK_HEAD_BYTES;
        let whole = begin.checked_add(len).is_some_and(|end| end <= bytes.len());
        let (kind, entries) = (bytes[at + 12], u64::from(u32_at(bytes, at + 16)));
        let ends = kind == 3 || kind == 5;
        if ends && counts && whole && len >= 32 {
            let [records, requests, blocks, units] = seen;
            for (index, count) in [records, requests, blocks].into_iter().enumerate() {
                put(bytes, begin + 8 + 8 * index, &count.to_le_bytes());
            }
            if len >= 40 {
                put(bytes, begin + 32, &units.to_le_bytes());
            }
        }
        match kind {
            1 => seen[0] = seen[0].saturating_add(entries),
            2 => seen[1] = seen[1].saturating_add(entries),
            4 => seen[3] = seen[3].saturating_add(entries),
            _ => {}
        }
        seen[2] += u64::from(!ends);
        if whole {
            let crc = seed.crc(at as u64, &bytes[begin..begin + len]);
            put(bytes, at + 8, &crc.to_le_bytes());
        }
        put(bytes, at + 20, &link.to_le_bytes());
        link = seed.crc(at as u64, &bytes[at + 4..begin]);
        put(bytes, at, &link.to_le_bytes());
        if !whole {
            break;
        }
        at = begin + len;
    }
    Some(link)
}
