//! The remembered requests, in stripes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;

use crate::base::broken;
use crate::base::revision::Revision;
use crate::base::sync::{Guard, Held, Lock, Rank, lock, point};

const STRIPES: usize = 64;
/// What an entry costs besides id and outcome.
const ENTRY_BYTES: usize = 160;

/// How much is remembered, over all stripes.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub requests: usize,
    pub bytes: usize,
    pub age_ms: u64,
}

/// What is known of a request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub fingerprint: u128,
    pub revision: Revision,
    /// As the log holds it.
    pub outcome: Arc<[u8]>,
    /// Engine clock when it was applied.
    pub at_ms: u64,
}

/// The item and the id.
type Key = Arc<[u8]>;
const ITEM_BYTES: usize = 4;

#[derive(Debug, Default)]
struct Stripe {
    known: HashMap<Key, Entry, RandomState>,
    /// In the order of their coming.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Stripe {
    /// Forgets what lies outside the window, and so that one more fits.
    fn trim(&mut self, window: &Window, now_ms: u64) {
        let requests = window.requests.div_ceil(STRIPES);
        let bytes = window.bytes.div_ceil(STRIPES);
        while let Some(oldest) = self.order.front() {
            let late = self
                .known
                .get(oldest)
                .is_none_or(|entry| now_ms.saturating_sub(entry.at_ms) > window.age_ms);
            if !late && self.order.len() < requests && self.bytes < bytes {
                return;
            }
            if let Some(entry) = self.known.remove(oldest) {
                self.bytes -= weight(oldest, &entry);
            }
            self.order.pop_front();
        }
    }

    /// There is room for it: see [`Seat::make_room`].
    fn insert(&mut self, key: Key, entry: Entry) {
        self.bytes += weight(&key, &entry);
        if self.known.insert(key.clone(), entry).is_none() {
            self.order.push_back(key);
        }
    }
}

fn weight(key: &Key, entry: &Entry) -> usize {
    key.len() + entry.outcome.len() + ENTRY_BYTES
}

/// See the module above.
#[derive(Debug)]
pub struct Table {
    stripes: Vec<Lock<Stripe>>,
    hasher: RandomState,
    window: Window,
}

impl Table {
    pub fn new(window: Window, seeds: [u64; 4]) -> Self {
        let [a, b, c, d] = seeds;
        let hasher = RandomState::with_seeds(a, b, c, d);
        let stripe = || Stripe {
            known: HashMap::with_hasher(hasher.clone()),
            ..Stripe::default()
        };
        Self {
            stripes: (0..STRIPES).map(|_| Lock::new(stripe())).collect(),
            hasher,
            window,
        }
    }

    /// Locks the stripe of a request.
    pub fn enter(&self, id: &[u8], item: u32) -> Seat<'_> {
        let key = key(id, item);
        // The broken build of this name has looked before it holds the lock.
        let early = if broken::is(broken::Build::RequestIdOutsideStripe) {
            let found = lock(self.stripe(&key)).known.get(&key).cloned();
            point();
            Early::Looked(found)
        } else {
            Early::No
        };
        let held = Rank::Stripe.hold();
        Seat {
            window: &self.window,
            stripe: lock(self.stripe(&key)),
            key,
            early,
            _held: held,
        }
    }

    /// Takes back what the log has remembered, in the order of the log.
    pub fn restore(&self, id: &[u8], item: u32, entry: Entry) {
        let mut seat = self.enter(id, item);
        seat.make_room(entry.at_ms);
        seat.record(entry);
    }

    pub fn stripes(&self) -> usize {
        self.stripes.len()
    }

    /// The ids that one stripe remembers, in the order of their coming.
    pub fn remembered_in(&self, stripe: usize) -> Vec<(Vec<u8>, Entry)> {
        let _held = Rank::Stripe.hold();
        let stripe = lock(&self.stripes[stripe]);
        let entries = stripe.order.iter().filter_map(|key| {
            let entry = stripe.known.get(key)?.clone();
            // The item stands in the outcome too.
            Some((key.get(ITEM_BYTES..)?.to_vec(), entry))
        });
        entries.collect()
    }

    /// Requests remembered now, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let each = self.stripes.iter().map(|stripe| {
            let _held = Rank::Stripe.hold();
            let stripe = lock(stripe);
            (stripe.known.len(), stripe.bytes)
        });
        each.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    fn stripe(&self, key: &[u8]) -> &Lock<Stripe> {
        let hash = self.hasher.hash_one(key) >> 32;
        &self.stripes[usize::try_from(hash).unwrap_or_default() % STRIPES]
    }
}

