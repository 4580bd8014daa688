//! Memory: what every key holds now. Knows no files, no log and no clock.
//!
//! Invariants:
//! - [`shards`] is the only file that sees dashmap; it takes closures and lets no
//!   guard out, so that no caller can hold two guards by accident.
//! - [`memory`] counts exactly what the present entries occupy, at the one place
//!   where they come and go.

pub mod apply;
mod deadlines;
pub mod entry;
mod gathered;
mod index;
pub mod logged;
pub mod memory;
pub mod restore;
pub mod shards;
mod short;
mod tables;

pub use apply::{Change, apply, prepare};
pub use entry::Record;
pub use logged::{Logged, Operations};
pub use memory::Memory;
pub use restore::Restoring;
pub use shards::{Found, Leaving, Place, Shard, Shards};

#[cfg(test)]
mod tests;
