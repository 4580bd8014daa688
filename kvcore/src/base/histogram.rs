//! How often something took how long, or was how large: counted without a lock.
//!
//! ```text
//! values   0 ..= 2^LOW | then 2^SUB buckets of equal width for each power of two | the rest
//! index         0      |                 1 ..= BUCKETS - 2                      | BUCKETS - 1
//! ```
//! So a bucket is narrow where values are small and wide where they are large, and its
//! place is found by shifts. A value counts into the first bucket whose bound it does not
//! pass, which is what the text format of metrics means by `le`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one kind of value.
#[derive(Debug)]
pub struct Histogram<const LOW: u32, const SUB: u32, const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

/// Nanoseconds from 4 us to 17 s, four buckets for each power of two.
pub type Times = Histogram<12, 2, 90>;
/// Numbers and bytes from 1 to 2^30, a bucket for each power of two.
pub type Sizes = Histogram<0, 0, 32>;

impl<const LOW: u32, const SUB: u32, const BUCKETS: usize> Default
    for Histogram<LOW, SUB, BUCKETS>
{
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const LOW: u32, const SUB: u32, const BUCKETS: usize> Histogram<LOW, SUB, BUCKETS> {
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// The same value, so many times.
    pub fn record_many(&self, value: u64, times: u64) {
        self.buckets[Self::index(value)].fetch_add(times, Ordering::Relaxed);
        let sum = value.wrapping_mul(times);
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    fn index(value: u64) -> usize {
        let below = value.saturating_sub(1);
        if below < 1 << LOW {
            return 0;
        }
        let power = below.ilog2();
        let part = (below >> (power - SUB)) & ((1 << SUB) - 1);
        let index = 1 + (u64::from(power - LOW) << SUB) + part;
        usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
    }

    /// The largest value of a bucket; of the last one there is none.
    pub fn bound(index: usize) -> Option<u64> {
        if index == 0 {
            return Some(1 << LOW);
        }
        if index + 1 >= BUCKETS {
            return None;
        }
        let at = u32::try_from(index - 1).ok()?;
        let (power, part) = (LOW + (at >> SUB), at & ((1 << SUB) - 1));
        Some(u64::from((1 << SUB) + part + 1) << (power - SUB))
    }

    /// Adds what was counted so far.
    pub fn add_to(&self, values: &mut Distribution) {
        if values.counts.is_empty() {
            values.bounds = (0..BUCKETS).map(Self::bound).collect();
            values.counts = vec![0; BUCKETS];
        }
        for (sum, bucket) in values.counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        values.sum = values.sum.wrapping_add(self.sum.load(Ordering::Relaxed));
    }

    pub fn values(&self) -> Distribution {
        let mut values = Distribution::default();
        self.add_to(&mut values);
        values
    }
}

/// What histograms of one kind have counted, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The largest value of each bucket; the last has none.
    pub bounds: Vec<Option<u64>>,
    /// Values in each bucket.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: u64,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const LOW: u32, const SUB: u32, const BUCKETS: usize>() {
        type H<const L: u32, const S: u32, const B: usize> = Histogram<L, S, B>;
        let bounds: Vec<u64> = (0..BUCKETS)
            .filter_map(H::<LOW, SUB, BUCKETS>::bound)
            .collect();
        assert_eq!(bounds.len(), BUCKETS - 1);
        assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        for (index, &bound) in bounds.iter().enumerate() {
            // Up to and with its bound; what is larger belongs to the next.
            assert_eq!(H::<LOW, SUB, BUCKETS>::index(bound), index, "{bound}");
            assert_eq!(H::<LOW, SUB, BUCKETS>::index(bound + 1), index + 1);
        }
        assert_eq!(H::<LOW, SUB, BUCKETS>::index(0), 0);
        assert_eq!(H::<LOW, SUB, BUCKETS>::index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn every_value_has_the_bucket_whose_bound_it_does_not_pass() {
        check::<12, 2, 90>();
        check::<0, 0, 32>();
        check::<3, 3, 7>();
    }

    #[test]
    fn the_bounds_are_those_that_are_promised() {
        assert_eq!(Times::bound(0), Some(4096));
        assert_eq!(Times::bound(88), Some(1 << 34));
        assert_eq!(Sizes::bound(0), Some(1));
        assert_eq!(Sizes::bound(30), Some(1 << 30));
    }

    #[test]
    fn what_two_have_counted_adds_up() {
        let (one, two) = (Sizes::default(), Sizes::default());
        for value in [0, 1, 2, 3, 4, 1 << 40] {
            one.record(value);
        }
        two.record(4);
        let mut values = one.values();
        two.add_to(&mut values);
        assert_eq!(values.count(), 7);
        assert_eq!(values.sum, 14 + (1 << 40));
        assert_eq!(values.counts[..4], [2, 1, 3, 0]);
        assert_eq!(values.counts.last(), Some(&1));
        assert_eq!(values.bounds.last(), Some(&None));
    }
}
