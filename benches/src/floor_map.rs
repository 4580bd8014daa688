//! The plain in-memory map that the floor answers from: dashmap with the engine's
//! hasher and number of shards, and nothing that a store needs beyond it. No log, no
//! conditions, no deletes, no accounting.
//!
//! Keys and values are copied to their exact size: a map that kept slices of receive
//! buffers would be faster and would pin them, so no store can do that.

#![expect(
    clippy::disallowed_types,
    reason = "what is measured against is a plain dashmap, not the engine's shards"
)]

use std::sync::atomic::{AtomicI64, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use kvcore::base::limits::SHARDS;
use kvproto::v1;

/// The revision of a store without changes, as the contract has it.
const EMPTY: i64 = 1;

/// Values from this size on are shared with replies instead of copied, as in kvd.
const SHARE_FROM: usize = 1024;

struct Stored {
    value: Bytes,
    created: i64,
    modified: i64,
    version: i64,
}

impl Stored {
    /// The record's numbers, as a reply to a write shows them.
    fn numbers(&self) -> v1::Record {
        v1::Record {
            create_revision: self.created,
            mod_revision: self.modified,
            version: self.version,
            ..v1::Record::default()
        }
    }
}

pub(crate) struct FloorMap {
    map: DashMap<Box<[u8]>, Stored, RandomState>,
    revision: AtomicI64,
}

impl FloorMap {
    pub(crate) fn new() -> Self {
        Self {
            map: DashMap::with_hasher_and_shard_amount(RandomState::new(), SHARDS),
            revision: AtomicI64::new(EMPTY),
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: &Bytes) -> Option<v1::Record> {
        let stored = self.map.get(&**key)?;
        // A reference would be counted on a line that all cores write.
        let value = if stored.value.len() < SHARE_FROM {
            Bytes::copy_from_slice(&stored.value)
        } else {
            stored.value.clone()
        };
        Some(v1::Record {
            key: key.clone(),
            value,
            ..stored.numbers()
        })
    }

    /// Writes, and returns the record's numbers.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> v1::Record {
        let value = Bytes::copy_from_slice(value);
        let modified = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
        // The usual case first: the key is there and needs no copy.
        if let Some(mut stored) = self.map.get_mut(key) {
            stored.value = value;
            stored.modified = modified;
            stored.version += 1;
            return stored.numbers();
        }
        match self.map.entry(key.into()) {
            Entry::Occupied(mut stored) => {
                let stored = stored.get_mut();
                stored.value = value;
                stored.modified = modified;
                stored.version += 1;
                stored.numbers()
            }
            Entry::Vacant(place) => place
                .insert(Stored {
                    value,
                    created: modified,
                    modified,
                    version: 1,
                })
                .numbers(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_was_set_last_with_the_numbers_of_a_store() {
        let map = FloorMap::new();
        let key = Bytes::from_static(b"key");
        assert_eq!(map.get(&key), None);
        let first = map.set(&key, b"one");
        assert_eq!(
            (first.create_revision, first.mod_revision, first.version),
            (2, 2, 1)
        );
        let second = map.set(&key, b"two");
        assert_eq!(
            (second.create_revision, second.mod_revision, second.version),
            (2, 3, 2)
        );
        assert!(second.key.is_empty() && second.value.is_empty());
        let read = map.get(&key).unwrap();
        assert_eq!((&read.key[..], &read.value[..]), (&b"key"[..], &b"two"[..]));
        assert_eq!(map.revision(), 3);
        let large = vec![7; SHARE_FROM];
        map.set(&key, &large);
        assert_eq!(map.get(&key).unwrap().value, large);
    }
}
