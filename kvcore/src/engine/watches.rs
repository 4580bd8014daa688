//! Watches for an embedder: as an iterator that blocks, as a callback on a thread of its own,
//! and turn by turn for whoever brings a loop.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Engine;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::{Error, PageLimit};
use crate::log::watermark::WaitError;
use crate::watch::{
    Budget, Dispatcher, End, Hub, Interested, Level, Message, Page, Source, Start, Turn, Want,
    Watch,
};

/// How long a watcher sleeps before it looks whether the store is being closed.
const PATIENCE: Duration = Duration::from_millis(100);
/// What one message holds at most.
const BUDGET: Budget = Budget {
    events: 1000,
    bytes: 1 << 20,
};

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the first change that is made from now on.
    Now,
    /// With this revision.
    Revision(Revision),
    /// Behind this revision, which was told by an earlier watch or an answer.
    After(Revision),
    /// With the current records.
    CurrentState,
}

impl Engine {
    /// A watch to be driven turn by turn.
    ///
    /// # Errors
    /// `from` names what was never there, was lost, or is still to come.
    pub fn open_watch(&self, want: Want, from: WatchFrom) -> Result<Watch, Error> {
        let core = &self.inner.core;
        let start = match from {
            WatchFrom::Now => Start::At(core.sequencer.next()),
            WatchFrom::CurrentState => Start::CurrentState,
            WatchFrom::After(revision) => {
                self.check_revision(revision)?;
                Start::At(revision.next())
            }
            WatchFrom::Revision(first) => {
                let newest = core.sequencer.newest();
                // The next one to come is nothing that has to wait for anything.
                if first != newest.next() || core.log.manifest.is_gap(first) {
                    self.check_revision(first)?;
                }
                Start::At(first.max(Revision::START))
            }
        };
        Ok(Watch::new(&core.watches, want, start))
    }

    /// Looks at changes for many watches. One for each thread that drives them.
    pub fn dispatcher<T: Interested>(&self, level: Level) -> Dispatcher<T> {
        Dispatcher::new(self.inner.core.watches.clone(), level)
    }

    /// What all watches share.
    pub fn watches(&self) -> &Arc<Hub> {
        &self.inner.core.watches
    }

