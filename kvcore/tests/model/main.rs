//! An independent model beside the real engine, on the same random operations.
//!
//! ```text
//!  seed -> generate -> [Op] --+-> model            what users are promised
//!                             +-> store -> engine  on a simulated disk, time turned by hand
//!                                  `-> every answer compared in full
//! ```
//! Everything comes from one seed. `KVD_MODEL_SEED=N` replays one seed alone and prints
//! each operation; `KVD_MODEL_OPERATIONS=N` sets how many operations are done (default
//! 60,000, in stories of 1,500 with a seed each), `KVD_MODEL_FIRST_SEED=N` where to begin.
//!
//! The operations are drawn before the first is done, so a story that goes wrong can be
//! cut short: it is done again with fewer operations as long as it still goes wrong. This
//! is done here and not by proptest, because a story must replay from its number alone,
//! on this and on a remote store, and because numbers and moments that an operation names
//! are looked up in the model when it is done: dropping earlier ones keeps its meaning.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it found and fails by panicking"
)]

mod actions;
mod answers;
mod broken_builds;
mod defects;
mod draw;
mod engine;
mod generate;
mod looks;
mod model;
mod ops;
mod resolve;
mod restart;
mod run;
mod shrink;
mod store;
mod txn;
mod writes;

use std::panic::{AssertUnwindSafe, catch_unwind};

use generate::{Generator, Kinds};
use ops::Op;
use run::{Mismatch, Setup, Tally, run};

/// Operations of one seed.
const STORY: usize = 1500;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// The operations of a seed.
fn story(seed: u64) -> Vec<Op> {
    Generator::list(seed, Kinds { by_hand: true }, STORY)
}

/// Does a story; an assertion of the engine that fails is a mismatch like any other.
fn attempt(setup: Setup, ops: &[Op]) -> Result<Tally, String> {
    match catch_unwind(AssertUnwindSafe(|| run(setup, ops))) {
        Ok(done) => done.map_err(|mismatch: Mismatch| mismatch.to_string()),
        Err(_) => Err("an assertion failed: see above".to_owned()),
    }
}

/// Does the story of a seed and tells all about what goes wrong.
fn tell(setup: Setup) -> Tally {
    let ops = story(setup.seed);
    let found = match attempt(setup, &ops) {
        Ok(tally) => return tally,
        Err(found) => found,
    };
    let quiet = Setup {
        verbose: false,
        ..setup
    };
    let fewer = shrink::shrink(ops, |ops| attempt(quiet, ops).is_err());
    let again = attempt(quiet, &fewer).expect_err("it failed before");
    let seed = setup.seed;
    println!("seed {seed}, cut to {} operations:", fewer.len());
    for op in &fewer {
        println!("  {op:?}");
    }
    panic!(
        "seed {seed}:\n{found}\n\ncut to {} operations:\n{again}\n\
         replay: KVD_MODEL_SEED={seed} cargo test -p kvcore --test model -- --nocapture",
        fewer.len()
    );
}

#[test]
fn the_engine_and_the_model_answer_alike() {
    let setup = |seed| Setup {
        seed,
        twist: None,
        verbose: false,
    };
    if let Some(seed) = from_env("KVD_MODEL_SEED") {
        let verbose = true;
        println!(
            "{:#?}",
            tell(Setup {
                verbose,
                ..setup(seed)
            })
        );
        return;
    }
    let operations = from_env("KVD_MODEL_OPERATIONS").unwrap_or(60_000);
    let first = from_env("KVD_MODEL_FIRST_SEED").unwrap_or(1);
    let stories = operations.div_ceil(STORY as u64);
    let total = std::thread::scope(|scope| {
        let workers = [0, 1].map(|worker| {
            scope.spawn(move || {
                let mut total = Tally::new();
                for seed in (first + worker..first + stories).step_by(2) {
                    add(&mut total, tell(setup(seed)));
                }
                total
            })
        });
        let mut total = Tally::new();
        for worker in workers {
            add(&mut total, worker.join().expect("no mismatch"));
        }
        total
    });
    println!("Tally {{");
    for (what, count) in &total {
        println!("    {what}: {count},");
    }
    println!("    seeds: {stories},\n}}");
    for what in [
        "units lost",
        "answer: replayed",
        "keys swept",
        "rotations",
        "starts from snapshots",
    ] {
        let count = total.get(what).copied().unwrap_or(0);
        assert!(count > 0, "no {what}: the operations do not bite");
    }
}

fn add(total: &mut Tally, more: Tally) {
    for (what, count) in more {
        *total.entry(what).or_default() += count;
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1..=3 {
        let setup = Setup {
            seed,
            twist: None,
            verbose: false,
        };
        let ops = story(seed);
        assert_eq!(ops, story(seed));
        let [one, other] = [(); 2].map(|()| attempt(setup, &ops));
        assert_eq!(one, other, "seed {seed}");
    }
}
