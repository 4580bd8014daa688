//! What all watches of a store share: the ring, the way to the log, and the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::cursor::Level;
use super::ring::{Entry, Group, Ring};
use crate::base::broken;
use crate::base::op::Cause;
use crate::base::revision::Revision;
use crate::base::sync::{Lock, lock, point};
use crate::disk::Disk;
use crate::log::state::LogState;
use crate::log::tail::Anchors;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    ring: Lock<Ring>,
    /// Watches that exist, and those of them that want previous values.
    watches: AtomicUsize,
    previous: AtomicUsize,
    pub(super) log: Arc<LogState>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) anchors: Anchors,
    pub counters: Counters,
    /// The newest revision of the run before, and the first of this one.
    recovered: Revision,
    first: Revision,
}

/// What watches have done since the store was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events told, by cause: index is the cause's number.
    pub events: [AtomicU64; 7],
    /// Pieces that were read from the log because the ring had them no more.
    pub log_reads: AtomicU64,
    pub log_bytes: AtomicU64,
    /// Times that the current records were sent because the log was gone.
    pub resyncs: AtomicU64,
    /// Watches that ended because the log was gone.
    pub compacted: AtomicU64,
    /// Records before a change that were looked up in the log.
    pub lookups: AtomicU64,
}

impl Counters {
    pub(super) fn told(&self, cause: Cause, count: u64) {
        if let Some(events) = self.events.get(cause as usize) {
            events.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Hub {
    pub fn new(
        log: Arc<LogState>,
        disk: Arc<dyn Disk>,
        budget: u64,
        (recovered, first): (Revision, Revision),
    ) -> Self {
        Self {
            ring: Lock::new(Ring::new(budget)),
            watches: AtomicUsize::new(0),
            previous: AtomicUsize::new(0),
            log,
            disk,
            anchors: Anchors::default(),
            counters: Counters::default(),
            recovered,
            first,
        }
    }

    /// Is there anybody to keep changes for? While there is not, publishing is this look.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watches.load(Ordering::Relaxed) > 0
    }

    /// Does anybody want the record before each change?
    #[inline]
    pub fn wants_previous(&self) -> bool {
        self.previous.load(Ordering::Relaxed) > 0
    }

    /// A group that is in the file. Called by the log's writer, in order.
    pub fn publish(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        point();
        let dropped = lock(&self.ring).push(entries);
        drop(dropped);
    }

    /// The group of the ring that holds `revision`.
    pub(super) fn find(&self, revision: Revision) -> Option<Arc<Group>> {
        lock(&self.ring).find(revision).cloned()
    }

    /// The first revision that is in the ring.
    pub(super) fn ring_first(&self) -> Option<Revision> {
        lock(&self.ring).first()
    }

    /// The newest revision that a watch of this level may be told of.
    pub fn limit(&self, level: Level) -> Revision {
        let watermark = &self.log.watermark;
        let durable = level == Level::Durable && !broken::is(broken::Build::WatchBeforeDurable);
        let position = if durable {
            watermark.durable()
        } else {
            watermark.logged()
        };
        // Positions begin below the first revision of the run, where nothing is named.
        if position < self.first {
            self.recovered
        } else {
            position
        }
    }

    /// Steps over the numbers that name no change: that of a new store, and those between the
    /// run before and this one.
    pub(super) fn align(&self, next: Revision) -> Revision {
        let next = next.max(Revision::START.next());
        if next > self.recovered && next < self.first {
            self.first
        } else {
            next
        }
    }

    /// The newest revision at or below it that names something.
    pub fn named(&self, revision: Revision) -> Revision {
        self.log.manifest.before_gap(revision)
    }

    /// The first revision that the log still holds; what comes before it is gone.
    pub fn oldest(&self) -> Revision {
        self.log.catalog.oldest()
    }

    pub(super) fn enter(&self, previous: bool) {
        self.watches.fetch_add(1, Ordering::Relaxed);
        self.previous
            .fetch_add(usize::from(previous), Ordering::Relaxed);
    }

    pub(super) fn leave(&self, previous: bool) {
        self.previous
            .fetch_sub(usize::from(previous), Ordering::Relaxed);
        if self.watches.fetch_sub(1, Ordering::Relaxed) == 1 {
            // A group that is being published meanwhile stays until the next watch ends: the
            // ring is within its budget either way.
            let dropped = lock(&self.ring).clear();
            drop(dropped);
        }
    }

    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    pub fn ring_bytes(&self) -> u64 {
        lock(&self.ring).bytes()
    }
}
