//! What lies in a damaged directory: every file for itself, whatever the others are.
//!
//! A start asks whether the files make one whole store, and refuses at the first that does
//! not fit. This asks of each file what it is, so that a check can name all damage and a
//! repair can take what is left. MANIFEST is believed if it can be read and belongs to
//! the files beside it; without it the files' own headers say what belongs together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::OpenError;
use super::report::{Class, FileReport, Place};
use super::sift_snapshot::{SnapshotAt, look_at_snapshot};
use super::survey::{read_manifest, read_whole};
use crate::base::revision::Revision;
use crate::disk::{Disk, ReadFile};
use crate::format::StoreId;
use crate::format::manifest::{Manifest, SnapshotRef};
use crate::format::names::{FileName, MANIFEST, segment_name};
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// What is read at once where a file cannot be read as a whole.
const PAGE: usize = 4096;
/// Missing files in a row that are told by name. Numbers may be far apart in a MANIFEST that
/// lies; what is lost is told all the same, with the last one.
pub const MISSING_TOLD: usize = 1 << 10;

/// A segment whose header can be made out.
#[derive(Debug)]
pub struct SegmentAt {
    pub name: String,
    pub file: Box<dyn ReadFile>,
    pub header: SegmentHeader,
    /// Of the header as it was written.
    pub link: u32,
    /// One bit of the header was put right.
    pub mended: bool,
}

/// The files of a directory.
#[derive(Debug, Default)]
pub struct Inventory {
    pub manifest: Option<Manifest>,
    pub store_id: Option<StoreId>,
    /// By their numbers.
    pub segments: BTreeMap<u64, SegmentAt>,
    /// The numbers of the log, from the first to the newest; none if there is no log.
    pub numbers: Option<(u64, u64)>,
    /// Files that cannot be used at all, with what they are.
    pub unusable: Vec<FileReport>,
    /// The oldest first.
    pub snapshots: Vec<SnapshotAt>,
    pub strangers: Vec<String>,
    /// A newer kvd wrote something of it.
    pub newer: Option<String>,
}

impl Inventory {
    /// What is known to have been durable.
    pub fn durable(&self) -> Revision {
        self.manifest.as_ref().map_or(Revision::NONE, |manifest| {
            manifest.durable.max(manifest.clean.unwrap_or_default())
        })
    }

    /// Is this the newest segment of the log?
    pub fn is_newest(&self, sequence: u64) -> bool {
        self.numbers.is_some_and(|(_, newest)| newest == sequence)
    }

    /// Leaves out what is said with the log's own files.
    pub fn forget_told(&mut self, log: &[FileReport]) {
        self.unusable.retain(|file| {
            let told = log.iter().any(|known| known.name == file.name);
            // Under the name of a copy the one that it is a copy of may be told.
            !told || file.class == Class::Duplicate
        });
    }

    fn newer(&mut self, name: &str, what: &str) {
        self.newer.get_or_insert_with(|| format!("{name}: {what}"));
    }
}

/// Looks at the directory: names, headers, and snapshots from their beginning to their end.
pub fn look(disk: &Arc<dyn Disk>) -> Result<Inventory, OpenError> {
    let mut inventory = Inventory::default();
    let entries = disk
        .list()
        .map_err(OpenError::io(format!("cannot list {}", disk.describe())))?;
    let (mut segments, mut snapshots) = (Vec::new(), Vec::new());
    for entry in entries {
        match FileName::parse(&entry.name) {
            FileName::Segment(number) => segments.push((number, entry.name)),
            FileName::Snapshot { .. } => snapshots.push(entry.name),
            FileName::Manifest => look_at_manifest(disk, &mut inventory)?,
            FileName::Unknown => inventory.strangers.push(entry.name),
            _ => {}
        }
    }
    let found: Vec<_> = segments
        .into_iter()
        .map(|(number, name)| (number, look_at_segment(disk, &name)))
        .collect();
    let ids = found.iter().filter_map(|(_, found)| match found {
        Ok(segment) => Some(segment.header.store_id),
        Err(_) => None,
    });
    choose_store(&mut inventory, ids);
    for (number, found) in found {
        match found {
            Ok(segment) => place_segment(&mut inventory, number, segment),
            Err(bad) => {
                if let Some(newer) = &bad.newer {
                    inventory.newer(&bad.report.name, newer);
                }
                inventory.unusable.push(bad.report);
            }
        }
    }
    number_log(&mut inventory);
    look_at_snapshots(disk, &mut inventory, snapshots);
    Ok(inventory)
}

