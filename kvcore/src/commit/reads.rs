//! Looks at the store: what is there, what that gives away, and which expired records
//! have to be taken away before the answer may be shown.
//!
//! A reader never sees an expired record. That it was there and is not any more must not
//! be taken back by a restart, whose clock may stand before the deadline; so whoever was
//! shown an absence that is due to a deadline commits the removal first, and the answer
//! reveals that removal.

use super::transaction::Core;
use crate::base::broken;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::base::sync::point;
use crate::store::{Change, Found, Place, Record, apply};

/// An answer, and what it gives away.
#[derive(Clone, Debug)]
pub struct Revealed<T> {
    pub value: T,
    /// The newest revision that can be inferred from the answer, also from an absence.
    pub revealed: Revision,
    /// The store's newest revision at that moment.
    pub store_revision: Revision,
    /// Expired records that the answer leaves out. Their removal must be committed before
    /// the answer is shown, and is revealed by it.
    pub due: Vec<Record>,
}

/// How much of a range is looked at.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    pub records: usize,
    /// Of keys and values; the first record may be longer.
    pub bytes: usize,
}

/// Some records of a range, in order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where to go on: behind this key. None: the range is exhausted.
    pub next: Option<Vec<u8>>,
}

/// A part of a count.
#[derive(Clone, Debug, Default)]
pub struct CountPage {
    pub count: u64,
    /// Where to go on: behind this key. None: the range is exhausted.
    pub next: Option<Vec<u8>>,
}

impl Core {
    /// Looks at one key.
    pub fn look(&self, key: &[u8]) -> Revealed<Option<Record>> {
        let place = self.shards.place(key);
        let early = self.early_now();
        let answer = self.shards.read(place, key, |found| {
            let mut due = Vec::new();
            let value = self.live(found, early, &mut due);
            Revealed {
                value,
                revealed: found.revealed(),
                store_revision: self.sequencer.newest(),
                due,
            }
        });
        if broken::is(broken::Build::ExpiryWithoutDoor) {
            return self.without_door(place, answer);
        }
        answer
    }

    /// Looks at several keys in one consistent view.
    pub fn look_all(&self, keys: &[&[u8]]) -> Revealed<Vec<Option<Record>>> {
        if broken::is(broken::Build::BatchShardByShard) {
            return self.look_one_by_one(keys);
        }
        let places: Vec<_> = keys
            .iter()
            .map(|&key| (key, self.shards.place(key)))
            .collect();
        self.shards.read_all(&places, |found| {
            let mut due = Vec::new();
            let live = found.iter().map(|&found| self.live(found, None, &mut due));
            Revealed {
                value: live.collect(),
                revealed: found.iter().map(|f| f.revealed()).max().unwrap_or_default(),
                store_revision: self.sequencer.newest(),
                due,
            }
        })
    }

    /// Looks at the next records of a range. Not one view: each record is what its key
    /// held at some moment of the look.
    pub fn look_page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
    ) -> Revealed<Page> {
        let most = limit.records.max(1);
        let (keys, mut exhausted) = self.shards.keys_after(range, after, reverse, most);
        let (mut records, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        let mut last = None;
        let mut seen = Visit::default();
        let mut keys = keys.into_iter();
        for key in &mut keys {
            let live = self.visit(&key, &mut seen);
            last = Some(key);
            let Some(record) = live else { continue };
            bytes += record.key().len() + record.value().len();
            records.push(record);
            if bytes >= limit.bytes {
                break;
            }
        }
        // A page that is full ends the look, unless there was nothing more to look at.
        exhausted &= keys.len() == 0;
        let next = last.filter(|_| !exhausted).map(<[u8]>::into_vec);
        self.finish(seen, Page { records, next })
    }

    /// Counts the next `keys` keys of a range. Not one view.
    pub fn look_count(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        keys: usize,
    ) -> Revealed<CountPage> {
        let (mut walked, exhausted) = self.shards.keys_after(range, after, false, keys.max(1));
        let mut seen = Visit::default();
        let live = walked.iter().filter(|key| {
            let place = self.shards.place(key);
            self.shards.read(place, key, |found| {
                seen.revealed = seen.revealed.max(found.revealed());
                self.is_live(found, &mut seen.due)
            })
        });
        let count = live.count() as u64;
        let next = walked.pop().filter(|_| !exhausted).map(<[u8]>::into_vec);
        self.finish(seen, CountPage { count, next })
    }

    fn visit(&self, key: &[u8], seen: &mut Visit) -> Option<Record> {
        let place = self.shards.place(key);
        self.shards.read(place, key, |found| {
            seen.revealed = seen.revealed.max(found.revealed());
            self.live(found, None, &mut seen.due)
        })
    }

    /// The end of a look at a range. What is not there says something as well: that the
    /// newest removal anywhere may have been in the range.
    fn finish<T>(&self, seen: Visit, value: T) -> Revealed<T> {
        Revealed {
            value,
            revealed: seen.revealed.max(self.shards.last_delete_of_all()),
            store_revision: self.sequencer.newest(),
            due: seen.due,
        }
    }

    /// What a reader gets of it, judged under its shard's lock.
    fn live(&self, found: Found<'_>, early: Option<u64>, due: &mut Vec<Record>) -> Option<Record> {
        let record = found.record()?;
        if record.is_expired(|| self.now(early).ms()) {
            due.push(record.clone());
            return None;
        }
        Some(record.clone())
    }

    fn is_live(&self, found: Found<'_>, due: &mut Vec<Record>) -> bool {
        match found.record() {
            Some(record) if record.is_expired(|| self.clock.now()) => {
                due.push(record.clone());
                false
            }
            record => record.is_some(),
        }
    }

    /// The broken build of this name.
    fn look_one_by_one(&self, keys: &[&[u8]]) -> Revealed<Vec<Option<Record>>> {
        let mut all = Revealed {
            value: Vec::new(),
            revealed: Revision::NONE,
            store_revision: Revision::NONE,
            due: Vec::new(),
        };
        for key in keys {
            let one = self.look(key);
            point();
            all.value.push(one.value);
            all.revealed = all.revealed.max(one.revealed);
            all.store_revision = all.store_revision.max(one.store_revision);
            all.due.extend(one.due);
        }
        all
    }

    /// The broken build of this name.
    fn without_door(
        &self,
        place: Place,
        mut answer: Revealed<Option<Record>>,
    ) -> Revealed<Option<Record>> {
        for due in answer.due.drain(..) {
            self.shards.write(place.shard, |shard| {
                let gone = apply(shard, place, due.key(), Change::Remove, due.mod_revision());
                let bytes = gone.map_or(0, |gone| gone.accounted_bytes());
                self.memory.exchange_unlimited(bytes, 0);
            });
        }
        answer
    }
}

/// What a look at a range has come by.
#[derive(Default)]
struct Visit {
    revealed: Revision,
    due: Vec<Record>,
}
