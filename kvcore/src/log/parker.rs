//! Puts one thread to sleep and wakes it, without a system call when it is awake.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

/// The sleeping place of one thread.
///
/// The sleeper announces itself, looks for work once more, and only then parks; a
/// waker makes its work visible, then looks for a sleeper. The two fences make sure
/// that one of them sees the other.
#[derive(Debug, Default)]
pub struct Parker {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl Parker {
    /// Makes the calling thread the sleeper. Called once.
    pub fn adopt_current(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    /// Sleeps until woken, at most `limit`, unless `has_work` says otherwise.
    pub fn sleep(&self, limit: Option<Duration>, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            match limit {
                Some(limit) => std::thread::park_timeout(limit),
                None => std::thread::park(),
            }
        }
        self.asleep.store(false, Ordering::Relaxed);
    }

    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}
