//! The tagged fields of a MANIFEST.

use super::{ClockPair, GAPS_CAP, Manifest, Repaired, SNAPSHOTS_CAP, SnapshotRef, WHAT};
use crate::base::revision::{Gap, Revision};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, StoreId};

const STORE_ID: u16 = 1;
const GENERATION: u16 = 2;
const FIRST_SEGMENT: u16 = 3;
const NEWEST_SEGMENT: u16 = 4;
const DURABLE: u16 = 5;
const CLOCK: u16 = 6;
const CLEAN: u16 = 7;
const GAPS: u16 = 8;
const SNAPSHOT: u16 = 9;
const REPAIRED: u16 = 10;

/// Every tag with its name in `docs/format.md`, in order.
pub const TAGS: [(u16, &str); 10] = [
    (STORE_ID, "store_id"),
    (GENERATION, "generation"),
    (FIRST_SEGMENT, "first_segment"),
    (NEWEST_SEGMENT, "newest_segment"),
    (DURABLE, "durable"),
    (CLOCK, "clock"),
    (CLEAN, "clean"),
    (GAPS, "gaps"),
    (SNAPSHOT, "snapshot"),
    (REPAIRED, "repaired"),
];

/// Bytes of one gap.
const GAP_BYTES: usize = 16;

/// Fields as they come in; those that must be there are missing until they are read.
#[derive(Default)]
struct Found {
    store_id: Option<StoreId>,
    generation: Option<u64>,
    first_segment: Option<u64>,
    newest_segment: Option<u64>,
    durable: Option<Revision>,
    clock: Option<ClockPair>,
    clean: Option<Revision>,
    gaps: Vec<Gap>,
    snapshots: Vec<SnapshotRef>,
    repaired: Option<Repaired>,
}

impl Manifest {
    pub(super) fn put_fields(&self, out: &mut Vec<u8>) {
        put(out, STORE_ID, &[&self.store_id.0]);
        put_u64(out, GENERATION, self.generation);
        put_u64(out, FIRST_SEGMENT, self.first_segment);
        put_u64(out, NEWEST_SEGMENT, self.newest_segment);
        put_u64(out, DURABLE, self.durable.0);
        let (engine, wall) = (self.clock.engine_ms, self.clock.wall_ms);
        put(out, CLOCK, &[&engine.to_le_bytes(), &wall.to_le_bytes()]);
        if let Some(clean) = self.clean {
            put_u64(out, CLEAN, clean.0);
        }
        if !self.gaps.is_empty() {
            let bounds = self.gaps.iter().flat_map(|gap| [gap.first, gap.last]);
            let bytes: Vec<u8> = bounds.flat_map(|bound| bound.0.to_le_bytes()).collect();
            put(out, GAPS, &[&bytes]);
        }
        for snapshot in &self.snapshots {
            snapshot.put(out);
        }
        if let Some(Repaired { wall_ms, lost }) = self.repaired {
            put(
                out,
                REPAIRED,
                &[&wall_ms.to_le_bytes(), &lost.to_le_bytes()],
            );
        }
    }

    pub(super) fn read_fields(mut fields: Cursor<'_>) -> Result<Self, FormatError> {
        let mut found = Found::default();
        let mut previous = 0;
        while !fields.is_empty() {
            let at = fields.at();
            let tag = fields.u16("MANIFEST tag")?;
            let len = fields.u32("MANIFEST field length")?;
            let start = fields.at();
            let value = Cursor::new(fields.take(len as usize, "MANIFEST field")?, start);
            let in_order = tag > previous || (tag == SNAPSHOT && previous == SNAPSHOT);
            FormatError::rule(
                in_order,
                WHAT,
                "its fields are not in the order of their tags",
            )?;
            found.read(tag, at, value)?;
            previous = tag;
        }
        found.complete()
    }
}

