//! The test of the tests: each way to be wrong must be caught by the stories that the sound
//! build passes.

use kvcore::base::broken::{self, Build};

use crate::POLICIES;
use crate::story::{Plan, tell};

const PATIENCE: u64 = 400;

fn caught(build: Build) {
    for seed in 1..PATIENCE {
        for policy in POLICIES {
            let plan = Plan {
                seed,
                policy,
                verbose: false,
            };
            let told = std::panic::catch_unwind(|| broken::with(build, || tell(&plan)));
            let violation = match told {
                Ok(Ok(_)) => continue,
                Ok(Err(violation)) => violation,
                Err(_) => "an assertion of the engine failed".to_owned(),
            };
            println!("{build:?}: caught by seed {seed}, {policy:?}: {violation}");
            tell(&plan).expect("the sound build tells the same story without a violation");
            return;
        }
    }
    panic!("{build:?} was not caught");
}

#[test]
fn telling_before_the_sync_is_caught() {
    caught(Build::WatchBeforeDurable);
}

#[test]
fn dropping_what_a_full_queue_has_no_room_for_is_caught() {
    caught(Build::DropOnFullQueue);
}

#[test]
fn a_resync_that_does_not_say_what_is_gone_is_caught() {
    caught(Build::ResyncWithoutAbsences);
}