fn look_at_manifest(disk: &Arc<dyn Disk>, inventory: &mut Inventory) -> Result<(), OpenError> {
    match read_manifest(disk) {
        Ok(manifest) => inventory.manifest = Some(manifest),
        Err(OpenError::Damaged { offset, what, .. }) => {
            if what.contains("newer kvd") {
                inventory.newer(MANIFEST, &what);
            }
            let mut report = FileReport::new(MANIFEST, Class::Corrupt, "");
            report.places.push(Place::new(offset, offset, what));
            inventory.unusable.push(report);
        }
        Err(other) => return Err(other),
    }
    Ok(())
}

/// A segment whose header cannot be made out.
struct Bad {
    report: FileReport,
    newer: Option<String>,
}

fn look_at_segment(disk: &Arc<dyn Disk>, name: &str) -> Result<SegmentAt, Box<Bad>> {
    let bad = |what: String, newer: bool| {
        Box::new(Bad {
            report: FileReport {
                places: vec![Place::new(0, 0, what.clone())],
                ..FileReport::new(name, Class::Corrupt, "")
            },
            newer: newer.then_some(what),
        })
    };
    let file = disk
        .open_read(name)
        .map_err(|e| bad(e.to_string(), false))?;
    let mut page = vec![0; SEGMENT_HEADER_BYTES];
    file.settle()
        .and_then(|()| file.read_exact_at(0, &mut page))
        .map_err(|error| bad(error.to_string(), false))?;
    let (page, mended) = match SegmentHeader::decode(&page) {
        Ok(_) => (page, false),
        Err(error) => match SegmentHeader::mend(&page) {
            Some(page) => (page, true),
            None => return Err(bad(error.to_string(), error.is_newer())),
        },
    };
    let header = SegmentHeader::decode(&page).map_err(|error| bad(error.to_string(), false))?;
    if header.first_revision <= Revision::START {
        return Err(bad("its first revision is below 2".into(), false));
    }
    Ok(SegmentAt {
        name: name.to_owned(),
        file,
        header,
        link: SegmentHeader::crc_of(&page),
        mended,
    })
}

/// The store that MANIFEST names, if any file is of it; else the one that most files are of.
fn choose_store(inventory: &mut Inventory, ids: impl Iterator<Item = StoreId>) {
    let mut counts: Vec<(StoreId, usize)> = Vec::new();
    for id in ids {
        match counts.iter_mut().find(|(known, _)| *known == id) {
            Some((_, count)) => *count += 1,
            None => counts.push((id, 1)),
        }
    }
    let named = inventory
        .manifest
        .as_ref()
        .map(|manifest| manifest.store_id);
    let most = counts.iter().max_by_key(|(_, count)| *count);
    let fits = |id: &StoreId| counts.is_empty() || counts.iter().any(|(known, _)| known == id);
    inventory.store_id = named.filter(fits).or(most.map(|(id, _)| *id));
    if inventory.store_id != named && named.is_some() {
        inventory.manifest = None;
        let note = "it is of another store than the segments";
        let report = FileReport::new(MANIFEST, Class::Foreign, note);
        inventory.unusable.push(report);
    }
    let known = inventory.unusable.iter().any(|file| file.name == MANIFEST);
    if inventory.manifest.is_none() && !known && !counts.is_empty() {
        let note = "MANIFEST is missing although there are segments";
        let report = FileReport::new(MANIFEST, Class::Missing, note);
        inventory.unusable.push(report);
    }
}

