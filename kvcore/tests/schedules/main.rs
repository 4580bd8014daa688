//! The door under schedules that an explorer chooses: every lock of the door, and the gap
//! between a ticket and its send, is a place where another thread may get its turn.
//!
//! `KVD_SCHEDULES=N` sets how many schedules each scenario gets (default 500); a failing
//! schedule is printed by the explorer and can be replayed alone. Each build that is
//! broken on purpose must be caught by a scenario that the sound build passes.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it found and fails by panicking"
)]

mod scenarios;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use kvcore::base::broken::{self, Build};

/// Schedules of one scenario.
fn schedules() -> usize {
    std::env::var("KVD_SCHEDULES").map_or(500, |text| text.parse().expect("a number"))
}

/// Runs a scenario under random schedules, and under those that need few preemptions.
fn explore(name: &str, scenario: fn()) {
    let count = schedules();
    shuttle::check_random(scenario, count - count / 2);
    shuttle::check_pct(scenario, count / 2, 3);
    println!("{name}: {count} schedules");
}

/// The broken build fails the scenario, and the sound one passes it.
fn caught(build: Build, scenario: fn()) {
    let told = catch_unwind(AssertUnwindSafe(|| {
        broken::with(build, || shuttle::check_random(scenario, 20_000));
    }));
    assert!(told.is_err(), "{build:?} was not caught");
    println!("{build:?}: caught");
    shuttle::check_random(scenario, 200);
}

#[test]
fn memory_log_index_and_numbers_agree_after_any_schedule() {
    explore("mixed operations", scenarios::mixed);
}

#[test]
fn two_transactions_that_guard_one_range_do_not_both_pass() {
    explore("write skew on a range", scenarios::write_skew);
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    explore("half-seen transactions", scenarios::half_seen);
}

#[test]
fn of_two_requests_with_one_id_one_is_applied() {
    explore("request ids", scenarios::one_request);
}

#[test]
fn a_key_that_was_seen_is_found_by_a_scan() {
    explore("index", scenarios::seen_key_is_scanned);
}

#[test]
fn a_key_does_not_outlive_another_with_the_same_deadline() {
    explore("expiry", scenarios::one_deadline);
}

#[test]
fn a_watch_that_is_entered_meanwhile_misses_nothing() {
    explore("registration of a watch", scenarios::registration);
}

#[test]
fn a_watch_that_is_entered_outside_the_seam_is_caught() {
    caught(Build::RegisterOutsideSeam, scenarios::registration);
}

#[test]
fn a_range_transaction_that_locks_only_present_keys_is_caught() {
    caught(Build::RangeLocksPresentKeys, scenarios::write_skew);
}

#[test]
fn a_batch_that_is_read_shard_by_shard_is_caught() {
    caught(Build::BatchShardByShard, scenarios::half_seen);
}

#[test]
fn a_request_id_that_is_checked_outside_its_stripe_is_caught() {
    caught(Build::RequestIdOutsideStripe, scenarios::one_request);
}

#[test]
fn an_index_that_is_updated_after_the_unlock_is_caught() {
    caught(Build::IndexAfterUnlock, scenarios::seen_key_is_scanned);
}

#[test]
fn a_clock_that_is_read_before_the_lock_is_caught() {
    caught(Build::NowBeforeLock, scenarios::one_deadline);
}
