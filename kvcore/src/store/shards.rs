//! The map: every present record, the keys in order, and their deadlines.
//!
//! Locks are always taken in ascending shard order, closures go in and no guard comes
//! out. Nothing here waits for anything but a shard lock and the leaves below it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::deadlines::Deadlines;
use super::entry::Record;
use super::index::{self, Index};
use super::short::Key;
use super::tables::{Reading, Tables, Writing};
use crate::base::broken;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;

/// Keys that are taken from the index while it is held.
const KEYS_PER_HOLD: usize = 64;
/// Records that are brought into the processor's cache at once.
const FETCHED_TOGETHER: usize = 16;

/// A key's place: the hash that the table wants and the shard that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shard: usize,
    hash: u64,
}

/// All present records.
pub struct Shards {
    tables: Tables,
    index: Index,
    deadlines: Deadlines,
    /// Per shard, the revision of the last change after which a key was absent:
    /// what an answer "not found" reveals. Written under the shard's lock.
    last_delete: Box<[AtomicU64]>,
    /// The newest of them: what the absence of keys from a range reveals.
    last_delete_of_all: AtomicU64,
    keys: AtomicU64,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

impl Shards {
    /// `shards` must be a power of two. `seeds` are the hasher's keys: random, so that
    /// nobody can choose keys that fall into one shard.
    pub fn new(shards: usize, seeds: [u64; 4]) -> Self {
        Self {
            tables: Tables::new(shards, seeds),
            index: Index::new(),
            deadlines: Deadlines::new(),
            last_delete: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            last_delete_of_all: AtomicU64::new(0),
            keys: AtomicU64::new(0),
        }
    }

    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn count(&self) -> usize {
        self.tables.count()
    }

    pub fn place(&self, key: &[u8]) -> Place {
        self.place_of_hash(self.tables.hash(key))
    }

    fn place_of_hash(&self, hash: u64) -> Place {
        Place {
            shard: self.tables.table_of(hash),
            hash,
        }
    }

