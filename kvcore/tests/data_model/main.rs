//! The data model on one engine: what each operation does, what it shows, and what the
//! builds that are broken on purpose get wrong. Time is turned by hand.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod broken_builds;
mod counters;
mod dirty_reads;
mod expiry;
mod ranges;
mod requests;
mod support;
mod txn;
mod txn_refused;
