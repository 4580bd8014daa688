//! The payload of a SEAL frame: where and with what the segment ends.

use super::NUMBER_CAP;
use crate::base::revision::Revision;
use crate::format::FormatError;
use crate::format::field::Field;

pub const SEAL_BYTES: usize = 32;

const END: Field = Field::first("end", 8);
const LAST_REVISION: Field = END.then("last_revision", 8);
const FRAMES: Field = LAST_REVISION.then("frames", 8);
const UNITS: Field = FRAMES.then("units", 8);
const _: () = assert!(UNITS.end() == SEAL_BYTES);

/// The payload's layout, as `docs/format.md` has it.
pub const SEAL_FIELDS: [Field; 4] = [END, LAST_REVISION, FRAMES, UNITS];

const WHAT: &str = "SEAL payload";

/// What a segment holds, told by itself when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPayload {
    /// The offset of the SEAL frame itself.
    pub end: u64,
    /// The last revision of the segment; before its first if it holds no unit.
    pub last_revision: Revision,
    /// Frames before the SEAL.
    pub frames: u64,
    pub units: u64,
}

impl SealPayload {
    pub fn encode(&self) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        END.put(&mut bytes, &self.end.to_le_bytes());
        LAST_REVISION.put(&mut bytes, &self.last_revision.0.to_le_bytes());
        FRAMES.put(&mut bytes, &self.frames.to_le_bytes());
        UNITS.put(&mut bytes, &self.units.to_le_bytes());
        bytes
    }

    pub fn decode(payload: &[u8]) -> Result<Self, FormatError> {
        if payload.len() != SEAL_BYTES {
            return Err(FormatError::OutOfRange {
                what: "length of a SEAL payload",
                at: 0,
                found: payload.len() as u64,
                min: SEAL_BYTES as u64,
                max: SEAL_BYTES as u64,
            });
        }
        let seal = Self {
            end: END.u64(payload),
            last_revision: Revision(LAST_REVISION.u64(payload)),
            frames: FRAMES.u64(payload),
            units: UNITS.u64(payload),
        };
        FormatError::range(
            "last revision of a SEAL",
            LAST_REVISION.at,
            seal.last_revision.0,
            (0, NUMBER_CAP),
        )?;
        // A frame that counts holds at least one unit or is a MARK.
        FormatError::rule(
            seal.units == 0 || seal.frames > 0,
            WHAT,
            "it counts units without a frame",
        )?;
        Ok(seal)
    }
}
