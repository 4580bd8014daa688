use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::LogUnit;
use super::ledger::{Ledger, NoRoom};
use super::ring::Ring;
use super::watermark::{WaitError, Watermark};
use crate::base::revision::Revision;

#[derive(Debug)]
struct Numbered(u64);

impl LogUnit for Numbered {
    fn revision(&self) -> Revision {
        Revision(self.0)
    }

    fn fetch(&self) -> u64 {
        self.0
    }

    fn encode(&self, _: &mut Vec<u8>) {}

    fn encoded_max(&self) -> usize {
        0
    }

    fn reserved(&self) -> u64 {
        0
    }
}

fn ring(next: u64, capacity: usize) -> Ring<Numbered> {
    Ring::new(Revision(next), capacity)
}

proptest! {
    #[test]
    fn the_ring_gives_units_back_in_order(order in Just((5..105_u64).collect::<Vec<_>>()).prop_shuffle()) {
        let mut ring = ring(5, 100);
        let mut out = Vec::new();
        for revision in order {
            ring.insert(Box::new(Numbered(revision)));
            while let Some(unit) = ring.pop() {
                out.push(unit.0);
            }
        }
        prop_assert_eq!(out, (5..105).collect::<Vec<_>>());
        prop_assert!(ring.is_empty());
    }
}

#[test]
fn a_hole_holds_back_what_is_behind_it() {
    let mut ring = ring(1, 4);
    ring.insert(Box::new(Numbered(2)));
    assert!(ring.has_hole() && ring.pop().is_none());
    ring.insert(Box::new(Numbered(1)));
    assert!(!ring.has_hole());
    assert_eq!(ring.pop().map(|unit| unit.0), Some(1));
    assert_eq!(ring.next(), Revision(2));
}

#[test]
#[should_panic(expected = "came twice")]
fn a_revision_that_comes_twice_is_a_bug() {
    let mut ring = ring(1, 4);
    ring.insert(Box::new(Numbered(1)));
    ring.insert(Box::new(Numbered(1)));
}

#[test]
#[should_panic(expected = "beyond what permits allow")]
fn a_revision_beyond_the_permits_is_a_bug() {
    ring(1, 4).insert(Box::new(Numbered(5)));
}

#[test]
fn the_last_segment_is_for_deletes() {
    let ledger = Ledger::new(1000);
    assert_eq!(ledger.reserve(10, false), Err(NoRoom::Late));
    ledger.segment_added();
    assert_eq!(
        ledger.reserve(10, false),
        Err(NoRoom::Late),
        "one segment is held back"
    );
    assert_eq!(ledger.reserve(10, true), Ok(()));
    ledger.segment_added();
    assert_eq!(ledger.reserve(990, false), Ok(()));
    assert_eq!(ledger.reserve(1, false), Err(NoRoom::Late));
    ledger.set_no_space(true);
    assert_eq!(ledger.reserve(1, false), Err(NoRoom::NoSpace));
    assert_eq!(
        ledger.reserve(1, true),
        Ok(()),
        "a full store can be emptied"
    );
}

#[test]
fn rotation_never_takes_room_away_from_units_in_flight() {
    let ledger = Ledger::new(1000);
    ledger.segment_added();
    ledger.segment_added();
    ledger.reserve(400, true).expect("room");
    // The unit did not fit although 950 of 1,000 bytes are used: one maximal unit is kept
    // beyond the worth, so the segment is left with a credit below zero.
    ledger.settle(0, 1050);
    let before = ledger.available();
    ledger.segment_left(1050);
    assert!(ledger.available() >= before);
    ledger.settle(400, 300);
    assert_eq!(ledger.available(), 1000 - 300);
}

#[test]
fn a_wait_ends_when_the_position_is_reached_or_the_log_fails() {
    let watermark = Arc::new(Watermark::new(Revision(1)));
    assert_eq!(watermark.wait(Revision(1), true, Duration::ZERO), Ok(()));
    let late = watermark.wait(Revision(2), true, Duration::from_millis(5));
    assert_eq!(late, Err(WaitError::TimedOut));
    assert_eq!(
        watermark.wanted(),
        Revision(2),
        "a waiter for durable asks for the sync"
    );

    let waiter = {
        let watermark = watermark.clone();
        std::thread::Builder::new()
            .spawn(move || watermark.wait(Revision(2), true, Duration::from_secs(60)))
            .expect("a thread")
    };
    watermark.advance_logged(Revision(3));
    watermark.advance_durable(Revision(2));
    assert_eq!(waiter.join().expect("no panic"), Ok(()));
    watermark.fail("the disk is gone");
    watermark.fail("a later reason");
    let failed = watermark.wait(Revision(3), true, Duration::from_secs(60));
    assert_eq!(
        failed,
        Err(WaitError::Failed(Arc::from("the disk is gone")))
    );
    assert_eq!(
        watermark.wait(Revision(3), false, Duration::ZERO),
        Ok(()),
        "logged before"
    );
}

#[test]
fn listeners_hear_of_every_advance_and_of_the_failure() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let heard = Arc::new(AtomicU32::new(0));
    let watermark = Watermark::new(Revision(1));
    let counter = heard.clone();
    watermark.subscribe(Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    watermark.advance_logged(Revision(2));
    watermark.advance_durable(Revision(2));
    watermark.fail("over");
    assert_eq!(heard.load(Ordering::Relaxed), 3);
}
