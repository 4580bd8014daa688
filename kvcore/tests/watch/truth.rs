//! What really happened, by revision, as those who wrote it know it.

use std::collections::BTreeMap;

use kvcore::base::op::Cause;
use kvcore::watch::EventKind;
use kvcore::{KeyRange, Record, Revision};

pub(crate) type State = BTreeMap<Vec<u8>, Record>;

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: EventKind,
    pub(crate) cause: Cause,
    pub(crate) record: Option<Record>,
    pub(crate) previous: Option<Record>,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) now: State,
    changes: BTreeMap<Revision, Vec<Change>>,
}

impl Truth {
    /// One key of the unit `revision`.
    pub(crate) fn add(
        &mut self,
        revision: Revision,
        key: &[u8],
        cause: Cause,
        record: Option<Record>,
    ) {
        let previous = match &record {
            Some(record) => self.now.insert(key.to_vec(), record.clone()),
            None => self.now.remove(key),
        };
        let kind = if record.is_some() {
            EventKind::Set
        } else {
            EventKind::Delete
        };
        self.changes.entry(revision).or_default().push(Change {
            key: key.to_vec(),
            kind,
            cause,
            record,
            previous,
        });
    }

    /// The power went: what is behind `last` never was.
    pub(crate) fn forget_after(&mut self, last: Revision) {
        self.changes.split_off(&last.next());
        self.now = self.at(last);
    }

    /// The state of a revision.
    pub(crate) fn at(&self, revision: Revision) -> State {
        let mut state = State::new();
        for change in self.changes.range(..=revision).flat_map(|(_, unit)| unit) {
            match &change.record {
                Some(record) => state.insert(change.key.clone(), record.clone()),
                None => state.remove(&change.key),
            };
        }
        state
    }

    pub(crate) fn at_in(&self, revision: Revision, range: &KeyRange) -> State {
        let mut state = self.at(revision);
        state.retain(|key, _| range.contains(key));
        state
    }

    /// The changes of a range behind `after`, up to `upto`.
    pub(crate) fn between(
        &self,
        after: Revision,
        upto: Revision,
        range: &KeyRange,
    ) -> Vec<(Revision, Change)> {
        let units = self.changes.range(after.next()..=upto.max(after.next()));
        units
            .filter(|(revision, _)| **revision <= upto)
            .flat_map(|(revision, unit)| unit.iter().map(|change| (*revision, change.clone())))
            .filter(|(_, change)| range.contains(&change.key))
            .collect()
    }
}