    /// Reads one key under its shard's lock.
    pub fn read<R>(&self, place: Place, key: &[u8], f: impl FnOnce(Found<'_>) -> R) -> R {
        let table = self.tables.read(place.shard);
        f(self.found(table.get(place.hash, key), place))
    }

    /// Reads several keys under all their shards' locks at once: one consistent view.
    /// `f` gets what was found for each key, in the order of `keys`.
    pub fn read_all<R>(&self, keys: &[(&[u8], Place)], f: impl FnOnce(&[Found<'_>]) -> R) -> R {
        let order = shards_in_order(keys.iter().map(|(_, p)| p.shard));
        let tables: Vec<Reading<'_>> = order.iter().map(|&i| self.tables.read(i)).collect();
        let found: Vec<Found<'_>> = keys
            .iter()
            .map(|&(key, place)| {
                let held = order
                    .binary_search(&place.shard)
                    .expect("all shards are held");
                self.found(tables[held].get(place.hash, key), place)
            })
            .collect();
        f(&found)
    }

    /// Changes one shard under its lock.
    pub fn write<R>(&self, shard: usize, f: impl FnOnce(&mut Shard<'_>) -> R) -> R {
        f(&mut self.lock(shard))
    }

    /// Changes several shards with all their locks held, taken in ascending order.
    /// `f` gets them in that order; find one by [`Shard::index`].
    pub fn write_all<R>(
        &self,
        shards: impl Iterator<Item = usize>,
        f: impl FnOnce(&mut [Shard<'_>]) -> R,
    ) -> R {
        let mut held: Vec<Shard<'_>> = shards_in_order(shards)
            .into_iter()
            .map(|i| self.lock(i))
            .collect();
        f(&mut held)
    }

    /// Calls `each` with the keys of a range in order, those behind `after` only, until it
    /// says no; true if the range is exhausted. Without the lock of its shard a key may be
    /// gone again, or not be there yet.
    pub fn walk(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        each: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        self.index.walk(range, after, reverse, each)
    }

    /// The next keys of a range, at most `most`, and whether the range is exhausted. The
    /// index is held for a few keys at a time: whoever creates keys waits for that.
    pub fn keys_after(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        most: usize,
    ) -> (Vec<Box<[u8]>>, bool) {
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        loop {
            let until = most.min(keys.len() + KEYS_PER_HOLD);
            let mut taken = Vec::new();
            let before = keys.len();
            let from = keys.last().map(AsRef::as_ref).or(after);
            let exhausted = self.index.walk(range, from, reverse, |key| {
                let room = before + taken.len() < until;
                if room {
                    taken.push(key.into());
                }
                room
            });
            keys.append(&mut taken);
            if exhausted || keys.len() >= most {
                return (keys, exhausted);
            }
        }
    }

    /// What the absence of keys from a range reveals. To be asked after the look.
    pub fn last_delete_of_all(&self) -> Revision {
        Revision(self.last_delete_of_all.load(Ordering::Acquire))
    }

    /// What is absent may have been removed as late as by `revision`: for a store that
    /// begins with a snapshot, which does not say what was removed before it.
    pub fn absent_since(&self, revision: Revision) {
        for last in self.last_delete.iter().chain([&self.last_delete_of_all]) {
            last.fetch_max(revision.0, Ordering::Relaxed);
        }
    }

    /// Up to `max` places per stripe where a deadline has passed.
    pub fn due(&self, now_ms: u64, max: usize) -> Vec<Place> {
        let mut due = Vec::new();
        self.deadlines.due(now_ms, max, &mut due);
        let mut places: Vec<Place> = due
            .into_iter()
            .map(|(_, hash)| self.place_of_hash(hash))
            .collect();
        places.sort_unstable_by_key(|place| (place.shard, place.hash));
        places.dedup();
        places
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// Visits the records at places of one shard, under its lock.
    pub fn at_places(&self, places: &[Place], mut f: impl FnMut(Place, &Record)) {
        let Some(first) = places.first() else { return };
        let table = self.tables.read(first.shard);
        for few in places.chunks(FETCHED_TOGETHER) {
            // Records lie anywhere in memory. Looking at several before any work is done
            // on the first lets the processor wait for all of them at once.
            let fetched = few.iter().map(|place| table.fetch(place.hash));
            std::hint::black_box(fetched.fold(0, u64::wrapping_add));
            for place in few {
                debug_assert_eq!(place.shard, first.shard);
                table.with_hash(place.hash, |record| f(*place, record));
            }
        }
    }

    /// Brings the records of these keys into the processor's cache, for whoever looks at
    /// them one by one next: he would wait for each of them alone, and all the longer for
    /// the locks in between. Changes nothing.
    pub fn fetch<'a>(&self, mut keys: impl Iterator<Item = &'a [u8]>) {
        loop {
            let mut places = [const { None }; FETCHED_TOGETHER];
            let mut count = 0;
            for (place, key) in places.iter_mut().zip(&mut keys) {
                *place = Some(self.place(key));
                count += 1;
            }
            self.fetch_together(&mut places[..count]);
            if count < FETCHED_TOGETHER {
                return;
            }
        }
    }

    fn fetch_together(&self, places: &mut [Option<Place>]) {
        let shard = |place: &Option<Place>| place.map_or(0, |place| place.shard);
        places.sort_unstable_by_key(shard);
        let mut tables = [const { None }; FETCHED_TOGETHER];
        let of_one = || places.chunk_by(|a, b| shard(a) == shard(b));
        for (table, places) in tables.iter_mut().zip(of_one()) {
            *table = Some(self.tables.read(shard(&places[0])));
        }
        let fetched = tables.iter().flatten().zip(of_one());
        let fetched = fetched.flat_map(|(table, places)| {
            let places = places.iter().flatten();
            places.map(|place| table.fetch(place.hash))
        });
        std::hint::black_box(fetched.fold(0, u64::wrapping_add));
    }

    /// Takes keys whose records are gone out of the index, in order: neighbours lie in the
    /// same nodes. A key that has a record again, or still, stays: judged under the lock of
    /// its shard, without which no key enters.
    pub fn take_out(&self, mut leaving: Leaving) {
        leaving.0.sort_unstable_by(|(a, x), (b, y)| {
            let lanes = index::partition(x.shard).cmp(&index::partition(y.shard));
            lanes.then_with(|| a.cmp(b))
        });
        for (key, place) in leaving.0 {
            let table = self.tables.read(place.shard);
            if table.get(place.hash, key.as_bytes()).is_none() {
                drop(self.index.remove(place.shard, key.as_bytes()));
            }
        }
    }

    /// Makes room for about so many records in all, if they are known before they come.
    pub fn expect(&self, records: u64) {
        let each = records / self.count() as u64;
        for shard in 0..self.count() {
            self.lock(shard)
                .reserve(usize::try_from(each).unwrap_or_default());
        }
    }

    /// Keys that came into being and that went, in a shard whose lock is held, while the
    /// store is loaded.
    pub(super) fn gather(&self, shard: usize, entered: Vec<Key>, left: Vec<Key>) {
        self.keys.fetch_add(entered.len() as u64, Ordering::Relaxed);
        self.keys.fetch_sub(left.len() as u64, Ordering::Relaxed);
        if !entered.is_empty() || !left.is_empty() {
            self.index.gather(shard, entered, left);
        }
    }

    /// Puts the keys that came in by [`Shards::restore`] in order, with so many threads.
    pub fn order_keys(&self, threads: usize) {
        self.index.order(threads);
    }

    pub(super) fn lock(&self, index: usize) -> Shard<'_> {
        Shard {
            shards: self,
            index,
            keys_leave_later: false,
            table: self.tables.write(index),
        }
    }

    fn found<'a>(&self, record: Option<&'a Record>, place: Place) -> Found<'a> {
        match record {
            Some(record) => Found::Present(record),
            None => Found::Absent(Revision(
                self.last_delete[place.shard].load(Ordering::Relaxed),
            )),
        }
    }
}

/// Keys that are to leave the index once their records are gone.
#[derive(Debug, Default)]
pub struct Leaving(Vec<(Key, Place)>);

impl Leaving {
    pub fn note(&mut self, place: Place, key: &[u8]) {
        self.0.push((Key::new(key), place));
    }
}

/// What a look-up saw.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    Present(&'a Record),
    /// With the last revision that removed a key of this shard.
    Absent(Revision),
}

impl<'a> Found<'a> {
    pub fn record(self) -> Option<&'a Record> {
        match self {
            Self::Present(record) => Some(record),
            Self::Absent(_) => None,
        }
    }

    /// The newest revision that this sight gives away.
    pub fn revealed(self) -> Revision {
        match self {
            Self::Present(record) => record.mod_revision(),
            Self::Absent(last_delete) => last_delete,
        }
    }
}

fn shards_in_order(shards: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut order: Vec<usize> = shards.collect();
    order.sort_unstable();
    order.dedup();
    order
}

/// One shard, locked for change.
pub struct Shard<'a> {
    shards: &'a Shards,
    index: usize,
    keys_leave_later: bool,
    table: Writing<'a>,
}

impl std::fmt::Debug for Shard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Shard<'_> {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn find(&self, place: Place, key: &[u8]) -> Found<'_> {
        debug_assert_eq!(place.shard, self.index);
        self.shards.found(self.table.get(place.hash, key), place)
    }

