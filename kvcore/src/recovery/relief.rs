//! The new segment of a start, also on a disk that is full.
//!
//! A store that cannot be written must still be read, so a start takes what it can get for
//! the one segment it needs, in this order:
//!
//! ```text
//!  1 a segment that an earlier run has prepared
//!  2 temporaries, and rooms for MANIFESTs                       (gone before this)
//!  3 the unused end of the newest segment, which nobody appends to any more
//!  4 log and snapshots that this start did not need: MANIFEST first, then the files
//! ```
//! 3 needs no MANIFEST: what is given back reads as the zeros that it was.

use std::sync::Arc;

use super::base::Base;
use super::classify::Tail;
use super::error::OpenError;
use super::fresh::{self, Plan};
use super::survey::SegmentFound;
use crate::disk::Disk;
use crate::format::manifest::Manifest;
use crate::format::names::{MANIFEST, segment_name};
use crate::log::rooms::is_full;
use crate::log::segment::ActiveSegment;
use crate::log::spares::Spares;

/// Creates the segment of the plan; `manifest` names what is still there then. `newest` is the
/// segment that was it, with where it ends.
pub fn first_segment(
    (disk, spares): (&Arc<dyn Disk>, &Spares),
    manifest: &mut Manifest,
    base: Base,
    (newest, end, tail): (&SegmentFound, u64, &Tail),
    plan: &Plan,
) -> Result<ActiveSegment, OpenError> {
    fresh::give_back(disk, &newest.name, end, tail);
    match fresh::create(disk, spares, manifest, plan) {
        Err(OpenError::Io { source, .. }) if is_full(&source) && give_up(disk, manifest, base)? => {
            fresh::create(disk, spares, manifest, plan)
        }
        made => made,
    }
}

/// Leaves to the MANIFEST what this start was made from, and removes the rest. False: there
/// is nothing else.
fn give_up(disk: &Arc<dyn Disk>, manifest: &mut Manifest, base: Base) -> Result<bool, OpenError> {
    let mut next = manifest.clone();
    next.generation += 1;
    next.snapshots
        .retain(|snapshot| snapshot.start >= base.start);
    next.first_segment = next.first_segment.max(base.first_segment);
    let dropped = manifest.snapshots.iter();
    let dropped = dropped.filter(|snapshot| snapshot.start < base.start);
    let garbage: Vec<String> = (manifest.first_segment..next.first_segment)
        .map(segment_name)
        .chain(dropped.map(|snapshot| snapshot.name.clone()))
        .collect();
    if garbage.is_empty() {
        return Ok(false);
    }
    disk.replace(MANIFEST, &next.encode())
        .map_err(OpenError::io("cannot publish MANIFEST"))?;
    *manifest = next;
    tracing::warn!(
        files = garbage.len(),
        "the disk is full: gave up log and snapshots that this start did not need"
    );
    for name in &garbage {
        disk.remove(name)
            .map_err(OpenError::io(format!("cannot remove {name}")))?;
    }
    disk.sync_dir()
        .map_err(OpenError::io("cannot sync the directory"))?;
    Ok(true)
}
