//! kvcore's `base::shared` of the explorer's parts. No wait ends by time.

use std::time::{Duration, Instant};

use loom::sync::{self, LockResult};

pub mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicI64, Ordering, fence};

    /// Loads and stores are exchanges. Of two accesses by one thread the explorer remembers
    /// the later one alone, so that a load before a store would hide what the store is in
    /// conflict with; an exchange hides nothing. What a relaxed load may see is not explored.
    #[derive(Debug, Default)]
    pub struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub fn load(&self, _: Ordering) -> u64 {
            self.0.fetch_add(0, Ordering::AcqRel)
        }

        pub fn store(&self, value: u64, _: Ordering) {
            self.0.swap(value, Ordering::AcqRel);
        }

        pub fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_max(value, order)
        }
    }

    /// Loads see all that they may. Stores are exchanges: the explorer lets an exchange read a
    /// store that another has followed, and forgets that nothing may come between the two; it
    /// would find sleepers forgotten that no processor forgets.
    #[derive(Debug, Default)]
    pub struct AtomicU8(loom::sync::atomic::AtomicU8);

    impl AtomicU8 {
        pub fn new(value: u8) -> Self {
            Self(loom::sync::atomic::AtomicU8::new(value))
        }

        pub fn load(&self, order: Ordering) -> u8 {
            self.0.load(order)
        }

        pub fn store(&self, value: u8, order: Ordering) {
            self.0.swap(value, order);
        }

        pub fn swap(&self, value: u8, order: Ordering) -> u8 {
            self.0.swap(value, order)
        }

        pub fn fetch_add(&self, value: u8, order: Ordering) -> u8 {
            self.0.fetch_add(value, order)
        }
    }
}

pub mod thread {
    pub use loom::thread::{Thread, current};

    pub fn park_timeout(_: super::Duration) {
        loom::thread::park();
    }
}

/// The flag is what the explorer sees of it.
#[derive(Debug)]
pub struct OnceLock<T>(std::sync::OnceLock<T>, sync::atomic::AtomicBool);

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self(
            std::sync::OnceLock::new(),
            sync::atomic::AtomicBool::default(),
        )
    }
}

impl<T> OnceLock<T> {
    pub fn get(&self) -> Option<&T> {
        let there = self.1.fetch_or(false, atomic::Ordering::AcqRel);
        self.0.get().filter(|_| there)
    }

    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.0.get_or_init(make);
        self.1.swap(true, atomic::Ordering::AcqRel);
        value
    }
}

fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.expect("no thread panics with a lock")
}

#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// Empty only while its thread waits.
pub struct Guard<'a, T>(Option<sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub fn lock(&self) -> Guard<'_, T> {
        Guard(Some(unpoisoned(self.0.lock())))
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("held")
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("held")
    }
}

#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

pub struct TimedOut(bool);

impl TimedOut {
    pub const fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    pub fn wait_until<T>(&self, guard: &mut Guard<'_, T>, _: Instant) -> TimedOut {
        let held = guard.0.take().expect("held");
        guard.0 = Some(unpoisoned(self.0.wait(held)));
        TimedOut(false)
    }
}

#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        unpoisoned(self.0.read())
    }

    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        unpoisoned(self.0.write())
    }
}
