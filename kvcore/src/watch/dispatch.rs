//! Looks at each change once, on behalf of many watches.
//!
//! ```text
//!  dispatch: ring ──► position ─┐ each change: who wants its key? ──► hit(revision)
//!            gone from the ring ┘ everybody: look(up to where the ring begins)
//! ```
//! A watch takes over from its own looking where it was entered: entering reads the position
//! under the lock that dispatching holds, so each revision is either looked at by the watch
//! or by the dispatcher. What a watch keeps of what it was told is bounded ([`Hits`]): a watch
//! that does not keep up is told to look at everything again, which costs nothing until it
//! does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cursor::Level;
use super::hub::Hub;
use super::interest::{Interests, Ticket};
use crate::base::broken;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::base::sync::{Guard, Lock, lock, point};

/// Revisions that a watch has noted for it.
const NOTED: usize = 64;

/// Who is told of changes.
pub trait Interested {
    /// Something of its range changed at this revision.
    fn hit(&self, revision: Revision);
    /// Nobody has looked at what is up to here.
    fn look(&self, upto: Revision);
}

impl<T: Interested> Interested for Arc<T> {
    fn hit(&self, revision: Revision) {
        T::hit(self, revision);
    }

    fn look(&self, upto: Revision) {
        T::look(self, upto);
    }
}

/// What has been noted for one watch.
#[derive(Debug)]
pub struct Hits {
    inner: Lock<Noted>,
    /// Up to where the dispatcher has looked.
    position: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Noted {
    /// Everything up to here has to be looked at.
    upto: Revision,
    /// Behind that, only these.
    list: VecDeque<Revision>,
}

impl Hits {
    fn noted(&self) -> Guard<'_, Noted> {
        lock(&self.inner)
    }

    /// From where to where a watch that has told everything before `next` has to look.
    pub fn target(&self, next: Revision) -> Option<(Revision, Revision)> {
        let mut noted = self.noted();
        if noted.upto >= next {
            return Some((next, noted.upto));
        }
        while let Some(&first) = noted.list.front() {
            if first >= next {
                return Some((first, first));
            }
            noted.list.pop_front();
        }
        None
    }

    /// Up to where there is nothing that is not noted. To be read before [`Hits::target`].
    pub fn position(&self) -> Revision {
        Revision(self.position.load(Ordering::Acquire))
    }
}

impl Interested for Hits {
    fn hit(&self, revision: Revision) {
        let mut noted = self.noted();
        if noted.list.back() == Some(&revision) || revision <= noted.upto {
            return;
        }
        if noted.list.len() >= NOTED {
            if broken::is(broken::Build::DropOnFullQueue) {
                return;
            }
            noted.list.clear();
            noted.upto = revision;
            return;
        }
        noted.list.push_back(revision);
    }

    fn look(&self, upto: Revision) {
        let mut noted = self.noted();
        noted.list.retain(|&revision| revision > upto);
        noted.upto = noted.upto.max(upto);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher<T> {
    hub: Arc<Hub>,
    level: Level,
    position: Arc<AtomicU64>,
    interests: Lock<Interests<T>>,
}

impl<T: Interested> Dispatcher<T> {
    pub fn new(hub: Arc<Hub>, level: Level) -> Self {
        let position = Arc::new(AtomicU64::new(hub.limit(level).0));
        Self {
            hub,
            level,
            position,
            interests: Lock::default(),
        }
    }

    /// Enters a watch that looks for itself up to where the dispatcher is. `make` gets what
    /// will be noted for it.
    pub fn enter(
        &self,
        range: &KeyRange,
        make: impl FnOnce(Arc<Hits>) -> T,
    ) -> (Arc<Hits>, Ticket) {
        let hits = |upto: u64| {
            Arc::new(Hits {
                inner: Lock::new(Noted {
                    upto: Revision(upto),
                    list: VecDeque::new(),
                }),
                position: self.position.clone(),
            })
        };
        if broken::is(broken::Build::RegisterOutsideSeam) {
            let hits = hits(self.position.load(Ordering::Acquire));
            point();
            let value = make(hits.clone());
            let ticket = lock(&self.interests).insert(range, value);
            return (hits, ticket);
        }
        let mut interests = lock(&self.interests);
        point();
        let hits = hits(self.position.load(Ordering::Acquire));
        let ticket = interests.insert(range, make(hits.clone()));
        (hits, ticket)
    }

    pub fn leave(&self, range: &KeyRange, ticket: Ticket) {
        lock(&self.interests).remove(range, ticket);
    }

    /// Is there anything that [`Dispatcher::dispatch`] would look at?
    pub fn is_due(&self) -> bool {
        self.position.load(Ordering::Relaxed) < self.hub.limit(self.level).0
    }

    /// Looks at the next group of changes. False: there is none.
    pub fn dispatch(&self) -> bool {
        let mut interests = lock(&self.interests);
        let position = Revision(self.position.load(Ordering::Relaxed));
        let limit = self.hub.limit(self.level);
        if limit <= position {
            return false;
        }
        let next = self.hub.align(position.next());
        let reached = if interests.is_empty() {
            limit
        } else if let Some(group) = self.hub.find(next) {
            let mut reached = position;
            let told = group.from(next).iter();
            for entry in told.take_while(|entry| entry.revision <= limit) {
                for logged in entry.operations.as_slice() {
                    interests.each(logged.key(), |watch| watch.hit(entry.revision));
                }
                reached = entry.revision;
            }
            reached
        } else {
            // Outrun: each has to look for itself at what the ring has no more.
            let first = self.hub.ring_first().filter(|&first| first > next);
            let upto = first.map_or(limit, |first| limit.min(Revision(first.0 - 1)));
            if !broken::is(broken::Build::DropOnFullQueue) {
                interests.all(|watch| watch.look(upto));
            }
            upto
        };
        point();
        self.position.store(reached.0, Ordering::Release);
        true
    }
}
