//! How far the log has got, and who waits for it.
//!
//! `durable <= logged <= newest revision`; both only ever rise. Somebody who waits
//! asks first ([`Watermark::want_sync`], [`Watermark::want_logged`]): without anybody
//! waiting the writer lets units gather, and under `interval` and `never` nobody else
//! would ask for a sync.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parker::Parker;
use crate::base::revision::Revision;
use crate::base::shared::atomic::{AtomicU64, Ordering};
use crate::base::shared::{Condvar, Mutex, OnceLock, RwLock};

/// Called after every advance and once on failure, with no lock held by the log.
pub type Listener = Arc<dyn Fn() + Send + Sync>;

/// Why a wait ended without its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitError {
    TimedOut,
    /// The log has failed; the reason.
    Failed(Arc<str>),
}

/// The log's positions.
#[derive(Default)]
pub struct Watermark {
    logged: AtomicU64,
    durable: AtomicU64,
    wanted: AtomicU64,
    wanted_logged: AtomicU64,
    failure: OnceLock<Arc<str>>,
    listeners: RwLock<Vec<Listener>>,
    sleepers: Mutex<usize>,
    moved: Condvar,
    parker: Parker,
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watermark")
            .field("logged", &self.logged())
            .field("durable", &self.durable())
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

impl Watermark {
    /// Both positions at `recovered`, which is on stable storage.
    pub fn new(recovered: Revision) -> Self {
        let watermark = Self::default();
        watermark.logged.store(recovered.0, Ordering::Relaxed);
        watermark.durable.store(recovered.0, Ordering::Relaxed);
        watermark
    }

    /// Everything at or below is in the file: it survives the process.
    pub fn logged(&self) -> Revision {
        Revision(self.logged.load(Ordering::Acquire))
    }

    /// Everything at or below is on stable storage: it survives power loss.
    pub fn durable(&self) -> Revision {
        Revision(self.durable.load(Ordering::Acquire))
    }

    /// Why the log failed, if it has. Never unset.
    pub fn failure(&self) -> Option<&Arc<str>> {
        self.failure.get()
    }

    /// Asks the writer to make `revision` durable.
    pub fn want_sync(&self, revision: Revision) {
        if self.wanted.load(Ordering::Relaxed) < revision.0 {
            self.wanted.fetch_max(revision.0, Ordering::Relaxed);
            self.parker.wake();
        }
    }

    /// Asks the writer to get `revision` into the file without delay.
    pub fn want_logged(&self, revision: Revision) {
        if self.wanted_logged.load(Ordering::Relaxed) < revision.0 {
            self.wanted_logged.fetch_max(revision.0, Ordering::Relaxed);
            self.parker.wake();
        }
    }

    /// `listener` is called by the log's thread and must be quick.
    pub fn subscribe(&self, listener: Listener) {
        self.listeners.write().push(listener);
    }

    /// Blocks until `durable` (or only `logged`) has reached `revision`.
    pub fn wait(
        &self,
        revision: Revision,
        for_durable: bool,
        limit: Duration,
    ) -> Result<(), WaitError> {
        let reached = || {
            if for_durable {
                self.durable() >= revision
            } else {
                self.logged() >= revision
            }
        };
        if reached() {
            return Ok(());
        }
        if for_durable {
            self.want_sync(revision);
        } else {
            self.want_logged(revision);
        }
        let deadline = Instant::now() + limit;
        let mut sleepers = self.sleepers.lock();
        *sleepers += 1;
        let result = loop {
            if reached() {
                break Ok(());
            }
            if let Some(reason) = self.failure() {
                break Err(WaitError::Failed(reason.clone()));
            }
            if self.moved.wait_until(&mut sleepers, deadline).timed_out() {
                break if reached() {
                    Ok(())
                } else {
                    Err(WaitError::TimedOut)
                };
            }
        };
        *sleepers -= 1;
        result
    }

    /// Blocks until `durable` (or only `logged`) is above `revision`, the log has failed, or
    /// `limit` has passed. Asks for nothing: the writer goes its own pace.
    pub fn wait_past(&self, revision: Revision, for_durable: bool, limit: Duration) {
        let position = || {
            if for_durable {
                self.durable()
            } else {
                self.logged()
            }
        };
        let deadline = Instant::now() + limit;
        let mut sleepers = self.sleepers.lock();
        *sleepers += 1;
        while position() <= revision && self.failure().is_none() {
            if self.moved.wait_until(&mut sleepers, deadline).timed_out() {
                break;
            }
        }
        *sleepers -= 1;
    }

    pub(crate) fn parker(&self) -> &Parker {
        &self.parker
    }

    pub(crate) fn wanted(&self) -> Revision {
        Revision(self.wanted.load(Ordering::Relaxed))
    }

    /// Does anybody wait for what the writer has not reached yet?
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted() > self.durable()
            || self.wanted_logged.load(Ordering::Relaxed) > self.logged().0
    }

    pub(crate) fn advance_logged(&self, to: Revision) {
        debug_assert!(to >= self.logged());
        self.logged.store(to.0, Ordering::Release);
        self.announce();
    }

    pub(crate) fn advance_durable(&self, to: Revision) {
        debug_assert!(self.durable() <= to && to <= self.logged());
        self.durable.store(to.0, Ordering::Release);
        self.announce();
    }

    /// The first reason stays.
    pub(crate) fn fail(&self, reason: &str) {
        self.failure.get_or_init(|| Arc::from(reason));
        self.announce();
    }

    fn announce(&self) {
        for listener in self.listeners.read().iter() {
            listener();
        }
        // Taking the lock orders this against a sleeper between its look and its wait.
        if *self.sleepers.lock() > 0 {
            self.moved.notify_all();
        }
    }
}
