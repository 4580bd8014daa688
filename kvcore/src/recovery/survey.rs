//! Which files belong to the store, and whether their headers form one chain.
//! Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::OpenError;
use crate::base::broken;
use crate::base::revision::Revision;
use crate::disk::{Disk, ReadFile};
use crate::format::manifest::Manifest;
use crate::format::names::{FileName, MANIFEST, segment_name};
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// Largest file that is read as a segment.
const SEGMENT_BYTES_CAP: u64 = 4 << 30;
/// Largest MANIFEST that is read.
const MANIFEST_BYTES_CAP: u64 = 16 << 20;

/// A segment whose header is valid and fits the chain.
#[derive(Debug)]
pub struct SegmentFound {
    pub name: String,
    pub file: Box<dyn ReadFile>,
    pub header: SegmentHeader,
    /// The header's checksum: what the first frame links to.
    pub link: u32,
}

/// What the directory holds.
#[derive(Debug)]
pub struct Survey {
    /// None: nothing was ever stored here.
    pub manifest: Option<Manifest>,
    /// From the first to the newest, dense.
    pub segments: Vec<SegmentFound>,
    /// A segment above the newest that holds no frame: left by a rotation that was
    /// cut short, to be replaced.
    pub unborn: Option<u64>,
    pub temporaries: Vec<String>,
    /// Rooms for MANIFESTs.
    pub rooms: Vec<String>,
    /// Segments and snapshots that the MANIFEST no longer names: left by a removal that was
    /// cut short, or by a snapshot that was not published.
    pub leftovers: Vec<String>,
    /// Files that are not the store's; left alone.
    pub strangers: Vec<String>,
}

/// Looks at the directory.
pub fn survey(disk: &Arc<dyn Disk>) -> Result<Survey, OpenError> {
    let mut numbers = BTreeMap::new();
    let mut temporaries = Vec::new();
    let mut rooms = Vec::new();
    let mut snapshots = Vec::new();
    let mut strangers = Vec::new();
    let mut has_manifest = false;
    for entry in disk
        .list()
        .map_err(OpenError::io(format!("cannot list {}", disk.describe())))?
    {
        match FileName::parse(&entry.name) {
            FileName::Segment(number) => drop(numbers.insert(number, entry.len)),
            FileName::Manifest => has_manifest = true,
            FileName::Temporary => temporaries.push(entry.name),
            FileName::Room(_) => rooms.push(entry.name),
            FileName::Snapshot { .. } => snapshots.push(entry.name),
            FileName::Unknown => strangers.push(entry.name),
            _ => {}
        }
    }
    let manifest = if has_manifest {
        Some(read_manifest(disk)?)
    } else {
        None
    };
    let segments = match &manifest {
        Some(manifest) => read_chain(disk, manifest, &numbers)?,
        None => Vec::new(),
    };
    let leftovers = match &manifest {
        Some(manifest) => leftovers(manifest, &numbers, snapshots),
        None => Vec::new(),
    };
    let newest = manifest.as_ref().map_or(0, |m| m.newest_segment);
    let unborn = check_above(disk, newest, &numbers, manifest.as_ref())?;
    Ok(Survey {
        manifest,
        segments,
        unborn,
        temporaries,
        rooms,
        leftovers,
        strangers,
    })
}

fn leftovers(
    manifest: &Manifest,
    numbers: &BTreeMap<u64, u64>,
    mut snapshots: Vec<String>,
) -> Vec<String> {
    snapshots.retain(|name| manifest.snapshots.iter().all(|named| named.name != *name));
    let early = numbers.range(..manifest.first_segment);
    early
        .map(|(&number, _)| segment_name(number))
        .chain(snapshots)
        .collect()
}

pub fn read_manifest(disk: &Arc<dyn Disk>) -> Result<Manifest, OpenError> {
    let file = disk
        .open_read(MANIFEST)
        .map_err(OpenError::io("cannot open MANIFEST"))?;
    if file.size() > MANIFEST_BYTES_CAP {
        return Err(OpenError::damaged(
            MANIFEST,
            0,
            "it is larger than any MANIFEST can be",
        ));
    }
    let bytes = read_whole(file.as_ref(), MANIFEST)?;
    Manifest::decode(&bytes).map_err(|e| OpenError::damaged(MANIFEST, 0, e.to_string()))
}

/// From here on reads show what the device holds.
fn settle(file: &dyn ReadFile, name: &str) -> Result<(), OpenError> {
    if broken::is(broken::Build::BelieveCache) {
        return Ok(());
    }
    let what = format!("cannot make {name} durable before reading it");
    file.settle().map_err(OpenError::io(what))
}

/// The file's bytes as the device holds them.
pub fn read_whole(file: &dyn ReadFile, name: &str) -> Result<Vec<u8>, OpenError> {
    settle(file, name)?;
    let len = usize::try_from(file.size()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| {
        OpenError::Options(format!("not enough memory to read {name} ({len} bytes)"))
    })?;
    bytes.resize(len, 0);
    file.read_exact_at(0, &mut bytes)
        .map_err(OpenError::io(format!(
            "cannot read {name} (a fault of the device, not a torn tail)"
        )))?;
    Ok(bytes)
}

