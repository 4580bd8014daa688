//! Who waits for the log, on one runtime.
//!
//! A handler that has applied a write waits for its revision to be logged or
//! durable. The log's thread must not pay per waiter, and a handler must not pay
//! for a channel: so each runtime has one [`Waiters`], the log pokes it at most
//! once per advance, and one task ([`Waiters::drive`]) wakes whoever is due, in
//! revision order, on the runtime that they live on.
//!
//! ```text
//!  log thread: position.store ─ fence ─ wanted.load ──► poke (only if somebody is due)
//!  handler:    wanted.store ─── fence ─ position.load ─► already there? then no wait
//!  driver:     poked ─► pop every entry <= position ─► wake
//! ```
//! The two fences are what makes a missed wake-up impossible: one of the two sides
//! sees the other's store.
//!
//! An entry lives from the first poll of its wait until the positions pass it. A
//! handler that goes away clears its waker only; entries without one are swept
//! when they are many, so clients that come and go while the disk stands still
//! leave nothing behind.

mod queue;
#[cfg(test)]
mod tests;
mod wait;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use queue::Inner;
pub use wait::Wait;

pub(crate) use queue::Entry;

use crate::backend::{Positions, Revision, Store};

/// Which position a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Logged = 0,
    Durable = 1,
}

impl Level {
    pub fn of(self, positions: Positions) -> Revision {
        match self {
            Self::Logged => positions.logged,
            Self::Durable => positions.durable,
        }
    }
}

/// Why a wait ended before its revision was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The log has failed; the reason.
    Failed(Arc<str>),
    /// The caller's deadline, or the server's own limit, passed.
    Deadline,
    /// The server stops and waits no longer.
    Cut,
}

/// A queue is swept when this many of its entries, and half of all, are dead.
const SWEEP_AT: usize = 1024;
/// How often waits are held against the server's own limit.
const TICK: Duration = Duration::from_secs(1);

/// The waits of one runtime.
pub struct Waiters {
    inner: Mutex<Inner>,
    /// Lowest revision wanted per level; `u64::MAX` is none.
    wanted: [AtomicU64; 2],
    /// Highest revision per level that the log has to be asked for; 0 is none.
    asked: [AtomicU64; 2],
    poked: AtomicBool,
    driver: AtomicWaker,
    cut: AtomicBool,
    tick: AtomicU32,
    /// Ticks a wait may last.
    limit: AtomicU32,
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Looks at the clock after which a wait has lasted for `limit`.
fn ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_secs()).unwrap_or(u32::MAX / 2) + 1
}

