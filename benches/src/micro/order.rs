//! Candidates for the keys in order: one tree under a lock, several with a merge, a
//! skip list without locks.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_skiplist::SkipSet;
use parking_lot::RwLock;

use super::measure::{Table, bytes_each, heap, least, ns_each, shuffled};
use crate::Result;
use crate::child::say;
use crate::contents::SplitMix;
use crate::report::median;

const KEY_BYTES: usize = 20;
const PAGE: u32 = 100;
const PAGES: u32 = 20_000;

/// Keys in order; `place` is a part of the key's hash, which its owner has anyway.
trait Ordered: Sync {
    fn insert(&self, place: usize, key: &[u8]);
    /// Calls `each` with the keys from `from` on, until it says no.
    fn page(&self, from: &[u8], each: &mut dyn FnMut(&[u8]) -> bool);
}

/// One tree, or several by hash that a reader holds all together and merges.
struct Trees(Vec<RwLock<BTreeSet<Box<[u8]>>>>);

impl Trees {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| RwLock::default()).collect())
    }
}

impl Ordered for Trees {
    fn insert(&self, place: usize, key: &[u8]) {
        let key = key.into();
        self.0[place % self.0.len()].write().insert(key);
    }

    fn page(&self, from: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) {
        let held: Vec<_> = self.0.iter().map(RwLock::read).collect();
        let bounds = (Bound::Included(from), Bound::Unbounded);
        let mut lanes: Vec<_> = held
            .iter()
            .map(|keys| keys.range::<[u8], _>(bounds))
            .collect();
        if let [only] = &mut lanes[..] {
            let _ = only.all(|key| each(key));
            return;
        }
        let mut heads = BinaryHeap::with_capacity(lanes.len());
        for (lane, keys) in lanes.iter_mut().enumerate() {
            heads.extend(keys.next().map(|key| Reverse((key, lane))));
        }
        while let Some(mut top) = heads.peek_mut() {
            let Reverse((key, lane)) = *top;
            if !each(key) {
                return;
            }
            match lanes[lane].next() {
                Some(next) => *top = Reverse((next, lane)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
        }
    }
}

struct SkipList(SkipSet<Box<[u8]>>);

impl Ordered for SkipList {
    fn insert(&self, _place: usize, key: &[u8]) {
        self.0.insert(key.into());
    }

    fn page(&self, from: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) {
        let bounds = (Bound::Included(from), Bound::Unbounded);
        for entry in self.0.range::<[u8], _>(bounds) {
            if !each(entry.value()) {
                return;
            }
        }
    }
}

type Make = fn() -> Box<dyn Ordered>;

const CANDIDATES: [(&str, Make); 5] = [
    ("one tree", || Box::new(Trees::new(1))),
    ("4 trees, merged", || Box::new(Trees::new(4))),
    ("8 trees, merged", || Box::new(Trees::new(8))),
    ("16 trees, merged", || Box::new(Trees::new(16))),
    ("skip list", || Box::new(SkipList(SkipSet::new()))),
];

pub(super) fn measure(keys: u32, rounds: u32) -> Result<String> {
    let mut table = Table::new(
        "Keys in order",
        [
            ("ns per insert", least),
            ("2 threads: ns per insert", least),
            ("beside a scan: ns per insert", median),
            ("bytes per key", median),
            ("µs per page of 100", least),
        ],
    );
    let keys = Keys::new(keys);
    for round in 1..=rounds {
        for (name, make) in CANDIDATES {
            let figures = keys.candidate(make)?;
            say(&format!("  round {round}: {name}: {figures:.1?}"));
            table.add(name, figures);
        }
    }
    Ok(table.markdown())
}

/// All keys, in order, and the order in which they come.
struct Keys {
    sorted: Vec<u8>,
    order: Vec<u32>,
}

impl Keys {
    fn new(count: u32) -> Self {
        let sorted = (0..count).flat_map(|n| format!("user:{n:015}").into_bytes());
        Self {
            sorted: sorted.collect(),
            order: shuffled(count, 8),
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.order.len()).unwrap_or(u32::MAX)
    }

    fn get(&self, number: u32) -> &[u8] {
        let at = number as usize * KEY_BYTES;
        &self.sorted[at..at + KEY_BYTES]
    }

    fn insert(&self, into: &dyn Ordered, numbers: &[u32]) {
        for &number in numbers {
            let place = SplitMix(u64::from(number)).next() >> 57;
            into.insert(usize::try_from(place).unwrap_or(0), self.get(number));
        }
    }

    /// One page from a key on; it must hold the keys that follow.
    fn page(&self, of: &dyn Ordered, first: u32, end: u32) -> Result<()> {
        let mut next = first;
        let mut right = true;
        of.page(self.get(first), &mut |key| {
            right &= key == self.get(next);
            next += 1;
            next < end
        });
        if right && next == end {
            return Ok(());
        }
        Err(format!("a page from key {first} to {end} went wrong at {next}").into())
    }

    fn candidate(&self, make: Make) -> Result<[f64; 5]> {
        let count = self.count();
        let before = heap()?;
        let index = make();
        let insert = ns_each(count, || {
            self.insert(&*index, &self.order);
            Ok(())
        })?;
        let bytes = bytes_each(before, heap()?, count);
        let mut random = SplitMix(5);
        let page = ns_each(PAGES, || {
            (0..PAGES).try_for_each(|_| {
                let first = random.below(count - PAGE);
                self.page(&*index, first, first + PAGE)
            })
        })?;
        drop(index);
        let two = self.two_threads(&*make());
        let scanned = self.beside_a_scan(&*make())?;
        Ok([insert, two, scanned, bytes, page / 1e3])
    }

    /// Two threads insert half of the keys each: elapsed ns per key.
    fn two_threads(&self, index: &dyn Ordered) -> f64 {
        let (left, right) = self.order.split_at(self.order.len() / 2);
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| self.insert(index, left));
            self.insert(index, right);
        });
        start.elapsed().as_secs_f64() * 1e9 / f64::from(self.count())
    }

    /// One thread inserts the second half, while another reads pages of the first:
    /// elapsed ns per key.
    fn beside_a_scan(&self, index: &dyn Ordered) -> Result<f64> {
        let (there, new) = self.order.split_at(self.order.len() / 2);
        self.insert(index, there);
        let (stop, pages) = (AtomicBool::new(false), AtomicU32::new(0));
        let start = Instant::now();
        let took = thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = SplitMix(6);
                while !stop.load(Ordering::Relaxed) {
                    let mut left = PAGE;
                    index.page(self.get(random.below(self.count())), &mut |_| {
                        left -= 1;
                        left > 0
                    });
                    pages.fetch_add(1, Ordering::Relaxed);
                }
            });
            self.insert(index, new);
            stop.store(true, Ordering::Relaxed);
            start.elapsed()
        });
        if pages.into_inner() == 0 {
            return Err("no page was read beside the inserts".into());
        }
        Ok(took.as_secs_f64() * 2e9 / f64::from(self.count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_hands_out_the_keys_in_order() {
        let keys = Keys::new(2_000);
        for (name, make) in CANDIDATES {
            let index = make();
            keys.insert(&*index, &keys.order);
            for (first, end) in [(0, 2_000), (0, 1), (1_999, 2_000), (700, 800)] {
                keys.page(&*index, first, end)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
    }

    #[test]
    fn a_key_that_is_missing_is_noticed() {
        let keys = Keys::new(2_000);
        let index = Trees::new(8);
        let but_one: Vec<u32> = (0..2_000).filter(|&n| n != 50).collect();
        keys.insert(&index, &but_one);
        assert!(keys.page(&index, 0, 100).is_err());
        assert!(keys.page(&index, 51, 100).is_ok());
    }
}
