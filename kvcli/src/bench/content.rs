//! The keys and values of a bench. A value says of which key and which write it is,
//! and the rest of it follows from that, so that a read can be checked byte by byte.

use super::plan::{LEAST_VALUE, Plan};

/// A small generator: the same on every machine, and quick.
#[derive(Clone, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        // A seed of 0 would stay there.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or_default()
    }
}

/// The key of a number: its prefix, zeros, the number.
pub(super) fn key(plan: &Plan, number: u64) -> Vec<u8> {
    let width = plan.key_size - plan.prefix.len();
    format!("{}{number:0width$}", plan.prefix).into_bytes()
}

/// The value that write `version` gives to key `number`.
pub(super) fn value(size: usize, number: u64, version: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(size + 8);
    value.extend_from_slice(&number.to_le_bytes());
    value.extend_from_slice(&version.to_le_bytes());
    debug_assert_eq!(value.len(), LEAST_VALUE);
    let mut numbers = Numbers::new(number ^ version.rotate_left(32));
    while value.len() < size {
        value.extend_from_slice(&numbers.next().to_le_bytes());
    }
    value.truncate(size);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_differ_by_key_and_version_everywhere() {
        for size in [16, 17, 64, 1_000] {
            let one = value(size, 7, 1);
            assert_eq!(one.len(), size);
            assert_eq!(one, value(size, 7, 1));
            assert_ne!(one, value(size, 7, 2));
            assert_ne!(one, value(size, 8, 1));
        }
        assert_ne!(value(64, 7, 1)[16..], value(64, 7, 2)[16..]);
    }

    #[test]
    fn numbers_stay_below_and_reach_all() {
        let mut numbers = Numbers::new(0);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(numbers.below(10)).expect("small")] += 1;
        }
        assert!(seen.iter().all(|count| *count > 800), "{seen:?}");
    }
}
