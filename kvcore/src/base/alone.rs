//! A value with cache lines to itself.
//!
//! What every write changes moves from one processor's cache to the next one's. If what every
//! write only reads lies beside it, a write pays twice: it fetches the line to look, and
//! fetches it once more to change it, because somebody else has taken it in between.

use std::ops::Deref;

/// See the module. Two lines of 64 bytes, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Alone<T>(T);

impl<T> Alone<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Alone<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
