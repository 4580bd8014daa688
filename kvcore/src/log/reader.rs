//! Walks the frames of one segment that has been read into memory.
//!
//! Everything is checked on the way: each frame's own checksums, that revisions are
//! dense, that each frame links to the one before, and that what lies between the
//! end of a group and the next sector is zero. Nothing here decides what a failure
//! means: that is recovery's business.

use crate::base::revision::Revision;
use crate::format::checksum::Seed;
use crate::format::frame::{
    BadFrame, FrameHead, FrameKind, FrameRead, SealPayload, probe_head, read_frame,
};
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::segment::COMMIT_ALIGN;

/// A valid DATA frame: where its payload lies in the segment's bytes.
#[derive(Clone, Debug)]
pub struct DataFrame {
    pub first_revision: Revision,
    pub units: u32,
    /// Engine clock when it was written, ms.
    pub engine_ms: u64,
    pub payload: std::ops::Range<usize>,
}

/// Why the walk ended.
#[derive(Clone, Debug)]
pub enum Stop {
    /// At the limit that the caller gave, exactly.
    Limit,
    /// After a SEAL.
    Sealed,
    /// Where the next frame would begin there are zeros, or no room for one.
    Zeros,
    /// Something else than a frame of this log.
    Bad {
        reason: String,
        suspect: bool,
        /// No interrupted write looks like this.
        never_torn: bool,
    },
}

/// What a segment holds, up to the first thing that is not a valid frame.
#[derive(Debug)]
pub struct Walk {
    pub frames: Vec<DataFrame>,
    /// Where the next frame would begin.
    pub end: u64,
    pub units: u64,
    /// The last revision; the header's if there is no unit.
    pub last_revision: Revision,
    pub link: u32,
    /// The highest durable watermark seen.
    pub durable: Revision,
    /// The highest engine clock seen, ms.
    pub engine_ms: u64,
    pub sealed: bool,
    pub stop: Stop,
}

/// Walks `bytes` (the segment from its first byte) up to `limit`, if given.
pub fn walk(bytes: &[u8], header: &SegmentHeader, limit: Option<u64>) -> Walk {
    let seed = Seed {
        salt: header.salt,
        sequence: header.sequence,
    };
    let end = limit.map_or(bytes.len(), |l| {
        usize::try_from(l).unwrap_or(usize::MAX).min(bytes.len())
    });
    let mut walk = Walk {
        frames: Vec::new(),
        end: SEGMENT_HEADER_BYTES as u64,
        units: 0,
        last_revision: Revision(header.first_revision.0 - 1),
        link: SegmentHeader::crc_of(&bytes[..SEGMENT_HEADER_BYTES]),
        durable: Revision::NONE,
        engine_ms: header.engine_ms,
        sealed: false,
        stop: Stop::Limit,
    };
    let mut at = SEGMENT_HEADER_BYTES;
    walk.stop = loop {
        if limit.is_some() && at == end {
            break if walk.sealed {
                Stop::Sealed
            } else {
                Stop::Limit
            };
        }
        if walk.sealed {
            break Stop::Sealed;
        }
        match walk.step(bytes, at, end, seed) {
            Ok(next) => at = next,
            Err(stop) => break stop,
        }
        walk.end = at as u64;
    };
    walk
}

impl Walk {
    /// One frame at `at`: where the next one begins, or why there is none.
    fn step(&mut self, bytes: &[u8], at: usize, end: usize, seed: Seed) -> Result<usize, Stop> {
        let Some(rest) = bytes.get(at..end) else {
            return Err(Stop::Zeros);
        };
        let (head, head_crc, payload, len) = match read_frame(rest, at as u64, seed) {
            FrameRead::Zero => return Err(Stop::Zeros),
            FrameRead::Bad {
                reason, suspect, ..
            } => {
                return Err(Stop::Bad {
                    reason: reason.to_string(),
                    suspect,
                    never_torn: !reason.may_be_torn(),
                });
            }
            FrameRead::Frame {
                head,
                head_crc,
                payload,
                bytes,
            } => (head, head_crc, payload, bytes),
        };
        if let Err(reason) = head.check(self.last_revision.next(), self.link) {
            return Err(bad(&reason));
        }
        let start = at + crate::format::frame::FRAME_HEAD_BYTES;
        match head.kind {
            FrameKind::Data => self.frames.push(DataFrame {
                first_revision: head.first_revision,
                units: head.units,
                engine_ms: head.engine_ms,
                payload: start..start + payload.len(),
            }),
            FrameKind::Mark => {}
            FrameKind::Seal => self.check_seal(payload, at)?,
        }
        self.take(&head, head_crc);
        let next = at + len;
        if !head.group_end {
            return Ok(next);
        }
        let aligned = next.next_multiple_of(usize::try_from(COMMIT_ALIGN).unwrap_or(512));
        let gap = bytes
            .get(next..aligned.min(bytes.len()))
            .unwrap_or_default();
        if gap.iter().any(|&b| b != 0) {
            return Err(Stop::Bad {
                reason: "bytes between the end of a group and the next sector".into(),
                suspect: false,
                never_torn: true,
            });
        }
        Ok(aligned)
    }

    fn take(&mut self, head: &FrameHead, head_crc: u32) {
        self.link = head_crc;
        self.units += u64::from(head.units);
        self.last_revision = self.last_revision.plus(u64::from(head.units));
        self.durable = self.durable.max(head.durable);
        self.engine_ms = self.engine_ms.max(head.engine_ms);
        self.sealed = head.kind == FrameKind::Seal;
    }

    fn check_seal(&self, payload: &[u8], at: usize) -> Result<(), Stop> {
        let seal = SealPayload::decode(payload).map_err(|e| Stop::Bad {
            reason: e.to_string(),
            suspect: false,
            never_torn: true,
        })?;
        let holds = seal.end == at as u64
            && seal.units == self.units
            && seal.last_revision == self.last_revision;
        if holds {
            return Ok(());
        }
        Err(Stop::Bad {
            reason: "the SEAL tells of other frames than there are".into(),
            suspect: false,
            never_torn: true,
        })
    }
}

fn bad(reason: &BadFrame) -> Stop {
    Stop::Bad {
        reason: reason.to_string(),
        suspect: false,
        never_torn: true,
    }
}

/// Evidence behind the end: heads of frames further on that can only have been
/// written by this log. They are never applied; they only tell what was there.
#[derive(Debug, Default)]
pub struct Evidence {
    pub frames: u64,
    /// The highest durable watermark found.
    pub durable: Revision,
    /// Bytes from the end to the last byte that is not zero.
    pub bytes: u64,
}

/// Searches `bytes` from `from` on, in steps of 8.
pub fn search(bytes: &[u8], from: u64, header: &SegmentHeader, expected: Revision) -> Evidence {
    let seed = Seed {
        salt: header.salt,
        sequence: header.sequence,
    };
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    let tail = &bytes[from..];
    let used = tail
        .iter()
        .rposition(|&b| b != 0)
        .map_or(0, |last| last + 1);
    let mut evidence = Evidence {
        bytes: used as u64,
        ..Evidence::default()
    };
    let mut at = from.next_multiple_of(8);
    while at < from + used {
        if let Some(head) = bytes
            .get(at..)
            .and_then(|rest| probe_head(rest, at as u64, seed))
        {
            let ahead = head.first_revision.0.wrapping_sub(expected.0);
            if ahead <= Revision::JUMP && head.durable < head.first_revision {
                evidence.frames += 1;
                evidence.durable = evidence.durable.max(head.durable);
            }
        }
        at += 8;
    }
    evidence
}