    /// Records that are removed now leave their keys in the index, to be taken out by
    /// [`Shards::take_out`].
    pub fn keys_leave_later(&mut self) {
        self.keys_leave_later = true;
    }

    /// Makes room for `n` more records, so that a put cannot allocate.
    pub fn reserve(&mut self, n: usize) {
        self.table.reserve(n);
    }

    /// Enters a record's key and deadline where they are not yet.
    pub(super) fn prepare_put(&self, place: Place, record: &Record, current: Option<&Record>) {
        debug_assert_eq!(place.shard, self.index);
        let known = current.map(Record::deadline_ms);
        if known.is_none() && !broken::is(broken::Build::IndexAfterUnlock) {
            self.shards.index.insert(self.index, record.key());
        }
        let deadline = record.deadline_ms();
        if known != Some(deadline) {
            self.note_deadline(place, deadline);
        }
    }

    /// Puts a record in and returns the one it displaces.
    pub(super) fn put(&mut self, place: Place, record: Record) -> Option<Record> {
        debug_assert_eq!(place.shard, self.index);
        let deadline = record.deadline_ms();
        let displaced = self.table.put(place.hash, record);
        match &displaced {
            None => drop(self.shards.keys.fetch_add(1, Ordering::Relaxed)),
            Some(old) if old.deadline_ms() != deadline => self.forget_deadline(place, old),
            Some(_) => {}
        }
        displaced
    }

