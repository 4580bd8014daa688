//! A place in the order and what is wanted behind it: the whole state of a slow watch.
//!
//! [`Cursor::poll`] takes what comes next from the ring and never waits; where the ring does
//! not reach, it says so, and [`Cursor::read`] takes it from the log on a thread that may
//! wait for a disk. Both tell whole revisions, or a part of one that says that more of it
//! follows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dispatch::Hits;
use super::event::{Event, EventKind, Filter, Missing, kind_of, kind_of_op, of_logged, of_op};
use super::history::Lookup;
use super::hub::Hub;
use super::ring::Group;
use crate::base::op::{Cause, OpView};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::format::unit::units;
use crate::log::tail::{Place, Tail};
use crate::store::Logged;

/// Changes that one poll looks at before it gives way to others.
const LOOK: usize = 8192;
/// Bytes of log that one read takes before it gives way.
const READ: u64 = 4 << 20;
/// Records before a change that one batch looks up in the log.
const LOOKUPS: usize = 256;

/// Which changes may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Those on stable storage.
    Durable,
    /// Those in the file.
    Latest,
}

/// The most that one batch holds; a single event may be larger.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub events: usize,
    pub bytes: usize,
}

/// Some events, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    pub events: Vec<Event>,
    /// The newest revision in it.
    pub revision: Revision,
    /// Events of that revision follow in the next batch.
    pub more: bool,
}

/// What a look came to.
#[derive(Debug)]
pub enum Step {
    Events(Batch),
    /// Everything that was asked for has been told.
    Told,
    /// Much was looked at and there is more: look again.
    Again,
    /// What comes next has to be read from the log.
    Read,
}

/// Why reading ended.
#[derive(Debug)]
pub enum Broken {
    /// The log does not reach back that far any more.
    Compacted,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Cursor {
    hub: Arc<Hub>,
    pub range: KeyRange,
    pub filter: Filter,
    /// Nothing of it or behind it has been told, except for the first `skip` operations.
    next: Revision,
    skip: usize,
    /// Where the log was left.
    place: Option<Place>,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.hub.leave(self.filter.previous);
    }
}

impl Cursor {
    pub fn new(hub: Arc<Hub>, range: KeyRange, filter: Filter, next: Revision) -> Self {
        hub.enter(filter.previous);
        let next = hub.align(next);
        Self {
            hub,
            range,
            filter,
            next,
            skip: 0,
            place: None,
        }
    }

    /// The first revision of which not everything has been told.
    pub fn next(&self) -> Revision {
        self.next
    }

    /// A part of a revision has been told and the rest not.
    pub fn inside(&self) -> bool {
        self.skip > 0
    }

    /// Nothing before `revision` is wanted.
    pub fn skip_to(&mut self, revision: Revision) {
        if revision > self.next {
            self.go_to(revision);
        }
    }

    pub fn go_to(&mut self, revision: Revision) {
        self.next = self.hub.align(revision);
        self.skip = 0;
    }

    /// What comes next, up to `upto`, as far as the ring has it.
    pub fn poll(&mut self, upto: Revision, budget: Budget) -> Step {
        let mut tray = Tray::new(budget);
        let step = self.scan(upto, &mut tray);
        self.end(tray, step)
    }

    /// As [`Cursor::poll`], and looks only where a dispatcher has noted something.
    pub fn poll_hits(&mut self, hits: &Hits, limit: Revision, budget: Budget) -> Step {
        let mut tray = Tray::new(budget);
        let step = loop {
            let Some(upto) = self.go_to_hit(hits) else {
                break Step::Told;
            };
            match self.scan(upto.min(limit), &mut tray) {
                Step::Told if tray.looked >= LOOK => break Step::Again,
                Step::Told => {}
                step => break step,
            }
        };
        self.end(tray, step)
    }

    /// Goes to the next change that was noted; up to where there is something to look at.
    pub fn go_to_hit(&mut self, hits: &Hits) -> Option<Revision> {
        if self.inside() {
            return Some(self.next);
        }
        let (from, upto) = hits.target(self.next)?;
        self.skip_to(from);
        Some(upto)
    }

