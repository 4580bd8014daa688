//! Filling the map while a store is being loaded.
//!
//! The same changes as [`apply`](super::apply()) makes, but nobody reads yet and no revision
//! waits for a change to be made. So it may allocate on the way, looks for a key once,
//! counts once per visit of a shard, and only gathers the keys: [`Shards::order_keys`] puts
//! them in order at the end, before anybody walks them.

use super::entry::Record;
use super::memory::Memory;
use super::shards::{Place, Shard, Shards};
use super::short::Key;
use crate::base::revision::Revision;

/// One shard while it is filled.
#[derive(Debug)]
pub struct Restoring<'a> {
    shard: Shard<'a>,
    entered: Vec<Key>,
    left: Vec<Key>,
    /// Accounted bytes that came and went.
    new_bytes: u64,
    old_bytes: u64,
}

impl Shards {
    /// Fills one shard, under its lock. [`Shards::order_keys`] must follow.
    pub fn restore(&self, index: usize, memory: &Memory, f: impl FnOnce(&mut Restoring<'_>)) {
        let mut restoring = Restoring {
            shard: self.lock(index),
            entered: Vec::new(),
            left: Vec::new(),
            new_bytes: 0,
            old_bytes: 0,
        };
        f(&mut restoring);
        memory.exchange_unlimited(restoring.old_bytes, restoring.new_bytes);
        self.gather(index, restoring.entered, restoring.left);
    }
}

impl Restoring<'_> {
    /// Brings what is needed to find these keys into the processor's cache, for all at once.
    pub fn fetch(&self, places: impl Iterator<Item = Place>) {
        let fetched = places.map(|place| self.shard.fetch(place));
        std::hint::black_box(fetched.fold(0, u64::wrapping_add));
    }

    pub fn find(&self, place: Place, key: &[u8]) -> Option<&Record> {
        self.shard.find(place, key).record()
    }

    /// The key holds this record now. It is stamped already.
    pub fn put(&mut self, place: Place, record: Record) {
        self.new_bytes += record.accounted_bytes();
        match self.shard.replace(place, record) {
            Ok(old) => self.old_bytes += old.accounted_bytes(),
            Err(record) => {
                self.entered.push(Key::new(record.key()));
                self.shard.enter(place, record);
            }
        }
    }

    /// The key is gone as of `revision`.
    pub fn remove(&mut self, place: Place, key: &[u8], revision: Revision) {
        if let Some(old) = self.shard.take(place, key, revision) {
            self.old_bytes += old.accounted_bytes();
            self.left.push(Key::new(key));
        }
    }
}
