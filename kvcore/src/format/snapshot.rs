//! The snapshot file: every record of the store, and the requests that it remembers. And
//! the backup file, which holds the log behind it too, or that alone.
//!
//! ```text
//!  header 128 bytes | block | block | ... | End block        nothing follows
//!
//!  header   0 magic  8 major, minor  12 header_bytes  16 store_id  32 start
//!          40 salt  48 engine_ms  56 wall_ms  64 purpose  68 reserved
//!         124 crc32c of bytes 0..124
//!  block := head (24 bytes), payload
//!  head     0 head_crc  4 payload_bytes  8 body_crc  12 kind  13 reserved
//!          16 entries  20 link
//! ```
//!
//! * It is not the state of one moment: each key was copied at some moment between `start`
//!   and `end`. The log from `start + 1` to `end` is part of what it says.
//! * The file gets its name when it is whole and on stable storage, so it is never torn:
//!   whatever is wrong in it is damage.
//! * Checksums begin with salt, start and the block's offset, as those of frames do, and
//!   each head carries the checksum of the one before: the last one stands for the file.

mod block;
mod entries;
#[cfg(test)]
mod tests;

pub use block::{BackupEnd, BlockHead, BlockKind, End, put_block};
pub use entries::{
    FrameView, RecordView, Records, RequestView, Requests, frame, put_frame, put_record,
    put_request, records, requests,
};

use std::fmt;

use super::checksum::{Seed, plain};
use super::error::assert_writable;
use super::field::Field;
use super::{FormatError, NUMBER_CAP, StoreId};
use crate::base::revision::Revision;

pub const SNAPSHOT_MAGIC: [u8; 8] = *b"KVDSNP\r\n";
pub const SNAPSHOT_MAJOR: u16 = 1;
pub const SNAPSHOT_MINOR: u16 = 0;
pub const SNAPSHOT_HEADER_BYTES: usize = 128;
pub const BLOCK_HEAD_BYTES: usize = 24;
/// No payload is longer, so nobody needs to read more.
pub const BLOCK_PAYLOAD_CAP: usize = 32 << 20;

const MAGIC: Field = Field::first("magic", 8);
const MAJOR: Field = MAGIC.then("major", 2);
const MINOR: Field = MAJOR.then("minor", 2);
const HEADER_BYTES: Field = MINOR.then("header_bytes", 4);
const STORE_ID: Field = HEADER_BYTES.then("store_id", 16);
const START: Field = STORE_ID.then("start", 8);
const SALT: Field = START.then("salt", 8);
const ENGINE_MS: Field = SALT.then("engine_ms", 8);
const WALL_MS: Field = ENGINE_MS.then("wall_ms", 8);
const PURPOSE: Field = WALL_MS.then("purpose", 4);
const RESERVED: Field = PURPOSE.then("reserved", SNAPSHOT_HEADER_BYTES - 4 - PURPOSE.end());
const CRC: Field = RESERVED.then("crc", 4);
const _: () = assert!(CRC.end() == SNAPSHOT_HEADER_BYTES);

/// The header's layout, as `docs/format.md` has it.
pub const SNAPSHOT_FIELDS: [Field; 12] = [
    MAGIC,
    MAJOR,
    MINOR,
    HEADER_BYTES,
    STORE_ID,
    START,
    SALT,
    ENGINE_MS,
    WALL_MS,
    PURPOSE,
    RESERVED,
    CRC,
];
pub use block::{BACKUP_END_FIELDS, BLOCK_FIELDS, END_FIELDS};

/// What a file is for. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Part of a store; the store's log goes on where it starts.
    Snapshot = 0,
    /// A store by itself, with the log from where it starts.
    Backup = 1,
    /// The log alone, behind `start`.
    Increment = 2,
}

impl Purpose {
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Backup, Self::Increment];
}

const WHAT: &str = "snapshot header";
const HEADER_LEN: u32 = 128;
const _: () = assert!(HEADER_LEN as usize == SNAPSHOT_HEADER_BYTES);

/// How a snapshot begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SnapshotHeader {
    pub store_id: StoreId,
    /// Every change up to here is in it.
    pub start: Revision,
    /// The secret that begins every checksum of the file's blocks.
    pub salt: u64,
    /// When it was begun, for information.
    pub engine_ms: u64,
    pub wall_ms: u64,
    pub purpose: Purpose,
}