    fn scan(&mut self, upto: Revision, tray: &mut Tray) -> Step {
        self.next = self.hub.align(self.next);
        while self.next <= upto {
            let Some(group) = self.hub.find(self.next) else {
                return Step::Read;
            };
            match self.of_group(&group, upto, tray, None) {
                Ok(None) if tray.looked >= LOOK => return Step::Again,
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(_) => return Step::Read,
            }
        }
        Step::Told
    }

    /// What comes next, up to `upto`, from wherever it is. Waits for the disk.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn read(&mut self, upto: Revision, budget: Budget) -> Result<Step, Broken> {
        let hub = self.hub.clone();
        self.next = hub.log.manifest.past_gap(self.next);
        if self.next > upto {
            return Ok(Step::Told);
        }
        let mut tray = Tray::new(budget);
        let mut lookup = Lookup::new(&hub);
        if let Some(group) = hub.find(self.next) {
            let step = self.of_group(&group, upto, &mut tray, Some(&mut lookup))?;
            return Ok(self.end(tray, step.unwrap_or(Step::Again)));
        }
        hub.counters.log_reads.fetch_add(1, Ordering::Relaxed);
        let after = Revision(self.next.0 - 1);
        let _pin = hub.log.catalog.pin(after).ok_or(Broken::Compacted)?;
        let mut tail = Tail::new(&hub.disk, &hub.log.catalog, &hub.anchors);
        let step = self.of_log(&mut tail, upto, &mut tray, &mut lookup);
        let bytes = tail.bytes_read + lookup.bytes_read();
        hub.counters.log_bytes.fetch_add(bytes, Ordering::Relaxed);
        let step = step?;
        Ok(self.end(tray, step))
    }

    fn of_group(
        &mut self,
        group: &Group,
        upto: Revision,
        tray: &mut Tray,
        mut lookup: Option<&mut Lookup<'_>>,
    ) -> io::Result<Option<Step>> {
        for entry in group.from(self.next) {
            if entry.revision > upto {
                self.next = upto.next();
                return Ok(Some(Step::Told));
            }
            let operations = entry.operations.as_slice().iter();
            let taken = self.unit(entry.revision, operations, tray, lookup.as_deref_mut())?;
            if let Some(step) = self.took(taken, entry.revision, tray) {
                return Ok(Some(step));
            }
            if tray.looked >= LOOK {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn of_log(
        &mut self,
        tail: &mut Tail<'_>,
        upto: Revision,
        tray: &mut Tray,
        lookup: &mut Lookup<'_>,
    ) -> io::Result<Step> {
        let mut place = tail.seek(Revision(self.next.0 - 1), self.place)?;
        loop {
            self.place = Some(place);
            if self.next > upto {
                return Ok(Step::Told);
            }
            if tail.bytes_read + lookup.bytes_read() >= READ {
                return Ok(Step::Again);
            }
            // From here on the ring is quicker.
            if self
                .hub
                .ring_first()
                .is_some_and(|first| self.next >= first)
            {
                return Ok(Step::Again);
            }
            let (frame, behind) = tail.next(place)?;
            let mut revision = frame.first_revision;
            for unit in units(frame.payload) {
                let unit = unit.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                let here = revision;
                revision = revision.next();
                if here < self.next {
                    continue;
                }
                if here > upto {
                    self.next = upto.next();
                    return Ok(Step::Told);
                }
                let taken = self.unit(here, unit.ops(), tray, Some(&mut *lookup))?;
                if let Some(step) = self.took(taken, here, tray) {
                    return Ok(step);
                }
            }
            place = behind;
        }
    }

    /// What a unit has for this cursor goes onto the tray, all of it if there is room.
    fn unit<O: Operation>(
        &self,
        revision: Revision,
        operations: impl Iterator<Item = O>,
        tray: &mut Tray,
        mut lookup: Option<&mut Lookup<'_>>,
    ) -> io::Result<Taken> {
        let mark = (tray.events.len(), tray.bytes);
        let skip = if revision == self.next { self.skip } else { 0 };
        for (at, operation) in operations.enumerate().skip(skip) {
            tray.looked += 1;
            let (kind, cause) = operation.kind();
            if !self.range.contains(operation.key()) || !self.filter.wants(kind, cause) {
                continue;
            }
            let (mut event, missing) = operation.event(revision, self.filter);
            if let Some(missing) = missing {
                let Some(lookup) = lookup.as_deref_mut() else {
                    tray.back_to(mark);
                    return Ok(Taken::Missing);
                };
                lookup.fill(&mut event, missing, self.filter)?;
                tray.lookups += 1;
            }
            let weight = event.weight(self.filter.keys_only);
            if !tray.events.is_empty() && !tray.has_room(weight) {
                if mark.0 == 0 {
                    return Ok(Taken::Part(at));
                }
                tray.back_to(mark);
                return Ok(Taken::Not);
            }
            tray.events.push(event);
            tray.bytes += weight;
        }
        Ok(Taken::Whole)
    }

    /// Goes on behind a unit, or says why not.
    fn took(&mut self, taken: Taken, revision: Revision, tray: &mut Tray) -> Option<Step> {
        match taken {
            Taken::Whole => {
                self.next = revision.next();
                self.skip = 0;
                if tray.events.last().is_some_and(|e| e.revision == revision) {
                    tray.revision = revision;
                }
                None
            }
            Taken::Part(at) => {
                self.next = revision;
                self.skip = at;
                tray.revision = revision;
                tray.more = true;
                Some(Step::Again)
            }
            // What is on the tray goes first.
            Taken::Not => Some(Step::Again),
            Taken::Missing => Some(Step::Read),
        }
    }

    /// The batch, or `otherwise` if there is nothing on the tray.
    fn end(&self, tray: Tray, otherwise: Step) -> Step {
        if tray.events.is_empty() {
            return otherwise;
        }
        for same in tray.events.chunk_by(|a, b| a.cause == b.cause) {
            self.hub.counters.told(same[0].cause, same.len() as u64);
        }
        Step::Events(Batch {
            events: tray.events,
            revision: tray.revision,
            more: tray.more,
        })
    }
}

/// A batch in the making.
#[derive(Debug)]
struct Tray {
    events: Vec<Event>,
    bytes: usize,
    budget: Budget,
    revision: Revision,
    more: bool,
    looked: usize,
    lookups: usize,
}

impl Tray {
    const fn new(budget: Budget) -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            budget,
            revision: Revision::NONE,
            more: false,
            looked: 0,
            lookups: 0,
        }
    }

    fn has_room(&self, weight: usize) -> bool {
        self.events.len() < self.budget.events
            && self.bytes + weight <= self.budget.bytes
            && self.lookups <= LOOKUPS
    }

    fn back_to(&mut self, (events, bytes): (usize, usize)) {
        self.events.truncate(events);
        self.bytes = bytes;
    }
}

/// What became of a unit.
#[derive(Clone, Copy)]
enum Taken {
    Whole,
    /// Up to this operation.
    Part(usize),
    /// No room behind what is there.
    Not,
    /// It needs the log.
    Missing,
}

/// A change, from memory or from the log.
trait Operation {
    fn key(&self) -> &[u8];
    fn kind(&self) -> (EventKind, Cause);
    fn event(&self, revision: Revision, filter: Filter) -> (Event, Option<Missing>);
}

impl Operation for &Logged {
    fn key(&self) -> &[u8] {
        Logged::key(self)
    }

    fn kind(&self) -> (EventKind, Cause) {
        kind_of(self)
    }

    fn event(&self, revision: Revision, filter: Filter) -> (Event, Option<Missing>) {
        of_logged(self, revision, filter)
    }
}

impl Operation for OpView<'_> {
    fn key(&self) -> &[u8] {
        self.key
    }

    fn kind(&self) -> (EventKind, Cause) {
        (kind_of_op(self), self.cause)
    }

    fn event(&self, revision: Revision, filter: Filter) -> (Event, Option<Missing>) {
        of_op(self, revision, filter)
    }
}
