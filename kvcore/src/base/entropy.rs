//! The only source of randomness: salts, the store's id, the hasher's keys.

use std::fmt::Debug;
use std::io;

/// Where the engine draws random numbers, so that a simulation can replay them.
pub trait Entropy: Send + Sync + Debug {
    fn u64(&self) -> io::Result<u64>;
}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn u64(&self) -> io::Result<u64> {
        getrandom::u64().map_err(io::Error::other)
    }
}

/// The same numbers for the same seed (splitmix64).
#[cfg(feature = "sim")]
#[derive(Debug)]
pub struct SeededEntropy(std::sync::atomic::AtomicU64);

#[cfg(feature = "sim")]
impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }
}

#[cfg(feature = "sim")]
impl Entropy for SeededEntropy {
    fn u64(&self) -> io::Result<u64> {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed);
        let mut z = state.wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(z ^ (z >> 31))
    }
}
