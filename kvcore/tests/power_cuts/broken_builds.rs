//! The test of the tests: each deliberately broken build must be caught, by the same
//! stories that the sound build passes.

use kvcore::SyncPolicy;
use kvcore::base::broken::{self, Build};

use crate::POLICIES;
use crate::corruption;
use crate::story::{Plan, tell};

/// Stories told before a broken build counts as not caught.
const PATIENCE: u64 = 3000;

/// The first violation that a broken build shows, and that the sound build does not.
fn caught(build: Build, policies: &[SyncPolicy], failing_syncs: bool) {
    for seed in 1..PATIENCE {
        for &policy in policies {
            let plan = Plan {
                failing_syncs,
                ..Plan::new(seed, policy)
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
    panic!("{build:?} was not caught by {PATIENCE} stories");
}

#[test]
fn acknowledging_before_the_sync_is_caught() {
    caught(Build::AcknowledgeBeforeSync, &[SyncPolicy::Always], false);
}

#[test]
fn appending_to_a_recovered_tail_is_caught() {
    caught(Build::AppendToRecoveredTail, &POLICIES, false);
}

#[test]
fn skipping_the_directory_sync_is_caught() {
    caught(Build::SkipDirSync, &POLICIES, false);
}

#[test]
fn retrying_a_failed_sync_is_caught() {
    caught(Build::RetryFailedSync, &POLICIES, true);
}

#[test]
fn ignoring_a_store_that_missed_is_caught() {
    caught(Build::IgnoreFault, &POLICIES, true);
}

#[test]
fn believing_the_page_cache_at_a_start_is_caught() {
    caught(Build::BelieveCache, &POLICIES, true);
}

#[test]
fn reusing_revisions_after_an_unclean_start_is_caught() {
    caught(Build::ReuseRevisions, &POLICIES, false);
}

#[test]
fn a_miss_that_ignores_deletes_is_caught() {
    caught(Build::MissIgnoresDeletes, &[SyncPolicy::Always], false);
}

#[test]
fn truncating_on_any_bad_checksum_is_caught() {
    for seed in 1..PATIENCE {
        let told = broken::with(Build::TruncateOnAnyBadCrc, || corruption::flip_below(seed));
        if let Err(violation) = told {
            println!("caught by seed {seed}: {violation}");
            corruption::flip_below(seed).expect("the sound build refuses");
            return;
        }
    }
    panic!("not caught by {PATIENCE} flips");
}

#[test]
fn replaying_from_the_end_of_a_snapshot_is_caught() {
    caught(Build::ReplayFromSnapshotEnd, &POLICIES, false);
}

#[test]
fn forgetting_the_log_within_a_snapshot_is_caught() {
    caught(Build::SnapshotForgetsLog, &POLICIES, false);
}

#[test]
fn publishing_a_snapshot_before_the_log_is_durable_is_caught() {
    caught(Build::PublishBeforeDurable, &POLICIES, false);
}

#[test]
fn removing_segments_before_the_manifest_is_caught() {
    caught(Build::RemoveBeforeManifest, &POLICIES, false);
}
