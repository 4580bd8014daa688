//! A sleeper is never forgotten, whatever it sleeps for.

use std::time::Duration;

use loom::sync::Arc;

use crate::base::shared::atomic::{AtomicU8, Ordering};
use crate::log::parker::{Parker, Sleep};
use crate::{beside, explore};

const LIMIT: Duration = Duration::from_secs(1);

/// Wakers make work visible and say so; the sleeper does it all and then ends.
fn story(wakers: u8, how: Sleep, end: fn(&Parker)) {
    explore(move || {
        let shared = Arc::new((Parker::default(), AtomicU8::new(0)));
        let mut threads = vec![];
        // Nobody but its wakers ends a sleeper's sleep: it waits for no other thread's end.
        threads.push(beside(&shared, move |shared| do_all(shared, wakers, how)));
        for _ in 1..wakers {
            threads.push(beside(&shared, move |shared| make_work(shared, end)));
        }
        make_work(&shared, end);
        for thread in threads {
            thread.join().expect("ended");
        }
    });
}

fn make_work((parker, work): &(Parker, AtomicU8), end: fn(&Parker)) {
    work.fetch_add(1, Ordering::Relaxed);
    end(parker);
}

fn do_all((parker, work): &(Parker, AtomicU8), all: u8, how: Sleep) {
    parker.adopt_current();
    let mut done = 0;
    while done < all {
        let there = work.load(Ordering::Relaxed);
        if there == done {
            parker.sleep(how, LIMIT, || work.load(Ordering::Relaxed) != done);
        }
        done = there;
    }
}

#[test]
fn a_nap_is_ended_by_whoever_waits() {
    story(2, Sleep::Nap, Parker::wake);
}

#[test]
fn deep_sleep_is_ended_by_any_work() {
    story(2, Sleep::Deep, Parker::nudge);
}

#[test]
fn deep_sleep_is_ended_by_whoever_waits() {
    story(1, Sleep::Deep, Parker::wake);
}
