//! The memory of the store for tests: one map, one clock, one revision at a time.

use std::collections::{BTreeMap, HashMap};

use super::*;

/// The moment at which every fake begins.
const BEGIN_MS: u64 = 1_700_000_000_000;

#[derive(Clone)]
pub(super) struct State {
    pub(super) map: BTreeMap<Vec<u8>, Record>,
    pub(super) revision: Revision,
    pub(super) last_delete: Revision,
    pub(super) now: u64,
    remembered: HashMap<Vec<u8>, HashMap<u32, (u128, Remembered)>>,
}

#[derive(Clone)]
pub(super) enum Remembered {
    One(Revision, Option<i64>),
    Txn(Revision, bool),
    Range(RangeDeleted),
}

impl Default for State {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            revision: 1,
            last_delete: 0,
            now: BEGIN_MS,
            remembered: HashMap::new(),
        }
    }
}

/// What one change did to its key.
pub(super) struct Step {
    pub(super) applied: bool,
    pub(super) changed: bool,
    pub(super) record: Option<Record>,
    pub(super) previous: Option<Record>,
    pub(super) value: Option<i64>,
}

impl State {
    /// The record, and what looking at it reveals.
    pub(super) fn get(&self, key: &[u8]) -> (Option<Record>, Revision) {
        let found = self.map.get(key).cloned();
        let revealed = found.as_ref().map(|record| record.mod_revision().0);
        (found, revealed.unwrap_or(self.last_delete))
    }

    pub(super) fn revealed_by(&self, records: &[Record]) -> Revision {
        let newest = records.iter().map(|record| record.mod_revision().0).max();
        newest.unwrap_or(0).max(self.last_delete)
    }

    pub(super) fn range(&self, range: &KeyRange) -> Vec<Record> {
        let inside = |record: &&Record| range.contains(record.key());
        self.map.values().filter(inside).cloned().collect()
    }