impl Waiters {
    /// `limit` ends waits of callers without a deadline; it is checked once a second.
    pub fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            wanted: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            asked: [AtomicU64::new(0), AtomicU64::new(0)],
            poked: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            cut: AtomicBool::new(false),
            tick: AtomicU32::new(0),
            limit: AtomicU32::new(ticks(limit)),
        })
    }

    /// Changes the limit of waits that begin from here on.
    pub fn set_limit(&self, limit: Duration) {
        self.limit.store(ticks(limit), Ordering::Relaxed);
    }

    /// Waits, live and dead.
    pub fn len(&self) -> usize {
        self.inner.lock().queues.iter().map(BinaryHeap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all waits, now and from now on, with [`Unreached::Cut`].
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.poke();
    }

    /// Called by the log after an advance or a failure.
    pub fn advanced(&self, positions: Positions, failed: bool) {
        fence(Ordering::SeqCst);
        let due = |level: Level| {
            self.wanted[level as usize].load(Ordering::Relaxed) <= level.of(positions)
        };
        if failed || due(Level::Durable) || due(Level::Logged) {
            self.poke();
        }
    }

    fn poke(&self) {
        if !self.poked.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// The one task per runtime that completes waits. Never ends.
    pub async fn drive<S: Store>(self: Arc<Self>, store: Arc<OnceLock<S>>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due = Vec::new();
        poll_fn(|cx| {
            self.driver.register(cx.waker());
            if let Some(store) = store.get() {
                self.pass_on(store);
                if self.poked.swap(false, Ordering::AcqRel) {
                    let all = self.cut.load(Ordering::SeqCst) || store.failure().is_some();
                    self.take_due(store.positions(), all, &mut due);
                }
            }
            while ticks.poll_tick(cx).is_ready() {
                self.take_expired(&mut due);
            }
            for waker in due.drain(..) {
                waker.wake();
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// Asks the log for what was asked here since the last time.
    fn pass_on<S: Store>(&self, store: &S) {
        let asked = |level: Level| self.asked[level as usize].swap(0, Ordering::Relaxed);
        match asked(Level::Logged) {
            0 => {}
            revision => store.want_logged(revision),
        }
        match asked(Level::Durable) {
            0 => {}
            revision => store.want_durable(revision),
        }
    }

    /// Asks for a revision, once per turn of the runtime for all who wait: waking the
    /// log's thread costs more than a handler.
    fn ask(&self, level: Level, revision: Revision) {
        let asked = &self.asked[level as usize];
        if asked.fetch_max(revision, Ordering::Relaxed) == 0 {
            self.driver.wake();
        }
    }

    /// Removes every entry at or below the positions, or every entry at all.
    fn take_due(&self, positions: Positions, all: bool, due: &mut Vec<Waker>) {
        let mut inner = self.inner.lock();
        for level in [Level::Logged, Level::Durable] {
            let reached = if all { u64::MAX } else { level.of(positions) };
            while let Some(Reverse((revision, slot))) = inner.queues[level as usize].peek().copied()
                && revision <= reached
            {
                inner.queues[level as usize].pop();
                match inner.release(slot) {
                    Some(waker) => due.push(waker),
                    None => inner.dead -= 1,
                }
            }
            self.set_wanted(&inner, level);
        }
        // An advance between reading the positions and storing `wanted` saw the old
        // `wanted`, which was due, and has poked again.
    }

    /// Wakes, without removing, every wait that has lasted longer than the limit.
    fn take_expired(&self, due: &mut Vec<Waker>) {
        let now = self.tick.fetch_add(1, Ordering::Relaxed) + 1;
        let inner = self.inner.lock();
        let late = inner.slots.iter().filter(|slot| slot.expires <= now);
        due.extend(late.filter_map(|slot| slot.waker.clone()));
    }

    fn set_wanted(&self, inner: &Inner, level: Level) {
        let lowest = inner.queues[level as usize].peek();
        let lowest = lowest.map_or(u64::MAX, |Reverse((revision, _))| *revision);
        self.wanted[level as usize].store(lowest, Ordering::Relaxed);
    }

    /// Ready as soon as `revision` has reached `level` in the store.
    pub fn wait<'a, S: Store>(
        &'a self,
        store: &'a S,
        revision: Revision,
        level: Level,
        deadline: Option<std::time::Instant>,
    ) -> Wait<'a, S> {
        Wait {
            waiters: self,
            store,
            revision,
            level,
            deadline: deadline.map(Instant::from_std),
            timer: None,
            entry: None,
        }
    }

    /// One poll of a wait whose place in the queue the caller keeps in `entry`.
    pub(crate) fn poll_reached<S: Store>(
        &self,
        store: &S,
        revision: Revision,
        level: Level,
        entry: &mut Option<Entry>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Unreached>> {
        let reached = || level.of(store.positions()) >= revision;
        if reached() {
            // The driver has removed the entry or is about to.
            *entry = None;
            return Poll::Ready(Ok(()));
        }
        // A place that was given up, or taken for an earlier revision, wakes nobody.
        if let Some(old) = entry
            && !self.renew(old, revision, cx.waker())
        {
            self.leave(old);
            *entry = None;
        }
        let expires = if let Some(entry) = entry {
            entry.expires
        } else {
            self.ask(level, revision);
            entry
                .insert(self.enter(revision, level, cx.waker()))
                .expires
        };
        // Asked before the second look: what is reached after the end was not promised.
        let ended = self.ended(store, expires);
        // Again, now that the other side can see us: see the module's picture.
        if reached() {
            return Poll::Ready(Ok(()));
        }
        ended.map_or(Poll::Pending, |end| Poll::Ready(Err(end)))
    }

    /// Why waiting on is pointless, if it is.
    fn ended<S: Store>(&self, store: &S, expires: u32) -> Option<Unreached> {
        if let Some(reason) = store.failure() {
            return Some(Unreached::Failed(reason));
        }
        if self.cut.load(Ordering::SeqCst) {
            return Some(Unreached::Cut);
        }
        let late = expires <= self.tick.load(Ordering::Relaxed);
        late.then_some(Unreached::Deadline)
    }

    fn enter(&self, revision: Revision, level: Level, waker: &Waker) -> Entry {
        let limit = self.limit.load(Ordering::Relaxed);
        let expires = self.tick.load(Ordering::Relaxed).saturating_add(limit);
        let mut inner = self.inner.lock();
        let slot = inner.allocate(expires, waker.clone());
        let generation = inner.slots[slot as usize].generation;
        inner.queues[level as usize].push(Reverse((revision, slot)));
        self.set_wanted(&inner, level);
        drop(inner);
        fence(Ordering::SeqCst);
        Entry {
            slot,
            generation,
            revision,
            expires,
        }
    }

    /// The task that waits may have changed. False: this place does not wait for
    /// `revision`, or no longer.
    fn renew(&self, entry: &Entry, revision: Revision, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        let Some(slot) = inner.live(entry).filter(|_| entry.revision == revision) else {
            return false;
        };
        let known = slot.waker.as_ref();
        if !known.is_some_and(|known| known.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
        true
    }

    /// The waiter goes away, before its time or after.
    pub(crate) fn leave(&self, entry: &Entry) {
        let mut inner = self.inner.lock();
        let Some(waker) = inner.live(entry).and_then(|slot| slot.waker.take()) else {
            return;
        };
        inner.dead += 1;
        if inner.dead >= SWEEP_AT && inner.dead * 2 > inner.slots.len() {
            inner.sweep();
            self.set_wanted(&inner, Level::Logged);
            self.set_wanted(&inner, Level::Durable);
        }
        drop(inner);
        drop(waker);
    }
}
