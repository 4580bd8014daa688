//! The one door for writes, and the looks that go with them.
//!
//! ```text
//!  prepare   check limits, copy key and value to exact size          no lock
//!  admit     a permit and room in the log                            may wait, no lock
//!  commit    lock: request's stripe, shards, leaves                  waits for these only
//!            look the request up, take the time, evaluate
//!            account, reserve                                         the last that can fail
//!            draw a ticket and send, apply, remember, unlock
//! ```
//! Invariants:
//! - ticket and send are adjacent, under all locks of the unit, and nothing that can
//!   block, allocate or panic lies between the ticket and the end of the apply;
//! - one permit acquisition per unit, before any lock; it travels inside the unit and
//!   is given back by the log's writer;
//! - what is sent is absolute state: conditions are resolved before;
//! - an expired record leaves by a change of its own, before anything is told or written
//!   that takes the key for absent.

pub mod admission;
mod blocking;
pub mod error;
mod evaluate;
pub mod mutation;
mod permits;
pub mod poison;
pub mod prepared;
pub mod reads;
mod removal;
mod requests;
pub mod sequencer;
pub mod several;
pub mod sink;
pub mod transaction;
pub mod txn;
pub mod unit;

pub use admission::{AdmitFailure, Admitted, Gate};
pub use error::{Error, ErrorKind};
pub use mutation::{
    Action, Condition, Expire, ExpireCondition, Expiry, Increment, Mutation, Outcome, RequestId,
    UnitOutcome, Unmet,
};
pub use prepared::Prepared;
pub use reads::{CountPage, Page, PageLimit, Revealed};
pub use several::RangeDeleted;
pub use transaction::{Attempt, Core};
pub use txn::plan::TxnLimits;
pub use txn::request::{Compare, Operator, Target, Txn, TxnBranch, TxnOp, TxnOutcome, TxnResult};
