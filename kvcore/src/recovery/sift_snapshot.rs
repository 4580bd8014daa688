//! Looks at a snapshot that may be damaged, and takes what is whole of it, block by block.

use std::io;
use std::sync::Arc;

use super::report::{Class, FileReport, LostKey, Place};
use crate::base::revision::Revision;
use crate::disk::{Disk, ReadFile};
use crate::format::StoreId;
use crate::format::checksum::Seed;
use crate::format::manifest::SnapshotRef;
use crate::format::names::FileName;
use crate::format::snapshot::{
    BLOCK_HEAD_BYTES, BlockHead, BlockKind, Purpose, SNAPSHOT_HEADER_BYTES, SnapshotHeader,
    records, requests,
};
use crate::snapshot::{ReadError, verify};

/// What is read at once in search of a block.
const WINDOW: usize = 1 << 20;

/// A snapshot, as far as it can be made out.
#[derive(Debug)]
pub struct SnapshotAt {
    pub name: String,
    pub start: Revision,
    pub end: Revision,
    /// None: it cannot even be opened.
    pub file: Option<Box<dyn ReadFile>>,
    /// If the beginning can be made out.
    pub header: Option<SnapshotHeader>,
    pub report: FileReport,
    pub newer: Option<String>,
}

impl SnapshotAt {
    pub fn is_sound(&self) -> bool {
        self.report.class == Class::Clean
    }

    /// Whether any of it can be taken.
    pub fn is_ours(&self) -> bool {
        matches!(self.report.class, Class::Clean | Class::Corrupt) && self.header.is_some()
    }
}

/// Reads the whole file and judges it.
pub fn look_at_snapshot(
    disk: &Arc<dyn Disk>,
    name: &str,
    named: Option<&SnapshotRef>,
    store_id: Option<StoreId>,
) -> SnapshotAt {
    let (start, end) = revisions(name);
    let mut looked = SnapshotAt {
        name: name.to_owned(),
        start,
        end,
        file: None,
        header: None,
        report: FileReport::new(name, Class::Clean, ""),
        newer: None,
    };
    match disk.open_read(name) {
        Ok(file) => {
            if let Err(error) = file.settle() {
                looked.report = FileReport::new(name, Class::Corrupt, error.to_string());
            } else {
                looked.report = judge_snapshot(name, file.as_ref(), named, store_id);
            }
            match header_of(file.as_ref()) {
                Ok(header) => looked.header = Some(header),
                Err(ReadError::Damaged { what, .. }) if what.contains("newer kvd") => {
                    looked.newer = Some(what);
                }
                Err(_) => {}
            }
            looked.file = Some(file);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let note = "the file is missing; MANIFEST names it";
            looked.report = FileReport::new(name, Class::Missing, note);
        }
        Err(error) => {
            looked.report = FileReport::new(name, Class::Corrupt, error.to_string());
        }
    }
    looked
}

fn revisions(name: &str) -> (Revision, Revision) {
    match FileName::parse(name) {
        FileName::Snapshot { start, end } => (start, end),
        _ => (Revision::NONE, Revision::NONE),
    }
}

fn header_of(file: &dyn ReadFile) -> Result<SnapshotHeader, ReadError> {
    let mut head = [0; SNAPSHOT_HEADER_BYTES];
    file.read_exact_at(0, &mut head).map_err(ReadError::Io)?;
    SnapshotHeader::decode(&head).map_err(|error| {
        let newer = if error.is_newer() {
            " (written by a newer kvd)"
        } else {
            ""
        };
        ReadError::damaged(0, format!("{error}{newer}"))
    })
}

/// Reads a whole snapshot, and says what it is and where it is damaged.
pub fn judge_snapshot(
    name: &str,
    file: &dyn ReadFile,
    named: Option<&SnapshotRef>,
    store_id: Option<StoreId>,
) -> FileReport {
    let (start, end) = revisions(name);
    let mut report = FileReport::new(name, Class::Clean, "");
    (report.first_revision, report.last_revision) = (start, end);
    report.bytes = file.size();
    match verify(file) {
        Ok((header, ..)) if Some(header.store_id) != store_id => {
            report.class = Class::Foreign;
            report.note = format!("it belongs to store {}", header.store_id);
        }
        Ok((header, found, crc)) => {
            let renamed = header.purpose != Purpose::Snapshot
                || (header.start, found.end.end) != (start, end);
            let other = named.is_some_and(|named| named.crc != crc || named.bytes != file.size());
            if renamed || other {
                report.class = Class::Duplicate;
                report.note = "it is whole, but another one than its name and MANIFEST say".into();
            } else {
                report.note = format!("{} records", found.end.records);
            }
        }
        Err(error) => {
            report.class = Class::Corrupt;
            let header = header_of(file).ok();
            if header.is_some_and(|header| Some(header.store_id) != store_id) {
                report.class = Class::Foreign;
            } else if let Some(header) = header {
                report.places = sift_snapshot(file, &header, &mut |_, _, _| ());
            }
            if report.places.is_empty() {
                report.places.push(place_of(error, header.is_none()));
            }
        }
    }
    report
}

