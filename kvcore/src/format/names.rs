//! The names of files in a data directory, which is flat.
//!
//! ```text
//! MANIFEST                                   what there is; the only thing that names files
//! LOCK                                       held by the process that has the directory open
//! seg-SEQUENCE.kvlog                         a segment of the log
//! spare-NUMBER.kvspare                       a zeroed file that will become a segment
//! torn-SEQUENCE-OFFSET.kvtorn                the torn tail of a segment, kept for people
//! snap-START-END.kvsnap                      a snapshot of these revisions
//! room-NUMBER.kvroom                         zeros for a MANIFEST that no space is left for
//! NAME.tmp                                   one of the above being made, left by a crash
//! ```
//!
//! Numbers have exactly 20 digits, so that names sort like numbers and a number has one
//! name. Whatever is spelled otherwise is somebody else's file and is never touched.

#[cfg(test)]
mod tests;

use crate::base::revision::Revision;

pub const MANIFEST: &str = "MANIFEST";
pub const LOCK: &str = "LOCK";
/// Behind the name of a file that is being made.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Digits of `u64::MAX`.
const DIGITS: usize = 20;

pub fn segment_name(sequence: u64) -> String {
    format!("seg-{sequence:020}.kvlog")
}

pub fn spare_name(number: u64) -> String {
    format!("spare-{number:020}.kvspare")
}

pub fn room_name(number: u64) -> String {
    format!("room-{number:020}.kvroom")
}

/// Of the torn bytes that began at `offset` of a segment.
pub fn quarantine_name(sequence: u64, offset: u64) -> String {
    format!("torn-{sequence:020}-{offset:020}.kvtorn")
}

pub fn snapshot_name(start: Revision, end: Revision) -> String {
    format!("snap-{:020}-{:020}.kvsnap", start.0, end.0)
}

/// What `name` is called while it is being made.
pub fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY_SUFFIX}")
}

/// What a file of a data directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileName {
    Segment(u64),
    Spare(u64),
    Room(u64),
    Quarantine {
        sequence: u64,
        offset: u64,
    },
    Snapshot {
        start: Revision,
        end: Revision,
    },
    Manifest,
    Lock,
    /// One of ours, unfinished.
    Temporary,
    /// Not ours.
    Unknown,
}

impl FileName {
    pub fn parse(name: &str) -> Self {
        match name {
            MANIFEST => Self::Manifest,
            LOCK => Self::Lock,
            _ => Self::temporary(name)
                .or_else(|| Self::numbered(name))
                .unwrap_or(Self::Unknown),
        }
    }

    fn temporary(name: &str) -> Option<Self> {
        let target = name.strip_suffix(TEMPORARY_SUFFIX)?;
        let ours = target == MANIFEST || Self::numbered(target).is_some();
        ours.then_some(Self::Temporary)
    }

    fn numbered(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once('-')?;
        let (numbers, extension) = rest.split_once('.')?;
        Some(match (kind, extension) {
            ("seg", "kvlog") => Self::Segment(number(numbers)?),
            ("spare", "kvspare") => Self::Spare(number(numbers)?),
            ("room", "kvroom") => Self::Room(number(numbers)?),
            ("torn", "kvtorn") => {
                let (sequence, offset) = pair(numbers)?;
                Self::Quarantine { sequence, offset }
            }
            ("snap", "kvsnap") => {
                let (start, end) = pair(numbers)?;
                Self::Snapshot {
                    start: Revision(start),
                    end: Revision(end),
                }
            }
            _ => return None,
        })
    }
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (first, second) = text.split_once('-')?;
    Some((number(first)?, number(second)?))
}

/// Exactly 20 digits that fit a u64. `parse` alone would let a sign pass.
fn number(text: &str) -> Option<u64> {
    let digits = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}
