//! Values that a reload can change, where calls read them.
//!
//! Each is one relaxed load: a call never waits for a reload, and may see one value of
//! before and one of after. None of them depends on another.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::Settings;

/// A duration that can be changed, in whole milliseconds.
#[derive(Debug)]
pub struct Millis(AtomicU64);

impl Millis {
    pub fn new(time: Duration) -> Self {
        Self(AtomicU64::new(whole(time)))
    }

    pub fn set(&self, time: Duration) {
        self.0.store(whole(time), Ordering::Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What services look up here; the rest of what is live is
/// kept by those who use it (caps, intake, waiters, limits, the engine, logs).
#[derive(Debug)]
pub struct Live {
    reply_memory: AtomicUsize,
    max_connections: AtomicUsize,
    /// 0 is no limit.
    memory_max_bytes: AtomicU64,
}

impl Live {
    pub fn new(settings: &Settings) -> Self {
        let live = Self {
            reply_memory: AtomicUsize::new(0),
            max_connections: AtomicUsize::new(0),
            memory_max_bytes: AtomicU64::new(0),
        };
        live.set(settings);
        live
    }

    pub fn set(&self, settings: &Settings) {
        let reply = settings.reply_memory.bytes();
        self.reply_memory.store(reply, Ordering::Relaxed);
        let connections = settings.max_connections;
        self.max_connections.store(connections, Ordering::Relaxed);
        let memory = settings.memory_max_bytes.0.unwrap_or(0);
        self.memory_max_bytes.store(memory, Ordering::Relaxed);
    }

    pub fn reply_memory(&self) -> usize {
        self.reply_memory.load(Ordering::Relaxed)
    }

    pub fn max_connections(&self) -> usize {
        self.max_connections.load(Ordering::Relaxed)
    }

    pub fn memory_max_bytes(&self) -> Option<u64> {
        Some(self.memory_max_bytes.load(Ordering::Relaxed)).filter(|&max| max != 0)
    }
}
