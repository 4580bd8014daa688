//! The one door for writes.
//!
//! ```text
//!  prepare   check limits, copy key and value to exact size          no lock
//!  admit     a permit and room in the log                            may wait, no lock
//!  commit    lock, evaluate, draw a ticket and send, apply, unlock   waits for shard locks only
//! ```
//! Invariants:
//! - ticket and send are adjacent, under all locks of the unit, and nothing that can
//!   block, allocate or panic lies between the ticket and the end of the apply;
//! - one permit acquisition per unit, before any lock; it travels inside the unit and
//!   is given back by the log's writer;
//! - what is sent is absolute state: conditions are resolved before.

pub mod admission;
pub mod error;
pub mod mutation;
pub mod poison;
pub mod sequencer;
pub mod sink;
pub mod transaction;
pub mod unit;

pub use admission::{AdmitFailure, Admitted, Gate};
pub use error::{Error, ErrorKind};
pub use mutation::{Action, Condition, Mutation, Outcome, Prepared, Unmet};
