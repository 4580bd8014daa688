//! Exact accounting of what the present records occupy, and the limit on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Accounted bytes against `memory.max_bytes`.
///
/// The count is of records and their slots by a fixed rule, not of what the
/// allocator or the kernel make of them; it returns to exactly its old value when
/// what was added is removed.
#[derive(Debug)]
pub struct Memory {
    used: AtomicU64,
    /// `u64::MAX` = no limit.
    max: AtomicU64,
}

impl Memory {
    pub fn new(max: Option<u64>) -> Self {
        Self {
            used: AtomicU64::new(0),
            max: AtomicU64::new(max.unwrap_or(u64::MAX)),
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Relaxed)).filter(|&m| m != u64::MAX)
    }

    /// Sets the limit. One below what is in use refuses growth until enough is removed.
    pub fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Exchanges `old` accounted bytes for `new`. Refuses growth over the limit;
    /// what shrinks or stays is always accepted.
    pub fn exchange(&self, old: u64, new: u64) -> Result<(), MemoryFull> {
        if new <= old {
            // A value of the same size is common, and every thread changes this counter.
            if new < old {
                self.used.fetch_sub(old - new, Ordering::Relaxed);
            }
            return Ok(());
        }
        let growth = new - old;
        let used = self.used.fetch_add(growth, Ordering::Relaxed) + growth;
        let max = self.max.load(Ordering::Relaxed);
        if used > max {
            self.used.fetch_sub(growth, Ordering::Relaxed);
            return Err(MemoryFull {
                used: used - growth,
                max,
                growth,
            });
        }
        Ok(())
    }

    /// As [`Memory::exchange`] without the limit: what the log holds is not refused.
    pub fn exchange_unlimited(&self, old: u64, new: u64) {
        if new >= old {
            self.used.fetch_add(new - old, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(old - new, Ordering::Relaxed);
        }
    }
}

/// A write would take the store over its memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFull {
    pub used: u64,
    pub max: u64,
    pub growth: u64,
}
