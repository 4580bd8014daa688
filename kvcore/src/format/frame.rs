//! The frame: what the log is made of, and what a reader accepts whole or not at all.
//!
//! ```text
//!  0        4               8          12     13      14       16               24
//! ┌────────┬───────────────┬──────────┬──────┬───────┬────────┬────────────────┐
//! │head_crc│ payload_bytes │ body_crc │ kind │ flags │ 0    0 │ first_revision │
//! ├────────┼───────────────┼──────────┴──────┴───────┴────────┼────────────────┤
//! │ units  │ link          │ durable                          │ engine_ms      │ 48
//! ├────────┴───────────────┴──────────────────────────────────┴────────────────┤
//! │ payload: units, then zeros to the next multiple of 8                       │
//! ├────────────────────────────────────────────────────────────────────────────┤
//! │ trailer: head_crc, !head_crc                                               │
//! └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! * Both checksums begin with salt, sequence and file offset ([`Seed`]).
//! * `link` is the head_crc of the frame before (the header's crc for a segment's first),
//!   so that no frame can vanish between two others.
//! * `durable` certifies everything up to it: damage there is corruption, not a torn tail.
//! * The trailer is written last and is never zero: a frame without it was being copied.
//! * No head is ever all zero, so zeros mean "nothing was written here".

mod builder;
mod mend;
mod read;
mod seal;
#[cfg(test)]
mod tests;

pub use builder::{FrameBuilder, FrameFields};
pub use mend::{Body, Mended, mend_frame};
pub use read::{FrameRead, probe_head, read_frame, read_head};
pub use seal::{SEAL_BYTES, SEAL_FIELDS, SealPayload};

use thiserror::Error;

use super::NUMBER_CAP;
use super::checksum::Seed;
use super::field::Field;
use crate::base::revision::Revision;

pub const FRAME_HEAD_BYTES: usize = 48;
pub const FRAME_TRAILER_BYTES: usize = 8;
/// Largest payload: a unit of the largest size behind a nearly full frame fits.
pub const FRAME_PAYLOAD_CAP: usize = 32 << 20;
/// After a frame with `group_end` the next one begins at a multiple of this, so that a
/// sector with acknowledged bytes is never written again.
pub const GROUP_ALIGN: u64 = 512;

const HEAD_CRC: Field = Field::first("head_crc", 4);
const PAYLOAD_BYTES: Field = HEAD_CRC.then("payload_bytes", 4);
const BODY_CRC: Field = PAYLOAD_BYTES.then("body_crc", 4);
const KIND: Field = BODY_CRC.then("kind", 1);
const FLAGS: Field = KIND.then("flags", 1);
const RESERVED: Field = FLAGS.then("reserved", 2);
const FIRST_REVISION: Field = RESERVED.then("first_revision", 8);
const UNITS: Field = FIRST_REVISION.then("units", 4);
const LINK: Field = UNITS.then("link", 4);
const DURABLE: Field = LINK.then("durable", 8);
const ENGINE_MS: Field = DURABLE.then("engine_ms", 8);
const _: () = assert!(ENGINE_MS.end() == FRAME_HEAD_BYTES);
const _: () = assert!(FRAME_HEAD_BYTES.is_multiple_of(8) && GROUP_ALIGN.is_multiple_of(8));

/// The head's layout, as `docs/format.md` has it.
pub const HEAD_FIELDS: [Field; 11] = [
    HEAD_CRC,
    PAYLOAD_BYTES,
    BODY_CRC,
    KIND,
    FLAGS,
    RESERVED,
    FIRST_REVISION,
    UNITS,
    LINK,
    DURABLE,
    ENGINE_MS,
];

const FLAG_GROUP_END: u8 = 1;

type HeadBytes = [u8; FRAME_HEAD_BYTES];

/// What a frame of this payload takes in the file.
pub const fn frame_bytes(payload_len: usize) -> usize {
    payload_len
        .next_multiple_of(8)
        .saturating_add(FRAME_HEAD_BYTES)
        .saturating_add(FRAME_TRAILER_BYTES)
}

/// Where the frame after one that ends at `end` begins.
pub const fn next_frame(end: u64, group_end: bool) -> u64 {
    if group_end {
        end.next_multiple_of(GROUP_ALIGN)
    } else {
        end
    }
}

/// What a frame is for. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Units.
    Data = 1,
    /// No units: tells how far the log is durable.
    Mark = 2,
    /// The segment ends here.
    Seal = 3,
}

impl FrameKind {
    pub const ALL: [Self; 3] = [Self::Data, Self::Mark, Self::Seal];

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Mark),
            3 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// A frame's head without its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    pub kind: FrameKind,
    /// The next frame begins at the next multiple of [`GROUP_ALIGN`].
    pub group_end: bool,
    /// Without padding.
    pub payload_bytes: u32,
    /// Of the first unit; the others follow densely.
    /// MARK and SEAL: of the next unit to come.
    pub first_revision: Revision,
    /// 0 for MARK and SEAL.
    pub units: u32,
    /// The head_crc of the frame before; the segment header's crc for the first.
    pub link: u32,
    /// Everything up to here was durable when this frame was made.
    pub durable: Revision,
    pub engine_ms: u64,
}

impl FrameHead {
    /// Holds the head against what must stand here in the log.
    pub fn check(&self, expected_first: Revision, link: u32) -> Result<(), BadFrame> {
        if self.first_revision != expected_first {
            return Err(BadFrame::OutOfOrder {
                expected: expected_first,
                found: self.first_revision,
            });
        }
        if self.link != link {
            return Err(BadFrame::Link {
                expected: link,
                found: self.link,
            });
        }
        Ok(())
    }

