//! Draws revisions and hands units to the log, in one step as far as anybody can see.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::unit::Unit;
use crate::base::alone::Alone;
use crate::base::revision::Revision;
use crate::base::sync::point;

/// Ends the process if the thread unwinds while it lives: memory and log would differ.
#[derive(Debug)]
pub struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// The one counter of revisions, and the channel to the log's writer.
///
/// The channel is as large as the permits allow units in flight, so a send neither
/// waits nor allocates: both would be wrong between a ticket and its apply.
#[derive(Debug)]
pub struct Sequencer {
    next: Alone<AtomicU64>,
    /// What the store is at before this run's first change.
    recovered: Revision,
    first: Revision,
    sender: Sender<Box<Unit>>,
}

impl Sequencer {
    pub fn new(
        recovered: Revision,
        first: Revision,
        in_flight: usize,
    ) -> (Self, Receiver<Box<Unit>>) {
        let (sender, receiver) = bounded(in_flight);
        (
            Self {
                next: Alone::new(AtomicU64::new(first.0)),
                recovered,
                first,
                sender,
            },
            receiver,
        )
    }

    /// Draws the next revision and sends the unit. Called with all locks of the unit held.
    pub fn issue(&self, mut unit: Box<Unit>, fill: impl FnOnce(&mut Unit, Revision)) -> Revision {
        let revision = Revision(self.next.fetch_add(1, Ordering::AcqRel));
        unit.revision = revision;
        point();
        fill(&mut unit, revision);
        self.sender
            .try_send(unit)
            .expect("permits bound the units in flight");
        revision
    }

    /// The newest revision that names a unit.
    pub fn newest(&self) -> Revision {
        let next = Revision(self.next.load(Ordering::Acquire));
        if next == self.first {
            self.recovered
        } else {
            Revision(next.0 - 1)
        }
    }

    /// The newest revision at or below `position` that names a unit. Positions of the
    /// log begin just below this run's first revision, which is in a gap after an
    /// unclean start: nobody outside may be told of it.
    pub fn named(&self, position: Revision) -> Revision {
        if position < self.first {
            self.recovered
        } else {
            position
        }
    }

    /// The revision that will be drawn next.
    pub fn next(&self) -> Revision {
        Revision(self.next.load(Ordering::Acquire))
    }
}
