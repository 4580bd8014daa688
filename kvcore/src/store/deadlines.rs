//! Which keys end when, so that the sweeper finds them without looking at the others.
//!
//! Stripes by shard, each an ordered set of (deadline, hash of the key). Exact: an entry
//! enters before the revision of its record is drawn and leaves after its record has left
//! or got another deadline, both under the lock of the shard. Measured against a timing
//! wheel that forgets lazily: see `docs/adr/0009-deadlines.md`.
//!
//! Two keys with one hash and one deadline share an entry. If one of them goes, the other
//! is no longer swept; readers judge every record by itself and end it all the same.

use std::collections::BTreeSet;

use crate::base::sync::{Lock, Rank, lock};

const STRIPES: usize = 64;
/// What a deadline costs: its entry in a node two thirds full.
pub(super) const ENTRY_BYTES: u64 = 24;
/// Leaf ranks behind those of the index.
const FIRST_LEAF: usize = 1 << 16;

/// A key that has to end: the hash leads to its shard and to its place there.
pub(super) type Due = (u64, u64);

/// See the module.
#[derive(Debug)]
pub(super) struct Deadlines {
    stripes: Vec<Lock<BTreeSet<Due>>>,
}

impl Deadlines {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Lock::default()).collect(),
        }
    }

    pub(super) fn insert(&self, shard: usize, deadline_ms: u64, hash: u64) {
        let at = shard % STRIPES;
        let _held = Rank::Leaf(FIRST_LEAF + at).hold();
        lock(&self.stripes[at]).insert((deadline_ms, hash));
    }

    pub(super) fn remove(&self, shard: usize, deadline_ms: u64, hash: u64) {
        let at = shard % STRIPES;
        let _held = Rank::Leaf(FIRST_LEAF + at).hold();
        lock(&self.stripes[at]).remove(&(deadline_ms, hash));
    }

    /// Appends up to `max` keys per stripe whose deadline is `now` or before.
    pub(super) fn due(&self, now_ms: u64, max: usize, out: &mut Vec<Due>) {
        for (at, stripe) in self.stripes.iter().enumerate() {
            let _held = Rank::Leaf(FIRST_LEAF + at).hold();
            let stripe = lock(stripe);
            out.extend(stripe.range(..=(now_ms, u64::MAX)).take(max).copied());
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        let firsts = self.stripes.iter().enumerate().map(|(at, stripe)| {
            let _held = Rank::Leaf(FIRST_LEAF + at).hold();
            lock(stripe).first().map(|&(deadline, _)| deadline)
        });
        firsts.flatten().min()
    }

    /// Keys that have a deadline.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let lens = self.stripes.iter().enumerate().map(|(at, stripe)| {
            let _held = Rank::Leaf(FIRST_LEAF + at).hold();
            lock(stripe).len()
        });
        lens.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_found_and_what_was_taken_out_is_not() {
        let deadlines = Deadlines::new();
        for key in 0..200_u64 {
            deadlines.insert(usize::try_from(key).unwrap(), key * 10, key);
        }
        deadlines.remove(5, 50, 5);
        deadlines.remove(5, 50, 5);
        assert_eq!((deadlines.len(), deadlines.next()), (199, Some(0)));
        let mut due = Vec::new();
        deadlines.due(100, 10, &mut due);
        due.sort_unstable();
        let expected: Vec<Due> = (0..=10).filter(|k| *k != 5).map(|k| (k * 10, k)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn a_look_takes_no_more_of_a_stripe_than_it_may() {
        let deadlines = Deadlines::new();
        for hash in 0..100 {
            deadlines.insert(3, 7, hash);
        }
        let mut due = Vec::new();
        deadlines.due(6, 10, &mut due);
        assert!(due.is_empty());
        deadlines.due(7, 10, &mut due);
        assert_eq!(due.len(), 10);
    }
}