    /// Takes a record away as of `revision`, and its key out of the index.
    pub(super) fn remove(
        &mut self,
        place: Place,
        key: &[u8],
        revision: Revision,
    ) -> Option<Record> {
        let gone = self.take(place, key, revision)?;
        self.shards.keys.fetch_sub(1, Ordering::Relaxed);
        if !self.keys_leave_later {
            drop(self.shards.index.remove(self.index, key));
        }
        Some(gone)
    }

    /// Takes a record out of the table as of `revision`.
    ///
    /// The shard's last delete, and that of all, are raised before the record leaves, so
    /// that no answer "not found" can reveal less than this revision.
    pub(super) fn take(&mut self, place: Place, key: &[u8], revision: Revision) -> Option<Record> {
        debug_assert_eq!(place.shard, self.index);
        if !broken::is(broken::Build::MissIgnoresDeletes) {
            self.shards.last_delete[self.index].fetch_max(revision.0, Ordering::Relaxed);
            self.shards
                .last_delete_of_all
                .fetch_max(revision.0, Ordering::AcqRel);
        }
        let gone = self.table.remove(place.hash, key)?;
        self.forget_deadline(place, &gone);
        Some(gone)
    }

    /// Brings what is needed to find a key into the processor's cache. The number only
    /// keeps the look alive.
    pub(super) fn fetch(&self, place: Place) -> u64 {
        self.table.fetch(place.hash)
    }

    /// Displaces the record of the same key, with its deadline, or gives the new one back
    /// if there is none.
    pub(super) fn replace(&mut self, place: Place, record: Record) -> Result<Record, Record> {
        let deadline = record.deadline_ms();
        let old = self.table.replace(place.hash, record)?;
        if old.deadline_ms() != deadline {
            self.forget_deadline(place, &old);
            self.note_deadline(place, deadline);
        }
        Ok(old)
    }

    /// Puts a record of a key in that has none. Its key is not in the index by that.
    pub(super) fn enter(&mut self, place: Place, record: Record) {
        self.note_deadline(place, record.deadline_ms());
        self.table.enter(place.hash, record);
    }

    fn note_deadline(&self, place: Place, deadline_ms: u64) {
        if deadline_ms != 0 {
            self.shards
                .deadlines
                .insert(self.index, deadline_ms, place.hash);
        }
    }

    fn forget_deadline(&self, place: Place, old: &Record) {
        let deadline = old.deadline_ms();
        if deadline != 0 {
            self.shards
                .deadlines
                .remove(self.index, deadline, place.hash);
        }
    }
}

/// The broken build of this name: a new key enters the index after its shard is unlocked.
#[cfg(feature = "sim")]
impl Shards {
    pub(crate) fn index_late(&self, place: Place, key: &[u8]) {
        self.index.insert(place.shard, key);
    }
}
