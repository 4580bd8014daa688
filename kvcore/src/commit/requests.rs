//! Requests with an id at the door: looked up first, recorded last, under one lock.

use std::sync::Arc;

use super::error::Error;
use super::evaluate::Now;
use super::mutation::Outcome;
use super::transaction::Core;
use super::unit::Unit;
use crate::base::remembered::Remembered;
use crate::base::revision::Revision;
use crate::base::sync::point;
use crate::dedup::{Entry, Seat};
use crate::format::outcome::{decode_outcome, encode_outcome};

/// The place of a request with an id, held; nothing for one without.
#[derive(Debug)]
pub(super) struct Named<'a> {
    seat: Option<Seat<'a>>,
}

/// What became of the request the first time.
#[derive(Debug)]
pub(super) struct Known {
    pub revision: Revision,
    pub outcome: Remembered,
}

impl Core {
    /// Locks the request's stripe: before any shard.
    pub(super) fn named(&self, unit: &Unit) -> Named<'_> {
        let seat = unit
            .request
            .as_ref()
            .map(|request| self.requests.enter(&request.id, request.item));
        Named { seat }
    }
}

impl Named<'_> {
    /// What is remembered of it.
    pub(super) fn known(&self, unit: &Unit) -> Result<Option<Known>, Error> {
        let (Some(seat), Some(request)) = (&self.seat, &unit.request) else {
            return Ok(None);
        };
        point();
        let Some(entry) = seat.remembered() else {
            return Ok(None);
        };
        let revision = entry.revision;
        if entry.fingerprint != request.fingerprint {
            return Err(Error::RequestIdReused { revision });
        }
        // It was written by this process or checked when the log was read.
        let outcome = decode_outcome(&entry.outcome).map_or(Remembered::Single, |(_, o)| o);
        Ok(Some(Known { revision, outcome }))
    }

    /// Writes the outcome into the unit and makes room for remembering it: everything
    /// that allocates.
    pub(super) fn prepare(
        &mut self,
        unit: &mut Unit,
        outcome: &Remembered,
        now: &Now<'_>,
    ) -> Option<Entry> {
        let (seat, request) = (self.seat.as_mut()?, unit.request.as_mut()?);
        let mut bytes = Vec::new();
        encode_outcome(&mut bytes, request.item, outcome);
        request.outcome = Arc::from(bytes);
        seat.make_room(now.ms());
        Some(Entry {
            fingerprint: request.fingerprint,
            revision: Revision::NONE,
            outcome: request.outcome.clone(),
            at_ms: now.ms(),
        })
    }

    pub(super) fn record(&mut self, entry: Option<Entry>, revision: Revision) {
        if let (Some(seat), Some(entry)) = (&mut self.seat, entry) {
            seat.record(Entry { revision, ..entry });
        }
    }
}

impl Known {
    /// As the outcome of a change of one key.
    pub(super) fn of_one(&self, core: &Core) -> Outcome {
        Outcome {
            applied: true,
            revision: self.revision,
            value: match self.outcome {
                Remembered::Counter(value) => Some(value),
                _ => None,
            },
            revealed: self.revision,
            store_revision: core.sequencer.newest(),
            replayed: true,
            ..Outcome::default()
        }
    }
}
