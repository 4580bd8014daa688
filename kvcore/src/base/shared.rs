//! What the log's threads meet in: atomics, locks and parking as everybody has them. The
//! models in `kvcore/tests/interleavings` compile the same modules against a module of this
//! name whose parts are those of an explorer.

pub mod atomic {
    pub use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering, fence};
}

pub mod thread {
    pub use std::thread::{Thread, current, park_timeout};
}

pub use parking_lot::{Condvar, Mutex, RwLock};
pub use std::sync::OnceLock;
