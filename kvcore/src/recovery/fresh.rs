//! The new segment that every start begins with, and what becomes of the old tail.
//!
//! ```text
//!  1 quarantine: a copy of the torn tail                       (crash: the tail is still there)
//!  2 give back the blocks behind the end of the old segment    (crash: it reads as before)
//!  3 header, sync, rename to the segment's name, directory     (crash: an unborn segment, replaced next time)
//!  4 MANIFEST names it, with the gap, not clean                 <- from here on it counts
//! ```

use std::sync::Arc;

use super::classify::Tail;
use super::error::OpenError;
use crate::base::broken;
use crate::base::limits::{QUARANTINE_BYTES, QUARANTINE_FILES};
use crate::base::revision::{Gap, Revision};
use crate::disk::Disk;
use crate::format::manifest::{ClockPair, Manifest};
use crate::format::names::{FileName, quarantine_name};
use crate::format::segment_header::{PreviousEnd, SegmentHeader};
use crate::log::rooms::is_full;
use crate::log::segment::ActiveSegment;
use crate::log::spares::Spares;

/// Where numbering goes on, and what it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// The last revision that names a unit (or the start).
    pub last: Revision,
    /// The first revision of this run.
    pub next: Revision,
    pub gap: Option<Gap>,
}

impl Numbering {
    /// `numbered` is the highest revision that an earlier run may have started from:
    /// what it handed out lies above.
    pub fn after(last: Revision, numbered: Revision, clean: bool) -> Self {
        let jump = !clean && !broken::is(broken::Build::ReuseRevisions);
        let floor = last.max(numbered);
        let next = if jump {
            floor.plus(Revision::JUMP)
        } else {
            floor.next()
        };
        let gap = (next > last.next()).then(|| Gap {
            first: last.next(),
            last: Revision(next.0 - 1),
        });
        Self { last, next, gap }
    }
}

/// Keeps a copy of what is cut off; returns its file's name. On a full disk there is none:
/// nobody was promised these bytes, and a start must not fail for them.
pub fn quarantine(
    disk: &Arc<dyn Disk>,
    sequence: u64,
    end: u64,
    tail: &[u8],
) -> Result<Option<String>, OpenError> {
    let name = quarantine_name(sequence, end);
    let keep = usize::try_from(QUARANTINE_BYTES)
        .unwrap_or(usize::MAX)
        .min(tail.len());
    match disk.replace(&name, &tail[..keep]) {
        Ok(()) => {}
        Err(error) if is_full(&error) => return Ok(None),
        Err(error) => {
            let what = format!("cannot keep the torn tail as {name}");
            return Err(OpenError::io(what)(error));
        }
    }
    let mut kept: Vec<String> = disk
        .list()
        .map_err(OpenError::io("cannot list the directory"))?
        .into_iter()
        .filter(|e| matches!(FileName::parse(&e.name), FileName::Quarantine { .. }))
        .map(|e| e.name)
        .collect();
    let surplus = kept.len().saturating_sub(QUARANTINE_FILES);
    for old in kept.drain(..surplus) {
        disk.remove(&old)
            .map_err(OpenError::io(format!("cannot remove {old}")))?;
    }
    Ok(Some(name))
}

/// What the new segment is made from.
#[derive(Debug)]
pub struct Plan {
    /// The number it gets: the next one, or the newest one's own if that is empty.
    pub sequence: u64,
    pub previous: Option<PreviousEnd>,
    pub numbering: Numbering,
    pub torn: bool,
    pub clock: ClockPair,
    pub salt: u64,
}

/// Creates the new segment, durably named.
pub fn create(
    disk: &Arc<dyn Disk>,
    spares: &Spares,
    manifest: &Manifest,
    plan: &Plan,
) -> Result<ActiveSegment, OpenError> {
    let spare = spares.first().map_err(OpenError::io(
        "cannot prepare the log segment that a start needs; if the disk is full, free \
             some space on it",
    ))?;
    let last = plan
        .previous
        .as_ref()
        .map_or(Revision::START, |p| p.last_revision);
    let header = SegmentHeader {
        store_id: manifest.store_id,
        sequence: plan.sequence,
        first_revision: plan.numbering.next,
        salt: plan.salt,
        previous: plan.previous,
        recovered: plan.torn,
        gap_before: plan.numbering.next > last.next(),
        segment_bytes: spare.file.size(),
        engine_ms: plan.clock.engine_ms,
        wall_ms: plan.clock.wall_ms,
    };
    ActiveSegment::create(disk, spare, &header)
        .map_err(OpenError::io("cannot create the new log segment"))
}

/// The MANIFEST that makes the new segment count.
pub fn manifest_after(before: &Manifest, plan: &Plan) -> Manifest {
    let mut manifest = before.clone();
    manifest.generation += 1;
    manifest.newest_segment = plan.sequence;
    manifest.first_segment = manifest.first_segment.clamp(1, plan.sequence);
    manifest.durable = Revision(plan.numbering.next.0 - 1);
    manifest.clock = plan.clock;
    manifest.clean = None;
    if let Some(gap) = plan.numbering.gap {
        match manifest.gaps.last_mut() {
            // The last run left nothing behind: its gap and the new one are one.
            Some(last) if gap.first <= last.last => last.last = gap.last,
            _ => manifest.add_gap(gap),
        }
    }
    manifest
}

/// Gives back the blocks of a segment behind its last byte that is not zero.
pub fn give_back(disk: &Arc<dyn Disk>, name: &str, end: u64, tail: &Tail) {
    let used = match tail {
        Tail::Clean => end,
        Tail::Torn { bytes, .. } | Tail::Suspect { bytes, .. } => end + bytes,
    };
    if let Err(error) = disk.punch_tail(name, used.next_multiple_of(4096)) {
        tracing::warn!(%error, name, "cannot give back the unused end of a segment");
    }
}
