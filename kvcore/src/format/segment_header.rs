//! The first page of a segment: whose it is, what it continues, and its secret.
//!
//! ```text
//!    0 magic  8 major, minor  12 header_bytes  16 store_id
//!   32 sequence  40 first_revision  48 salt
//!   56 flags  60 group_align  64 previous_sequence  72 previous_end
//!   80 previous_last_revision  88 previous_link  92 reserved
//!   96 segment_bytes  104 engine_ms  112 wall_ms
//!  120 reserved, zero  ...  4092 crc32c of bytes 0..4092
//! ```
//!
//! * The successor says where its predecessor ends, and nobody else: a torn tail stays
//!   where it is, and what lies behind `previous_end` is not part of the log.
//! * The header is durable before the file gets its name, so a bad one is never torn.
//! * Revisions go on densely unless `gap_before` says that they do not.

#[cfg(test)]
mod tests;

use std::fmt;

use super::checksum::plain;
use super::error::assert_writable;
use super::field::Field;
use super::frame::GROUP_ALIGN;
use super::mend::{Flip, one_flip};
use super::{FormatError, NUMBER_CAP, StoreId};
use crate::base::revision::{Gap, Revision};

pub const SEGMENT_HEADER_BYTES: usize = 4096;
pub const SEGMENT_MAGIC: [u8; 8] = *b"KVDSEG\r\n";
pub const SEGMENT_MAJOR: u16 = 1;
pub const SEGMENT_MINOR: u16 = 0;

const MAGIC: Field = Field::first("magic", 8);
const MAJOR: Field = MAGIC.then("major", 2);
const MINOR: Field = MAJOR.then("minor", 2);
const HEADER_BYTES: Field = MINOR.then("header_bytes", 4);
const STORE_ID: Field = HEADER_BYTES.then("store_id", 16);
const SEQUENCE: Field = STORE_ID.then("sequence", 8);
const FIRST_REVISION: Field = SEQUENCE.then("first_revision", 8);
const SALT: Field = FIRST_REVISION.then("salt", 8);
const FLAGS: Field = SALT.then("flags", 4);
const ALIGN: Field = FLAGS.then("group_align", 4);
const PREVIOUS_SEQUENCE: Field = ALIGN.then("previous_sequence", 8);
const PREVIOUS_END: Field = PREVIOUS_SEQUENCE.then("previous_end", 8);
const PREVIOUS_LAST: Field = PREVIOUS_END.then("previous_last_revision", 8);
const PREVIOUS_LINK: Field = PREVIOUS_LAST.then("previous_link", 4);
const RESERVED: Field = PREVIOUS_LINK.then("reserved", 4);
const SEGMENT_BYTES: Field = RESERVED.then("segment_bytes", 8);
const ENGINE_MS: Field = SEGMENT_BYTES.then("engine_ms", 8);
const WALL_MS: Field = ENGINE_MS.then("wall_ms", 8);
const REST: Field = WALL_MS.then("rest", SEGMENT_HEADER_BYTES - 4 - WALL_MS.end());
const CRC: Field = REST.then("crc", 4);
const _: () = assert!(CRC.end() == SEGMENT_HEADER_BYTES);

/// The header's layout, as `docs/format.md` has it.
pub const HEADER_FIELDS: [Field; 20] = [
    MAGIC,
    MAJOR,
    MINOR,
    HEADER_BYTES,
    STORE_ID,
    SEQUENCE,
    FIRST_REVISION,
    SALT,
    FLAGS,
    ALIGN,
    PREVIOUS_SEQUENCE,
    PREVIOUS_END,
    PREVIOUS_LAST,
    PREVIOUS_LINK,
    RESERVED,
    SEGMENT_BYTES,
    ENGINE_MS,
    WALL_MS,
    REST,
    CRC,
];

const FLAG_PREVIOUS: u32 = 1;
const FLAG_RECOVERED: u32 = 2;
const FLAG_GAP: u32 = 4;
const FLAGS_KNOWN: u32 = FLAG_PREVIOUS | FLAG_RECOVERED | FLAG_GAP;

const WHAT: &str = "segment header";
const HEADER_LEN: u64 = SEGMENT_HEADER_BYTES as u64;
/// The two constants that the header states.
const PAGE: u32 = 4096;
const SECTOR: u32 = 512;
const _: () = assert!(PAGE as u64 == HEADER_LEN && SECTOR as u64 == GROUP_ALIGN);

