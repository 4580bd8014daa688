//! Snapshots: the store's records in a file, so that a start need not replay the whole log
//! and the log need not be kept for ever.
//!
//! ```text
//!  start = newest revision
//!  for all keys in order:  a few keys from the index, each record under its shard's lock   (no pause, no fork)
//!  the remembered requests, stripe by stripe
//!  end = newest revision                wait until durable >= end
//!  sync, read back and verify, rename, sync of the directory
//!  MANIFEST names it                    <- from here on it counts
//! ```
//! Invariants:
//! - every key that was there at `start` and was not touched up to `end` is in it; for all
//!   others the log from `start + 1` on has the last word. So snapshot and log together
//!   are the store, although the snapshot is not the state of one moment;
//! - it holds nothing newer than `end`, and counts only once all up to there is durable;
//! - this module writes and reads files. It decides nothing and changes neither map nor log.

mod blocks;
mod read;
mod write;

pub use read::{Block, ReadError, Reader, verify};
pub use write::{Frames, Moments, Source, Written, write, write_backup};
