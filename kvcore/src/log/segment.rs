//! The segment that is being appended to.
//!
//! ```text
//!  | header 4 KiB | frame | frame | .. to a multiple of 512 | frame | .. | SEAL | zeros |
//! ```
//! Invariants:
//! - a frame's last word is stored after everything before it;
//! - after a group the next frame starts on a fresh sector, so a sector that holds
//!   acknowledged bytes is never written again;
//! - room for the SEAL is always kept.

use std::io;
use std::sync::Arc;

use super::reader::Walk;
use super::spares::Spare;
use crate::base::broken;
use crate::base::revision::Revision;
use crate::disk::{Disk, SegmentFile};
use crate::format::checksum::Seed;
use crate::format::frame::{
    FRAME_TRAILER_BYTES, FrameBuilder, FrameFields, FrameKind, GROUP_ALIGN, SealPayload,
    frame_bytes,
};
use crate::format::names::segment_name;
use crate::format::segment_header::{PreviousEnd, SEGMENT_HEADER_BYTES, SegmentHeader};

/// Sectors that hold acknowledged bytes are never rewritten; this is their size.
pub const COMMIT_ALIGN: u64 = GROUP_ALIGN;
/// A SEAL frame and the alignment before it.
pub const SEAL_ROOM: u64 = 2 * COMMIT_ALIGN;
/// What a MARK takes at most.
pub const MARK_ROOM: u64 = COMMIT_ALIGN;

/// The segment that the writer appends to.
#[derive(Debug)]
pub struct ActiveSegment {
    file: Box<dyn SegmentFile>,
    seed: Seed,
    pub sequence: u64,
    /// Where the next frame goes.
    offset: u64,
    link: u32,
    frames: u64,
    units: u64,
    last_revision: Revision,
}

impl ActiveSegment {
    /// Turns a spare into the segment that `header` describes, durably named.
    ///
    /// The header is on stable storage before the name is, so a file that bears a
    /// segment's name always has a header.
    pub fn create(disk: &Arc<dyn Disk>, spare: Spare, header: &SegmentHeader) -> io::Result<Self> {
        let Spare { name, mut file } = spare;
        let bytes = header.encode();
        file.write(0, &bytes);
        file.sync()?;
        if file.faulted() {
            return Err(io::Error::other(
                "the segment's header did not reach the file",
            ));
        }
        disk.rename(&name, &segment_name(header.sequence))?;
        if !broken::is(broken::Build::SkipDirSync) {
            disk.sync_dir()?;
        }
        Ok(Self {
            file,
            seed: Seed {
                salt: header.salt,
                sequence: header.sequence,
            },
            sequence: header.sequence,
            offset: SEGMENT_HEADER_BYTES as u64,
            link: SegmentHeader::crc_of(&bytes),
            frames: 0,
            units: 0,
            last_revision: Revision(header.first_revision.0 - 1),
        })
    }

    /// A segment that was read before. Only a broken build does this.
    pub(crate) fn resume(file: Box<dyn SegmentFile>, header: &SegmentHeader, walk: &Walk) -> Self {
        Self {
            file,
            seed: Seed {
                salt: header.salt,
                sequence: header.sequence,
            },
            sequence: header.sequence,
            offset: walk.end,
            link: walk.link,
            frames: walk.frames.len() as u64,
            units: walk.units,
            last_revision: walk.last_revision,
        }
    }

    /// Where frames end, for the header of the segment that follows.
    pub fn end(&self) -> PreviousEnd {
        PreviousEnd {
            sequence: self.sequence,
            end: self.offset,
            last_revision: self.last_revision,
            link: self.link,
        }
    }

    /// Bytes taken by frames.
    pub fn used(&self) -> u64 {
        self.offset - SEGMENT_HEADER_BYTES as u64
    }

    /// Would a frame of this payload fit behind `pending` bytes, with room for the SEAL?
    pub fn fits(&self, pending: usize, payload: usize) -> bool {
        let end = self.offset + (pending + frame_bytes(payload)) as u64 + SEAL_ROOM;
        end <= self.file.size()
    }