/// Where the segment before this one ends, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousEnd {
    pub sequence: u64,
    /// The first byte behind its last frame.
    pub end: u64,
    pub last_revision: Revision,
    /// The head_crc of its last frame; its header's crc if it has no frame.
    pub link: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub store_id: StoreId,
    pub sequence: u64,
    /// What the first unit here is or will be.
    pub first_revision: Revision,
    /// The secret that begins every checksum of the segment's frames.
    pub salt: u64,
    /// Nothing in a store's very first segment.
    pub previous: Option<PreviousEnd>,
    /// Made by recovery: what follows the previous end is discarded.
    pub recovered: bool,
    /// What lies between the previous last revision and the first is lost for ever.
    pub gap_before: bool,
    /// The file's length.
    pub segment_bytes: u64,
    /// When the segment was begun, for information.
    pub engine_ms: u64,
    pub wall_ms: u64,
}

impl SegmentHeader {
    /// # Panics
    /// If no reader would accept the header.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        assert_writable(WHAT, self.rules());
        let mut page = [0; SEGMENT_HEADER_BYTES];
        MAGIC.put(&mut page, &SEGMENT_MAGIC);
        MAJOR.put(&mut page, &SEGMENT_MAJOR.to_le_bytes());
        MINOR.put(&mut page, &SEGMENT_MINOR.to_le_bytes());
        HEADER_BYTES.put(&mut page, &PAGE.to_le_bytes());
        STORE_ID.put(&mut page, &self.store_id.0);
        SEQUENCE.put(&mut page, &self.sequence.to_le_bytes());
        FIRST_REVISION.put(&mut page, &self.first_revision.0.to_le_bytes());
        SALT.put(&mut page, &self.salt.to_le_bytes());
        FLAGS.put(&mut page, &self.flags().to_le_bytes());
        ALIGN.put(&mut page, &SECTOR.to_le_bytes());
        if let Some(previous) = &self.previous {
            PREVIOUS_SEQUENCE.put(&mut page, &previous.sequence.to_le_bytes());
            PREVIOUS_END.put(&mut page, &previous.end.to_le_bytes());
            PREVIOUS_LAST.put(&mut page, &previous.last_revision.0.to_le_bytes());
            PREVIOUS_LINK.put(&mut page, &previous.link.to_le_bytes());
        }
        SEGMENT_BYTES.put(&mut page, &self.segment_bytes.to_le_bytes());
        ENGINE_MS.put(&mut page, &self.engine_ms.to_le_bytes());
        WALL_MS.put(&mut page, &self.wall_ms.to_le_bytes());
        let crc = Self::crc_of(&page);
        CRC.put(&mut page, &crc.to_le_bytes());
        page
    }

    /// Reads the header from the beginning of a segment; more bytes may follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some(page) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(FormatError::CutOff {
                what: WHAT,
                at: 0,
                need: SEGMENT_HEADER_BYTES,
                have: bytes.len(),
            });
        };
        check_version(page)?;
        let stored = CRC.u32(page);
        let computed = Self::crc_of(page);
        if stored != computed {
            return Err(FormatError::Checksum {
                what: WHAT,
                stored,
                computed,
            });
        }
        let flags = check_constants(page)?;
        let header = Self {
            store_id: StoreId(STORE_ID.get(page)),
            sequence: SEQUENCE.u64(page),
            first_revision: Revision(FIRST_REVISION.u64(page)),
            salt: SALT.u64(page),
            previous: previous(page, flags & FLAG_PREVIOUS != 0)?,
            recovered: flags & FLAG_RECOVERED != 0,
            gap_before: flags & FLAG_GAP != 0,
            segment_bytes: SEGMENT_BYTES.u64(page),
            engine_ms: ENGINE_MS.u64(page),
            wall_ms: WALL_MS.u64(page),
        };
        header.rules()?;
        Ok(header)
    }

    /// The page as it was before one bit of it was flipped, if that explains why it is not
    /// a header.
    pub fn mend(bytes: &[u8]) -> Option<Vec<u8>> {
        let page = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let (covered, _) = page.split_at_checked(CRC.at)?;
        let stored = CRC.u32(page);
        let flip = one_flip(stored, Self::crc_of(page), covered.len())?;
        let mut page = page.to_vec();
        match flip {
            Flip::Checksum => {
                let crc = Self::crc_of(&page);
                CRC.put(&mut page, &crc.to_le_bytes());
            }
            Flip::Covered { byte, bit } => *page.get_mut(byte)? ^= 1_u8.checked_shl(bit)?,
        }
        Self::decode(&page).ok().map(|_| page)
    }

    /// The header's checksum, which is the link of the segment's first frame.
    pub fn crc_of(header: &[u8]) -> u32 {
        let (covered, _) = header.split_at_checked(CRC.at).unwrap_or((header, &[]));
        plain(covered)
    }

    /// The revisions that the start of this segment declares lost.
    pub fn gap(&self) -> Option<Gap> {
        let previous = self.previous.filter(|_| self.gap_before)?;
        Some(Gap {
            first: Revision(previous.last_revision.0.saturating_add(1)),
            last: Revision(self.first_revision.0.saturating_sub(1)),
        })
    }

    fn flags(&self) -> u32 {
        let flag = |set, bit| if set { bit } else { 0 };
        flag(self.previous.is_some(), FLAG_PREVIOUS)
            | flag(self.recovered, FLAG_RECOVERED)
            | flag(self.gap_before, FLAG_GAP)
    }

    /// What must hold within a header.
    fn rules(&self) -> Result<(), FormatError> {
        let number = (1, NUMBER_CAP);
        FormatError::range("segment sequence", SEQUENCE.at, self.sequence, number)?;
        let first = self.first_revision.0;
        FormatError::range("first revision", FIRST_REVISION.at, first, number)?;
        let bytes = (HEADER_LEN, NUMBER_CAP);
        FormatError::range("segment size", SEGMENT_BYTES.at, self.segment_bytes, bytes)?;
        let Some(previous) = &self.previous else {
            return Ok(());
        };
        let rule = |holds, rule| FormatError::rule(holds, WHAT, rule);
        rule(
            previous.sequence < self.sequence,
            "it does not come after the segment it continues",
        )?;
        rule(
            previous.end >= HEADER_LEN
                && previous.end.is_multiple_of(8)
                && previous.end < NUMBER_CAP,
            "the segment before cannot end inside its header or between multiples of 8",
        )?;
        rule(
            previous.last_revision < self.first_revision,
            "its revisions do not come after those of the segment before",
        )?;
        let dense = previous.last_revision.0.saturating_add(1) == first;
        rule(
            dense != self.gap_before,
            "the gap flag does not say whether revisions jump here",
        )
    }
}

