//! What a damaged frame was, as far as its checksums tell. See [`mod@crate::format::mend`].

use super::{
    BODY_CRC, FRAME_HEAD_BYTES, FRAME_TRAILER_BYTES, FrameHead, HEAD_CRC, HeadBytes, frame_bytes,
    head_crc,
};
use crate::format::checksum::Seed;
use crate::format::mend::{Flip, mend};

/// A frame whose head is sound, or was before one bit of it was flipped.
#[derive(Debug)]
pub struct Mended {
    pub head: FrameHead,
    /// The link of the next frame.
    pub head_crc: u32,
    /// What the frame takes in the file.
    pub bytes: usize,
    pub body: Body,
}

/// What became of the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// It is as it was written: the damage lies elsewhere in the frame.
    Whole,
    /// One bit in the payload at `at` is wrong; the payload as it was.
    OneBit { at: usize, payload: Vec<u8> },
    /// It is wrong, and there is no telling where.
    Lost,
}

/// Looks at a frame that [`read_frame`](super::read_frame) calls bad. None: not even its
/// head can be made out.
pub fn mend_frame(bytes: &[u8], offset: u64, seed: Seed) -> Option<Mended> {
    let head_bytes = mend_head(bytes.first_chunk::<FRAME_HEAD_BYTES>()?, offset, seed)?;
    let head = FrameHead::decode(&head_bytes).ok()?;
    let len = frame_bytes(head.payload_bytes as usize);
    let (_, rest) = bytes.get(..len)?.split_at_checked(FRAME_HEAD_BYTES)?;
    let (body, _) = rest.split_last_chunk::<FRAME_TRAILER_BYTES>()?;
    Some(Mended {
        head,
        head_crc: HEAD_CRC.u32(&head_bytes),
        bytes: len,
        body: judge(
            body,
            &head,
            BODY_CRC.u32(&head_bytes),
            seed.crc(offset, body),
        ),
    })
}

fn mend_head(found: &HeadBytes, offset: u64, seed: Seed) -> Option<HeadBytes> {
    let (stored, computed) = (HEAD_CRC.u32(found), head_crc(found, offset, seed));
    if stored == computed {
        return Some(*found);
    }
    let (_, covered) = found.split_at_checked(HEAD_CRC.end())?;
    let (mended, flip) = mend(covered, stored, computed)?;
    let mut head = *found;
    match flip {
        Flip::Checksum => HEAD_CRC.put(&mut head, &computed.to_le_bytes()),
        Flip::Covered { .. } => head.get_mut(HEAD_CRC.end()..)?.copy_from_slice(&mended),
    }
    (HEAD_CRC.u32(&head) == head_crc(&head, offset, seed)).then_some(head)
}

fn judge(body: &[u8], head: &FrameHead, stored: u32, computed: u32) -> Body {
    if stored == computed {
        return Body::Whole;
    }
    let len = head.payload_bytes as usize;
    match mend(body, stored, computed) {
        Some((mut payload, Flip::Covered { byte, .. })) => {
            payload.truncate(len);
            if byte >= len {
                // In the padding.
                return Body::Whole;
            }
            Body::OneBit { at: byte, payload }
        }
        // The head is sound, and with it the checksum that it holds.
        Some((_, Flip::Checksum)) | None => Body::Lost,
    }
}
