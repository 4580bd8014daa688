use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::interest::{Interests, Ticket};
use super::ring::{Entry, Ring};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::store::{Logged, Operations, Record};

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0..3_u8, Just(0xff)], 1..4)
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(|key| KeyRange::key(&key)),
        key().prop_map(|key| KeyRange::prefix(&key)),
        (key(), key()).prop_map(|(a, b)| KeyRange::span(&a, &b)),
        key().prop_map(|key| KeyRange::span(&key, &[])),
        Just(KeyRange::all()),
    ]
}

proptest! {
    #[test]
    fn whoever_has_the_key_in_his_range_is_found_and_nobody_else(
        ranges in prop::collection::vec(range(), 0..40),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        keys in prop::collection::vec(key(), 1..20),
    ) {
        let mut interests = Interests::default();
        let mut there: Vec<(Ticket, KeyRange)> = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let ticket = interests.insert(range, at);
            there.push((ticket, range.clone()));
            // Also while it is looked at.
            interests.each(&keys[0], |_| ());
        }
        for index in gone {
            if !there.is_empty() {
                let (ticket, range) = there.swap_remove(index.index(there.len()));
                interests.remove(&range, ticket);
            }
        }
        prop_assert_eq!(interests.len(), there.len());
        for key in &keys {
            let mut found = Vec::new();
            interests.each(key, |&at| found.push(ranges[at].clone()));
            prop_assert!(found.iter().all(|range| range.contains(key)));
            let wanted = there.iter().filter(|(_, range)| range.contains(key)).count();
            prop_assert_eq!(found.len(), wanted, "{:?}", key);
        }
        let mut all = BTreeSet::new();
        interests.all(|&at| { all.insert(at); });
        prop_assert_eq!(all.len(), there.len());
    }
}

fn group(revisions: std::ops::Range<u64>, bytes: usize) -> Vec<Entry> {
    let entry = |revision: u64| {
        let record = Record::new(b"key", &vec![1; bytes], 0, 0);
        let mut operations = Operations::with_capacity(1);
        operations.push(Logged::Set {
            record,
            previous: Revision::NONE,
            displaced: None,
        });
        Entry {
            revision: Revision(revision),
            operations,
        }
    };
    revisions.map(entry).collect()
}

fn holds(ring: &Ring, revision: u64) -> bool {
    let group = ring.find(Revision(revision));
    let entry = group.and_then(|group| group.from(Revision(revision)).first());
    assert!(
        entry.is_none_or(|entry| entry.revision == Revision(revision)),
        "{revision} is not {entry:?}"
    );
    entry.is_some()
}

#[test]
fn the_ring_keeps_the_newest_within_its_budget() {
    let mut ring = Ring::new(10_000);
    for first in (2..200).step_by(3) {
        let dropped = ring.push(group(first..first + 3, 500));
        assert!(ring.bytes() <= 10_000, "{}", ring.bytes());
        assert!(first < 20 || !dropped.is_empty());
        assert!(holds(&ring, first) && holds(&ring, first + 2));
        assert!(!holds(&ring, first + 3) && !holds(&ring, 1));
    }
    let first = ring.first().expect("not empty");
    assert!(first > Revision(2) && !holds(&ring, first.0 - 1));
    ring.push(group(200..201, 20_000));
    assert_eq!((ring.bytes(), ring.first()), (0, None), "larger than all");
    assert!(!holds(&ring, 200));
}

#[test]
fn a_group_that_was_left_out_begins_the_ring_anew() {
    let mut ring = Ring::new(1 << 20);
    ring.push(group(2..5, 10));
    ring.push(group(5..6, 10));
    assert!(holds(&ring, 2));
    // 6 was published while nobody watched.
    let dropped: Vec<Arc<_>> = ring.push(group(7..9, 10));
    assert_eq!(dropped.len(), 2);
    assert!(!holds(&ring, 5) && !holds(&ring, 6) && holds(&ring, 7));
    assert_eq!(ring.first(), Some(Revision(7)));
}
