//! The seam where watches pass: one watch, driven turn by turn, and who looks at each change
//! once for all of them.

use std::sync::Arc;

pub use kvcore::WatchFrom as From;
pub use kvcore::watch::{
    Batch, Budget, End, Event, EventKind, Filter, Hits, Interested, Level, Message, OnCompacted,
    Previous, Turn, Want,
};

use super::Revision;

/// One watch.
pub trait Watch: Send + 'static {
    /// Does what can be done at once.
    fn poll(&mut self, budget: Budget) -> Turn;
    /// As `poll`, and does what has to wait for a disk or a lock. Blocks.
    fn read(&mut self, budget: Budget) -> Result<Turn, End>;
    /// The last revision that was told whole. `None` during a resync.
    fn position(&self) -> Option<Revision>;
    /// The first revision that it can tell of. `None`: it begins with the current records.
    fn start(&self) -> Option<Revision>;
    fn level(&self) -> Level;
    /// Whether a poll could tell something. False: who notes something later wakes it.
    fn is_due(&self) -> bool;
    /// The first revision that the log still holds.
    fn oldest(&self) -> Revision;
}

/// Looks at each change once for all watches of one runtime.
pub trait Dispatch: Send + Sync + 'static {
    type Watch;

    /// Enters a watch, which from now on looks only where something was noted for it. `ear`
    /// makes the one who is told from what will be noted.
    fn enter(
        &self,
        watch: &mut Self::Watch,
        ear: &mut dyn FnMut(Arc<Hits>) -> Arc<dyn Ear>,
    ) -> Ticket;
    fn leave(&self, ticket: &Ticket);
    /// Looks at some changes. False: there is none to look at.
    fn dispatch(&self) -> bool;
}

/// Who is told that something was noted.
pub trait Ear: Interested + Send + Sync {}

/// What leaving takes.
#[derive(Debug)]
pub struct Ticket {
    pub range: kvcore::KeyRange,
    pub level: Level,
    pub number: u64,
}

/// What watches have done since the start, and do now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub watches: u64,
    /// Bytes of changes kept in memory for them.
    pub ring_bytes: u64,
    /// Events by the number of their cause.
    pub events: [u64; 7],
    pub log_reads: u64,
    pub log_bytes: u64,
    pub lookups: u64,
    pub resyncs: u64,
    pub compacted: u64,
}
