//! Shows what the files of a store hold, change by change, and alters nothing.
//!
//! ```text
//!  newest snapshot (if asked for)   records in key order
//!  log                              units in the order of their revisions
//! ```
//! - What a checksum does not vouch for is not shown. At damage the rest of that file is left
//!   out, the next one is shown, and the first damage is told at the end.
//! - A segment is held in memory as a whole, and one block of a snapshot.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::OpenError;
use super::survey::{SegmentFound, read_whole, survey};
use crate::base::op::{OpView, UnitKind};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::disk::Disk;
use crate::format::manifest::{ClockPair, Manifest};
use crate::format::snapshot::{BlockKind, RecordView, records};
use crate::format::unit::units;
use crate::log::reader::{DataFrame, Stop, Walk, walk};
use crate::snapshot::{ReadError, Reader};

/// What to show.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// The first and the last revision.
    pub revisions: (Revision, Revision),
    pub keys: KeyRange,
    /// Show the records of the newest snapshot before the log.
    pub snapshot: bool,
}

impl Default for DumpOptions {
    /// The whole log.
    fn default() -> Self {
        Self {
            revisions: (Revision::NONE, Revision(u64::MAX)),
            keys: KeyRange::all(),
            snapshot: false,
        }
    }
}

/// One record or one change; borrows the bytes of the file.
#[derive(Clone, Copy, Debug)]
pub struct Dumped<'a> {
    /// Of a segment or of a snapshot.
    pub file: &'a str,
    /// Where the frame or the block begins that it lies in.
    pub offset: u64,
    pub revision: Revision,
    /// One of several changes of one transaction.
    pub transaction: bool,
    pub request_id: Option<&'a [u8]>,
    /// When its frame was written, ms since the Unix epoch; 0 in a snapshot.
    pub written_at_ms: u64,
    /// When the key expires, ms since the Unix epoch; 0 = never.
    pub expires_at_ms: u64,
    pub op: OpView<'a>,
}

/// What was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpSummary {
    pub records: u64,
    pub changes: u64,
    /// The first damage that something lies behind; the rest of its file was left out.
    pub damage: Option<String>,
    /// What follows the last good frame of the newest segment, if anything does.
    pub tail: Option<String>,
}

/// Calls `each` for everything in `dir`, which must not be in use, that `options` asks for.
///
/// # Errors
/// The directory cannot be read or is locked; MANIFEST or the head of a file is damaged; or
/// `each` failed.
pub fn dump(
    dir: &Path,
    options: &DumpOptions,
    each: &mut dyn FnMut(&Dumped<'_>) -> io::Result<()>,
) -> Result<DumpSummary, OpenError> {
    if !dir.is_dir() {
        let what = format!(
            "{} is not a directory; name a data directory of kvd",
            dir.display()
        );
        return Err(OpenError::Options(what));
    }
    let disk = super::directory::os_disk(dir)?;
    let _lock = super::directory::lock(disk.as_ref())?;
    let found = survey(&disk)?;
    let mut dump = Dump {
        options,
        each,
        summary: DumpSummary::default(),
    };
    let Some(manifest) = &found.manifest else {
        return Ok(dump.summary);
    };
    if options.snapshot {
        dump.newest_snapshot(&disk, manifest)?;
    }
    for (index, segment) in found.segments.iter().enumerate() {
        let successor = found.segments.get(index + 1);
        dump.segment(segment, successor)?;
    }
    Ok(dump.summary)
}

struct Dump<'a> {
    options: &'a DumpOptions,
    each: &'a mut dyn FnMut(&Dumped<'_>) -> io::Result<()>,
    summary: DumpSummary,
}

