//! Backups: the store as a stream of bytes, while everybody goes on.
//!
//! ```text
//!  full        all records and requests, copied as a snapshot is, and the log from where the copy began
//!              to where it ended: brings back any state from `exact_from` to `end`
//!  increment   the log behind a revision: brings a backup that reaches it further
//!  beyond log  after the log has failed: what memory holds. No log belongs to it
//! ```
//! Nothing is written to the store's directory, so a backup works when the disk is full or
//! the log has failed. The segments that it needs are pinned while it runs.

use std::io;
use std::time::Duration;

use super::Engine;
use crate::base::revision::Revision;
use crate::commit::{Core, Error};
use crate::disk::Environment;
use crate::format::StoreId;
use crate::format::snapshot::{BackupEnd, FrameView, Purpose, SnapshotHeader};
use crate::log::history;
use crate::log::watermark::WaitError;
use crate::snapshot::{Frames, Moments, Source, write_backup};

/// Keys that are taken from the index at once.
const PAGE: usize = 1000;
/// How long it waits for the log before it looks whether the store is being closed.
const PATIENCE: Duration = Duration::from_millis(100);

/// A backup that was told to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// It can bring back the state of this revision,
    pub exact_from: Revision,
    /// and of any up to this one.
    pub end: Revision,
    pub bytes: u64,
    pub records: u64,
    /// Units of the log in it.
    pub units: u64,
    /// The log had failed: it holds changes that are in no log.
    pub beyond_log: bool,
}

/// Why a backup ended early. What was told of it until then is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the store is being closed")]
    Draining,
    #[error("the log has failed ({0}): only a full backup can be made of what memory holds")]
    LogFailed(String),
    /// Future, or lost.
    #[error(transparent)]
    Revision(#[from] Error),
    #[error(
        "the log behind revision {after} is not there any more: make a full backup, or ask for \
         what comes after a later one"
    )]
    Compacted { after: Revision },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// One backup under way.
struct Backup<'a> {
    core: &'a Core,
    environment: &'a Environment,
    store_id: StoreId,
}

impl Engine {
    /// Tells the store to `sink`, a few hundred KiB at a time, in the format of a backup
    /// file: all of it, or only what came after a revision. Blocks until all is told.
    ///
    /// # Errors
    /// See [`BackupError`]; what `sink` says ends it too.
    pub fn backup(
        &self,
        after: Option<Revision>,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<BackupInfo, BackupError> {
        let inner = &self.inner;
        let backup = Backup {
            core: &inner.core,
            environment: inner.snapshots.environment(),
            store_id: inner.store_id,
        };
        if let Some(after) = after {
            self.check_revision(after)?;
            return backup.increment(after, sink);
        }
        if inner.core.log.watermark.failure().is_some() {
            return backup.beyond_log(sink);
        }
        backup.full(sink)
    }
}

impl Backup<'_> {
    fn full(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<BackupInfo, BackupError> {
        let start = self.core.sequencer.newest();
        let pinned = self.core.log.catalog.pin(start);
        let _pin = pinned.ok_or(BackupError::Compacted { after: start })?;
        let moments = || {
            let end = self.core.sequencer.newest();
            self.wait(end).map_err(io::Error::other)?;
            Ok(Moments {
                exact_from: end,
                end,
                beyond_log: false,
            })
        };
        let log = |moments: Moments, frames: Frames<'_>| self.log(start, moments.end, frames);
        let header = self.header(start, Purpose::Backup)?;
        self.write(&header, true, moments, log, sink)
    }

    fn increment(
        &self,
        after: Revision,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<BackupInfo, BackupError> {
        let pinned = self.core.log.catalog.pin(after);
        let _pin = pinned.ok_or(BackupError::Compacted { after })?;
        let end = self.core.sequencer.newest();
        self.wait(end)?;
        let moments = || {
            Ok(Moments {
                exact_from: after.max(Revision::START),
                end: end.max(after),
                beyond_log: false,
            })
        };
        let log = |moments: Moments, frames: Frames<'_>| self.log(after, moments.end, frames);
        let header = self.header(after.max(Revision::START), Purpose::Increment)?;
        self.write(&header, false, moments, log, sink)
    }

    fn beyond_log(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<BackupInfo, BackupError> {
        // No write is accepted any more; this waits for those that were under way.
        let shards = &self.core.shards;
        shards.write_all(0..shards.count(), |_| ());
        let newest = self.core.sequencer.newest();
        let moments = || {
            Ok(Moments {
                exact_from: newest,
                end: newest,
                beyond_log: true,
            })
        };
        let header = self.header(newest, Purpose::Backup)?;
        self.write(&header, true, moments, |_, _| Ok(()), sink)
    }

    fn header(&self, start: Revision, purpose: Purpose) -> io::Result<SnapshotHeader> {
        let moment = self.core.clock.moment();
        Ok(SnapshotHeader {
            store_id: self.store_id,
            start,
            salt: self.environment.entropy.u64()?,
            engine_ms: moment.engine_ms,
            wall_ms: moment.wall_ms,
            purpose,
        })
    }

    fn write(
        &self,
        header: &SnapshotHeader,
        everything: bool,
        moments: impl FnOnce() -> io::Result<Moments>,
        log: impl FnOnce(Moments, Frames<'_>) -> io::Result<()>,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<BackupInfo, BackupError> {
        let source = everything.then_some(Source {
            shards: &self.core.shards,
            requests: &self.core.requests,
            page: PAGE,
        });
        let mut pace = |_| {
            if self.core.state.draining() {
                return Err(io::Error::other("the store is being closed"));
            }
            Ok(())
        };
        let written = write_backup(sink, header, source, moments, log, &mut pace)?;
        let BackupEnd {
            end,
            units,
            exact_from,
            beyond_log,
        } = written.end;
        Ok(BackupInfo {
            exact_from,
            end: end.end,
            bytes: written.bytes,
            records: end.records,
            units,
            beyond_log,
        })
    }

    fn log(&self, after: Revision, upto: Revision, frames: Frames<'_>) -> io::Result<()> {
        let disk = &self.environment.disk;
        let catalog = &self.core.log.catalog;
        history::frames(disk, catalog, (after, upto), &mut |frame, bytes| {
            let view = FrameView {
                first_revision: frame.first_revision,
                engine_ms: frame.engine_ms,
                units: &bytes[frame.payload.clone()],
            };
            frames(frame.units, &view)
        })
    }

    /// Until the log is durable up to `end`.
    fn wait(&self, end: Revision) -> Result<(), BackupError> {
        let watermark = &self.core.log.watermark;
        loop {
            match watermark.wait(end, true, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(WaitError::Failed(reason)) => {
                    return Err(BackupError::LogFailed(reason.to_string()));
                }
                Err(WaitError::TimedOut) if self.core.state.draining() => {
                    return Err(BackupError::Draining);
                }
                Err(WaitError::TimedOut) => {}
            }
        }
    }
}
