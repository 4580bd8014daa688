//! Watches: every change in order, once, from any revision that the log holds.
//!
//! ```text
//!  log's writer ──group──► ring (bytes bounded) ──┐
//!                 │                               ├──► Cursor ──► Watch ──► messages
//!                 └──► segments ── tail ──────────┘      next revision
//! ```
//! * The **ring** ([`ring`]) holds the newest committed groups while anybody watches. It is
//!   filled before a group is announced, so whatever is announced is in the ring or in a
//!   segment.
//! * A **cursor** ([`cursor`]) is a revision and what is wanted. It takes what comes next from
//!   the ring if it is there, else from the log. There is no queue per watch that could
//!   overflow: a slow watch costs its cursor.
//! * A **watch** ([`single`]) is a cursor that can also send the current records and begin
//!   again from there, when the log no longer holds what it needs.
//! * A **dispatcher** ([`dispatch`]) looks at each change once for many watches and tells those
//!   whose range it touches; the others need not look.
//!
//! Invariants:
//! - a watch at DURABLE is told nothing above the durable watermark, one at LATEST nothing
//!   above what is logged;
//! - the ring is dense: a group that does not continue it begins it anew;
//! - whoever outran the ring reads the log; whoever outran the log is told so.

pub mod cursor;
pub mod dispatch;
pub mod event;
pub mod history;
pub mod hub;
pub mod interest;
pub mod ring;
pub mod single;
#[cfg(test)]
mod tests;

pub use cursor::{Batch, Budget, Level};
pub use dispatch::{Dispatcher, Hits, Interested};
pub use event::{Event, EventKind, Filter, Previous};
pub use hub::{Counters, Hub};
pub use ring::Entry;
pub use single::{End, Message, OnCompacted, Page, Source, Start, Turn, Want, Watch};
