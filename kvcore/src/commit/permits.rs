//! How many units are on their way to the log, and how many bytes, in one word.
//!
//! ```text
//!  63        40 39          0
//!  | units     | bytes       |
//! ```
//! Every write takes some and every group of the log's gives some back, so that one word
//! costs one exchange with the other threads where two would cost two. Neither part runs
//! into the other: what may be out is at most half of what a part can say. Whoever finds
//! that it took too much gives it back at once; for that moment there is more by one unit,
//! of at most a few megabytes, for each thread that tries.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::alone::Alone;

/// One unit in the word.
const UNIT: u64 = 1 << 40;
const UNITS_MAX: u64 = u64::MAX / UNIT / 2;
const BYTES_MAX: u64 = UNIT / 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Permits {
    units_max: u64,
    bytes_max: u64,
    out: Alone<AtomicU64>,
}

impl Permits {
    pub(super) fn new(units_max: u64, bytes_max: u64) -> Self {
        Self {
            units_max: units_max.min(UNITS_MAX),
            bytes_max: bytes_max.min(BYTES_MAX),
            out: Alone::default(),
        }
    }

    /// One for a unit of so many bytes, if there is one left.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let one = UNIT + bytes;
        let (units, total) = parts(self.out.fetch_add(one, Ordering::AcqRel) + one);
        if units <= self.units_max && total <= self.bytes_max {
            return true;
        }
        self.give_back(1, bytes);
        false
    }

    pub(super) fn give_back(&self, units: u64, bytes: u64) {
        self.out.fetch_sub(units * UNIT + bytes, Ordering::AcqRel);
    }

    /// Units and bytes that are out.
    pub(super) fn out(&self) -> (u64, u64) {
        parts(self.out.load(Ordering::Acquire))
    }
}

fn parts(out: u64) -> (u64, u64) {
    (out / UNIT, out % UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_own_limit_and_what_is_refused_is_not_kept() {
        let permits = Permits::new(2, 100);
        assert!(permits.take(100));
        assert!(!permits.take(1), "no bytes left");
        assert!(permits.take(0));
        assert!(!permits.take(0), "no units left");
        assert_eq!(permits.out(), (2, 100));
        permits.give_back(0, 60);
        permits.give_back(1, 0);
        assert!(permits.take(60));
        assert_eq!(permits.out(), (2, 100));
        permits.give_back(2, 100);
        assert_eq!(permits.out(), (0, 0));
    }

    #[test]
    fn limits_beyond_all_bounds_keep_the_parts_apart() {
        let permits = Permits::new(u64::MAX, u64::MAX);
        let large = BYTES_MAX / 2;
        assert!(permits.take(large) && permits.take(large));
        assert!(!permits.take(large), "more than half of the part");
        assert_eq!(permits.out(), (2, 2 * large));
        permits.give_back(2, 2 * large);
        assert_eq!(permits.out(), (0, 0));
    }

    #[test]
    fn threads_never_hold_more_than_there_is() {
        let (permits, held) = (Permits::new(3, 250), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if permits.take(100) {
                            let others = held.fetch_add(1, Ordering::SeqCst);
                            assert!(others < 2, "three times 100 of 250 bytes");
                            held.fetch_sub(1, Ordering::SeqCst);
                            permits.give_back(1, 100);
                        }
                    }
                });
            }
        });
        assert_eq!(permits.out(), (0, 0));
    }
}