fn key(id: &[u8], item: u32) -> Key {
    let item = item.to_le_bytes();
    item.iter().chain(id).copied().collect()
}

/// A request's place, locked.
pub struct Seat<'a> {
    window: &'a Window,
    stripe: Guard<'a, Stripe>,
    key: Key,
    early: Early,
    _held: Held,
}

/// What the build that is broken on purpose saw before it held the lock.
enum Early {
    No,
    Looked(Option<Entry>),
}

impl std::fmt::Debug for Seat<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("key", &self.key).finish()
    }
}

impl Seat<'_> {
    /// What became of the request, if it was applied before.
    pub fn remembered(&self) -> Option<Entry> {
        if let Early::Looked(found) = &self.early {
            return found.clone();
        }
        self.stripe.known.get(&self.key).cloned()
    }

    /// Makes sure that [`Seat::record`] does not allocate.
    pub fn make_room(&mut self, now_ms: u64) {
        self.stripe.trim(self.window, now_ms);
        self.stripe.known.reserve(1);
        self.stripe.order.reserve(1);
    }

    pub fn record(&mut self, entry: Entry) {
        let key = self.key.clone();
        self.stripe.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(requests: usize, bytes: usize) -> Table {
        let window = Window {
            requests,
            bytes,
            age_ms: 1000,
        };
        Table::new(window, [1, 2, 3, 4])
    }

    fn entry(at_ms: u64) -> Entry {
        Entry {
            fingerprint: 7,
            revision: Revision(at_ms),
            outcome: Arc::from(&b"outcome"[..]),
            at_ms,
        }
    }

    fn knows(table: &Table, id: u64) -> bool {
        table.enter(&id.to_le_bytes(), 0).remembered().is_some()
    }

    #[test]
    fn what_was_recorded_is_found_under_its_id_and_item_alone() {
        let table = table(1000, 1 << 20);
        table.restore(b"id", 1, entry(5));
        assert_eq!(
            table.enter(b"id", 1).remembered().map(|e| e.revision),
            Some(Revision(5))
        );
        assert!(table.enter(b"id", 0).remembered().is_none());
        assert!(table.enter(b"i", 1).remembered().is_none());
        assert_eq!(table.size().0, 1);
    }

    #[test]
    fn the_window_bounds_count_bytes_and_age() {
        let by_count = table(640, 1 << 30);
        let by_bytes = table(1 << 30, 64 * 10 * (ENTRY_BYTES + 12 + 7));
        for id in 0..10_000_u64 {
            by_count.restore(&id.to_le_bytes(), 0, entry(1));
            by_bytes.restore(&id.to_le_bytes(), 0, entry(1));
        }
        assert!(by_count.size().0 <= 640, "{:?}", by_count.size());
        assert!(by_bytes.size().0 <= 640 + 64, "{:?}", by_bytes.size());
        assert!(knows(&by_count, 9_999) && knows(&by_bytes, 9_999));

        let by_age = table(1 << 20, 1 << 30);
        for id in 0..1000_u64 {
            by_age.restore(&id.to_le_bytes(), 0, entry(id));
        }
        for id in 1000..2000_u64 {
            by_age.restore(&id.to_le_bytes(), 0, entry(100_000));
        }
        assert_eq!(by_age.size().0, 1000, "the old ones are gone");
    }

    #[test]
    fn an_id_that_comes_twice_counts_once() {
        let table = table(1000, 1 << 20);
        table.restore(b"id", 0, entry(1));
        let size = table.size();
        table.restore(b"other", 0, entry(1));
        assert_eq!(table.size().0, size.0 + 1);
    }
}
