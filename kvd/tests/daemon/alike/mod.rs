//! The independent model of the engine's tests, held against a whole daemon: unary calls,
//! batches and pipelines over gRPC, with orderly restarts and `kill -9` in between.
//!
//! The model, its operations and its generator are the files of `kvcore/tests/model`;
//! what the wire adds is here. Time is real, so what expires does so in the past or not
//! before an hour, and what the daemon took for "now" is read off its answers.
//! `KVD_MODEL_SEED=N` replays one seed alone and prints each operation;
//! `KVD_MODEL_OPERATIONS=N` sets how many operations are done (default 1,500).

#[path = "../../../../kvcore/tests/model/actions.rs"]
#[expect(
    dead_code,
    reason = "what is shown for a deadline is the deadline here"
)]
mod actions;
#[path = "../../../../kvcore/tests/model/answers.rs"]
#[expect(dead_code, reason = "what is given away is not told over the wire")]
mod answers;
#[path = "../../../../kvcore/tests/model/defects.rs"]
mod defects;
#[path = "../../../../kvcore/tests/model/draw.rs"]
mod draw;
#[path = "../../../../kvcore/tests/model/generate.rs"]
#[expect(
    dead_code,
    reason = "here it is asked for one operation after the other"
)]
mod generate;
#[path = "../../../../kvcore/tests/model/model.rs"]
#[expect(dead_code, reason = "a daemon's crashes cannot be turned by hand")]
mod model;
#[path = "../../../../kvcore/tests/model/ops.rs"]
mod ops;
#[path = "../../../../kvcore/tests/model/resolve.rs"]
mod resolve;
#[path = "../../../../kvcore/tests/model/txn.rs"]
mod txn;
#[path = "../../../../kvcore/tests/model/writes.rs"]
mod writes;

mod fit;
mod host;
mod judge;
mod looks;
mod replies;
mod requests;
mod run;

use model::Twist;
use run::{Story, tell};

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn the_daemon_and_the_model_answer_alike() {
    let operations = from_env("KVD_MODEL_OPERATIONS").unwrap_or(1500);
    let seeds = match from_env("KVD_MODEL_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=4,
    };
    let verbose = from_env("KVD_MODEL_SEED").is_some();
    let each = operations.div_ceil(seeds.clone().count() as u64);
    for seed in seeds {
        let story = Story {
            seed,
            operations: each,
            verbose,
            twist: None,
        };
        match tell(story).await {
            Ok(tally) => println!("seed {seed}: {tally:#?}"),
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
}

#[tokio::test]
async fn a_model_that_is_wrong_is_noticed() {
    for twist in [
        Twist::KeepForgetsTheDeadline,
        Twist::AFailedConditionTakesARevision,
        Twist::AnEmptyRangePassesEveryCompare,
    ] {
        let story = Story {
            seed: 1,
            operations: 2000,
            verbose: false,
            twist: Some(twist),
        };
        match tell(story).await {
            Ok(_) => panic!("{twist:?} was not noticed"),
            Err(wrong) => println!("{twist:?}: {}", wrong.lines().next().unwrap_or_default()),
        }
    }
}
