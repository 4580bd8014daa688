//! The end of records whose deadline has passed, for callers and for the thread that takes
//! away what nobody asks for.

use std::time::Duration;

use super::Engine;
use crate::base::revision::Revision;
use crate::commit::{Admitted, Core, Error, Prepared};
use crate::store::Record;

/// How long the sweeper sleeps at most and at least while keys have deadlines.
const GLANCE: Duration = Duration::from_millis(100);
const BREATH: Duration = Duration::from_millis(5);
/// And while there are none, or what is due cannot be removed.
const LOOK_AROUND: Duration = Duration::from_secs(1);

impl Engine {
    /// The removal of expired records, one unit each: to be committed before an absence that
    /// is due to them is shown or written over.
    pub fn prepare_removal(&self, due: &[Record]) -> Vec<Prepared> {
        self.inner.core.prepare_removal(due)
    }

    /// Commits a removal. The revision is what the absence reveals: the removal's own, or
    /// that of whatever has taken the records' place meanwhile.
    pub fn commit_removal(&self, admitted: Admitted<'_>) -> Result<Revision, Error> {
        self.inner.core.commit_removal(admitted)
    }

    /// The engine's clock, ms: what deadlines are measured in.
    #[cfg(feature = "sim")]
    pub fn engine_ms(&self) -> u64 {
        self.inner.core.clock.now()
    }

    /// Takes away a bounded part of what is due, as the sweeper does.
    #[cfg(feature = "sim")]
    pub fn sweep_turn(&self) -> u64 {
        self.inner.core.sweep_turn().removed
    }
}

/// The sweeper's thread: ends when the store does.
pub(super) fn run(core: &Core) {
    while !core.state.draining() {
        let swept = core.sweep_turn();
        let pause = match core.shards.next_deadline() {
            _ if swept.blocked => LOOK_AROUND,
            _ if swept.removed > 0 => continue,
            None => LOOK_AROUND,
            Some(deadline) => {
                let left = deadline.saturating_sub(core.clock.now());
                Duration::from_millis(left).clamp(BREATH, GLANCE)
            }
        };
        std::thread::park_timeout(pause);
    }
}
