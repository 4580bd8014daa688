//! A store on a disk that loses power, over and over, against what its clients were told.
//!
//! Everything comes from one seed: what is written, how the writer's turns fall between,
//! where the power goes, and what the device kept. `KVD_SIM_SEED=N` replays one seed
//! alone and prints the disk's history; `KVD_SIM_CUTS=N` sets how many cuts are made
//! (default 1,500, spread over three sync policies).

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it found and fails by panicking"
)]

mod broken_builds;
mod corruption;
mod exhaustive;
mod oracle;
#[path = "../small/simulated.rs"]
mod small;
mod story;
mod tails;
mod tally;

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
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented_over_power_cuts() {
    if let Some(seed) = from_env("KVD_SIM_SEED") {
        for policy in POLICIES {
            let plan = Plan {
                verbose: true,
                ..Plan::new(seed, policy)
            };
            println!("{policy:?}: {:?}", tell(&plan));
        }
        return;
    }
    let cuts = from_env("KVD_SIM_CUTS").unwrap_or(1500);
    let first = from_env("KVD_SIM_FIRST_SEED").unwrap_or(1);
    let totals = std::thread::scope(|scope| {
        let workers =
            [0, 1].map(|worker| scope.spawn(move || run_until(first + worker, 2, cuts / 2)));
        workers.map(|worker| worker.join().expect("no violation"))
    });
    let mut total = Tally::default();
    for one in &totals {
        total.add(one);
    }
    println!("{total:#?}");
    assert!(total.power_cuts >= cuts, "{total:?}");
    assert!(
        total.cuts_in_recovery > 0,
        "no cut fell into recovery: {total:?}"
    );
    assert!(
        total.kills_of_failed > 0,
        "no process was killed whose log had failed: {total:?}"
    );
    assert!(total.rotations > 0, "no segment was rotated: {total:?}");
    assert!(
        total.snapshots > 0 && total.starts_from_snapshots > 0,
        "no start began with a snapshot: {total:?}"
    );
    assert!(
        total.lost_unacknowledged > 0,
        "no cut lost anything: they do not bite: {total:?}"
    );
    assert!(
        total.synced_acknowledged > 0 && total.durable_reads > 0,
        "{total:?}"
    );
}

/// Tells stories of every `step`-th seed until there were `cuts` power cuts.
fn run_until(first: u64, step: u64, cuts: u64) -> Tally {
    let mut total = Tally::default();
    let mut seed = first;
    while total.power_cuts < cuts {
        let policy = POLICIES[usize::try_from(seed / 2 % 3).expect("small")];
        match tell(&Plan::new(seed, policy)) {
            Ok(tally) => total.add(&tally),
            Err(violation) => panic!(
                "seed {seed}, {policy:?}: {violation}\n\
                 replay: KVD_SIM_SEED={seed} cargo test -p kvcore --test power_cuts -- --nocapture"
            ),
        }
        seed += step;
    }
    total
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for policy in POLICIES {
        for seed in 900..910 {
            let plan = Plan::new(seed, policy);
            let (one, other) = (tell(&plan), tell(&plan));
            assert_eq!(
                format!("{one:?}"),
                format!("{other:?}"),
                "seed {seed} {policy:?}"
            );
            assert!(one.expect("no violation").operations > 50);
        }
    }
}
