//! The raw shards of the map, and the only file that sees dashmap.
//!
//! dashmap's shards (a reader-writer lock around a raw table each) are taken directly:
//! their raw guards are not `Send`, so none can be held across an await, and its
//! high-level API, which takes a lock per call and can deadlock against a guard of the
//! same thread, is not used at all. A build that explores schedules puts the explorer's
//! locks around the same tables.

#![cfg_attr(
    not(feature = "shuttle"),
    expect(clippy::disallowed_types, reason = "the one file that may see dashmap")
)]

use std::hash::{Hash, Hasher};

use ahash::RandomState;
use dashmap::SharedValue;
use hashbrown::raw::RawTable;

use super::entry::Record;
use crate::base::sync::{Held, Rank};

/// A record as the map's key: equal and hashed by its own key.
pub(super) struct Slot(Record);

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

type Raw = RawTable<(Slot, SharedValue<()>)>;

#[cfg(not(feature = "shuttle"))]
mod locks {
    use super::{RandomState, Raw, Slot};

    pub(super) type Read<'a> = dashmap::RwLockReadGuard<'a, Raw>;
    pub(super) type Write<'a> = dashmap::RwLockWriteGuard<'a, Raw>;

    pub(super) struct Shards(dashmap::DashMap<Slot, (), RandomState>);

    impl Shards {
        pub(super) fn new(count: usize, hasher: RandomState) -> Self {
            Self(dashmap::DashMap::with_hasher_and_shard_amount(
                hasher, count,
            ))
        }

        pub(super) fn read(&self, index: usize) -> Read<'_> {
            self.0.shards()[index].read()
        }

        pub(super) fn write(&self, index: usize) -> Write<'_> {
            self.0.shards()[index].write()
        }

        #[expect(
            clippy::cast_possible_truncation,
            reason = "the daemon is for 64-bit machines"
        )]
        pub(super) fn of(&self, hash: u64) -> usize {
            self.0.determine_shard(hash as usize)
        }
    }
}

#[cfg(feature = "shuttle")]
mod locks {
    use super::{RandomState, Raw};
    use crate::base::sync;

    pub(super) type Read<'a> = sync::ReadGuard<'a, Raw>;
    pub(super) type Write<'a> = sync::WriteGuard<'a, Raw>;

    pub(super) struct Shards(Vec<sync::ReadWrite<Raw>>);

    impl Shards {
        pub(super) fn new(count: usize, _hasher: RandomState) -> Self {
            Self(
                (0..count)
                    .map(|_| sync::ReadWrite::new(Raw::new()))
                    .collect(),
            )
        }

        pub(super) fn read(&self, index: usize) -> Read<'_> {
            sync::read(&self.0[index])
        }

        pub(super) fn write(&self, index: usize) -> Write<'_> {
            sync::write(&self.0[index])
        }

        pub(super) fn of(&self, hash: u64) -> usize {
            usize::try_from(hash >> 7).unwrap_or_default() % self.0.len()
        }
    }
}

/// All tables.
pub(super) struct Tables {
    shards: locks::Shards,
    hasher: RandomState,
    count: usize,
}

impl Tables {
    /// `count` must be a power of two.
    pub(super) fn new(count: usize, seeds: [u64; 4]) -> Self {
        let [a, b, c, d] = seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        Self {
            shards: locks::Shards::new(count, hasher.clone()),
            hasher,
            count,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Which table a hash belongs to.
    pub(super) fn table_of(&self, hash: u64) -> usize {
        self.shards.of(hash)
    }

    pub(super) fn read(&self, index: usize) -> Reading<'_> {
        let held = Rank::Shard(index).hold();
        Reading {
            hasher: &self.hasher,
            table: self.shards.read(index),
            _held: held,
        }
    }

    pub(super) fn write(&self, index: usize) -> Writing<'_> {
        let held = Rank::Shard(index).hold();
        Writing {
            hasher: &self.hasher,
            table: self.shards.write(index),
            _held: held,
        }
    }
}

/// One table, locked for reading.
pub(super) struct Reading<'a> {
    hasher: &'a RandomState,
    table: locks::Read<'a>,
    _held: Held,
}

impl Reading<'_> {
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&Record> {
        get(&self.table, hash, key)
    }

    /// Touches the records that may have this hash. The sum only keeps the look alive.
    pub(super) fn fetch(&self, hash: u64) -> u64 {
        fetch(&self.table, hash)
    }

    /// Every record whose key has this hash: one, but for collisions.
    pub(super) fn with_hash(&self, hash: u64, mut f: impl FnMut(&Record)) {
        // The equality is asked for each candidate; saying no to all visits all.
        let _ = self.table.get(hash, |(slot, _)| {
            if self.hasher.hash_one(slot.0.key()) == hash {
                f(&slot.0);
            }
            false
        });
    }
}

/// One table, locked for change.
pub(super) struct Writing<'a> {
    hasher: &'a RandomState,
    table: locks::Write<'a>,
    _held: Held,
}

impl Writing<'_> {
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&Record> {
        get(&self.table, hash, key)
    }

    /// Room for `n` more, so that [`Writing::put`] cannot allocate.
    pub(super) fn reserve(&mut self, n: usize) {
        let hasher = self.hasher;
        self.table
            .reserve(n, |(slot, _)| hasher.hash_one(slot.0.key()));
    }

    /// See [`Reading::fetch`].
    pub(super) fn fetch(&self, hash: u64) -> u64 {
        fetch(&self.table, hash)
    }

    /// Puts a record in and returns the one it displaces.
    pub(super) fn put(&mut self, hash: u64, record: Record) -> Option<Record> {
        match self.replace(hash, record) {
            Ok(displaced) => Some(displaced),
            Err(record) => {
                self.enter(hash, record);
                None
            }
        }
    }

    /// Displaces the record of the same key, or gives the new one back if there is none.
    pub(super) fn replace(&mut self, hash: u64, record: Record) -> Result<Record, Record> {
        match self
            .table
            .get_mut(hash, |(slot, _)| slot.0.key() == record.key())
        {
            Some((slot, _)) => Ok(std::mem::replace(slot, Slot(record)).0),
            None => Err(record),
        }
    }

    /// Puts a record of a key in that has none.
    pub(super) fn enter(&mut self, hash: u64, record: Record) {
        let hasher = self.hasher;
        self.table
            .insert(hash, (Slot(record), SharedValue::new(())), |(slot, _)| {
                hasher.hash_one(slot.0.key())
            });
    }

    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Record> {
        let gone = self
            .table
            .remove_entry(hash, |(slot, _)| slot.0.key() == key)?;
        Some(gone.0.0)
    }
}

fn fetch(table: &Raw, hash: u64) -> u64 {
    let mut sum = 0_u64;
    let _ = table.get(hash, |(slot, _)| {
        sum = sum.wrapping_add(slot.0.mod_revision().0);
        false
    });
    sum
}

fn get<'a>(table: &'a Raw, hash: u64, key: &[u8]) -> Option<&'a Record> {
    table
        .get(hash, |(slot, _)| slot.0.key() == key)
        .map(|(slot, _)| &slot.0)
}
