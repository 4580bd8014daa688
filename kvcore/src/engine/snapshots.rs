//! Snapshots: when one is made, how it is published, and what may go afterwards.
//!
//! ```text
//!  write     the file under a temporary name, synced, read back and verified
//!  wait      until the log is durable up to its end
//!  rename    and sync of the directory            (crash: a file that nobody names, removed at the next start)
//!  MANIFEST  names it and the two kept            (crash before: as above; after: it counts)
//!  remove    older snapshots, segments that nobody needs  (crash: leftovers, removed at the next start)
//! ```
//! Invariants:
//! - two snapshots are kept, and the log since the older: should the newer be damaged, a
//!   start from the older loses nothing. Beyond that the log is kept for readers who come
//!   late, as far as the options say; both give way when the disk is full;
//! - a file is removed only after the MANIFEST that stops needing it is durable;
//! - after the log has failed nothing is published and nothing is removed.

mod keep;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Engine;
use super::options::{Options, Retention, SnapshotOptions};
use crate::base::revision::Revision;
use crate::commit::Core;
use crate::disk::Environment;
use crate::format::StoreId;
use crate::format::names::{snapshot_name, temporary_name};
use crate::format::snapshot::{End, Purpose, SnapshotHeader};
use crate::log::watermark::WaitError;
use crate::snapshot::{ReadError, Source, verify, write};

/// How often the thread looks whether one is due, and how long it waits after a failure.
const GLANCE: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Keys that are taken from the index at once.
const PAGE: usize = 250;
/// How long it works before it rests.
const WORK: Duration = Duration::from_micros(250);
/// How long it waits for the log before it looks whether the store is being closed.
const PATIENCE: Duration = Duration::from_millis(100);

/// A snapshot that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Of its file.
    pub name: String,
    /// What it holds is the state of this revision or newer,
    pub start: Revision,
    /// and of this one or older.
    pub end: Revision,
    pub bytes: u64,
    pub records: u64,
    pub took_ms: u64,
}

/// Why there is no new snapshot. The ones before and the log are as they were.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the store is being closed")]
    Draining,
    #[error("the log has failed ({0}): no snapshot is published until a restart")]
    LogFailed(String),
    #[error("another snapshot is being made: wait for it")]
    Running,
    #[error("the snapshot could not be written: {0}")]
    Io(#[from] io::Error),
    #[error("what was read back of the snapshot is not what was written: byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
    #[error("the log is not durable up to revision {0} yet")]
    NotDurable(Revision),
}

impl From<ReadError> for SnapshotError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Damaged { offset, what } => Self::Damaged { offset, what },
        }
    }
}

/// A file that is whole and durable under a temporary name.
#[derive(Debug)]
pub struct Draft {
    temporary: String,
    start: Revision,
    end: End,
    bytes: u64,
    crc: u32,
    begun: Duration,
}

/// What the thread that makes snapshots did.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) made: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Makes snapshots, one at a time.
#[derive(Debug)]
pub(super) struct Snapshots {
    core: Core,
    environment: Environment,
    options: SnapshotOptions,
    store_id: StoreId,
    segment_bytes: u64,
    retain: Retention,
    one: Mutex<()>,
    /// When the last one was published; the start of the process before that.
    last: Mutex<Duration>,
    /// Until when one may be made although the store is being closed.
    closing_until: Mutex<Option<Duration>>,
    pub(super) counters: Counters,
}

