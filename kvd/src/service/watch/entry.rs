//! One watch of a stream, and those of a stream together.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::link::Heard;
use crate::backend::Store;
use crate::backend::watch::Ticket;
use crate::waiter::{Entry as Place, Level};

/// See the module.
pub(super) struct Entry<S: Store> {
    /// Elsewhere while it is being read for.
    pub(super) watch: Option<S::Watch>,
    pub(super) heard: Arc<Heard>,
    pub(super) ticket: Ticket,
    pub(super) keys_only: bool,
    /// Where to go on after what was sent. `None` during a resync.
    pub(super) position: Option<u64>,
    /// Where the resync under way began.
    pub(super) resync: Option<u64>,
    /// What it waits for in the log.
    pub(super) wait: Option<Wait>,
    /// A progress message is wanted when everything up to here was sent.
    pub(super) asked: Option<u64>,
    /// And one whenever this has passed without a message.
    pub(super) every: Option<Duration>,
    pub(super) last: Instant,
    /// That time has passed.
    pub(super) due: bool,
}

/// A revision that the log has to reach.
pub(super) struct Wait {
    pub(super) revision: u64,
    pub(super) level: Level,
    pub(super) place: Option<Place>,
    /// Nothing goes on before.
    pub(super) blocks: bool,
}

/// When which watch is to tell its progress.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, i64)>>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, id: i64) {
        self.0.push(Reverse((at, id)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// The watches whose time has come.
    pub(super) fn due<S: Store>(
        &mut self,
        now: Instant,
        watches: &mut HashMap<i64, Entry<S>>,
        mut turn: impl FnMut(i64),
    ) {
        while let Some(&Reverse((at, id))) = self.0.peek()
            && at <= now
        {
            self.0.pop();
            let Some(entry) = watches.get_mut(&id) else {
                continue;
            };
            let Some(every) = entry.every else {
                continue;
            };
            if entry.last + every > now {
                self.set(entry.last + every, id);
            } else {
                entry.due = true;
                turn(id);
            }
        }
    }
}
