//! The only reader of time.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the engine reads time, so that tests and the simulator can turn it.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds that never go back and go on through suspend (CLOCK_BOOTTIME).
    fn boot_ms(&self) -> u64;
    /// Milliseconds since the Unix epoch. May jump either way.
    fn wall_ms(&self) -> u64;
    /// For measuring durations and pacing; monotonic.
    fn instant(&self) -> Duration;
    /// Lets so much of this time pass on the calling thread, for pacing.
    fn rest(&self, time: Duration);
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn boot_ms(&self) -> u64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        t.tv_sec.unsigned_abs() * 1000 + t.tv_nsec.unsigned_abs() / 1_000_000
    }

    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    fn instant(&self) -> Duration {
        self.origin.elapsed()
    }

    fn rest(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A clock that stands still until it is told to move, or somebody rests.
#[derive(Debug, Default)]
pub struct ManualClock {
    ms: AtomicU64,
    /// How far the wall clock was set.
    set_ms: AtomicI64,
}

impl ManualClock {
    pub fn advance(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock forward or back.
    pub fn jump_wall(&self, ms: i64) {
        self.set_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn boot_ms(&self) -> u64 {
        self.ms.load(Ordering::SeqCst)
    }

    fn wall_ms(&self) -> u64 {
        let set = self.set_ms.load(Ordering::SeqCst);
        (1_700_000_000_000 + self.boot_ms()).saturating_add_signed(set)
    }

    fn instant(&self) -> Duration {
        Duration::from_millis(self.boot_ms())
    }

    fn rest(&self, time: Duration) {
        let ms = time.as_nanos().div_ceil(1_000_000);
        self.advance(u64::try_from(ms).unwrap_or(u64::MAX));
    }
}
