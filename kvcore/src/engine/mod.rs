//! The facade: the only door that an embedder needs.
//!
//! Threads of an open engine: `kv-log` writes the log, `kv-spares` prepares segments,
//! `kv-expiry` takes away what has expired, `kv-snapshot` makes snapshots.
//! Everything else runs on the caller's thread and waits for shard locks at most,
//! unless its name says that it waits.

pub mod admin;
pub mod backup;
pub mod close;
mod expiry;
pub mod open;
pub mod options;
pub mod ranges;
pub mod reads;
pub mod snapshots;
pub mod verify;
pub mod watches;
pub mod writes;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::commit::Core;
use crate::disk::DirLock;
use crate::format::StoreId;
use crate::recovery::RecoverySummary;
use options::Options;
use snapshots::Snapshots;

pub use admin::{Distributions, EngineState, Status};
pub use backup::{BackupError, BackupInfo};
pub use close::Closed;
pub use ranges::{Digest, Digester};
pub use snapshots::{SnapshotError, SnapshotInfo};
pub use verify::{VerifyError, VerifyInfo, VerifyStep};
pub use watches::{WatchFrom, WatchThread, Watcher};

/// An open store. Cloning shares it; the last clone that goes away leaves the store as
/// a crash would (only [`Engine::close`] seals the log).
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Core,
    options: Options,
    store_id: StoreId,
    recovery: RecoverySummary,
    threads: Mutex<Vec<JoinHandle<()>>>,
    clock: Arc<dyn Clock>,
    snapshots: Arc<Snapshots>,
    /// Released last.
    _lock: Box<dyn DirLock>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.state.drain();
        self.core.log.abandon();
        self.core.log.spares.stop();
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }
}

impl Engine {
    /// Where the log stands, and how to be told that it moved.
    pub fn watermark(&self) -> &crate::log::watermark::Watermark {
        &self.inner.core.log.watermark
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// How long the engine has been looking at its clock: for pacing and uptime.
    pub fn uptime(&self) -> Duration {
        self.inner.clock.instant()
    }
}
