//! Bytes without files: what the log, the MANIFEST and the names of files look like.
//!
//! `docs/format.md` is the specification; this module is its implementation, and golden
//! files hold the two together. What is true of every decoder here:
//!
//! * it is a pure function over a byte slice: no disk, no clock, no state;
//! * input is hostile: it never panics, and allocates nothing from a length it has not
//!   held against the bytes that are there;
//! * what it does not know (a code, a bit, a tag) it refuses by name, it never skips;
//! * one value has one encoding, so that what decodes also encodes to the same bytes.
//!
//! Encoders panic on a value that no decoder would accept: a store that stops loses
//! less than a log that cannot be read back.
//!
//! All numbers are little endian. Varints are LEB128 in the fewest bytes.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod checksum;
mod cursor;
mod error;
pub mod field;
pub mod frame;
pub mod manifest;
pub mod mend;
pub mod names;
pub mod outcome;
pub mod segment_header;
pub mod snapshot;
pub mod unit;

use std::fmt;

pub use error::FormatError;

/// Revisions and sequence numbers on disk stay below this, so that adding to one that
/// was read cannot overflow.
pub const NUMBER_CAP: u64 = 1 << 62;

/// Names one store: drawn at its creation, in every segment and in the MANIFEST,
/// so that files of two stores cannot be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
