//! The meeting places of the log's threads under every order in which their steps can fall, and
//! for the parker every value that a relaxed load may see: the modules themselves, compiled
//! against the explorer's atomics, locks and parking.
//!
//! Nobody is woken by time here: whoever is forgotten stays asleep, which the explorer tells
//! as a deadlock. `LOOM_MAX_PREEMPTIONS` widens the search (3 by default).

#![expect(clippy::expect_used, reason = "tests fail by panicking")]
#![expect(
    dead_code,
    unreachable_pub,
    reason = "the modules are a part of kvcore, and have more than their models need"
)]

#[path = "../../src/base"]
mod base {
    pub mod alone;
    pub mod revision;
    #[path = "../../tests/interleavings/shared.rs"]
    pub mod shared;
}

#[path = "../../src/log"]
mod log {
    pub mod ledger;
    pub mod parker;
    pub mod watermark;
}

mod ledger;
mod parker;
mod watermark;

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

/// Explores what `story` may come to.
fn explore(story: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(story);
}

/// Does `what` with `shared` on a second thread.
fn beside<S, T>(shared: &Arc<S>, what: impl FnOnce(&S) -> T + Send + 'static) -> JoinHandle<T>
where
    S: Send + Sync + 'static,
    T: Send + 'static,
{
    let shared = Arc::clone(shared);
    thread::spawn(move || what(&shared))
}
