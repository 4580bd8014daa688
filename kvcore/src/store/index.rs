//! The keys in order, beside the map, touched only when a key appears or disappears.
//!
//! Partitions by hash, each a B-tree under its own lock; a page of a scan holds all of
//! them for reading and merges. Measured against one tree and against skip lists: see
//! `docs/adr/0008-ordered-index.md`.
//!
//! Invariants:
//! - the index holds every key of the map. A key enters before its revision is drawn
//!   (entering allocates) and leaves after the record has left, both under the lock of its
//!   shard;
//! - besides it holds only keys whose first change is being made, and keys that the sweeper
//!   has ended in this turn: it takes them out together, in order, which costs a quarter of
//!   taking each out by itself;
//! - so whoever looks up what a walk finds sees all keys that are there from the start of
//!   the walk to its end, and with all shards held exactly the keys of the map;
//! - while a store is loaded its keys are gathered beside the trees; they are put in order
//!   before anybody walks them;
//! - partition locks are leaves: nobody waits for anything while holding one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gathered::Gathered;
use super::short::Key;
use crate::base::range::KeyRange;
use crate::base::sync::{Lock, Rank, ReadWrite, lock, read, write};

/// Partitions. Creates on other partitions do not wait for one another, and every page
/// pays for a look into each.
const PARTITIONS: usize = 8;
/// What a key costs here besides its bytes: its place in a node two thirds full. Short keys
/// have their bytes there too, long ones pay the allocator with what this is too much.
pub(super) const KEY_OVERHEAD: u64 = 32;

type Keys = BTreeSet<Key>;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    partitions: Vec<ReadWrite<Keys>>,
    gathered: Vec<Lock<Gathered>>,
    /// Some are not in order yet: for an assertion only.
    unordered: AtomicBool,
}

