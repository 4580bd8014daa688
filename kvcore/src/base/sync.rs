//! The locks of the door, in the one order in which they may be taken.
//!
//! ```text
//!  1 stripe of request ids    one at most
//!  2 shards of the map        ascending
//!  3 leaves                   index partitions (ascending, readers only), deadline stripes
//! ```
//! Debug builds hold every thread to that order ([`Rank`]); a violation is a deadlock that
//! has only not happened yet. With the feature `shuttle` the same locks are those of the
//! schedule explorer, which knows nothing of parking.

#[cfg(not(feature = "shuttle"))]
mod native {
    /// A mutex without poisoning.
    pub type Lock<T> = parking_lot::Mutex<T>;
    pub type Guard<'a, T> = parking_lot::MutexGuard<'a, T>;
    pub type ReadWrite<T> = parking_lot::RwLock<T>;
    pub type ReadGuard<'a, T> = parking_lot::RwLockReadGuard<'a, T>;
    pub type WriteGuard<'a, T> = parking_lot::RwLockWriteGuard<'a, T>;

    pub fn lock<T>(of: &Lock<T>) -> Guard<'_, T> {
        of.lock()
    }

    pub fn read<T>(of: &ReadWrite<T>) -> ReadGuard<'_, T> {
        of.read()
    }

    pub fn write<T>(of: &ReadWrite<T>) -> WriteGuard<'_, T> {
        of.write()
    }

    /// Where another thread may get its turn, in a build that explores schedules.
    #[inline]
    pub const fn point() {}
}

#[cfg(feature = "shuttle")]
mod explored {
    pub type Lock<T> = shuttle::sync::Mutex<T>;
    pub type Guard<'a, T> = shuttle::sync::MutexGuard<'a, T>;
    pub type ReadWrite<T> = shuttle::sync::RwLock<T>;
    pub type ReadGuard<'a, T> = shuttle::sync::RwLockReadGuard<'a, T>;
    pub type WriteGuard<'a, T> = shuttle::sync::RwLockWriteGuard<'a, T>;

    pub fn lock<T>(of: &Lock<T>) -> Guard<'_, T> {
        of.lock().expect("no thread panics with a lock")
    }

    pub fn read<T>(of: &ReadWrite<T>) -> ReadGuard<'_, T> {
        of.read().expect("no thread panics with a lock")
    }

    pub fn write<T>(of: &ReadWrite<T>) -> WriteGuard<'_, T> {
        of.write().expect("no thread panics with a lock")
    }

    pub fn point() {
        shuttle::thread::yield_now();
    }
}

#[cfg(feature = "shuttle")]
pub use explored::{Guard, Lock, ReadGuard, ReadWrite, WriteGuard, lock, point, read, write};
#[cfg(not(feature = "shuttle"))]
pub use native::{Guard, Lock, ReadGuard, ReadWrite, WriteGuard, lock, point, read, write};

/// The place of a lock in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Stripe,
    Shard(usize),
    Leaf(usize),
}

/// Says that a lock of this rank is held for as long as it lives. Taken before the lock,
/// so that a wrong order is told and not waited for.
#[derive(Debug)]
#[must_use]
pub struct Held(#[cfg(all(debug_assertions, not(feature = "shuttle")))] Rank);

#[cfg(all(debug_assertions, not(feature = "shuttle")))]
mod order {
    use super::{Held, Rank};
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    impl Rank {
        pub fn hold(self) -> Held {
            HELD.with_borrow_mut(|held| {
                let newest = held.last().copied();
                assert!(
                    newest.is_none_or(|newest| newest < self),
                    "lock order: {self:?} is taken while {held:?} are held"
                );
                held.push(self);
            });
            Held(self)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                    held.remove(at);
                }
            });
        }
    }
}

#[cfg(not(all(debug_assertions, not(feature = "shuttle"))))]
impl Rank {
    #[inline]
    pub const fn hold(self) -> Held {
        Held()
    }
}

#[cfg(all(test, debug_assertions, not(feature = "shuttle")))]
mod tests {
    use super::Rank;

    #[test]
    fn locks_are_taken_in_order_and_given_back_in_any() {
        let stripe = Rank::Stripe.hold();
        let (first, second) = (Rank::Shard(1).hold(), Rank::Shard(2).hold());
        drop(first);
        let leaf = Rank::Leaf(0).hold();
        drop((stripe, second, leaf));
        drop(Rank::Stripe.hold());
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_shard_under_a_leaf_is_told() {
        let _leaf = Rank::Leaf(3).hold();
        let _shard = Rank::Shard(0).hold();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_lower_shard_after_a_higher_one_is_told() {
        let _high = Rank::Shard(7).hold();
        let _low = Rank::Shard(6).hold();
    }
}
