//! The test of the tests: every build that is broken on purpose, and every model that is
//! wrong in one point, must be noticed by the very stories that are passed otherwise.

use kvcore::base::broken::{self, Build};

use crate::model::Twist;
use crate::run::Setup;
use crate::{attempt, story};

/// Stories told before something counts as not noticed.
const PATIENCE: u64 = 60;

fn setup(seed: u64, twist: Option<Twist>) -> Setup {
    Setup {
        seed,
        twist,
        verbose: false,
    }
}

fn caught(build: Build) {
    for seed in 1..=PATIENCE {
        let ops = story(seed);
        let told = broken::with(build, || attempt(setup(seed, None), &ops));
        if let Err(violation) = told {
            let what = violation.lines().last().unwrap_or_default();
            println!("{build:?}: caught by seed {seed}: {what}");
            attempt(setup(seed, None), &ops).expect("the sound build passes");
            return;
        }
    }
    panic!("{build:?} was not caught by {PATIENCE} stories");
}

#[test]
fn an_expiry_that_bypasses_the_door_is_caught() {
    caught(Build::ExpiryWithoutDoor);
}

#[test]
fn a_miss_that_ignores_deletes_is_caught() {
    caught(Build::MissIgnoresDeletes);
}

#[test]
fn reusing_revisions_after_an_unclean_start_is_caught() {
    caught(Build::ReuseRevisions);
}

#[test]
fn acknowledging_before_the_sync_is_caught() {
    caught(Build::AcknowledgeBeforeSync);
}

#[test]
fn a_key_that_is_missing_from_the_index_is_caught() {
    caught(Build::IndexAfterUnlock);
}

#[test]
fn sending_after_unlock_is_caught() {
    caught(Build::SendAfterUnlock);
}

#[test]
fn appending_to_a_recovered_tail_is_caught() {
    caught(Build::AppendToRecoveredTail);
}

#[test]
fn skipping_the_directory_sync_is_caught() {
    caught(Build::SkipDirSync);
}

#[test]
fn every_wrong_model_is_noticed() {
    for twist in [
        Twist::KeepForgetsTheDeadline,
        Twist::AnExpiryChangeKeepsTheVersion,
        Twist::IncrementsDropTheDeadline,
        Twist::NeverIsEarly,
        Twist::AFailedConditionTakesARevision,
        Twist::AnEmptyRangePassesEveryCompare,
        Twist::ADeadlineIsTheLastMoment,
        Twist::NestedComparesSeeEarlierWrites,
        Twist::RepeatsOfAReusedIdAreDone,
        Twist::ALimitCutsWithoutSayingSo,
    ] {
        let mut seeds = 1..=PATIENCE;
        let noticed = seeds.find(|&seed| attempt(setup(seed, Some(twist)), &story(seed)).is_err());
        let seed = noticed.unwrap_or_else(|| panic!("{twist:?} was not noticed"));
        println!("{twist:?}: noticed by seed {seed}");
    }
}
