//! Requests with an id, and what became of them: what makes a retry safe.
//!
//! Invariants:
//! - an id is looked up and its outcome recorded under one lock, its stripe's, which is
//!   held from before the shards are locked until after the change is applied: of two
//!   requests with one id, one is applied and the other sees that;
//! - what is recorded is in the log with the change itself, so it is known after a restart
//!   exactly if the change is;
//! - the window is bounded in count, bytes and age; what falls out of it is forgotten.

mod table;

pub use table::{Entry, Seat, Table, Window};
