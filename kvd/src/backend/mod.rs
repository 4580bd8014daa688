//! The seam between the services and what stores the data.
//!
//! [`Store`] is all that a handler knows of an engine. It is used by static
//! dispatch, so the embedded engine costs no indirection; another engine can be
//! put here without a handler changing. The types are plain and borrow what they
//! can: a record is read in place, never copied to pass the seam.

pub mod embedded;
#[cfg(test)]
pub(crate) mod fake;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A place in the order of changes; 0 is none.
pub type Revision = u64;

/// What must be true of a write before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    None,
    Logged,
    Synced,
}

/// Which state a read may reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLevel {
    Durable,
    Latest,
}

/// One change of one key.
#[derive(Clone, Copy, Debug)]
pub struct Mutation<'a> {
    pub key: &'a [u8],
    pub action: Action<'a>,
    pub condition: Option<Condition>,
}

#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    Set { value: &'a [u8] },
    Delete,
}

/// What must hold for a mutation to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Exists(bool),
    /// 0: the key must be absent.
    ModRevision(Revision),
}

/// One record, held by reference.
pub trait RecordView: Clone + Send + Sync + 'static {
    fn value(&self) -> &[u8];
    fn create_revision(&self) -> Revision;
    fn mod_revision(&self) -> Revision;
    fn version(&self) -> u64;
}

/// Something read, and which state reading it revealed.
#[derive(Clone, Debug)]
pub struct Revealed<T> {
    pub value: T,
    /// What must be durable before a DURABLE reply may tell.
    pub revealed: Revision,
    pub store_revision: Revision,
}

/// What became of a mutation.
#[derive(Clone, Debug)]
pub struct Outcome<R> {
    pub applied: bool,
    /// Of this write; 0 if nothing was applied.
    pub revision: Revision,
    /// After a set that was applied the new record, otherwise the one that stands.
    pub record: Option<R>,
    pub previous: Option<R>,
    /// What a reply that changed nothing must wait for.
    pub revealed: Revision,
    pub store_revision: Revision,
}

/// How far the log has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    pub logged: Revision,
    pub durable: Revision,
}

/// Called after every advance of the positions and once on failure.
pub type Listener = Arc<dyn Fn() + Send + Sync>;

/// How long a write may wait to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub wait: Duration,
    pub deadline: Option<Instant>,
}

/// What stores the data.
pub trait Store: Clone + Send + Sync + 'static {
    type Record: RecordView;

    fn get(
        &self,
        key: &[u8],
    ) -> impl Future<Output = Result<Revealed<Option<Self::Record>>, Error>> + Send;

    /// One consistent view of all keys.
    fn batch_get(
        &self,
        keys: &[&[u8]],
    ) -> impl Future<Output = Result<Revealed<Vec<Option<Self::Record>>>, Error>> + Send;

    /// Applies in memory and hands to the log; waits only to be admitted.
    fn write(
        &self,
        mutation: Mutation<'_>,
        patience: Patience,
    ) -> impl Future<Output = Result<Outcome<Self::Record>, Error>> + Send;

    fn positions(&self) -> Positions;
    /// A position as a revision that may be shown: the newest at or below it that
    /// names a unit.
    fn named(&self, position: Revision) -> Revision;
    /// Somebody waits for `revision` to be in the file.
    fn want_logged(&self, revision: Revision);
    /// Somebody waits for `revision` to be durable.
    fn want_durable(&self, revision: Revision);
    /// Why the log failed, if it has.
    fn failure(&self) -> Option<Arc<str>>;
    fn subscribe(&self, listener: Listener);
    /// Whether `revision` names a state that was or is.
    fn check_revision(&self, revision: Revision) -> Result<(), Error>;

    fn default_durability(&self) -> Durability;
    fn default_read_level(&self) -> ReadLevel;
    fn store_revision(&self) -> Revision;
    fn state(&self) -> State;
    fn status(&self) -> Status;
    /// New writes are refused from here on.
    fn start_drain(&self);
    /// Ends in order. Blocks; true if the files are marked as closed in order.
    fn close(&self, limit: Duration) -> Result<bool, Error>;
}

/// What the engine refused or failed at. Each kind has its own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    EmptyKey,
    KeyTooLarge,
    ValueTooLarge,
    TooManyOperations,
    UnitTooLarge,
    DuplicateKey,
    MemoryLimit,
    NoLogSpace,
    Overloaded,
    Draining,
    LogFailed,
    UnknownOutcome,
    FutureRevision,
    RevisionLost,
    /// The caller's deadline passed before anything was applied.
    Deadline,
}

/// An engine's refusal; the message says what, where and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// What the engine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Writable,
    /// No disk space for the log; the reason.
    NoSpace(String),
    Draining,
    /// The log failed; the reason.
    Failed(String),
}

/// The engine's own figures.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: State,
    pub keys: u64,
    pub memory_bytes: u64,
    pub memory_max_bytes: Option<u64>,
    pub store_revision: Revision,
    pub positions: Positions,
    pub segments: u64,
    pub log_bytes: u64,
    pub spares: u64,
    pub in_flight_units: u64,
    pub in_flight_bytes: u64,
    pub store_id: String,
    pub dir: PathBuf,
    pub recovery: Recovery,
    pub counters: Counters,
}

/// What the last start found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    pub took_ms: u64,
    pub units: u64,
    pub segments: u64,
    pub bytes: u64,
    pub torn_bytes: u64,
    pub quarantined: Option<String>,
    /// First and last revision of each.
    pub gaps: Vec<(Revision, Revision)>,
    pub clean_start: bool,
}

/// What the log has done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub groups: u64,
    pub syncs: u64,
    pub sync_nanos_total: u64,
    pub units: u64,
    pub log_bytes_written: u64,
    pub rotations: u64,
}
