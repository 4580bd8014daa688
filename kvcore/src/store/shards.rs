//! The map, and the only file that sees dashmap.
//!
//! dashmap's shards (a reader-writer lock around a raw table each) are taken
//! directly: their raw guards are not `Send`, so none can be held across an await,
//! and its high-level API, which takes a lock per call and can deadlock against a
//! guard of the same thread, is not used at all.
//!
//! Locks are always taken in ascending shard order. Nothing here waits for
//! anything but a shard lock.

#![expect(clippy::disallowed_types, reason = "the one file that may see dashmap")]

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use dashmap::{DashMap, RwLockReadGuard, RwLockWriteGuard, SharedValue};
use hashbrown::raw::RawTable;

use super::entry::Record;
use crate::base::revision::Revision;

/// A record as the map's key: equal and hashed by its own key.
struct Slot(Record);

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

type Table = RawTable<(Slot, SharedValue<()>)>;

/// A key's place: the hash that the table wants and the shard that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shard: usize,
    hash: u64,
}

/// All present records.
pub struct Shards {
    map: DashMap<Slot, (), RandomState>,
    /// Per shard, the revision of the last change after which a key was absent:
    /// what an answer "not found" reveals. Written under the shard's lock.
    last_delete: Box<[AtomicU64]>,
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
        let [a, b, c, d] = seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        let map = DashMap::with_hasher_and_shard_amount(hasher, shards);
        Self {
            last_delete: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            map,
            keys: AtomicU64::new(0),
        }
    }

    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn count(&self) -> usize {
        self.last_delete.len()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the daemon is for 64-bit machines"
    )]
    pub fn place(&self, key: &[u8]) -> Place {
        let hash = self.map.hasher().hash_one(key);
        Place {
            shard: self.map.determine_shard(hash as usize),
            hash,
        }
    }

    /// Reads one key under its shard's lock.
    pub fn read<R>(&self, place: Place, key: &[u8], f: impl FnOnce(Found<'_>) -> R) -> R {
        let table = self.map.shards()[place.shard].read();
        f(self.find(&table, place, key))
    }

    /// Reads several keys under all their shards' locks at once: one consistent view.
    /// `f` gets what was found for each key, in the order of `keys`.
    pub fn read_all<R>(&self, keys: &[(&[u8], Place)], f: impl FnOnce(&[Found<'_>]) -> R) -> R {
        let order = shards_in_order(keys.iter().map(|(_, p)| p.shard));
        let tables: Vec<RwLockReadGuard<'_, Table>> =
            order.iter().map(|&i| self.map.shards()[i].read()).collect();
        let found: Vec<Found<'_>> = keys
            .iter()
            .map(|&(key, place)| {
                let held = order
                    .binary_search(&place.shard)
                    .expect("all shards are held");
                self.find(&tables[held], place, key)
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

    /// Visits every record, one shard's lock at a time. Not a consistent view.
    pub fn for_each(&self, mut f: impl FnMut(&Record)) {
        for entry in &self.map {
            f(&entry.key().0);
        }
    }

    fn lock(&self, index: usize) -> Shard<'_> {
        Shard {
            shards: self,
            index,
            table: self.map.shards()[index].write(),
        }
    }

    fn find<'a>(&self, table: &'a Table, place: Place, key: &[u8]) -> Found<'a> {
        match table.get(place.hash, |(slot, _)| slot.0.key() == key) {
            Some((slot, _)) => Found::Present(&slot.0),
            None => Found::Absent(self.last_delete(place.shard)),
        }
    }

    fn last_delete(&self, shard: usize) -> Revision {
        Revision(self.last_delete[shard].load(Ordering::Relaxed))
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
    table: RwLockWriteGuard<'a, Table>,
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
        self.shards.find(&self.table, place, key)
    }

    /// Makes room for `n` more records, so that [`Shard::put`] cannot allocate.
    pub fn reserve(&mut self, n: usize) {
        let hasher = self.shards.map.hasher();
        self.table
            .reserve(n, |(slot, _)| hasher.hash_one(slot.0.key()));
    }

    /// Puts a record in and returns the one it displaces.
    pub fn put(&mut self, place: Place, record: Record) -> Option<Record> {
        debug_assert_eq!(place.shard, self.index);
        if let Some((slot, _)) = self
            .table
            .get_mut(place.hash, |(slot, _)| slot.0.key() == record.key())
        {
            return Some(std::mem::replace(slot, Slot(record)).0);
        }
        let hasher = self.shards.map.hasher();
        self.table.insert(
            place.hash,
            (Slot(record), SharedValue::new(())),
            |(slot, _)| hasher.hash_one(slot.0.key()),
        );
        self.shards.keys.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Takes a record away as of `revision`.
    ///
    /// The shard's last delete is raised before the record leaves, so that no answer
    /// "not found" can reveal less than this revision.
    pub fn remove(&mut self, place: Place, key: &[u8], revision: Revision) -> Option<Record> {
        debug_assert_eq!(place.shard, self.index);
        if !crate::base::broken::is(crate::base::broken::Build::MissIgnoresDeletes) {
            self.shards.last_delete[self.index].fetch_max(revision.0, Ordering::Relaxed);
        }
        let gone = self
            .table
            .remove_entry(place.hash, |(slot, _)| slot.0.key() == key)?;
        self.shards.keys.fetch_sub(1, Ordering::Relaxed);
        Some(gone.0.0)
    }
}
