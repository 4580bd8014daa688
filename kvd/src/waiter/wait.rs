//! One wait, as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Entry, Level, Unreached, Waiters};
use crate::backend::{Revision, Store};

/// A wait for one revision; see [`Waiters::wait`].
pub struct Wait<'a, S: Store> {
    pub(super) waiters: &'a Waiters,
    pub(super) store: &'a S,
    pub(super) revision: Revision,
    pub(super) level: Level,
    pub(super) deadline: Option<Instant>,
    /// Armed on the first pending poll of a wait with a deadline.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    pub(super) entry: Option<Entry>,
}

impl<S: Store> fmt::Debug for Wait<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait({} {:?})", self.revision, self.level)
    }
}

impl<S: Store> Wait<'_, S> {
    fn timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else {
            return false;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<S: Store> Future for Wait<'_, S> {
    type Output = Result<(), Unreached>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Wait {
            waiters,
            store,
            revision,
            level,
            entry,
            ..
        } = this;
        let polled = waiters.poll_reached(*store, *revision, *level, entry, cx);
        if polled.is_pending() && this.timed_out(cx) {
            return Poll::Ready(Err(Unreached::Deadline));
        }
        polled
    }
}

impl<S: Store> Drop for Wait<'_, S> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.waiters.leave(&entry);
        }
    }
}
