//! Puts units back into revision order.
//!
//! A ticket and its send are adjacent but not one step, so two threads may send in
//! the other order than they drew. The ring holds what came early. It has a place
//! for every unit that the permits allow in flight, so it can never be full.

use std::collections::VecDeque;

use super::LogUnit;
use crate::base::revision::Revision;

/// Units from the next expected revision on, with holes where one is still on its way.
#[derive(Debug)]
pub struct Ring<U> {
    next: Revision,
    slots: VecDeque<Option<Box<U>>>,
    capacity: usize,
    held: usize,
}

impl<U: LogUnit> Ring<U> {
    /// Expects `next` first.
    pub fn new(next: Revision, capacity: usize) -> Self {
        Self {
            next,
            slots: VecDeque::with_capacity(capacity.min(4096)),
            capacity,
            held: 0,
        }
    }

    pub fn next(&self) -> Revision {
        self.next
    }

    /// Units held, ready or not.
    pub fn len(&self) -> usize {
        self.held
    }

    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Is the next unit here?
    pub fn ready(&self) -> Option<&U> {
        self.slots.front()?.as_deref()
    }

    /// Does it hold units behind a hole?
    pub fn has_hole(&self) -> bool {
        self.held > 0 && self.ready().is_none()
    }

    /// Panics on a revision that came before or is too far ahead: the order of the
    /// log would be a lie.
    pub fn insert(&mut self, unit: Box<U>) {
        let revision = unit.revision();
        assert!(revision >= self.next, "revision {revision} came twice");
        let at = usize::try_from(revision.0 - self.next.0).unwrap_or(usize::MAX);
        assert!(
            at < self.capacity,
            "revision {revision} is beyond what permits allow"
        );
        while self.slots.len() <= at {
            self.slots.push_back(None);
        }
        let before = self.slots[at].replace(unit);
        assert!(before.is_none(), "revision {revision} came twice");
        self.held += 1;
    }

    pub fn pop(&mut self) -> Option<Box<U>> {
        self.ready()?;
        let unit = self.slots.pop_front().flatten()?;
        self.next = self.next.next();
        self.held -= 1;
        Some(unit)
    }

    /// Everything held, in order, holes skipped. For a log that has failed.
    pub fn drain(&mut self, into: &mut Vec<Box<U>>) {
        into.extend(std::mem::take(&mut self.slots).into_iter().flatten());
        self.held = 0;
    }
}