fn read_chain(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    numbers: &BTreeMap<u64, u64>,
) -> Result<Vec<SegmentFound>, OpenError> {
    let mut chain: Vec<SegmentFound> = Vec::new();
    for sequence in manifest.first_segment..=manifest.newest_segment {
        let name = segment_name(sequence);
        if !numbers.contains_key(&sequence) {
            let what = format!(
                "the file is missing; MANIFEST names segments {} to {}",
                manifest.first_segment, manifest.newest_segment
            );
            return Err(OpenError::damaged(&name, 0, what));
        }
        let found = read_header(disk, sequence)?;
        if found.header.store_id != manifest.store_id {
            let what = format!(
                "the segment belongs to store {}, this is store {}",
                found.header.store_id, manifest.store_id
            );
            return Err(OpenError::damaged(&name, 0, what));
        }
        check_follows(chain.last(), &found)?;
        chain.push(found);
    }
    Ok(chain)
}

fn read_header(disk: &Arc<dyn Disk>, sequence: u64) -> Result<SegmentFound, OpenError> {
    let name = segment_name(sequence);
    let file = disk
        .open_read(&name)
        .map_err(OpenError::io(format!("cannot open {name}")))?;
    let size = file.size();
    if size < SEGMENT_HEADER_BYTES as u64 || size > SEGMENT_BYTES_CAP {
        let what = format!("its size is {size} bytes, which no segment has");
        return Err(OpenError::damaged(&name, 0, what));
    }
    settle(file.as_ref(), &name)?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(0, &mut bytes)
        .map_err(OpenError::io(format!("cannot read the header of {name}")))?;
    let header =
        SegmentHeader::decode(&bytes).map_err(|e| OpenError::damaged(&name, 0, e.to_string()))?;
    if header.sequence != sequence {
        let what = format!(
            "its header says it is segment {}: renamed or copied",
            header.sequence
        );
        return Err(OpenError::damaged(&name, 0, what));
    }
    if header.segment_bytes != size {
        let what = format!(
            "it has {size} bytes, its header says {}",
            header.segment_bytes
        );
        return Err(OpenError::damaged(&name, 0, what));
    }
    if header.first_revision <= Revision::START {
        return Err(OpenError::damaged(
            &name,
            0,
            "its first revision is below 2",
        ));
    }
    Ok(SegmentFound {
        name,
        link: SegmentHeader::crc_of(&bytes),
        file,
        header,
    })
}

/// Does the header continue where its predecessor ended?
fn check_follows(before: Option<&SegmentFound>, found: &SegmentFound) -> Result<(), OpenError> {
    let Some(before) = before else { return Ok(()) };
    let header = &found.header;
    let Some(previous) = &header.previous else {
        return Err(OpenError::damaged(
            &found.name,
            0,
            "it names no predecessor, and has one",
        ));
    };
    if previous.sequence != before.header.sequence
        || previous.end > before.file.size()
        || previous.end < SEGMENT_HEADER_BYTES as u64
    {
        let what = format!("it does not continue {}", before.name);
        return Err(OpenError::damaged(&found.name, 0, what));
    }
    let continues = if header.gap_before {
        header.first_revision > previous.last_revision.next()
    } else {
        header.first_revision == previous.last_revision.next()
    };
    if !continues {
        let what = format!(
            "it begins at revision {}, its predecessor ends at {}",
            header.first_revision, previous.last_revision
        );
        return Err(OpenError::damaged(&found.name, 0, what));
    }
    Ok(())
}

/// A segment that the MANIFEST does not know may only be one that was just created.
fn check_above(
    disk: &Arc<dyn Disk>,
    newest: u64,
    numbers: &BTreeMap<u64, u64>,
    manifest: Option<&Manifest>,
) -> Result<Option<u64>, OpenError> {
    let mut unborn = None;
    for (&sequence, _) in numbers.range(newest + 1..) {
        let name = segment_name(sequence);
        let missing = manifest.is_none();
        let unknown = || {
            if missing {
                "MANIFEST is missing although there are segments".to_owned()
            } else {
                format!("MANIFEST does not know it; the newest segment is {newest}")
            }
        };
        if sequence != newest + 1 {
            return Err(OpenError::damaged(&name, 0, unknown()));
        }
        let found = read_header(disk, sequence)?;
        if manifest.is_some_and(|m| m.store_id != found.header.store_id) {
            let what = format!("the segment belongs to store {}", found.header.store_id);
            return Err(OpenError::damaged(&name, 0, what));
        }
        let bytes = read_whole(found.file.as_ref(), &name)?;
        if bytes[SEGMENT_HEADER_BYTES..].iter().any(|&b| b != 0) {
            return Err(OpenError::damaged(
                &name,
                SEGMENT_HEADER_BYTES as u64,
                unknown(),
            ));
        }
        unborn = Some(sequence);
    }
    Ok(unborn)
}
