//! Reads committed units back out of the segments, behind a revision and up to another.
//!
//! What is asked for must be durable and pinned ([`Catalog::pin`](super::catalog::Catalog::pin)):
//! then its frames are whole in files that stay. The active segment is read like the others;
//! what the writer adds meanwhile lies behind the end that was asked for.

use std::io;
use std::sync::Arc;

use super::catalog::Catalog;
use super::reader::{DataFrame, walk};
use crate::base::revision::Revision;
use crate::disk::Disk;
use crate::format::names::segment_name;
use crate::format::segment_header::SegmentHeader;

/// Calls `each` with every frame that holds a unit behind `after`, up to the one that holds
/// `upto`, and with the segment's bytes that it lies in. The first and the last may hold
/// units outside.
///
/// # Errors
/// A segment cannot be read, or is not what was written: `InvalidData` names file and
/// revision.
pub fn frames(
    disk: &Arc<dyn Disk>,
    catalog: &Catalog,
    (after, upto): (Revision, Revision),
    each: &mut dyn FnMut(&DataFrame, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut reached = after;
    let mut sequence = catalog.needed_after(after);
    while reached < upto {
        let name = segment_name(sequence);
        let bytes = read(disk, &name)?;
        let header = SegmentHeader::decode(&bytes).map_err(|e| damaged(&name, &e.to_string()))?;
        // Between two segments, revisions may be left out for good.
        if header.first_revision > reached.next() && !header.gap_before && sequence > 1 {
            let what = format!(
                "it begins at {}, not at {}",
                header.first_revision,
                reached.next()
            );
            return Err(damaged(&name, &what));
        }
        let walked = walk(&bytes, &header, None);
        for frame in &walked.frames {
            let last = Revision(frame.first_revision.0 + u64::from(frame.units) - 1);
            if last > reached && frame.first_revision <= upto {
                each(frame, &bytes)?;
                reached = last;
            }
        }
        if reached < upto && !walked.sealed && !catalog.has(sequence + 1) {
            let what = format!(
                "it ends at revision {}, and the log is durable up to {upto}",
                walked.last_revision
            );
            return Err(damaged(&name, &what));
        }
        sequence += 1;
    }
    Ok(())
}

fn read(disk: &Arc<dyn Disk>, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open_read(name)?;
    let len = usize::try_from(file.size()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(io::Error::other)?;
    bytes.resize(len, 0);
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

fn damaged(name: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {what}"))
}