/// Puts a segment where its header says that it belongs.
fn place_segment(inventory: &mut Inventory, number: u64, segment: SegmentAt) {
    let header = &segment.header;
    let unusable = if Some(header.store_id) != inventory.store_id {
        let what = format!("the segment belongs to store {}", header.store_id);
        Some((Class::Foreign, what))
    } else if header.sequence != number {
        let what = format!(
            "its header says it is segment {}: renamed or copied",
            header.sequence
        );
        Some((Class::Duplicate, what))
    } else {
        None
    };
    let Some((class, what)) = unusable else {
        // The right name wins over one that was read before.
        inventory.segments.insert(number, segment);
        return;
    };
    let mut report = FileReport::new(&segment.name, class, what);
    if class == Class::Duplicate && !inventory.segments.contains_key(&header.sequence) {
        report.note += "; it is read as that one if that one is missing";
        inventory.segments.insert(header.sequence, segment);
    }
    inventory.unusable.push(report);
}

/// From which number to which the log goes, and which of them are missing.
fn number_log(inventory: &mut Inventory) {
    let there = inventory.segments.keys().copied();
    let there = there.clone().min().zip(there.max());
    let named = inventory.manifest.as_ref();
    let numbers = match (named, there) {
        (Some(manifest), there) => {
            let newest = there.map_or(0, |(_, newest)| newest);
            let first = manifest.first_segment.max(1);
            Some((first, manifest.newest_segment.max(newest).max(first)))
        }
        (None, there) => there,
    };
    inventory.numbers = numbers;
    let Some((first, newest)) = numbers else {
        return;
    };
    // What lies below is not the log's any more.
    inventory.segments = inventory.segments.split_off(&first);
    let told: BTreeSet<&str> = inventory
        .unusable
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    let missing: Vec<String> = (first..=newest)
        .filter(|number| !inventory.segments.contains_key(number))
        .map(segment_name)
        .filter(|name| !told.contains(name.as_str()))
        .take(MISSING_TOLD)
        .collect();
    let missing = missing
        .into_iter()
        .map(|name| FileReport::new(name, Class::Missing, "the file is missing"));
    inventory.unusable.extend(missing);
}

/// Those that MANIFEST names; all that are there if it cannot be asked.
fn look_at_snapshots(disk: &Arc<dyn Disk>, inventory: &mut Inventory, there: Vec<String>) {
    let named: Option<Vec<SnapshotRef>> = inventory.manifest.as_ref().map(|m| m.snapshots.clone());
    let names: Vec<(String, Option<SnapshotRef>)> = match named {
        Some(named) => named
            .into_iter()
            .map(|named| (named.name.clone(), Some(named)))
            .collect(),
        None => there.into_iter().map(|name| (name, None)).collect(),
    };
    for (name, named) in names {
        let looked = look_at_snapshot(disk, &name, named.as_ref(), inventory.store_id);
        if let Some(newer) = &looked.newer {
            inventory.newer(&name, newer);
        }
        inventory.snapshots.push(looked);
    }
    inventory.snapshots.sort_by_key(|snapshot| snapshot.start);
}

/// The file's bytes; where it cannot be read they are zero, which no frame is.
pub fn read_what_can_be(file: &dyn ReadFile, name: &str) -> Result<(Vec<u8>, u64), OpenError> {
    let error = match read_whole(file, name) {
        Ok(bytes) => return Ok((bytes, 0)),
        Err(error @ OpenError::Io { .. }) => error,
        Err(other) => return Err(other),
    };
    tracing::warn!(%error, "reading what can be read of it");
    let len = usize::try_from(file.size()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(len).is_err() {
        return Err(error);
    }
    bytes.resize(len, 0);
    let mut unread = 0;
    for (index, page) in bytes.chunks_mut(PAGE).enumerate() {
        if file.read_exact_at((index * PAGE) as u64, page).is_err() {
            page.fill(0);
            unread += page.len() as u64;
        }
    }
    Ok((bytes, unread))
}