    pub(super) fn page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
    ) -> Page {
        let mut records = self.range(range);
        if reverse {
            records.reverse();
        }
        records.retain(|record| match after {
            Some(after) if reverse => record.key() < after,
            Some(after) => record.key() > after,
            None => true,
        });
        let mut bytes = 0;
        let fits = records.iter().take_while(|record| {
            let first = bytes == 0;
            bytes += record.key().len() + record.value().len();
            first || bytes <= limit.bytes
        });
        let taken = fits.take(limit.records).count();
        let next = (taken < records.len()).then(|| records[taken - 1].key().to_vec());
        records.truncate(taken);
        Page { records, next }
    }

    /// Every expired key goes, each under a revision of its own.
    pub(super) fn remove_expired(&mut self) {
        let now = self.now;
        let over = |record: &&Record| (1..=now).contains(&record.deadline_ms());
        let keys: Vec<_> = self
            .map
            .values()
            .filter(over)
            .map(|r| r.key().to_vec())
            .collect();
        for key in keys {
            self.revision += 1;
            self.last_delete = self.revision;
            self.map.remove(&key);
        }
    }

    pub(super) fn known(
        &self,
        request: Option<RequestId<'_>>,
    ) -> Result<Option<Remembered>, Error> {
        let Some(request) = request else {
            return Ok(None);
        };
        let of_id = self.remembered.get(request.id);
        match of_id.and_then(|items| items.get(&request.item)) {
            Some((fingerprint, known)) if *fingerprint == request.fingerprint => {
                Ok(Some(known.clone()))
            }
            Some((_, known)) => {
                let revealed = match known {
                    Remembered::One(revision, _) | Remembered::Txn(revision, _) => *revision,
                    Remembered::Range(deleted) => deleted.last,
                };
                Err(Error {
                    revealed,
                    ..Error::new(ErrorKind::RequestIdReused, "the request id was used")
                })
            }
            None => Ok(None),
        }
    }

    pub(super) fn remember(&mut self, request: Option<RequestId<'_>>, outcome: Remembered) {
        if let Some(RequestId {
            id,
            fingerprint,
            item,
        }) = request
        {
            let items = self.remembered.entry(id.to_vec()).or_default();
            items.insert(item, (fingerprint, outcome));
        }
    }

    pub(super) fn write(
        &mut self,
        mutation: Mutation<'_>,
        request: Option<RequestId<'_>>,
    ) -> Result<Outcome, Error> {
        if let Some(Remembered::One(revision, value)) = self.known(request)? {
            return Ok(Outcome {
                applied: true,
                revision: kvcore::Revision(revision),
                value,
                revealed: kvcore::Revision(revision),
                store_revision: kvcore::Revision(self.revision),
                replayed: true,
                ..Outcome::default()
            });
        }
        let (current, revealed) = self.get(mutation.key);
        let met = mutation
            .condition
            .is_none_or(|condition| condition.holds(current.as_ref()));
        let step = if met {
            self.step(mutation.key, mutation.action)?
        } else {
            Step::nothing(current)
        };
        if !step.changed {
            return Ok(Outcome {
                applied: step.applied,
                record: step.record,
                value: step.value,
                revealed: kvcore::Revision(revealed),
                store_revision: kvcore::Revision(self.revision),
                ..Outcome::default()
            });
        }
        self.revision += 1;
        let revision = kvcore::Revision(self.revision);
        self.remember(request, Remembered::One(self.revision, step.value));
        Ok(Outcome {
            applied: step.applied,
            revision,
            record: step.record,
            previous: step.previous,
            value: step.value,
            revealed: revision,
            store_revision: revision,
            replayed: false,
        })
    }

    /// Applies one change as of the next revision, which the caller takes.
    pub(super) fn step(&mut self, key: &[u8], action: Action<'_>) -> Result<Step, Error> {
        let (current, revealed) = self.get(key);
        let kept = current.as_ref().map_or(0, Record::deadline_ms);
        let (value, deadline, counter) = match action {
            Action::Set { value, expiry } => (value.to_vec(), self.deadline(expiry, kept), None),
            Action::Delete => match current {
                None => return Ok(Step::nothing(None)),
                Some(_) => return Ok(self.put(key, None, current, None)),
            },
            Action::Increment(increment) => {
                let number = add(&increment, current.as_ref(), revealed)?;
                let deadline = match current {
                    Some(_) => Some(kept),
                    None => self.deadline(increment.expiry, 0),
                };
                (number.to_string().into_bytes(), deadline, Some(number))
            }
            Action::Expire(expire) => {
                let deadline = self.deadline(expire.to, kept);
                let at = |ms: u64| if ms == 0 { u64::MAX } else { ms };
                let (old, new) = (at(kept), deadline.map_or(self.now, at));
                let holds = match expire.condition {
                    ExpireCondition::Always => true,
                    ExpireCondition::IfNone => kept == 0,
                    ExpireCondition::IfSome => kept != 0,
                    ExpireCondition::IfLater => new > old,
                    ExpireCondition::IfEarlier => new < old,
                };
                let changes = (kept, deadline) != (0, Some(0));
                match &current {
                    Some(record) if holds && changes => (record.value().to_vec(), deadline, None),
                    _ => return Ok(Step::nothing(current)),
                }
            }
        };
        let revision = kvcore::Revision(self.revision + 1);
        let record = deadline.map(|deadline| {
            let mut record = Record::new(key, &value, deadline, 0);
            let created = current.as_ref().map_or(revision, Record::create_revision);
            let version = current.as_ref().map_or(1, |record| record.version() + 1);
            record.stamp(revision, created, version);
            record
        });
        Ok(self.put(key, record, current, counter))
    }

    fn put(
        &mut self,
        key: &[u8],
        record: Option<Record>,
        previous: Option<Record>,
        value: Option<i64>,
    ) -> Step {
        match &record {
            Some(record) => {
                self.map.insert(key.to_vec(), record.clone());
            }
            None if previous.is_some() => {
                self.map.remove(key);
                self.last_delete = self.revision + 1;
            }
            None => {}
        }
        Step {
            applied: true,
            changed: record.is_some() || previous.is_some(),
            record,
            previous,
            value,
        }
    }

    /// None: that moment has passed.
    fn deadline(&self, expiry: Expiry, kept: u64) -> Option<u64> {
        match expiry {
            Expiry::Never => Some(0),
            Expiry::After(ms) => Some(self.now + ms),
            Expiry::At(at) => (at > self.now).then_some(at),
            Expiry::Keep => Some(kept),
        }
    }

    pub(super) fn delete_range(
        &mut self,
        range: &KeyRange,
        limit: Option<u64>,
        atomic: bool,
        request: Option<RequestId<'_>>,
    ) -> Result<RangeDeleted, Error> {
        if let Some(Remembered::Range(known)) = self.known(request)? {
            return Ok(RangeDeleted {
                replayed: true,
                store_revision: self.revision,
                ..known
            });
        }
        let mut records = self.range(range);
        let revealed = self.revealed_by(&records);
        let most = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let more = records.len() > most;
        records.truncate(most);
        if atomic && records.len() > 4096 {
            return Err(Error {
                revealed,
                ..Error::new(ErrorKind::RangeTooLarge, "more than 4096 keys")
            });
        }
        let before = self.revision;
        for record in &records {
            if !atomic || self.revision == before {
                self.revision += 1;
            }
            self.last_delete = self.revision;
            self.map.remove(record.key());
        }
        let changed = self.revision > before;
        let named = |revision| if changed { revision } else { 0 };
        let deleted = RangeDeleted {
            deleted: records.len() as u64,
            first: named(before + 1),
            last: named(self.revision),
            more,
            replayed: false,
            revealed: if changed { self.revision } else { revealed },
            store_revision: self.revision,
        };
        if changed {
            self.remember(request, Remembered::Range(deleted));
        }
        Ok(deleted)
    }
}

impl Step {
    pub(super) fn nothing(record: Option<Record>) -> Self {
        Self {
            applied: false,
            changed: false,
            record,
            previous: None,
            value: None,
        }
    }
}

fn add(increment: &Increment, current: Option<&Record>, revealed: Revision) -> Result<i64, Error> {
    let refused = |kind, message: &str| Error {
        revealed,
        ..Error::new(kind, message)
    };
    let number = match current {
        None => increment.initial,
        Some(record) => std::str::from_utf8(record.value())
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| refused(ErrorKind::NotAnInteger, "not an integer"))?,
    };
    let sum = number.saturating_add(increment.delta);
    let exact = number.checked_add(increment.delta).is_some();
    let within = sum.clamp(increment.min, increment.max);
    if (!exact || within != sum) && !increment.saturate {
        return Err(refused(ErrorKind::OutOfBounds, "out of bounds"));
    }
    Ok(within)
}
