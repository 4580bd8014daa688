//! The MANIFEST: which files make up the store, and how far it is known to be durable.
//!
//! ```text
//! 0 magic  8 major, minor  12 fields_bytes  16 fields ...  crc32c of all before
//!
//! field := tag u16, length u32, value
//! ```
//!
//! * It is replaced whole, by rename; there is never half of one.
//! * Fields come in the order of their tags, each at most once but snapshots. One that is
//!   not known is refused: skipping it could mean skipping what a newer kvd relies on.
//! * It names no file but snapshots, and those only by a name that says their revisions.

mod fields;
#[cfg(test)]
mod tests;

pub use fields::TAGS;

use super::checksum::plain;
use super::cursor::Cursor;
use super::error::assert_writable;
use super::field::Field;
use super::names::FileName;
use super::{FormatError, NUMBER_CAP, StoreId};
use crate::base::revision::{Gap, Revision};

pub const MANIFEST_MAGIC: [u8; 8] = *b"KVDMAN\r\n";
pub const MANIFEST_MAJOR: u16 = 1;
pub const MANIFEST_MINOR: u16 = 0;
/// No MANIFEST is longer, so nobody needs to read more.
pub const MANIFEST_BYTES_CAP: usize = 512 << 10;
/// Gaps that are remembered; see [`Manifest::add_gap`].
pub const GAPS_CAP: usize = 16_384;
/// Two are kept, and more while they are exchanged.
pub const SNAPSHOTS_CAP: usize = 16;

const MAGIC: Field = Field::first("magic", 8);
const MAJOR: Field = MAGIC.then("major", 2);
const MINOR: Field = MAJOR.then("minor", 2);
const FIELDS_BYTES: Field = MINOR.then("fields_bytes", 4);

/// The layout of the beginning, as `docs/format.md` has it.
pub const MANIFEST_FIELDS: [Field; 4] = [MAGIC, MAJOR, MINOR, FIELDS_BYTES];

const HEAD_BYTES: usize = FIELDS_BYTES.end();
const CRC_BYTES: usize = 4;
const WHAT: &str = "MANIFEST";

/// The engine's clock and the wall's, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPair {
    pub engine_ms: u64,
    pub wall_ms: u64,
}

/// A published snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRef {
    /// What [`snapshot_name`](super::names::snapshot_name) makes of `start` and `end`.
    pub name: String,
    pub bytes: u64,
    pub crc: u32,
    pub start: Revision,
    pub end: Revision,
    /// The first segment that replay needs after it.
    pub first_segment: u64,
}

/// The store was made by a repair, and nobody has said yet that they know what it left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// When, ms since the Unix epoch.
    pub wall_ms: u64,
    /// Revisions that were lost or cut off, as far as is known.
    pub lost: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub store_id: StoreId,
    /// One more at every publication.
    pub generation: u64,
    /// The oldest segment that is part of the log.
    pub first_segment: u64,
    /// The newest one that may hold frames.
    pub newest_segment: u64,
    /// Durable at publication.
    pub durable: Revision,
    /// Revisions that name nothing, ascending and apart from each other.
    pub gaps: Vec<Gap>,
    pub clock: ClockPair,
    /// The last revision, if the store was closed cleanly; nothing while it is open.
    pub clean: Option<Revision>,
    pub snapshots: Vec<SnapshotRef>,
    /// Until it is acknowledged.
    pub repaired: Option<Repaired>,
}