/// The salt stays out of logs.
impl fmt::Debug for SnapshotHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotHeader")
            .field("store_id", &self.store_id)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl SnapshotHeader {
    /// # Panics
    /// If no reader would accept the header.
    pub fn encode(&self) -> [u8; SNAPSHOT_HEADER_BYTES] {
        assert_writable(WHAT, self.rules());
        let mut bytes = [0; SNAPSHOT_HEADER_BYTES];
        MAGIC.put(&mut bytes, &SNAPSHOT_MAGIC);
        MAJOR.put(&mut bytes, &SNAPSHOT_MAJOR.to_le_bytes());
        MINOR.put(&mut bytes, &SNAPSHOT_MINOR.to_le_bytes());
        HEADER_BYTES.put(&mut bytes, &HEADER_LEN.to_le_bytes());
        STORE_ID.put(&mut bytes, &self.store_id.0);
        START.put(&mut bytes, &self.start.0.to_le_bytes());
        SALT.put(&mut bytes, &self.salt.to_le_bytes());
        ENGINE_MS.put(&mut bytes, &self.engine_ms.to_le_bytes());
        WALL_MS.put(&mut bytes, &self.wall_ms.to_le_bytes());
        PURPOSE.put(&mut bytes, &(self.purpose as u32).to_le_bytes());
        let crc = Self::crc_of(&bytes);
        CRC.put(&mut bytes, &crc.to_le_bytes());
        bytes
    }

    /// Reads the header from the beginning of a file; more bytes may follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some(bytes) = bytes.first_chunk::<SNAPSHOT_HEADER_BYTES>() else {
            return Err(FormatError::CutOff {
                what: WHAT,
                at: 0,
                need: SNAPSHOT_HEADER_BYTES,
                have: bytes.len(),
            });
        };
        check_version(bytes)?;
        let (stored, computed) = (CRC.u32(bytes), Self::crc_of(bytes));
        if stored != computed {
            return Err(FormatError::Checksum {
                what: WHAT,
                stored,
                computed,
            });
        }
        let len = u64::from(HEADER_BYTES.u32(bytes));
        FormatError::range(
            "header_bytes",
            HEADER_BYTES.at,
            len,
            (u64::from(HEADER_LEN), u64::from(HEADER_LEN)),
        )?;
        if let Some((at, found)) = RESERVED.first_non_zero(bytes) {
            return Err(FormatError::Reserved {
                what: WHAT,
                at,
                found,
            });
        }
        let header = Self {
            store_id: StoreId(STORE_ID.get(bytes)),
            start: Revision(START.u64(bytes)),
            salt: SALT.u64(bytes),
            engine_ms: ENGINE_MS.u64(bytes),
            wall_ms: WALL_MS.u64(bytes),
            purpose: purpose(PURPOSE.u32(bytes))?,
        };
        header.rules()?;
        Ok(header)
    }

    /// The header's checksum, which is the link of the first block.
    pub fn crc_of(header: &[u8]) -> u32 {
        let (covered, _) = header.split_at_checked(CRC.at).unwrap_or((header, &[]));
        plain(covered)
    }

    /// Where the checksums of its blocks begin.
    pub fn seed(&self) -> Seed {
        Seed {
            salt: self.salt,
            sequence: self.start.0,
        }
    }

    fn rules(&self) -> Result<(), FormatError> {
        FormatError::range("start", START.at, self.start.0, (1, NUMBER_CAP))
    }
}

fn purpose(number: u32) -> Result<Purpose, FormatError> {
    Purpose::ALL
        .into_iter()
        .find(|purpose| *purpose as u32 == number)
        .ok_or(FormatError::UnknownSnapshotPurpose { number })
}

fn check_version(bytes: &[u8]) -> Result<(), FormatError> {
    if MAGIC.get(bytes) != SNAPSHOT_MAGIC {
        return Err(FormatError::Magic {
            what: WHAT,
            found: MAGIC.get(bytes),
            expected: SNAPSHOT_MAGIC,
        });
    }
    if MAJOR.u16(bytes) != SNAPSHOT_MAJOR {
        return Err(FormatError::UnsupportedMajor {
            what: WHAT,
            major: MAJOR.u16(bytes),
            minor: MINOR.u16(bytes),
            supported: SNAPSHOT_MAJOR,
        });
    }
    Ok(())
}