fn place_of(error: ReadError, all: bool) -> Place {
    let (offset, what) = match error {
        ReadError::Damaged { offset, what } => (offset, what),
        ReadError::Io(error) => (0, error.to_string()),
    };
    Place {
        open: all,
        all_keys: !all,
        ..Place::new(offset, offset, what)
    }
}

/// Hands every sound block to `each`: its kind, its payload, and how many entries it has.
pub fn sift_snapshot(
    file: &dyn ReadFile,
    header: &SnapshotHeader,
    each: &mut dyn FnMut(BlockKind, &[u8], u32),
) -> Vec<Place> {
    let seed = header.seed();
    let mut places = Vec::new();
    let mut at = SNAPSHOT_HEADER_BYTES as u64;
    loop {
        let mut head = [0; BLOCK_HEAD_BYTES];
        let read = file.read_exact_at(at, &mut head);
        let head = read.ok().and_then(|()| BlockHead::probe(&head, seed, at));
        let Some(head) = head else {
            let next = next_head(file, at + 1, seed);
            let what = "there is no block here";
            let mut place = Place::new(at, next.unwrap_or(file.size()), what);
            place.open = true;
            place.all_keys = false;
            places.push(place);
            match next {
                Some(next) => at = next,
                None => return places,
            }
            continue;
        };
        let begin = at + BLOCK_HEAD_BYTES as u64;
        let end = begin.saturating_add(head.payload_bytes as u64);
        if end > file.size() {
            places.push(Place {
                open: true,
                all_keys: false,
                ..Place::new(at, file.size(), "the file ends inside a block")
            });
            return places;
        }
        let mut payload = vec![0; head.payload_bytes];
        let read = file.read_exact_at(begin, &mut payload);
        let what = match read {
            Ok(()) => match head.check_payload(seed, at, &payload) {
                Ok(()) => whole(&head, &payload),
                Err(error) => Some(error.to_string()),
            },
            Err(error) => Some(error.to_string()),
        };
        match what {
            None => each(head.kind, &payload, head.entries),
            Some(what) => places.push(lost_block(&head, (at, end), what, &payload)),
        }
        if matches!(head.kind, BlockKind::End | BlockKind::BackupEnd) {
            return places;
        }
        at = end;
    }
}

/// What is wrong with the entries of a block whose checksum fits.
fn whole(head: &BlockHead, payload: &[u8]) -> Option<String> {
    let bad = match head.kind {
        BlockKind::Records => records(payload, head.entries).find_map(Result::err),
        BlockKind::Requests => requests(payload, head.entries).find_map(Result::err),
        _ => None,
    };
    bad.map(|error| error.to_string())
}

fn lost_block(head: &BlockHead, (at, end): (u64, u64), what: String, payload: &[u8]) -> Place {
    let mut place = Place::new(at, end, what);
    if head.kind == BlockKind::Records {
        place.records = u64::from(head.entries);
        place.all_keys = false;
        place.keys = records(payload, head.entries)
            .map_while(Result::ok)
            .map(|record| LostKey {
                revision: record.mod_revision,
                key: record.key.to_vec(),
            })
            .collect();
    }
    place
}

/// Where the next head stands that only this file can hold.
fn next_head(file: &dyn ReadFile, from: u64, seed: Seed) -> Option<u64> {
    let mut at = from;
    let rest = usize::try_from(file.size().saturating_sub(from)).unwrap_or(usize::MAX);
    let mut window = vec![0; rest.min(WINDOW + BLOCK_HEAD_BYTES)];
    while at < file.size() {
        let left = usize::try_from(file.size() - at).unwrap_or(usize::MAX);
        let len = left.min(window.len());
        let bytes = &mut window[..len];
        if file.read_exact_at(at, bytes).is_err() {
            at += WINDOW as u64;
            continue;
        }
        let heads = bytes.windows(BLOCK_HEAD_BYTES).enumerate().take(WINDOW);
        for (index, head) in heads {
            let offset = at + index as u64;
            let head = head.first_chunk()?;
            if BlockHead::probe(head, seed, offset).is_some() {
                return Some(offset);
            }
        }
        at += WINDOW as u64;
    }
    None
}
