//! Making a frame around units that are encoded straight into the output.

use super::{
    BODY_CRC, FRAME_HEAD_BYTES, FRAME_PAYLOAD_CAP, FrameHead, FrameKind, HEAD_CRC, head_crc,
    trailer,
};
use crate::base::revision::Revision;
use crate::format::checksum::Seed;
use crate::format::error::assert_writable;

/// What the writer of a frame knows about it; see [`FrameHead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFields {
    pub kind: FrameKind,
    pub group_end: bool,
    pub first_revision: Revision,
    pub units: u32,
    pub link: u32,
    pub durable: Revision,
    pub engine_ms: u64,
}

/// A frame under construction at the end of a buffer; the payload is not copied again.
#[derive(Debug)]
#[must_use = "a frame that is begun must be finished"]
pub struct FrameBuilder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> FrameBuilder<'a> {
    /// Leaves room for the head at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        Self { out, start }
    }

    /// Append units here, and only that.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        self.out
    }

    pub fn payload_len(&self) -> usize {
        self.out
            .len()
            .saturating_sub(self.start)
            .saturating_sub(FRAME_HEAD_BYTES)
    }

    /// Pads, fills in the head, appends the trailer. `offset` is where in the segment the
    /// frame will lie. Returns the head's checksum, the link of the next frame.
    ///
    /// # Panics
    /// If no reader would accept the frame.
    pub fn finish(self, seed: Seed, offset: u64, fields: FrameFields) -> u32 {
        let payload_len = self.payload_len();
        assert!(
            payload_len <= FRAME_PAYLOAD_CAP,
            "a frame of {payload_len} bytes"
        );
        let head = FrameHead {
            kind: fields.kind,
            group_end: fields.group_end,
            payload_bytes: u32::try_from(payload_len).unwrap_or(u32::MAX),
            first_revision: fields.first_revision,
            units: fields.units,
            link: fields.link,
            durable: fields.durable,
            engine_ms: fields.engine_ms,
        };
        assert_writable("frame", head.rules());
        self.seal(seed, offset, &head)
    }

    #[expect(clippy::indexing_slicing, reason = "begin made room for the head")]
    fn seal(self, seed: Seed, offset: u64, head: &FrameHead) -> u32 {
        let padding = self.payload_len().next_multiple_of(8);
        let padding = padding.saturating_sub(self.payload_len());
        self.out.extend(std::iter::repeat_n(0, padding));
        let (head_bytes, body) = self.out[self.start..].split_at_mut(FRAME_HEAD_BYTES);
        let mut bytes = head.encode();
        BODY_CRC.put(&mut bytes, &seed.crc(offset, body).to_le_bytes());
        let head_crc = head_crc(&bytes, offset, seed);
        HEAD_CRC.put(&mut bytes, &head_crc.to_le_bytes());
        head_bytes.copy_from_slice(&bytes);
        self.out.extend_from_slice(&trailer(head_crc));
        head_crc
    }
}