    /// The revision that the frame after this one begins with.
    pub const fn next_revision(&self) -> Revision {
        Revision(self.first_revision.0.saturating_add(self.units as u64))
    }

    /// What must hold within the head itself. Whoever breaks it is a bug or damage.
    fn rules(&self) -> Result<(), BadFrame> {
        let fits_kind = match self.kind {
            FrameKind::Data => self.units >= 1 && self.units <= self.payload_bytes,
            FrameKind::Mark => self.units == 0 && self.payload_bytes == 0,
            FrameKind::Seal => self.units == 0 && self.payload_bytes as usize == SEAL_BYTES,
        };
        if !fits_kind || self.payload_bytes as usize > FRAME_PAYLOAD_CAP {
            return Err(BadFrame::Sizes {
                kind: self.kind,
                payload_bytes: self.payload_bytes,
                units: self.units,
            });
        }
        if self.durable >= self.first_revision || self.next_revision().0 > NUMBER_CAP {
            return Err(BadFrame::Revisions {
                durable: self.durable,
                first: self.first_revision,
            });
        }
        Ok(())
    }

    /// The head without its checksums, which the caller fills in.
    fn encode(&self) -> HeadBytes {
        let mut head = [0; FRAME_HEAD_BYTES];
        let flags = if self.group_end { FLAG_GROUP_END } else { 0 };
        PAYLOAD_BYTES.put(&mut head, &self.payload_bytes.to_le_bytes());
        KIND.put(&mut head, &[self.kind as u8]);
        FLAGS.put(&mut head, &[flags]);
        FIRST_REVISION.put(&mut head, &self.first_revision.0.to_le_bytes());
        UNITS.put(&mut head, &self.units.to_le_bytes());
        LINK.put(&mut head, &self.link.to_le_bytes());
        DURABLE.put(&mut head, &self.durable.0.to_le_bytes());
        ENGINE_MS.put(&mut head, &self.engine_ms.to_le_bytes());
        head
    }

    /// The head, whose checksum is somebody else's business.
    fn decode(head: &HeadBytes) -> Result<Self, BadFrame> {
        let kind = KIND.u8(head);
        let flags = FLAGS.u8(head);
        let Some(kind) = FrameKind::from_byte(kind) else {
            return Err(BadFrame::UnknownKind(kind));
        };
        if flags & !FLAG_GROUP_END != 0 {
            return Err(BadFrame::UnknownFlags(flags));
        }
        if RESERVED.u16(head) != 0 {
            return Err(BadFrame::Reserved(RESERVED.u16(head)));
        }
        let head = Self {
            kind,
            group_end: flags == FLAG_GROUP_END,
            payload_bytes: PAYLOAD_BYTES.u32(head),
            first_revision: Revision(FIRST_REVISION.u64(head)),
            units: UNITS.u32(head),
            link: LINK.u32(head),
            durable: Revision(DURABLE.u64(head)),
            engine_ms: ENGINE_MS.u64(head),
        };
        head.rules()?;
        Ok(head)
    }
}

/// What the head's own bytes give as its checksum.
fn head_crc(head: &HeadBytes, offset: u64, seed: Seed) -> u32 {
    let (_, covered) = head.split_at(HEAD_CRC.end());
    seed.crc(offset, covered)
}

fn trailer(head_crc: u32) -> [u8; FRAME_TRAILER_BYTES] {
    ((u64::from(!head_crc) << 32) | u64::from(head_crc)).to_le_bytes()
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadFrame {
    #[error("{have} bytes are left, a frame's head has 48")]
    HeadCutOff { have: usize },
    #[error("head checksum {stored:08x} is stored, the head gives {computed:08x}")]
    HeadChecksum { stored: u32, computed: u32 },
    #[error("body checksum {stored:08x} is stored, the body gives {computed:08x}")]
    BodyChecksum { stored: u32, computed: u32 },
    #[error("the trailer is {found:016x}, not {expected:016x}")]
    Trailer { found: u64, expected: u64 },
    #[error("unknown frame kind {0}: written by a newer kvd")]
    UnknownKind(u8),
    #[error("unknown frame flags {0:#04x}: written by a newer kvd")]
    UnknownFlags(u8),
    #[error("reserved bytes of the head are {0:#06x} and must be zero")]
    Reserved(u16),
    #[error("a {kind:?} frame cannot have {payload_bytes} bytes of payload and {units} units")]
    Sizes {
        kind: FrameKind,
        payload_bytes: u32,
        units: u32,
    },
    #[error("a frame from revision {first} cannot call revision {durable} durable")]
    Revisions { durable: Revision, first: Revision },
    #[error("the frame needs {need} bytes, {have} are left")]
    DoesNotFit { need: usize, have: usize },
    #[error("the padding behind the payload is not zero")]
    Padding,
    #[error("revision {found} stands where revision {expected} must")]
    OutOfOrder { expected: Revision, found: Revision },
    #[error("the frame follows one with checksum {found:08x}, before it stands {expected:08x}")]
    Link { expected: u32, found: u32 },
}

impl BadFrame {
    /// Whether an interrupted write may look like this. What validates and then breaks a
    /// rule was written like that or was moved here: corruption or a bug, never torn.
    pub const fn may_be_torn(self) -> bool {
        matches!(
            self,
            Self::HeadCutOff { .. }
                | Self::HeadChecksum { .. }
                | Self::BodyChecksum { .. }
                | Self::Trailer { .. }
        )
    }
}
