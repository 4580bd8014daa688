//! Judging bytes that should be a frame.
//!
//! Nothing is believed before its checksum is right, and nothing is allocated at all.
//!
//! A segment is written front to back into zeros. Power loss may keep any part of what was
//! not synced and leave the rest zero, down to the aligned 8-byte word. So bytes that are
//! wrong although no word of them is missing were not torn: they are *suspect*.

use super::{
    BODY_CRC, BadFrame, FRAME_HEAD_BYTES, FRAME_TRAILER_BYTES, FrameHead, HEAD_CRC, HeadBytes,
    frame_bytes, head_crc, trailer,
};
use crate::format::checksum::Seed;

const WORD: usize = 8;

/// What stands at a place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRead<'a> {
    /// A whole frame. Its place in the order is the caller's to check ([`FrameHead::check`]).
    Frame {
        head: FrameHead,
        /// The link of the next frame.
        head_crc: u32,
        payload: &'a [u8],
        /// What the frame takes in the file.
        bytes: usize,
    },
    /// Nothing was written here: zeros where a head would be.
    Zero,
    Bad {
        /// The head, if that much is sound.
        head: Option<FrameHead>,
        reason: BadFrame,
        /// Wrong, but not for want of bytes: an interrupted write does not explain it.
        suspect: bool,
    },
}

/// Reads the frame at the start of `bytes`, which run from `offset` of the file to where
/// frames must end.
pub fn read_frame(bytes: &[u8], offset: u64, seed: Seed) -> FrameRead<'_> {
    let Some(head_bytes) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
        return short(bytes);
    };
    if head_bytes == &[0; FRAME_HEAD_BYTES] {
        return FrameRead::Zero;
    }
    let stored = HEAD_CRC.u32(head_bytes);
    let computed = head_crc(head_bytes, offset, seed);
    if stored != computed {
        return FrameRead::Bad {
            head: None,
            reason: BadFrame::HeadChecksum { stored, computed },
            suspect: !has_zero_word(head_bytes),
        };
    }
    let head = match FrameHead::decode(head_bytes) {
        Ok(head) => head,
        Err(reason) => return never_torn(None, reason),
    };
    let need = frame_bytes(head.payload_bytes as usize);
    match bytes.get(..need) {
        Some(frame) => read_body(frame, head_bytes, head, offset, seed),
        None => never_torn(
            Some(head),
            BadFrame::DoesNotFit {
                need,
                have: bytes.len(),
            },
        ),
    }
}

/// The head at the start of `bytes` if one stands there: for a search through bytes that
/// follow damage. Evidence that something was written, never something to apply.
pub fn probe_head(bytes: &[u8], offset: u64, seed: Seed) -> Option<FrameHead> {
    let head_bytes = bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
    // The rules reject nearly everything and cost less than the checksum.
    let head = FrameHead::decode(head_bytes).ok()?;
    let fits = frame_bytes(head.payload_bytes as usize) <= bytes.len();
    (fits && HEAD_CRC.u32(head_bytes) == head_crc(head_bytes, offset, seed)).then_some(head)
}

/// The head at the start of `bytes` and the link of the frame behind it, if a sound one
/// stands there: to step over a frame without looking at its body.
pub fn read_head(bytes: &[u8], offset: u64, seed: Seed) -> Option<(FrameHead, u32)> {
    let head_bytes = bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
    let stored = HEAD_CRC.u32(head_bytes);
    if stored != head_crc(head_bytes, offset, seed) {
        return None;
    }
    Some((FrameHead::decode(head_bytes).ok()?, stored))
}

/// Fewer bytes than a head has.
fn short(bytes: &[u8]) -> FrameRead<'_> {
    if bytes.iter().all(|byte| *byte == 0) {
        return FrameRead::Zero;
    }
    FrameRead::Bad {
        head: None,
        reason: BadFrame::HeadCutOff { have: bytes.len() },
        suspect: false,
    }
}

/// `frame` is as long as the sound head says.
fn read_body<'a>(
    frame: &'a [u8],
    head_bytes: &HeadBytes,
    head: FrameHead,
    offset: u64,
    seed: Seed,
) -> FrameRead<'a> {
    let head_crc = HEAD_CRC.u32(head_bytes);
    let stored = BODY_CRC.u32(head_bytes);
    let (_, rest) = frame.split_at(FRAME_HEAD_BYTES);
    let (body, found) = rest
        .split_last_chunk::<FRAME_TRAILER_BYTES>()
        .unwrap_or((rest, &[0; FRAME_TRAILER_BYTES]));
    let found = u64::from_le_bytes(*found);
    let expected = u64::from_le_bytes(trailer(head_crc));
    let computed = seed.crc(offset, body);
    let bad = |reason, suspect| FrameRead::Bad {
        head: Some(head),
        reason,
        suspect,
    };
    if stored != computed {
        let reason = BadFrame::BodyChecksum { stored, computed };
        return bad(reason, found != 0 && !has_zero_word(body));
    }
    if found != expected {
        return bad(BadFrame::Trailer { found, expected }, found != 0);
    }
    let (payload, padding) = body
        .split_at_checked(head.payload_bytes as usize)
        .unwrap_or((body, &[]));
    if padding.iter().any(|byte| *byte != 0) {
        return never_torn(Some(head), BadFrame::Padding);
    }
    FrameRead::Frame {
        head,
        head_crc,
        payload,
        bytes: frame.len(),
    }
}

/// Sound by its checksum, and impossible all the same.
const fn never_torn<'a>(head: Option<FrameHead>, reason: BadFrame) -> FrameRead<'a> {
    FrameRead::Bad {
        head,
        reason,
        suspect: true,
    }
}

/// Frames lie at multiples of 8, so words of the slice are words of the file.
fn has_zero_word(bytes: &[u8]) -> bool {
    bytes.chunks_exact(WORD).any(|word| word == [0; WORD])
}
