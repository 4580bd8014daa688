//! A segment: its header, the walk over its frames, and the three judges of what it holds.

use kvcore::Revision;
use kvcore::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use kvcore::format::unit::{check_units, units};
use kvcore::log::reader::{Stop, walk};
use kvcore::recovery::classify::judge_newest;
use kvcore::recovery::sift::{Bounds, sift};

use super::budget::within;
use super::{RESEAL, SECOND, THIRD, golden, resealed, split};

/// The header without the zeros that fill its page.
const HEADER: usize = 120;

/// ```text
/// input := control u8, header [120], frames
/// ```
/// Bit 1 of control leaves the frames as they are although the header is sealed again; bit 2
/// adds a page of zeros.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let header = &golden!("segment-header-continued.bin")[..HEADER];
    let frames = [
        golden!("frame-data.bin"),
        golden!("frame-mark.bin"),
        golden!("frame-seal.bin"),
    ];
    let [data, mark, seal] = frames;
    // A mark ends a group: what follows begins at the next sector.
    let mut marked = data.to_vec();
    marked.extend_from_slice(mark);
    marked.resize(512, 0);
    let mut all = Vec::new();
    for (control, parts) in [
        (0, [header, data]),
        (0, [header, mark]),
        (0, [header, seal]),
        (THIRD, [header, &marked]),
        (SECOND, [header, data]),
    ] {
        all.extend(super::input(control, &parts));
    }
    all.extend(super::input(
        0,
        &[header, &marked, &next(data, 2), &next(seal, 4)],
    ));
    let first = &golden!("segment-header-first.bin")[..HEADER];
    let recovered = &golden!("segment-header-recovered.bin")[..HEADER];
    all.extend(super::input(0, &[first, data]));
    all.extend(super::input(THIRD, &[recovered, data]));
    all
}

/// A frame that begins so many revisions later.
fn next(frame: &[u8], later: u64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let first = resealed::u64_at(&frame, 16) + later;
    resealed::put(&mut frame, 16, &first.to_le_bytes());
    frame
}

pub(super) fn run(input: &[u8]) {
    let Some((control, bytes)) = split(input) else {
        return;
    };
    let Some((head, frames)) = bytes.split_at_checked(HEADER) else {
        return;
    };
    let mut bytes = head.to_vec();
    bytes.resize(SEGMENT_HEADER_BYTES, 0);
    bytes.extend_from_slice(frames);
    if control & RESEAL != 0 {
        if control & SECOND == 0 {
            resealed::segment(&mut bytes);
        } else {
            resealed::segment_header(&mut bytes);
        }
    }
    if control & THIRD != 0 {
        bytes.resize(bytes.len() + 4096, 0);
    }
    let header = within(bytes.len(), 1, || SegmentHeader::decode(&bytes));
    let Ok(header) = header else {
        // One flipped bit of it may be put right.
        if let Some(page) = within(bytes.len(), 1, || SegmentHeader::mend(&bytes)) {
            SegmentHeader::decode(&page).expect("a mended header is one");
        }
        return;
    };
    let mut again = header.encode();
    // A minor is read whatever it is.
    again[10..12].copy_from_slice(&bytes[10..12]);
    resealed::segment_header(&mut again);
    assert_eq!(again[..], bytes[..SEGMENT_HEADER_BYTES], "another encoding");
    judged(&bytes, &header);
}

fn judged(bytes: &[u8], header: &SegmentHeader) {
    let len = bytes.len();
    let walked = within(len, 2, || walk(bytes, header, None));
    assert!(walked.end <= len.next_multiple_of(512) as u64);
    let mut decodes = true;
    for frame in &walked.frames {
        let payload = &bytes[frame.payload.clone()];
        decodes &= within(len, 0, || check_units(payload, frame.units)).is_ok();
    }
    let judged = within(len, 3, || {
        judge_newest("segment", header, bytes, Revision::NONE)
    });
    assert!(judged.is_ok() || !matches!(walked.stop, Stop::Sealed));
    // A limit is kept to.
    for limit in [walked.end, walked.end.saturating_sub(8), len as u64 + 8] {
        let limited = walk(bytes, header, Some(limit));
        // The next frame begins at a sector, behind a limit between two.
        assert!(limited.end <= limit.max(SEGMENT_HEADER_BYTES as u64).next_multiple_of(512));
    }
    sifted(bytes, header, decodes.then_some(walked.units));
}

/// Every revision between the first and the last is handed out or told to be lost; and what a
/// walk accepts, a sieve does.
fn sifted(bytes: &[u8], header: &SegmentHeader, walked: Option<u64>) {
    let link = SegmentHeader::crc_of(&bytes[..SEGMENT_HEADER_BYTES]);
    let mut handed = 0_u64;
    // Every damaged frame is told with its keys.
    let sifted = within(bytes.len(), 24, || {
        sift(bytes, (header, link), Bounds::default(), &mut |sound| {
            let count = units(sound.payload).count() as u64;
            handed += count - u64::from(sound.except.is_some());
        })
    });
    assert_eq!(handed, sifted.units);
    if let Some(walked) = walked {
        assert!(sifted.units >= walked, "{} of {walked}", sifted.units);
    }
    let told = u128::from(handed)
        + sifted
            .places
            .iter()
            .map(|place| u128::from(place.revisions()))
            .sum::<u128>();
    let there = u128::from(sifted.last_revision.0) + 1 - u128::from(header.first_revision.0);
    assert!(told >= there, "{told} of {there} are told: {sifted:?}");
    for place in &sifted.places {
        assert!(!place.to_string().is_empty());
    }
}
