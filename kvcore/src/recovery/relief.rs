//! The new segment of a start, also on a disk that is full.
//!
//! A store that cannot be written must still be read, so a start takes what it can get for
//! the one segment it needs, in this order:
//!
//! ```text
//!  1 a segment that an earlier run has prepared
//!  2 temporaries, and rooms for MANIFESTs but for a few         (gone before this)
//!  3 the unused end of the newest segment, which nobody appends to any more
//!  4 log and snapshots that this start did not need: MANIFEST first, then the files
//!  5 a room more
//! ```
//! 3 needs no MANIFEST: what is given back reads as the zeros that it was. The MANIFESTs of a
//! start take [`LeftRooms`] where there is no block for a new file: the power may have gone
//! after somebody else had taken what was given back, and before the first of them.

use std::io;
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

/// For what is given up, and for the segment.
const MANIFESTS: usize = 2;

/// Rooms for MANIFESTs that an earlier run has left. They are nobody's once this start's
/// MANIFEST stands: [`LeftRooms::remove`].
#[derive(Debug)]
pub struct LeftRooms {
    disk: Arc<dyn Disk>,
    names: Vec<String>,
}

impl LeftRooms {
    /// Removes all but as many as a start can need.
    pub fn keep_few(disk: &Arc<dyn Disk>, mut names: Vec<String>) -> Result<Self, OpenError> {
        let surplus = names.split_off(names.len().min(MANIFESTS));
        let kept = Self {
            disk: disk.clone(),
            names,
        };
        surplus.iter().try_for_each(|name| kept.remove_one(name))?;
        Ok(kept)
    }

    /// Replaces MANIFEST by a new file, or in a room if there is no space for one.
    pub fn publish(&mut self, manifest: &Manifest) -> Result<(), OpenError> {
        let bytes = manifest.encode();
        let mut published = self.disk.replace(MANIFEST, &bytes);
        // One that a power cut has left is no file of the right size, or has no blocks.
        while let Err(error) = &published
            && (is_full(error) || error.kind() == io::ErrorKind::InvalidInput)
            && let Some(room) = self.names.pop()
        {
            published = self.disk.replace_with(&room, MANIFEST, &bytes);
        }
        published.map_err(OpenError::io("cannot publish MANIFEST"))
    }

    /// Gives the space of one back, unless it is the last.
    fn give_back(&mut self) -> Result<bool, OpenError> {
        if self.names.len() < MANIFESTS {
            return Ok(false);
        }
        let room = self.names.pop().unwrap_or_default();
        self.remove_one(&room)?;
        Ok(true)
    }

    /// Removes them all.
    pub fn remove(self) -> Result<(), OpenError> {
        self.names.iter().try_for_each(|name| self.remove_one(name))
    }

    fn remove_one(&self, name: &str) -> Result<(), OpenError> {
        let removed = self.disk.remove(name);
        removed.map_err(OpenError::io(format!("cannot remove {name}")))
    }
}

/// Creates the segment of the plan; `manifest` names what is still there then. `newest` is the
/// segment that was it, with where it ends.
pub fn first_segment(
    (disk, spares, rooms): (&Arc<dyn Disk>, &Spares, &mut LeftRooms),
    manifest: &mut Manifest,
    base: Base,
    (newest, end, tail): (&SegmentFound, u64, &Tail),
    plan: &Plan,
) -> Result<ActiveSegment, OpenError> {
    fresh::give_back(disk, &newest.name, end, tail);
    loop {
        match fresh::create(disk, spares, manifest, plan) {
            Err(OpenError::Io { source, .. })
                if is_full(&source)
                    && (give_up(disk, rooms, manifest, base)? || rooms.give_back()?) => {}
            made => return made,
        }
    }
}

/// Leaves to the MANIFEST what this start was made from, and removes the rest. False: there
/// is nothing else.
fn give_up(
    disk: &Arc<dyn Disk>,
    rooms: &mut LeftRooms,
    manifest: &mut Manifest,
    base: Base,
) -> Result<bool, OpenError> {
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
    rooms.publish(&next)?;
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
