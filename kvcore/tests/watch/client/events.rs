//! Events, each held against the change that it tells: none missed, none invented, in order, and
//! whole.

use kvcore::watch::{Batch, Budget, Event, EventKind, Previous};
use kvcore::{Engine, Record, Revision};

use super::Client;
use crate::truth::{Change, Truth};

impl Client {
    pub(super) fn events(
        &mut self,
        engine: &Engine,
        batch: Batch,
        truth: &Truth,
        budget: Budget,
    ) -> Result<(), String> {
        let Batch {
            events,
            revision,
            more,
        } = batch;
        self.check_durable(engine, revision)?;
        let weight: usize = events.iter().map(|event| event.weight(false)).sum();
        if events.len() > 1 && (events.len() > budget.events || weight > budget.bytes) {
            return Err(self.wrong(format!("{} events of {weight} bytes", events.len())));
        }
        self.seen.events += events.len() as u64;
        self.seen.fragments += u64::from(more);
        if self.in_resync {
            return self.events_in_resync(events, truth);
        }
        self.fragments.extend(events);
        if more {
            return Ok(());
        }
        let Some(before) = self.position else {
            return Err(self.wrong("events without a state"));
        };
        let told = std::mem::take(&mut self.fragments);
        let expected = self.wanted(truth, before, revision);
        if told.len() != expected.len() {
            let what = format!("told {told:?}, and there were {expected:?}");
            return Err(self.wrong(what));
        }
        for (event, (revision, change)) in told.iter().zip(&expected) {
            self.check_event(event, *revision, change)?;
        }
        for event in told {
            self.apply(event);
        }
        self.position = Some(revision);
        if self.is_mirror() {
            self.check_mirror(truth, revision)?;
        }
        Ok(())
    }

    fn events_in_resync(&mut self, events: Vec<Event>, truth: &Truth) -> Result<(), String> {
        for event in events {
            if event.revision < self.last_in_resync {
                return Err(self.wrong(format!("out of order in a resync: {event:?}")));
            }
            self.last_in_resync = event.revision;
            let before = Revision(event.revision.0 - 1);
            let there = self.wanted(truth, before, event.revision);
            let same = |(_, change): &&(Revision, Change)| change.key == event.record.key();
            let Some((revision, change)) = there.iter().find(same) else {
                return Err(self.wrong(format!("invented: {event:?}")));
            };
            self.check_event(&event, *revision, change)?;
            self.apply(event);
        }
        Ok(())
    }

    pub(super) fn wanted(
        &self,
        truth: &Truth,
        after: Revision,
        upto: Revision,
    ) -> Vec<(Revision, Change)> {
        let mut all = truth.between(after, upto, &self.want.range);
        all.retain(|(_, change)| self.want.filter.wants(change.kind, change.cause));
        all
    }

    fn check_event(
        &mut self,
        event: &Event,
        revision: Revision,
        change: &Change,
    ) -> Result<(), String> {
        let mut same = event.revision == revision
            && event.kind == change.kind
            && event.cause == change.cause
            && event.record.key() == change.key
            && event.record.mod_revision() == revision;
        if let Some(record) = &change.record {
            same &= if event.value_unavailable {
                event.record.version() == record.version()
                    && event.record.deadline_ms() == record.deadline_ms()
            } else {
                event.record == *record
            };
        }
        self.seen.values_unavailable += u64::from(event.value_unavailable);
        let carried = matches!(change.cause, kvcore::base::op::Cause::Expired);
        same &= match (&event.previous, &change.previous) {
            (Previous::Known(told), Some(really)) => {
                self.seen.previous += 1;
                told == really
            }
            (Previous::Absent, None) => self.want.filter.previous,
            (Previous::Unasked, _) => !self.want.filter.previous && !carried,
            (Previous::Unavailable, Some(_)) => {
                self.seen.previous_unavailable += 1;
                self.want.filter.previous && !carried
            }
            _ => false,
        };
        if same {
            return Ok(());
        }
        Err(self.wrong(format!("told {event:?}, and at {revision} was {change:?}")))
    }

    fn apply(&mut self, event: Event) {
        let key = event.record.key().to_vec();
        match event.kind {
            EventKind::Delete => {
                self.mirror.remove(&key);
            }
            EventKind::Set if event.value_unavailable => {
                // Whoever keeps a mirror has the value.
                if let Some(before) = self.mirror.get(&key) {
                    let mut record = Record::new(
                        &key,
                        before.value(),
                        event.record.deadline_ms(),
                        event.record.lease_id(),
                    );
                    record.stamp(
                        event.record.mod_revision(),
                        event.record.create_revision(),
                        event.record.version(),
                    );
                    self.mirror.insert(key, record);
                }
            }
            EventKind::Set => {
                self.mirror.insert(key, event.record);
            }
        }
    }
}