    /// Every change of a range, in order, as an iterator that waits for the next one.
    ///
    /// # Errors
    /// See [`Engine::open_watch`].
    ///
    /// # Example
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let mut options = kvcore::Options::new(dir.path());
    /// # options.allow_volatile = true;
    /// # let store = kvcore::Engine::open(options, &|_| ())?;
    /// use kvcore::watch::{Filter, Level, Message, OnCompacted, Want};
    /// use kvcore::{Durability, KeyRange, Mutation, WatchFrom};
    ///
    /// let want = Want {
    ///     range: KeyRange::prefix(b"colour/"),
    ///     filter: Filter::default(),
    ///     level: Level::Durable,
    ///     on_compacted: OnCompacted::Resync,
    /// };
    /// let mut watcher = store.watch(want, WatchFrom::Now)?;
    /// store.write(Mutation::set(b"colour/sky", b"blue"), Durability::Synced)?;
    /// let Some(Ok(Message::Events(batch))) = watcher.next() else { panic!() };
    /// assert_eq!(batch.events[0].record.value(), b"blue");
    /// # store.close(std::time::Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(&self, want: Want, from: WatchFrom) -> Result<Watcher, Error> {
        Ok(Watcher {
            watch: self.open_watch(want, from)?,
            engine: self.clone(),
            ended: false,
        })
    }

    /// As [`Engine::watch`], with a thread that calls `f` for each message until it breaks.
    /// The last call brings the reason if the watch ended by itself.
    ///
    /// # Errors
    /// See [`Engine::open_watch`]; there is no thread.
    pub fn watch_each(
        &self,
        want: Want,
        from: WatchFrom,
        mut f: impl FnMut(Result<Message, End>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<WatchThread, Box<dyn std::error::Error + Send + Sync>> {
        let mut watcher = self.watch(want, from)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let body = move || {
            while !stopped.load(Ordering::Acquire) {
                let message = match watcher.wait(PATIENCE) {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => continue,
                    Err(end) => Err(end),
                };
                let over = message.is_err();
                if f(message).is_break() || over {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kv-watch".into());
        let thread = thread
            .spawn(body)
            .map_err(|error: io::Error| Box::new(error))?;
        Ok(WatchThread {
            stop,
            thread: Some(thread),
        })
    }

    fn page_for_watch(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        budget: Budget,
    ) -> Result<Page, String> {
        let limit = PageLimit {
            records: budget.events,
            bytes: budget.bytes,
        };
        let page = self.page(range, after, false, limit);
        let page = page.map_err(|error| error.to_string())?;
        Ok(Page {
            records: page.value.records,
            next: page.value.next,
            revealed: page.revealed,
        })
    }
}

impl Source for Engine {
    fn newest(&self) -> Revision {
        self.store_revision()
    }

    fn page(&self, range: &KeyRange, after: Option<&[u8]>, budget: Budget) -> Result<Page, String> {
        self.page_for_watch(range, after, budget)
    }
}

/// A watch that blocks for its next message. It keeps the store open.
#[derive(Debug)]
pub struct Watcher {
    engine: Engine,
    watch: Watch,
    ended: bool,
}

impl Watcher {
    /// The next message, if there is one within `limit`.
    ///
    /// # Errors
    /// The watch is over: see [`End`].
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Message>, End> {
        let deadline = Instant::now() + limit;
        loop {
            // Where the log is before the look: what comes later ends the wait at once.
            let reached = self.reached();
            let turn = match self.watch.poll(BUDGET) {
                Turn::Read => self.watch.read(&self.engine, BUDGET)?,
                turn => turn,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match turn {
                Turn::Message(message) => return Ok(Some(message)),
                Turn::Again | Turn::Read => {}
                Turn::Idle(told) => {
                    self.check_open(told)?;
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let watermark = self.engine.watermark();
                    let durable = self.watch.level() == Level::Durable;
                    watermark.wait_past(reached, durable, left.min(PATIENCE));
                    if watermark.failure().is_some() {
                        // Nothing will come; a watermark that has failed wakes at once.
                        std::thread::sleep(left.min(PATIENCE));
                    }
                }
                Turn::Wait(revision) => {
                    if left.is_zero() {
                        return Ok(None);
                    }
                    self.reach(revision, left.min(PATIENCE))?;
                }
            }
        }
    }

    /// The last revision that has been told whole: [`WatchFrom::After`] it, a later watch
    /// goes on. None during a resync.
    pub fn position(&self) -> Option<Revision> {
        self.watch.position()
    }

    fn reached(&self) -> Revision {
        let watermark = self.engine.watermark();
        match self.watch.level() {
            Level::Durable => watermark.durable(),
            Level::Latest => watermark.logged(),
        }
    }

    fn reach(&self, revision: Revision, limit: Duration) -> Result<(), End> {
        let durable = self.watch.level() == Level::Durable;
        match self.engine.watermark().wait(revision, durable, limit) {
            Err(WaitError::Failed(reason)) => Err(End::Source(reason.to_string())),
            Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        }
    }

    /// A store that is being closed is told to its end.
    fn check_open(&self, told: Revision) -> Result<(), End> {
        let core = &self.engine.inner.core;
        let newest = core.sequencer.newest();
        let all = told >= newest || self.engine.watermark().failure().is_some();
        if core.state.draining() && all {
            return Err(End::Closed);
        }
        Ok(())
    }
}

impl Iterator for Watcher {
    type Item = Result<Message, End>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.wait(PATIENCE) {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(end) => {
                    self.ended = true;
                    return (!matches!(end, End::Closed)).then_some(Err(end));
                }
            }
        }
        None
    }
}

/// The thread of [`Engine::watch_each`]; dropping it ends the watch.
#[derive(Debug)]
pub struct WatchThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the callback of a watch panicked");
        }
    }
}
