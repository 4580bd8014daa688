//! Puts one thread to sleep and wakes it, without a system call when it is awake.

use std::sync::OnceLock;
use std::time::Duration;

use crate::base::shared::atomic::{AtomicU8, Ordering, fence};
use crate::base::shared::thread::{self, Thread};

/// How deeply the thread sleeps: who may wake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sleep {
    /// A short pause for work to gather: only those who wait end it.
    Nap = 1,
    /// Nothing to do: any work ends it.
    Deep = 2,
}

const AWAKE: u8 = 0;

/// The sleeping place of one thread.
///
/// The sleeper announces itself, looks for work once more, and only then parks; a
/// waker makes its work visible, then looks for a sleeper. The two fences make sure
/// that one of them sees the other.
#[derive(Debug, Default)]
pub struct Parker {
    thread: OnceLock<Thread>,
    state: AtomicU8,
}

impl Parker {
    /// Makes the calling thread the sleeper. Called once.
    pub fn adopt_current(&self) {
        self.thread.get_or_init(thread::current);
    }

    /// Sleeps until woken, at most `limit`, unless `has_work` says otherwise.
    pub fn sleep(&self, how: Sleep, limit: Duration, has_work: impl FnOnce() -> bool) {
        self.state.store(how as u8, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            thread::park_timeout(limit);
        }
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Somebody waits: ends any sleep.
    pub fn wake(&self) {
        self.end(Sleep::Nap);
    }

    /// There is work and nobody waits for it yet: ends deep sleep only.
    pub fn nudge(&self) {
        self.end(Sleep::Deep);
    }

    fn end(&self, from: Sleep) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) >= from as u8
            && self.state.swap(AWAKE, Ordering::Relaxed) != AWAKE
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}