impl Snapshots {
    pub(super) fn new(
        core: Core,
        environment: Environment,
        options: &Options,
        store_id: StoreId,
    ) -> Self {
        let now = environment.clock.instant();
        Self {
            core,
            environment,
            options: options.snapshots,
            store_id,
            segment_bytes: options.segment_bytes,
            retain: options.retain,
            one: Mutex::default(),
            last: Mutex::new(now),
            closing_until: Mutex::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Writes, waits for the log, publishes.
    pub(super) fn make(&self) -> Result<SnapshotInfo, SnapshotError> {
        let _one = self.one.try_lock().ok_or(SnapshotError::Running)?;
        let made = self.draft(PAGE, &mut || ()).and_then(|draft| {
            self.wait(&draft)?;
            self.publish(&draft)
        });
        let counter = if made.is_ok() {
            &self.counters.made
        } else {
            &self.counters.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        made
    }

    fn check(&self) -> Result<(), SnapshotError> {
        if let Some(reason) = self.core.log.watermark.failure() {
            return Err(SnapshotError::LogFailed(reason.to_string()));
        }
        if self.core.state.draining() && !self.is_for_close() {
            return Err(SnapshotError::Draining);
        }
        Ok(())
    }

    fn is_for_close(&self) -> bool {
        let until = *self.closing_until.lock();
        until.is_some_and(|until| self.environment.clock.instant() < until)
    }

    /// Makes one before the log is closed, if the options say so and anything has changed.
    /// Without it the next start is as good, and only slower.
    pub(super) fn make_at_close(&self) {
        if self.options.at_close.is_zero() {
            return;
        }
        let now = self.environment.clock.instant();
        *self.closing_until.lock() = Some(now + self.options.at_close);
        // One that is on its way gives up, or is this one.
        drop(self.one.lock());
        if self.is_newest() {
            return;
        }
        match self.make() {
            Ok(info) => tracing::info!(
                name = info.name,
                records = info.records,
                took_ms = info.took_ms,
                "made a snapshot before the end"
            ),
            Err(SnapshotError::Draining) => tracing::warn!(
                limit_ms = u64::try_from(self.options.at_close.as_millis()).unwrap_or(u64::MAX),
                "the snapshot before the end took too long and is given up; the next start \
                 replays the log"
            ),
            Err(error) => tracing::warn!(
                %error,
                "no snapshot before the end; the next start replays the log"
            ),
        }
    }

    /// Whether nothing has changed since the last one, or ever.
    fn is_newest(&self) -> bool {
        let newest = self.core.sequencer.newest();
        let manifest = self.core.log.manifest.get();
        let last = manifest.snapshots.last();
        newest <= last.map_or(Revision::START, |last| last.end)
    }

    /// `between` is called on the way, before each page is read.
    fn draft(&self, page: usize, between: &mut dyn FnMut()) -> Result<Draft, SnapshotError> {
        self.check()?;
        // Whoever has drawn a revision up to here holds the locks of its keys until they
        // are changed: whoever reads them afterwards sees it.
        let start = self.core.sequencer.newest();
        let temporary = temporary_name(&snapshot_name(start, start));
        let written = self.write(start, &temporary, page, between);
        if written.is_err() {
            // The first error is the one to tell; a start removes what is left.
            let _leftover = self.environment.disk.remove(&temporary);
        }
        written
    }

    fn write(
        &self,
        start: Revision,
        temporary: &str,
        page: usize,
        between: &mut dyn FnMut(),
    ) -> Result<Draft, SnapshotError> {
        let Environment {
            disk,
            clock,
            entropy,
        } = &self.environment;
        let begun = clock.instant();
        let moment = self.core.clock.moment();
        let header = SnapshotHeader {
            store_id: self.store_id,
            start,
            salt: entropy.u64()?,
            engine_ms: moment.engine_ms,
            wall_ms: moment.wall_ms,
            purpose: Purpose::Snapshot,
        };
        let source = Source {
            shards: &self.core.shards,
            requests: &self.core.requests,
            page,
        };
        let mut paced = 0_u64;
        let mut resumed = begun;
        let mut pace = |bytes: u64| {
            between();
            self.check().map_err(io::Error::other)?;
            paced += bytes;
            if self.keep_to_rate(paced, begun) || self.leave_time(resumed) {
                resumed = clock.instant();
            }
            Ok(())
        };
        let newest = || self.core.sequencer.newest();
        let mut stream = disk.create_stream(temporary)?;
        let mut sink = |bytes: &[u8]| stream.append(bytes);
        let written = write(&mut sink, &header, source, newest, &mut pace)?;
        stream.sync()?;
        let file = disk.open_read(temporary)?;
        file.settle()?;
        let (header_read, end, crc) = verify(file.as_ref())?;
        if (header_read, end.end, crc) != (header, written.end, written.crc) {
            let what = "it is another file".into();
            return Err(SnapshotError::Damaged { offset: 0, what });
        }
        Ok(Draft {
            temporary: temporary.to_owned(),
            start,
            end: written.end,
            bytes: written.bytes,
            crc: written.crc,
            begun,
        })
    }

    /// Waits if `paced` bytes since `begun` are ahead of the rate; says whether it did.
    fn keep_to_rate(&self, paced: u64, begun: Duration) -> bool {
        let Some(rate) = self.paced_rate() else {
            return false;
        };
        let due = Duration::from_millis(paced.saturating_mul(1000) / rate.max(1));
        let mut waited = false;
        loop {
            let taken = self.environment.clock.instant().saturating_sub(begun);
            let ahead = due.saturating_sub(taken);
            if ahead.is_zero() || self.check().is_err() {
                return waited;
            }
            // In steps, so that a close is noticed.
            self.environment.clock.rest(ahead.min(PATIENCE));
            waited = true;
        }
    }

    /// Rests as long as it has worked since `resumed`, if that was for a while; says whether
    /// it did. On a busy machine the rate is not reached, and whoever answers requests there
    /// would wait for whole slices of the scheduler.
    fn leave_time(&self, resumed: Duration) -> bool {
        let worked = self.environment.clock.instant().saturating_sub(resumed);
        if worked < WORK || self.paced_rate().is_none() {
            return false;
        }
        self.environment.clock.rest(worked.min(PATIENCE));
        true
    }

    /// None: as fast as can be.
    fn paced_rate(&self) -> Option<u64> {
        // While draining nobody is left to be disturbed.
        self.options.rate.filter(|_| !self.core.state.draining())
    }

    fn wait(&self, draft: &Draft) -> Result<(), SnapshotError> {
        let waited = loop {
            let watermark = &self.core.log.watermark;
            match watermark.wait(draft.end.end, true, PATIENCE) {
                Ok(()) => break Ok(()),
                Err(WaitError::Failed(reason)) => {
                    break Err(SnapshotError::LogFailed(reason.to_string()));
                }
                Err(WaitError::TimedOut) => {}
            }
            if let Err(error) = self.check() {
                break Err(error);
            }
        };
        if waited.is_err() {
            let _leftover = self.environment.disk.remove(&draft.temporary);
        }
        waited
    }

    /// Is it time for one?
    fn is_due(&self) -> bool {
        let manifest = self.core.log.manifest.get();
        let last = manifest.snapshots.last();
        let newest = self.core.sequencer.newest();
        if last.is_some_and(|last| last.end >= newest) {
            return false;
        }
        let behind = self
            .core
            .log
            .catalog
            .count_from(last.map_or(0, |last| last.first_segment))
            * self.segment_bytes;
        let size = last.map_or(0, |last| last.bytes);
        let by_log = self
            .options
            .log_bytes
            .is_some_and(|floor| behind >= floor.max(size));
        let by_time = self.options.interval.is_some_and(|every| {
            let now = self.environment.clock.instant();
            now.saturating_sub(*self.last.lock()) >= every && newest > Revision::START
        });
        by_log || by_time
    }

    /// The thread: ends when the store does.
    pub(super) fn run(&self) {
        let mut pause = GLANCE;
        while !self.core.state.draining() {
            std::thread::park_timeout(pause);
            pause = GLANCE;
            if self.core.log.watermark.failure().is_some() {
                continue;
            }
            if self.core.log.ledger.no_space() {
                self.make_room();
                continue;
            }
            if !self.is_due() {
                continue;
            }
            match self.make() {
                Ok(info) => tracing::info!(
                    name = info.name,
                    records = info.records,
                    bytes = info.bytes,
                    took_ms = info.took_ms,
                    "made a snapshot"
                ),
                Err(SnapshotError::Draining) => return,
                // On demand.
                Err(SnapshotError::Running) => {}
                Err(_) if self.core.state.draining() => return,
                Err(error) => {
                    tracing::error!(%error, "no snapshot; the log is kept, and grows");
                    pause = AFTER_FAILURE;
                }
            }
        }
    }
}

impl Engine {
    /// Makes a snapshot now: copies every record into a file, without stopping anybody, and
    /// removes what of the log is not needed any more. Blocks until it is published.
    ///
    /// # Errors
    /// See [`SnapshotError`]: what was there before counts on.
    ///
    /// # Example
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let mut options = kvcore::Options::new(dir.path());
    /// # options.allow_volatile = true;
    /// # let store = kvcore::Engine::open(options, &|_| ())?;
    /// use kvcore::{Durability, Mutation};
    ///
    /// store.write(Mutation::set(b"greeting", b"hello"), Durability::Synced)?;
    /// assert_eq!(store.snapshot()?.records, 1);
    /// # store.close(std::time::Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<SnapshotInfo, SnapshotError> {
        self.inner.snapshots.make()
    }

    /// Gives up what is kept only for readers who come late, then the older snapshot: what
    /// the thread does when the disk is full. Says whether anything was removed.
    #[cfg(feature = "sim")]
    pub fn make_room(&self) -> bool {
        self.inner.snapshots.make_room()
    }

    /// The first half of a snapshot: the file. For callers who turn the log's writer.
    /// `between` is called before each key is read, and may change the store.
    #[cfg(feature = "sim")]
    pub fn draft_snapshot(&self, between: &mut dyn FnMut()) -> Result<Draft, SnapshotError> {
        self.inner.snapshots.draft(1, between)
    }

    /// The other half, once the log is durable up to [`Draft::end`].
    #[cfg(feature = "sim")]
    #[expect(clippy::needless_pass_by_value, reason = "it is used up")]
    pub fn publish_snapshot(&self, draft: Draft) -> Result<SnapshotInfo, SnapshotError> {
        self.inner.snapshots.publish(&draft)
    }
}

impl Draft {
    /// The newest revision that may be in it.
    pub fn end(&self) -> Revision {
        self.end.end
    }
}
