//! The contract of watches, on a disk that loses power, fills up and fails, against what
//! really happened: ordered, unique, reliable, atomic, resumable, bookmarkable; and a mirror
//! that is built from nothing but the stream equals the store.
//!
//! `KVD_WATCH_RUNS=N` sets how many stories are told (default 120); `KVD_WATCH_SEED=N` replays
//! one seed alone.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it found and fails by panicking"
)]

mod broken_builds;
mod client;
mod library;
#[path = "../small/on_disk.rs"]
mod on_disk;
mod pages;
#[path = "../small/simulated.rs"]
mod simulated;
mod story;
mod tally;
mod truth;
mod writes;

use std::time::Duration;

use kvcore::SyncPolicy;
use story::{Plan, tell};
use tally::Tally;

const POLICIES: [SyncPolicy; 3] = [
    SyncPolicy::Always,
    SyncPolicy::Interval(Duration::from_millis(20)),
    SyncPolicy::Never,
];

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_change_in_order_once_whatever_happens() {
    if let Some(seed) = from_env("KVD_WATCH_SEED") {
        for policy in POLICIES {
            let plan = Plan {
                seed,
                policy,
                verbose: true,
            };
            println!("{policy:?}: {:?}", tell(&plan));
        }
        return;
    }
    let runs = from_env("KVD_WATCH_RUNS").unwrap_or(120);
    let totals = std::thread::scope(|scope| {
        let workers = [0, 1].map(|worker| scope.spawn(move || run(worker, runs)));
        workers.map(|worker| worker.join().expect("no violation"))
    });
    let mut total = Tally::default();
    for one in &totals {
        total.add(one);
    }
    println!("{total:#?}");
    assert_eq!(total.stories, runs);
    let Tally { seen, .. } = &total;
    assert!(total.power_cuts > 0 && total.kills > 0 && total.closes > 0);
    assert!(total.poisoned > 0 && total.no_space > 0 && total.snapshots > 0);
    assert!(total.log_reads > 0, "nobody was outrun: {total:?}");
    assert!(seen.resyncs > 0 && seen.compactions > 0 && seen.lost > 0);
    assert!(seen.fragments > 0 && seen.resumed > 0 && seen.mirrors > 0);
    assert!(seen.previous > 0 && seen.previous_unavailable > 0);
}

fn run(first: u64, runs: u64) -> Tally {
    let mut total = Tally::default();
    for seed in (first..runs).step_by(2) {
        let policy = POLICIES[usize::try_from(seed / 2 % 3).expect("small")];
        let plan = Plan {
            seed,
            policy,
            verbose: false,
        };
        match tell(&plan) {
            Ok(tally) => total.add(&tally),
            Err(violation) => panic!(
                "seed {seed}, {policy:?}: {violation}\n\
                 replay: KVD_WATCH_SEED={seed} cargo test -p kvcore --test watch -- --nocapture"
            ),
        }
    }
    total
}