/// Which partition the keys of a shard are in.
pub(super) const fn partition(shard: usize) -> usize {
    shard % PARTITIONS
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            partitions: (0..PARTITIONS)
                .map(|_| ReadWrite::new(Keys::new()))
                .collect(),
            gathered: (0..PARTITIONS).map(|_| Lock::default()).collect(),
            unordered: AtomicBool::new(false),
        }
    }

    /// Notes what became of keys of a shard, whose lock is held, in a store that is loaded.
    pub(super) fn gather(&self, shard: usize, mut entered: Vec<Key>, mut left: Vec<Key>) {
        let at = partition(shard);
        let _held = Rank::Leaf(at).hold();
        lock(&self.gathered[at]).add(&mut entered, &mut left);
        self.unordered.store(true, Ordering::Relaxed);
    }

    /// Puts the gathered keys in order, with so many threads.
    pub(super) fn order(&self, threads: usize) {
        let threads = threads.clamp(1, PARTITIONS);
        std::thread::scope(|scope| {
            for first in 1..threads {
                scope.spawn(move || self.order_some(first, threads));
            }
            self.order_some(0, threads);
        });
        self.unordered.store(false, Ordering::Relaxed);
    }

    fn order_some(&self, first: usize, step: usize) {
        for at in (first..PARTITIONS).step_by(step) {
            let gathered = std::mem::take(&mut *lock(&self.gathered[at]));
            let keys = gathered.into_sorted();
            let mut tree = write(&self.partitions[at]);
            if tree.is_empty() {
                // Sorted already: built from the bottom.
                *tree = keys.into_iter().collect();
            } else {
                tree.extend(keys);
            }
        }
    }

    /// `shard` is the key's, whose lock is held.
    pub(super) fn insert(&self, shard: usize, key: &[u8]) {
        let key = Key::new(key);
        let at = partition(shard);
        let _held = Rank::Leaf(at).hold();
        write(&self.partitions[at]).insert(key);
    }

    /// `shard` is the key's, whose lock is held. What was freed is freed by the caller.
    pub(super) fn remove(&self, shard: usize, key: &[u8]) -> Option<Key> {
        let at = partition(shard);
        let _held = Rank::Leaf(at).hold();
        write(&self.partitions[at]).take(key)
    }

    /// Calls `each` with the keys of a range in order (or against it), those behind
    /// `after` only, until it says no. True: it never did, the range is exhausted.
    pub(super) fn walk(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        debug_assert!(
            !self.unordered.load(Ordering::Relaxed),
            "keys are walked before they are in order"
        );
        let Some(bounds) = bounds(range, after, reverse) else {
            return true;
        };
        let held: Vec<_> = self
            .partitions
            .iter()
            .enumerate()
            .map(|(at, partition)| (Rank::Leaf(at).hold(), read(partition)))
            .collect();
        let lanes = held.iter().map(|(_, keys)| keys.range::<[u8], _>(bounds));
        if reverse {
            merge(lanes.map(Iterator::rev), |key| key, &mut each)
        } else {
            merge(lanes, Reverse, &mut each)
        }
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Where a walk begins and ends; None: nowhere, a tree would panic.
fn bounds<'a>(range: &'a KeyRange, after: Option<&'a [u8]>, reverse: bool) -> Option<Bounds<'a>> {
    let (mut low, mut high) = (
        Bound::Included(range.start()),
        range.end().map_or(Bound::Unbounded, Bound::Excluded),
    );
    if let Some(after) = after {
        // A place outside the range moves neither end.
        if reverse && range.end().is_none_or(|end| after < end) {
            high = Bound::Excluded(after);
        }
        if !reverse && after >= range.start() {
            low = Bound::Excluded(after);
        }
    }
    let possible = match (low, high) {
        (_, Bound::Unbounded) => true,
        (Bound::Excluded(low) | Bound::Included(low), Bound::Excluded(high)) => low < high,
        _ => false,
    };
    possible.then_some((low, high))
}

/// Merges sorted lanes; `order` makes the first key the greatest.
fn merge<'a, O: Ord>(
    lanes: impl Iterator<Item = impl Iterator<Item = &'a Key>>,
    order: impl Fn(&'a [u8]) -> O,
    each: &mut impl FnMut(&[u8]) -> bool,
) -> bool {
    let mut lanes: Vec<_> = lanes.collect();
    let mut heads: BinaryHeap<(O, Head<'a>)> = BinaryHeap::with_capacity(lanes.len());
    for (lane, keys) in lanes.iter_mut().enumerate() {
        if let Some(key) = keys.next().map(Key::as_bytes) {
            heads.push((order(key), Head { key, lane }));
        }
    }
    while let Some(mut top) = heads.peek_mut() {
        let Head { key, lane } = top.1;
        if !each(key) {
            return false;
        }
        match lanes[lane].next().map(Key::as_bytes) {
            Some(next) => *top = (order(next), Head { key: next, lane }),
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
    }
    true
}

/// The next key of a lane; lanes never hold the same key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head<'a> {
    key: &'a [u8],
    lane: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(index: &Index, range: &KeyRange, after: Option<&[u8]>, reverse: bool) -> Vec<String> {
        let mut keys = Vec::new();
        assert!(index.walk(range, after, reverse, |key| {
            keys.push(String::from_utf8_lossy(key).into_owned());
            true
        }));
        keys
    }

    fn filled() -> Index {
        let index = Index::new();
        for (shard, key) in ["a", "ab", "b", "ba", "bb", "c", "d"].iter().enumerate() {
            index.insert(shard * 3, key.as_bytes());
        }
        index
    }

    #[test]
    fn keys_come_in_order_from_all_partitions_in_both_directions() {
        let index = filled();
        let all = ["a", "ab", "b", "ba", "bb", "c", "d"];
        assert_eq!(walked(&index, &KeyRange::all(), None, false), all);
        let mut back = walked(&index, &KeyRange::all(), None, true);
        back.reverse();
        assert_eq!(back, all);
        assert_eq!(
            walked(&index, &KeyRange::prefix(b"b"), None, false),
            ["b", "ba", "bb"]
        );
        assert_eq!(
            walked(&index, &KeyRange::span(b"ab", b"bb"), None, true),
            ["ba", "b", "ab"]
        );
        assert_eq!(walked(&index, &KeyRange::key(b"b"), None, false), ["b"]);
    }

    #[test]
    fn a_walk_goes_on_behind_a_key_that_may_be_gone() {
        let index = filled();
        let b = KeyRange::prefix(b"b");
        assert_eq!(walked(&index, &b, Some(b"b"), false), ["ba", "bb"]);
        assert_eq!(walked(&index, &b, Some(b"b0"), false), ["ba", "bb"]);
        assert_eq!(walked(&index, &b, Some(b"bb"), true), ["ba", "b"]);
        assert!(walked(&index, &b, Some(b"b"), true).is_empty());
        assert!(walked(&index, &b, Some(b"bz"), false).is_empty());
        assert_eq!(walked(&index, &b, Some(b"a"), false), ["b", "ba", "bb"]);
        assert_eq!(walked(&index, &b, Some(b"zz"), true), ["bb", "ba", "b"]);
        assert!(walked(&index, &KeyRange::span(b"c", b"b"), None, false).is_empty());
    }

    #[test]
    fn a_walk_ends_when_it_is_told_to_and_a_removed_key_is_gone() {
        let index = filled();
        let mut seen = 0;
        assert!(!index.walk(&KeyRange::all(), None, false, |_| {
            seen += 1;
            seen < 3
        }));
        assert_eq!(seen, 3);
        assert!(index.remove(0, b"a").is_some());
        assert!(index.remove(0, b"a").is_none());
        assert_eq!(
            walked(&index, &KeyRange::span(b"", b"b"), None, false),
            ["ab"]
        );
    }
}