impl Dump<'_> {
    fn newest_snapshot(
        &mut self,
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
    ) -> Result<(), OpenError> {
        let Some(newest) = manifest.snapshots.last() else {
            return Ok(());
        };
        let name = &newest.name;
        let file = disk
            .open_read(name)
            .map_err(OpenError::io(format!("cannot open {name}")))?;
        let shown = Reader::open(file.as_ref()).and_then(|mut reader| {
            let clock = ClockPair {
                engine_ms: reader.header.engine_ms,
                wall_ms: reader.header.wall_ms,
            };
            while let Some(block) = reader.next_block()? {
                block.check()?;
                if block.head.kind != BlockKind::Records {
                    continue;
                }
                for record in records(&block.payload, block.head.entries) {
                    let record =
                        record.map_err(|e| ReadError::damaged(block.offset, e.to_string()))?;
                    self.record(name, block.offset, clock, &record)
                        .map_err(ReadError::Io)?;
                }
            }
            Ok(())
        });
        match shown {
            Ok(()) => Ok(()),
            Err(ReadError::Damaged { offset, what }) => {
                self.damage(name, offset, &what);
                Ok(())
            }
            Err(ReadError::Io(error)) => Err(failed(name)(error)),
        }
    }

    fn record(
        &mut self,
        file: &str,
        offset: u64,
        clock: ClockPair,
        record: &RecordView<'_>,
    ) -> io::Result<()> {
        let (first, last) = self.options.revisions;
        let within = (first..=last).contains(&record.mod_revision);
        if !within || !self.options.keys.contains(record.key) {
            return Ok(());
        }
        self.summary.records += 1;
        (self.each)(&Dumped {
            file,
            offset,
            revision: record.mod_revision,
            transaction: false,
            request_id: None,
            written_at_ms: 0,
            expires_at_ms: wall(clock, record.deadline_ms),
            op: record.as_op(),
        })
    }

    fn segment(
        &mut self,
        segment: &SegmentFound,
        successor: Option<&SegmentFound>,
    ) -> Result<(), OpenError> {
        let (first, last) = self.options.revisions;
        let ends_before = successor.is_some_and(|next| next.header.first_revision <= first);
        if ends_before || segment.header.first_revision > last {
            return Ok(());
        }
        let bytes = read_whole(segment.file.as_ref(), &segment.name)?;
        let end = successor.and_then(|next| next.header.previous.as_ref().map(|own| own.end));
        let walked = walk(&bytes, &segment.header, end);
        for frame in &walked.frames {
            self.frame(segment, frame, &bytes[frame.payload.clone()])?;
        }
        self.note_stop(&segment.name, &walked, end);
        Ok(())
    }

    fn frame(
        &mut self,
        segment: &SegmentFound,
        frame: &DataFrame,
        payload: &[u8],
    ) -> Result<(), OpenError> {
        let (first, last) = self.options.revisions;
        let clock = ClockPair {
            engine_ms: segment.header.engine_ms,
            wall_ms: segment.header.wall_ms,
        };
        let offset = frame.payload.start as u64;
        let mut revision = frame.first_revision;
        for unit in units(payload) {
            let unit = match unit {
                Ok(unit) => unit,
                Err(error) => {
                    self.damage(&segment.name, offset, &error.to_string());
                    return Ok(());
                }
            };
            if (first..=last).contains(&revision) {
                for op in unit.ops().filter(|op| self.options.keys.contains(op.key)) {
                    self.summary.changes += 1;
                    let dumped = Dumped {
                        file: &segment.name,
                        offset,
                        revision,
                        transaction: unit.kind == UnitKind::Txn,
                        request_id: unit.request.map(|request| request.id),
                        written_at_ms: wall(clock, frame.engine_ms),
                        expires_at_ms: wall(clock, op.deadline_ms),
                        op,
                    };
                    (self.each)(&dumped).map_err(failed(&segment.name))?;
                }
            }
            revision = revision.next();
        }
        Ok(())
    }

    fn note_stop(&mut self, file: &str, walked: &Walk, end: Option<u64>) {
        let what = match &walked.stop {
            Stop::Limit | Stop::Sealed => return,
            Stop::Zeros if end.is_none() => return,
            Stop::Zeros => "zeros where the log goes on".to_owned(),
            Stop::Bad { reason, .. } => reason.clone(),
        };
        if end.is_some() {
            self.damage(file, walked.end, &what);
        } else {
            // The end of the log: most likely a write that a crash has cut.
            self.summary.tail = Some(format!("{file}, byte {}: {what}", walked.end));
        }
    }

    fn damage(&mut self, file: &str, offset: u64, what: &str) {
        let text = || format!("{file}, byte {offset}: {what}");
        self.summary.damage.get_or_insert_with(text);
    }
}

/// A moment of the engine's clock as the wall's, by a pair that was read together.
fn wall(clock: ClockPair, engine_ms: u64) -> u64 {
    if engine_ms == 0 {
        return 0;
    }
    let skew = clock.wall_ms.cast_signed() - clock.engine_ms.cast_signed();
    engine_ms.saturating_add_signed(skew)
}

fn failed(file: &str) -> impl FnOnce(io::Error) -> OpenError {
    OpenError::io(format!("cannot show {file}"))
}