    /// Encodes frames behind each other; nothing reaches the file before [`Self::append`].
    pub fn encoder<'a>(&self, buffer: &'a mut Vec<u8>, group: GroupFields) -> GroupEncoder<'a> {
        buffer.clear();
        GroupEncoder {
            buffer,
            seed: self.seed,
            start: self.offset,
            link: self.link,
            frames: Vec::new(),
            units: 0,
            last_revision: self.last_revision,
            group,
        }
    }

    /// Stores a group's frames. Not durable before [`Self::sync`].
    pub fn append(&mut self, group: &Encoded, bytes: &[u8]) {
        let mut at = 0;
        for &len in &group.frames {
            let (body, trailer) = bytes[at..at + len].split_at(len - FRAME_TRAILER_BYTES);
            let offset = self.offset + at as u64;
            self.file.write(offset, body);
            let mut last = [0; FRAME_TRAILER_BYTES];
            last.copy_from_slice(trailer);
            self.file.write_last(offset + body.len() as u64, last);
            at += len;
        }
        self.offset = (self.offset + at as u64).next_multiple_of(COMMIT_ALIGN);
        self.link = group.link;
        self.frames += group.frames.len() as u64;
        self.units += group.units;
        self.last_revision = group.last_revision;
    }

    /// The last frame of a segment that is left in order.
    pub fn append_seal(&mut self, fields: GroupFields) {
        let payload = SealPayload {
            end: self.offset,
            last_revision: self.last_revision,
            frames: self.frames,
            units: self.units,
        };
        let mut buffer = Vec::new();
        let mut encoder = self.encoder(&mut buffer, fields);
        encoder.plain(FrameKind::Seal, &payload.encode());
        let encoded = encoder.finish();
        self.append(&encoded, &buffer);
    }

    /// Everything appended is on stable storage, or an error that must not be retried.
    pub fn sync(&mut self) -> io::Result<()> {
        let mut result = self.file.sync();
        if result.is_err() && broken::is(broken::Build::RetryFailedSync) {
            result = self.file.sync();
        }
        result?;
        self.check()
    }

    /// Did every store reach the file? Asked after each append and after each sync.
    pub fn check(&self) -> io::Result<()> {
        if self.file.faulted() && !broken::is(broken::Build::IgnoreFault) {
            return Err(io::Error::other(
                "a store into the log's mapping did not reach the file",
            ));
        }
        Ok(())
    }
}

/// What all frames of a group say about the log at that moment.
#[derive(Clone, Copy, Debug)]
pub struct GroupFields {
    pub durable: Revision,
    pub engine_ms: u64,
}

/// Builds the frames of one group in memory.
#[derive(Debug)]
pub struct GroupEncoder<'a> {
    buffer: &'a mut Vec<u8>,
    seed: Seed,
    start: u64,
    link: u32,
    frames: Vec<usize>,
    units: u64,
    last_revision: Revision,
    group: GroupFields,
}

/// A group in bytes: the length of each frame and the position after it.
#[derive(Debug)]
pub struct Encoded {
    frames: Vec<usize>,
    link: u32,
    units: u64,
    last_revision: Revision,
}

impl GroupEncoder<'_> {
    /// One DATA frame of `units` units, the first with revision `first`; `fill` appends
    /// them. `last` closes the group.
    pub fn data(
        &mut self,
        first: Revision,
        units: u32,
        last: bool,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        self.frame(FrameKind::Data, first, units, last, fill);
        self.units += u64::from(units);
        self.last_revision = Revision(first.0 + u64::from(units) - 1);
    }

    /// A MARK or SEAL frame.
    pub fn plain(&mut self, kind: FrameKind, payload: &[u8]) {
        let first = self.last_revision.next();
        self.frame(kind, first, 0, true, |out| out.extend_from_slice(payload));
    }

    fn frame(
        &mut self,
        kind: FrameKind,
        first_revision: Revision,
        units: u32,
        group_end: bool,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let at = self.buffer.len();
        let mut frame = FrameBuilder::begin(self.buffer);
        fill(frame.payload());
        let fields = FrameFields {
            kind,
            group_end,
            first_revision,
            units,
            link: self.link,
            durable: self.group.durable,
            engine_ms: self.group.engine_ms,
        };
        self.link = frame.finish(self.seed, self.start + at as u64, fields);
        self.frames.push(self.buffer.len() - at);
    }

    pub fn finish(self) -> Encoded {
        Encoded {
            frames: self.frames,
            link: self.link,
            units: self.units,
            last_revision: self.last_revision,
        }
    }
}