/// The salt stays out of logs.
impl fmt::Debug for SegmentHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentHeader")
            .field("store_id", &format_args!("{}", self.store_id))
            .field("sequence", &self.sequence)
            .field("first_revision", &self.first_revision)
            .field("salt", &format_args!("(secret)"))
            .field("previous", &self.previous)
            .field("recovered", &self.recovered)
            .field("gap_before", &self.gap_before)
            .field("segment_bytes", &self.segment_bytes)
            .field("engine_ms", &self.engine_ms)
            .field("wall_ms", &self.wall_ms)
            .finish()
    }
}

/// Before the checksum, so that a file of another kind or version is called that.
fn check_version(page: &[u8]) -> Result<(), FormatError> {
    if MAGIC.get(page) != SEGMENT_MAGIC {
        return Err(FormatError::Magic {
            what: WHAT,
            found: MAGIC.get(page),
            expected: SEGMENT_MAGIC,
        });
    }
    if MAJOR.u16(page) != SEGMENT_MAJOR {
        return Err(FormatError::UnsupportedMajor {
            what: WHAT,
            major: MAJOR.u16(page),
            minor: MINOR.u16(page),
            supported: SEGMENT_MAJOR,
        });
    }
    Ok(())
}

/// What this version writes in one way only. Returns the flags.
fn check_constants(page: &[u8]) -> Result<u32, FormatError> {
    let only = |field: Field, value| {
        let found = u64::from(field.u32(page));
        FormatError::range(field.name, field.at, found, (value, value))
    };
    only(HEADER_BYTES, HEADER_LEN)?;
    only(ALIGN, GROUP_ALIGN)?;
    for field in [RESERVED, REST] {
        zero(page, field)?;
    }
    let flags = FLAGS.u32(page);
    if flags & !FLAGS_KNOWN != 0 {
        return Err(FormatError::UnknownSegmentFlags(flags));
    }
    Ok(flags)
}

fn previous(page: &[u8], present: bool) -> Result<Option<PreviousEnd>, FormatError> {
    if present {
        return Ok(Some(PreviousEnd {
            sequence: PREVIOUS_SEQUENCE.u64(page),
            end: PREVIOUS_END.u64(page),
            last_revision: Revision(PREVIOUS_LAST.u64(page)),
            link: PREVIOUS_LINK.u32(page),
        }));
    }
    for field in [
        PREVIOUS_SEQUENCE,
        PREVIOUS_END,
        PREVIOUS_LAST,
        PREVIOUS_LINK,
    ] {
        zero(page, field)?;
    }
    Ok(None)
}

fn zero(page: &[u8], field: Field) -> Result<(), FormatError> {
    match field.first_non_zero(page) {
        None => Ok(()),
        Some((at, found)) => Err(FormatError::Reserved {
            what: WHAT,
            at,
            found,
        }),
    }
}
