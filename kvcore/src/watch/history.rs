//! Records as they were: looked up at the revision that changed them.

use std::io;
use std::sync::atomic::Ordering;

use super::event::{Event, Filter, Missing, Previous, present, with_value};
use super::hub::Hub;
use crate::base::op::{OpCode, OpView};
use crate::base::revision::Revision;
use crate::format::unit::units;
use crate::log::tail::Tail;
use crate::store::{Logged, Record};

/// Changes of an expiry in a row that are followed back to a value.
const CHAIN: usize = 8;

/// Looks records up, for one batch.
#[derive(Debug)]
pub struct Lookup<'a> {
    hub: &'a Hub,
    tail: Tail<'a>,
}

/// What a revision did to a key.
enum Found {
    Record(Record),
    /// Its value is that of the record of this revision.
    ValueOf(Record, Revision),
}

impl<'a> Lookup<'a> {
    pub fn new(hub: &'a Hub) -> Self {
        Self {
            hub,
            tail: Tail::new(&hub.disk, &hub.log.catalog, &hub.anchors),
        }
    }

    pub fn bytes_read(&self) -> u64 {
        self.tail.bytes_read
    }

    /// Adds to an event what it lacks, if that can still be found.
    ///
    /// # Errors
    /// The log cannot be read, or is not what was written.
    pub fn fill(&mut self, event: &mut Event, missing: Missing, filter: Filter) -> io::Result<()> {
        let (Missing::Previous(revision) | Missing::Value(revision)) = missing;
        let found = self.record(event.record.key(), revision)?;
        if let (Missing::Value(_), Some(before)) = (missing, &found) {
            event.record = with_value(&event.record, before.value());
            event.value_unavailable = false;
        }
        if filter.previous {
            event.previous = found.map_or(Previous::Unavailable, Previous::Known);
        }
        Ok(())
    }

    /// The record of `key` as `revision` left it. None: that is not kept any more.
    fn record(&mut self, key: &[u8], revision: Revision) -> io::Result<Option<Record>> {
        let mut newest: Option<Record> = None;
        let mut at = revision;
        for _ in 0..CHAIN {
            let Some(found) = self.change(key, at)? else {
                return Ok(None);
            };
            match found {
                Found::Record(record) => {
                    let whole = newest.map(|newest| with_value(&newest, record.value()));
                    return Ok(Some(whole.unwrap_or(record)));
                }
                Found::ValueOf(record, before) => {
                    newest.get_or_insert(record);
                    at = before;
                }
            }
        }
        Ok(None)
    }

    fn change(&mut self, key: &[u8], revision: Revision) -> io::Result<Option<Found>> {
        if let Some(group) = self.hub.find(revision)
            && let Some(entry) = group.from(revision).first()
        {
            let mut operations = entry.operations.as_slice().iter();
            let logged = operations.find(|logged| logged.key() == key);
            return Ok(logged.and_then(in_memory));
        }
        let Some(before) = revision.0.checked_sub(1).map(Revision) else {
            return Ok(None);
        };
        let Some(_pin) = self.hub.log.catalog.pin(before) else {
            return Ok(None);
        };
        let counters = &self.hub.counters;
        counters.lookups.fetch_add(1, Ordering::Relaxed);
        let place = self.tail.seek(before, None)?;
        let (frame, _) = self.tail.next(place)?;
        let at = revision.0.checked_sub(frame.first_revision.0);
        let unit = at
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| units(frame.payload).nth(at));
        let Some(Ok(unit)) = unit else {
            return Ok(None);
        };
        let found = unit.ops().find(|op| op.key == key);
        Ok(found.and_then(|op| in_log(&op, revision)))
    }
}

fn in_memory(logged: &Logged) -> Option<Found> {
    match logged {
        Logged::Set { record, .. } | Logged::Metadata { record, .. } => {
            Some(Found::Record(record.clone()))
        }
        Logged::Delete { .. } => None,
    }
}

fn in_log(op: &OpView<'_>, revision: Revision) -> Option<Found> {
    let record = present(op, op.value.unwrap_or_default(), revision);
    match op.code {
        OpCode::Set => Some(Found::Record(record)),
        OpCode::Metadata => Some(Found::ValueOf(record, Revision(op.previous_mod_revision))),
        OpCode::Delete => None,
    }
}
