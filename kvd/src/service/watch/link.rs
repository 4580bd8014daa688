//! How a change reaches the stream that waits for it.
//!
//! ```text
//!  log thread ─ advanced ─► poked (once per runtime and advance)
//!  driver     ─ dispatch ─► each change once: whose range holds its key?
//!             ─ Heard    ─► noted, and the watch's id put on its stream's list, once
//!  stream     ─ takes ids off its list and gives each watch a turn
//! ```
//! While a runtime has no watches, an advance costs it one load.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use kvcore::Revision;
use parking_lot::{Mutex, MutexGuard};

use super::share::Shared;
use crate::backend::Store;
use crate::backend::watch::{Dispatch, Ear, Hits, Interested, Level, Ticket};

/// Groups of changes after which the runtime gets a turn.
const TURN: usize = 16;

/// The watches of one runtime.
pub struct Watchers<S: Store> {
    dispatch: OnceLock<S::Dispatch>,
    count: AtomicUsize,
    poked: AtomicBool,
    driver: AtomicWaker,
    ears: Mutex<HashMap<(bool, u64), Arc<Heard>>>,
    shared: Mutex<Shared>,
}

impl<S: Store> Default for Watchers<S> {
    fn default() -> Self {
        Self {
            dispatch: OnceLock::new(),
            count: AtomicUsize::new(0),
            poked: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            ears: Mutex::default(),
            shared: Mutex::default(),
        }
    }
}

impl<S: Store> fmt::Debug for Watchers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// How far the watches of a runtime are behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behind {
    /// Watches that have something to tell.
    pub watches: u64,
    /// Revisions that the last of them has to look at.
    pub revisions: u64,
}

impl<S: Store> Watchers<S> {
    pub(crate) fn opened(&self, dispatch: S::Dispatch) {
        let _ = self.dispatch.set(dispatch);
    }

    /// Called by the log after an advance.
    pub(crate) fn advanced(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.poke();
        }
    }

    fn poke(&self) {
        if !self.poked.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// The one task per runtime that looks at changes. Never ends.
    pub(crate) async fn drive(self: Arc<Self>) {
        poll_fn(|cx| {
            self.driver.register(cx.waker());
            if !self.poked.swap(false, Ordering::AcqRel) {
                return Poll::<()>::Pending;
            }
            let Some(dispatch) = self.dispatch.get() else {
                return Poll::Pending;
            };
            for _ in 0..TURN {
                if !dispatch.dispatch() {
                    return Poll::Pending;
                }
            }
            self.poke();
            Poll::Pending
        })
        .await;
    }

    /// Enters a watch of a stream.
    pub(super) fn enter(
        &self,
        watch: &mut S::Watch,
        id: i64,
        link: &Arc<Link>,
    ) -> Option<(Ticket, Arc<Heard>)> {
        let dispatch = self.dispatch.get()?;
        // Counted first: an advance from here on pokes.
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut heard = None;
        let ticket = dispatch.enter(watch, &mut |hits| {
            let ear = Arc::new(Heard {
                hits,
                id,
                queued: AtomicBool::new(false),
                told: AtomicU64::new(0),
                link: Arc::clone(link),
            });
            heard = Some(Arc::clone(&ear));
            ear
        });
        // And one before, for which nobody was counted, is made up for.
        self.poke();
        let heard = heard?;
        let key = (ticket.level == Level::Durable, ticket.number);
        self.ears.lock().insert(key, Arc::clone(&heard));
        Some((ticket, heard))
    }

    pub(super) fn leave(&self, ticket: &Ticket) {
        if let Some(dispatch) = self.dispatch.get() {
            dispatch.leave(ticket);
        }
        let key = (ticket.level == Level::Durable, ticket.number);
        self.ears.lock().remove(&key);
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.lock().clear();
        }
    }

    /// Events that were encoded already. Watches of a runtime tell one after the other.
    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock()
    }

    pub(crate) fn behind(&self, store: &S) -> Behind {
        let positions = store.positions();
        let mut behind = Behind::default();
        for ((durable, _), heard) in &*self.ears.lock() {
            let told = heard.told.load(Ordering::Relaxed);
            // 0: in a resync, which is not a distance.
            if told == 0 || heard.hits.target(Revision(told + 1)).is_none() {
                continue;
            }
            let limit = if *durable {
                positions.durable
            } else {
                positions.logged
            };
            behind.watches += 1;
            behind.revisions = behind.revisions.max(limit.saturating_sub(told));
        }
        behind
    }
}

/// What the watches of one stream have in common.
#[derive(Debug, Default)]
pub(super) struct Link {
    ready: Mutex<VecDeque<i64>>,
    waker: AtomicWaker,
}

impl Link {
    /// Takes the ids of watches that have something to look at; asks to be woken for more.
    pub(super) fn take(&self, to: &mut VecDeque<i64>, cx: Option<&Context<'_>>) {
        if let Some(cx) = cx {
            self.waker.register(cx.waker());
        }
        to.append(&mut self.ready.lock());
    }
}

/// One watch, as its dispatcher knows it.
#[derive(Debug)]
pub(super) struct Heard {
    hits: Arc<Hits>,
    id: i64,
    /// Its id is on the list.
    queued: AtomicBool,
    told: AtomicU64,
    link: Arc<Link>,
}

impl Heard {
    fn wake(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.link.ready.lock().push_back(self.id);
            self.link.waker.wake();
        }
    }

    /// It has its turn: what is heard from here on puts it on the list again.
    pub(super) fn turn(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Everything up to here was told.
    pub(super) fn told(&self, revision: u64) {
        self.told.store(revision, Ordering::Relaxed);
    }
}

impl Interested for Heard {
    fn hit(&self, revision: Revision) {
        self.hits.hit(revision);
        self.wake();
    }

    fn look(&self, upto: Revision) {
        self.hits.look(upto);
        self.wake();
    }
}

impl Ear for Heard {}
