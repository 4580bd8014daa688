//! How a segment ends, and what that means.
//!
//! A segment with a successor must be whole up to where the successor says. The
//! newest one may have been cut off by a crash; whether it was is decided by the
//! durable watermarks, not by how near to the end the damage is.

use super::error::OpenError;
use super::survey::SegmentFound;
use crate::base::broken;
use crate::base::revision::Revision;
use crate::format::segment_header::{PreviousEnd, SegmentHeader};
use crate::log::reader::{Evidence, Stop, Walk, search, walk};

/// How the newest segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// With the last frame, and zeros behind it.
    Clean,
    /// With something that was being written when the power went: cut it off.
    Torn { bytes: u64, why: String },
    /// With a frame that is there from head to trailer and has wrong bytes: not what
    /// tearing looks like, but nobody was told that it was durable.
    Suspect { bytes: u64, why: String },
}

/// The newest segment, judged.
#[derive(Debug)]
pub struct Newest {
    pub walk: Walk,
    pub tail: Tail,
}

/// Walks a segment that has a successor: whole, or the store is damaged.
pub fn sealed(found: &SegmentFound, bytes: &[u8], next: &PreviousEnd) -> Result<Walk, OpenError> {
    let walk = walk(bytes, &found.header, Some(next.end));
    let whole = walk.end == next.end && matches!(walk.stop, Stop::Limit | Stop::Sealed);
    if !whole {
        let what = format!(
            "{}; revisions {} to {} are lost",
            describe(&walk.stop),
            walk.last_revision.next(),
            next.last_revision
        );
        return Err(OpenError::damaged(&found.name, walk.end, what));
    }
    if walk.last_revision != next.last_revision || walk.link != next.link {
        let what = format!(
            "it ends at revision {}, its successor says {}",
            walk.last_revision, next.last_revision
        );
        return Err(OpenError::damaged(&found.name, walk.end, what));
    }
    Ok(walk)
}

/// Walks the newest segment and judges its end. `known_durable` is what the MANIFEST
/// and the segments before it certify.
pub fn newest(
    found: &SegmentFound,
    bytes: &[u8],
    known_durable: Revision,
) -> Result<Newest, OpenError> {
    judge_newest(&found.name, &found.header, bytes, known_durable)
}

/// As [`newest`], of a segment that nothing else is known of.
pub fn judge_newest(
    name: &str,
    header: &SegmentHeader,
    bytes: &[u8],
    known_durable: Revision,
) -> Result<Newest, OpenError> {
    let walk = walk(bytes, header, None);
    let expected = walk.last_revision.next();
    let evidence = search(bytes, walk.end, header, expected);
    let durable = known_durable.max(walk.durable).max(evidence.durable);
    let believe_any_end = broken::is(broken::Build::TruncateOnAnyBadCrc);
    if let Stop::Bad {
        reason,
        never_torn: true,
        ..
    } = &walk.stop
        && !believe_any_end
    {
        let what = format!("{reason}; no interrupted write looks like this: it is corruption");
        return Err(OpenError::damaged(name, walk.end, what));
    }
    if durable >= expected && !believe_any_end {
        let what = format!(
            "{}; the log was durable up to revision {durable}, so revisions {expected} to {durable} \
             are damaged or lost: this is corruption, not a torn tail",
            describe(&walk.stop)
        );
        return Err(OpenError::damaged(name, walk.end, what));
    }
    let tail = judge(&walk, &evidence);
    Ok(Newest { walk, tail })
}

fn judge(walk: &Walk, evidence: &Evidence) -> Tail {
    let bytes = evidence.bytes;
    match &walk.stop {
        _ if bytes == 0 => Tail::Clean,
        Stop::Bad {
            reason,
            suspect: true,
            ..
        } if evidence.frames <= 1 => Tail::Suspect {
            bytes,
            why: reason.clone(),
        },
        stop => Tail::Torn {
            bytes,
            why: describe(stop),
        },
    }
}

fn describe(stop: &Stop) -> String {
    match stop {
        Stop::Limit => "the frames end".into(),
        Stop::Sealed => "there is something behind the SEAL".into(),
        Stop::Zeros => "there is no frame here".into(),
        Stop::Bad { reason, .. } => reason.clone(),
    }
}