impl Found {
    fn read(&mut self, tag: u16, at: usize, mut value: Cursor<'_>) -> Result<(), FormatError> {
        let field = &mut value;
        match tag {
            STORE_ID => self.store_id = Some(StoreId(field.array("store id")?)),
            GENERATION => self.generation = Some(field.u64("generation")?),
            FIRST_SEGMENT => self.first_segment = Some(field.u64("first segment")?),
            NEWEST_SEGMENT => self.newest_segment = Some(field.u64("newest segment")?),
            DURABLE => self.durable = Some(revision(field, "durable revision")?),
            CLOCK => {
                self.clock = Some(ClockPair {
                    engine_ms: field.u64("engine clock")?,
                    wall_ms: field.u64("wall clock")?,
                });
            }
            CLEAN => self.clean = Some(revision(field, "clean revision")?),
            GAPS => self.gaps = gaps(field, at)?,
            SNAPSHOT => {
                let more = self.snapshots.len() < SNAPSHOTS_CAP;
                FormatError::rule(more, WHAT, "it lists too many snapshots")?;
                self.snapshots.push(SnapshotRef::read(field)?);
            }
            REPAIRED => {
                self.repaired = Some(Repaired {
                    wall_ms: field.u64("time of a repair")?,
                    lost: field.u64("revisions lost at a repair")?,
                });
            }
            _ => return Err(FormatError::UnknownManifestTag { tag, at }),
        }
        value.finish("MANIFEST field")
    }

    fn complete(self) -> Result<Manifest, FormatError> {
        Ok(Manifest {
            store_id: self.store_id.ok_or(missing("store_id"))?,
            generation: self.generation.ok_or(missing("generation"))?,
            first_segment: self.first_segment.ok_or(missing("first_segment"))?,
            newest_segment: self.newest_segment.ok_or(missing("newest_segment"))?,
            durable: self.durable.ok_or(missing("durable"))?,
            clock: self.clock.ok_or(missing("clock"))?,
            clean: self.clean,
            gaps: self.gaps,
            snapshots: self.snapshots,
            repaired: self.repaired,
        })
    }
}

impl SnapshotRef {
    /// The name is last: it is what the other numbers leave.
    fn put(&self, out: &mut Vec<u8>) {
        put(
            out,
            SNAPSHOT,
            &[
                &self.bytes.to_le_bytes(),
                &self.start.0.to_le_bytes(),
                &self.end.0.to_le_bytes(),
                &self.first_segment.to_le_bytes(),
                &self.crc.to_le_bytes(),
                self.name.as_bytes(),
            ],
        );
    }

    fn read(field: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let bytes = field.u64("snapshot size")?;
        let start = revision(field, "snapshot start")?;
        let end = revision(field, "snapshot end")?;
        let first_segment = field.u64("snapshot's first segment")?;
        let crc = field.u32("snapshot checksum")?;
        let name = std::str::from_utf8(field.take(field.left(), "snapshot name")?)
            .map_err(|_| rule("a snapshot's name is not text"))?
            .to_owned();
        Ok(Self {
            name,
            bytes,
            crc,
            start,
            end,
            first_segment,
        })
    }
}

fn gaps(field: &mut Cursor<'_>, at: usize) -> Result<Vec<Gap>, FormatError> {
    let count = field.left() / GAP_BYTES;
    FormatError::range("number of gaps", at, count as u64, (1, GAPS_CAP as u64))?;
    let mut gaps = Vec::with_capacity(count);
    for _ in 0..count {
        gaps.push(Gap {
            first: revision(field, "start of a gap")?,
            last: revision(field, "end of a gap")?,
        });
    }
    Ok(gaps)
}

fn revision(field: &mut Cursor<'_>, what: &'static str) -> Result<Revision, FormatError> {
    field.u64(what).map(Revision)
}

const fn missing(field: &'static str) -> FormatError {
    FormatError::MissingField { what: WHAT, field }
}

const fn rule(rule: &'static str) -> FormatError {
    FormatError::Rule { what: WHAT, rule }
}

/// tag, length, then the parts of the value.
fn put(out: &mut Vec<u8>, tag: u16, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_u64(out: &mut Vec<u8>, tag: u16, value: u64) {
    put(out, tag, &[&value.to_le_bytes()]);
}
