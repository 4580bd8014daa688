//! Which keys and values the driver writes, and so what it must read.
//!
//! A key is its number in decimal, filled up with zeros. A value is a window of one
//! random pattern, placed by the key's number and by the generation that wrote it:
//! it needs no memory per key, making it is a reference, and checking it is one
//! comparison. [`Truth`] remembers which generation wrote each key last.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::Result;

/// Places at which a value's window may begin.
const PLACES: usize = 1 << 16;

/// A small random generator: the same seed gives the same keys on both servers.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `end`, which is not 0 (the bias of 2^-32 is of no matter here).
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        let wide = (self.next() >> 32) * u64::from(end);
        u32::try_from(wide >> 32).unwrap_or(0)
    }
}

/// Every key and value there is.
#[derive(Debug)]
pub(crate) struct Contents {
    keys: Bytes,
    key_bytes: usize,
    count: u32,
    pattern: Bytes,
    value_bytes: usize,
}

impl Contents {
    pub(crate) fn new(count: u32, key_bytes: usize, value_bytes: usize) -> Result<Self> {
        let digits = count.saturating_sub(1).to_string().len();
        if count == 0 || key_bytes < digits {
            return Err(format!(
                "{count} keys of {key_bytes} bytes: give at least 1 key and {digits} bytes"
            )
            .into());
        }
        let mut keys = Vec::with_capacity(count as usize * key_bytes);
        for number in 0..count {
            keys.extend_from_slice(format!("{number:0key_bytes$}").as_bytes());
        }
        let mut random = SplitMix(1);
        let mut pattern = BytesMut::with_capacity(PLACES + value_bytes + 8);
        while pattern.len() < PLACES + value_bytes {
            pattern.put_u64_le(random.next());
        }
        Ok(Self {
            keys: keys.into(),
            key_bytes,
            count,
            pattern: pattern.freeze(),
            value_bytes,
        })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn key(&self, number: u32) -> Bytes {
        let at = number as usize * self.key_bytes;
        self.keys.slice(at..at + self.key_bytes)
    }

    /// What `generation` writes under a key.
    pub(crate) fn value(&self, number: u32, generation: u32) -> Bytes {
        let mixed = SplitMix(u64::from(generation) << 32 | u64::from(number)).next();
        let at = usize::try_from(mixed).unwrap_or_default() % PLACES;
        self.pattern.slice(at..at + self.value_bytes)
    }
}

/// The generation whose write of each key was acknowledged last, on one server.
#[derive(Debug)]
pub(crate) struct Truth(Box<[AtomicU32]>);

impl Truth {
    pub(crate) fn new(keys: u32) -> Self {
        Self((0..keys).map(|_| AtomicU32::new(0)).collect())
    }

    pub(crate) fn get(&self, number: u32) -> u32 {
        self.0[number as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, number: u32, generation: u32) {
        self.0[number as usize].store(generation, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_of_the_length_asked_for() {
        let contents = Contents::new(1000, 16, 64).unwrap();
        assert_eq!(contents.key(7), "0000000000000007");
        assert_eq!(contents.key(999), "0000000000000999");
        assert_eq!(Contents::new(1000, 3, 64).unwrap().key(42), "042");
    }

    #[test]
    fn values_tell_keys_and_generations_apart() {
        let contents = Contents::new(100, 16, 64).unwrap();
        let mut seen: Vec<Bytes> = (0..100)
            .flat_map(|number| (0..10).map(move |generation| (number, generation)))
            .map(|(number, generation)| contents.value(number, generation))
            .collect();
        assert!(seen.iter().all(|value| value.len() == 64));
        seen.sort_unstable();
        seen.dedup();
        // 1,000 of 65,536 places: a few meet.
        assert!(seen.len() > 980, "{} distinct values of 1000", seen.len());
        assert_eq!(
            contents.value(5, 3),
            Contents::new(100, 16, 64).unwrap().value(5, 3)
        );
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (count, key_bytes) in [(0, 16), (1001, 3), (1, 0)] {
            let error = Contents::new(count, key_bytes, 64).unwrap_err().to_string();
            assert!(error.contains("give at least"), "{error}");
        }
        assert!(Contents::new(1, 1, 0).unwrap().value(0, 0).is_empty());
    }

    #[test]
    fn choices_are_uniform_enough() {
        let mut random = SplitMix(9);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[random.below(10) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&n| (9_500..10_500).contains(&n)),
            "{counts:?}"
        );
    }
}
