//! Transactions: compare, then one of two lists, all or nothing, under one revision.
//!
//! ```text
//!  plan    check and copy: sizes, duplicates, nesting, which shards              no lock
//!  run     under all their locks: compares, then the operations on an overlay    nothing changes
//!  commit  the overlay's changes become one unit
//! ```
//! * A range locks all shards, so that no key can appear in it meanwhile (no phantoms).
//! * An operation that fails ends the run; since nothing was changed, nothing is undone.
//! * A key is changed by one operation at most, so a unit has one change per key.

mod commit;
pub mod plan;
pub mod request;
mod results;
mod run;