impl Manifest {
    /// # Panics
    /// If no reader would accept the MANIFEST.
    pub fn encode(&self) -> Vec<u8> {
        assert_writable(WHAT, self.rules());
        let mut out = vec![0; HEAD_BYTES];
        self.put_fields(&mut out);
        MAGIC.put(&mut out, &MANIFEST_MAGIC);
        MAJOR.put(&mut out, &MANIFEST_MAJOR.to_le_bytes());
        MINOR.put(&mut out, &MANIFEST_MINOR.to_le_bytes());
        let fields = out.len().saturating_sub(HEAD_BYTES);
        let fields = u32::try_from(fields).unwrap_or(u32::MAX);
        FIELDS_BYTES.put(&mut out, &fields.to_le_bytes());
        let crc = plain(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let size = (0, MANIFEST_BYTES_CAP as u64);
        FormatError::range("MANIFEST size", 0, bytes.len() as u64, size)?;
        let fields = check_whole(bytes)?;
        let manifest = Self::read_fields(Cursor::new(fields, HEAD_BYTES))?;
        manifest.rules()?;
        Ok(manifest)
    }

    /// Remembers that these revisions name nothing. A gap right behind the last one
    /// prolongs it; of more than [`GAPS_CAP`] the oldest is forgotten.
    pub fn add_gap(&mut self, gap: Gap) {
        if let Some(last) = self.gaps.last_mut()
            && last.last.0.saturating_add(1) == gap.first.0
        {
            last.last = gap.last;
            return;
        }
        if self.gaps.len() >= GAPS_CAP {
            self.gaps.remove(0);
        }
        self.gaps.push(gap);
    }

    /// What must hold within a MANIFEST.
    fn rules(&self) -> Result<(), FormatError> {
        for (what, number, least) in [
            ("first segment", self.first_segment, 1),
            ("newest segment", self.newest_segment, self.first_segment),
            ("durable revision", self.durable.0, 0),
            ("clean revision", self.clean.unwrap_or_default().0, 0),
        ] {
            FormatError::range(what, 0, number, (least, NUMBER_CAP))?;
        }
        let counts = self.gaps.len() <= GAPS_CAP && self.snapshots.len() <= SNAPSHOTS_CAP;
        FormatError::rule(counts, WHAT, "it lists too many gaps or snapshots")?;
        gap_rules(&self.gaps)?;
        let newest = self.newest_segment;
        self.snapshots.iter().try_for_each(|one| one.rules(newest))
    }
}

fn gap_rules(gaps: &[Gap]) -> Result<(), FormatError> {
    let whole = gaps
        .iter()
        .all(|gap| gap.first <= gap.last && gap.last.0 <= NUMBER_CAP);
    FormatError::rule(whole, WHAT, "a gap ends before it begins, or nowhere")?;
    let ascending = gaps
        .iter()
        .zip(gaps.iter().skip(1))
        .all(|(one, next)| one.last < next.first);
    FormatError::rule(ascending, WHAT, "its gaps are not in ascending order")
}

impl SnapshotRef {
    fn rules(&self, newest_segment: u64) -> Result<(), FormatError> {
        let name = FileName::Snapshot {
            start: self.start,
            end: self.end,
        };
        FormatError::rule(
            FileName::parse(&self.name) == name && self.start <= self.end,
            WHAT,
            "a snapshot's name does not say its revisions",
        )?;
        let numbers = (0, NUMBER_CAP);
        FormatError::range("snapshot end", 0, self.end.0, numbers)?;
        let segments = (0, newest_segment);
        FormatError::range("snapshot's first segment", 0, self.first_segment, segments)
    }
}

/// Magic, version, length, checksum; returns the fields.
fn check_whole(bytes: &[u8]) -> Result<&[u8], FormatError> {
    let mut cursor = Cursor::new(bytes, 0);
    let head: [u8; HEAD_BYTES] = cursor.array(WHAT)?;
    if MAGIC.get(&head) != MANIFEST_MAGIC {
        return Err(FormatError::Magic {
            what: WHAT,
            found: MAGIC.get(&head),
            expected: MANIFEST_MAGIC,
        });
    }
    if MAJOR.u16(&head) != MANIFEST_MAJOR {
        return Err(FormatError::UnsupportedMajor {
            what: WHAT,
            major: MAJOR.u16(&head),
            minor: MINOR.u16(&head),
            supported: MANIFEST_MAJOR,
        });
    }
    let fields = cursor.take(FIELDS_BYTES.u32(&head) as usize, "MANIFEST fields")?;
    let stored = cursor.u32("MANIFEST checksum")?;
    cursor.finish(WHAT)?;
    let (covered, _) = bytes
        .split_last_chunk::<CRC_BYTES>()
        .unwrap_or((bytes, &[0; CRC_BYTES]));
    let computed = plain(covered);
    if stored != computed {
        return Err(FormatError::Checksum {
            what: WHAT,
            stored,
            computed,
        });
    }
    Ok(fields)
}
