//! The seam between the services and what stores the data.
//!
//! [`Store`] is all that a handler knows of an engine. It is used by static
//! dispatch, so the embedded engine costs no indirection; another engine can be
//! put here without a handler changing. What is asked and what became of it are said
//! in kvcore's plain words, which borrow what they can: a record is read in place,
//! never copied to pass the seam.

mod digest;
pub mod embedded;
#[cfg(test)]
pub(crate) mod fake;
pub mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use kvcore::{
    Action, Compare, Condition, Distributions, Expire, ExpireCondition, Expiry, Increment,
    KeyRange, Mutation, Operator, Outcome, Page, PageLimit, Place, Record, Repaired, RequestId,
    Target, Txn, TxnBranch, TxnLimits, TxnOp, TxnOutcome, TxnResult, VerifyStep,
};

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

/// Something read, and which state reading it revealed.
#[derive(Clone, Debug)]
pub struct Revealed<T> {
    pub value: T,
    /// What must be durable before a DURABLE reply may tell.
    pub revealed: Revision,
    pub store_revision: Revision,
}

/// What a range delete came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeDeleted {
    pub deleted: u64,
    /// The revisions that it took; 0 if nothing was removed.
    pub first: Revision,
    pub last: Revision,
    /// The limit left keys behind.
    pub more: bool,
    /// Remembered from an earlier request with the same id.
    pub replayed: bool,
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

impl Patience {
    /// Refuses what is too late to begin, or to go on with.
    pub fn check(&self) -> Result<(), Error> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => Err(Error::new(
                ErrorKind::Deadline,
                "the deadline passed before anything was applied",
            )),
            _ => Ok(()),
        }
    }
}

/// What stores the data.
///
/// A key whose time is over is absent for every call here. What a read shows of such a
/// key may not be taken back by a restart, so its removal is written before the answer
/// is given, and counts into what the answer reveals.
pub trait Store: Clone + Send + Sync + 'static {
    /// One watch, and what looks at changes for all watches of a runtime.
    type Watch: watch::Watch;
    type Dispatch: watch::Dispatch<Watch = Self::Watch>;

    fn get(
        &self,
        key: &[u8],
        patience: Patience,
    ) -> impl Future<Output = Result<Revealed<Option<Record>>, Error>> + Send;

    /// One consistent view of all keys.
    fn batch_get(
        &self,
        keys: &[&[u8]],
        patience: Patience,
    ) -> impl Future<Output = Result<Revealed<Vec<Option<Record>>>, Error>> + Send;

    /// Applies in memory and hands to the log; waits only to be admitted. An outcome
    /// that is remembered under `request` is told again, and nothing is applied.
    fn write(
        &self,
        mutation: Mutation<'_>,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send;

    /// As [`Store::write`] for several keys, all or nothing.
    fn txn(
        &self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> impl Future<Output = Result<TxnOutcome, Error>> + Send;

    /// One page of a range in key order, or from its end if `reverse`, behind the key
    /// `after`. At least one record if there is any.
    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
        patience: Patience,
    ) -> impl Future<Output = Result<Revealed<Page>, Error>> + Send;

    /// How many keys a range holds; counting ends at `limit`.
    fn count(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        patience: Patience,
    ) -> impl Future<Output = Result<Revealed<u64>, Error>> + Send;

    /// Digest of the keys and values of a range in key order, and their number.
    fn hash(
        &self,
        range: &KeyRange,
        patience: Patience,
    ) -> impl Future<Output = Result<Revealed<([u8; 16], u64)>, Error>> + Send {
        digest::of_range(self, range, patience)
    }

    /// Removes at most `limit` keys of a range: under one revision, or in pieces.
    fn delete_range(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        atomic: bool,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> impl Future<Output = Result<RangeDeleted, Error>> + Send;

    /// These keys are about to be read or written one by one: a hint, which may be ignored.
    fn expect<'a>(&self, _keys: impl Iterator<Item = &'a [u8]>) {}
    /// When the record ends, in ms since the Unix epoch; 0 is never.
    fn expires_at_ms(&self, record: &Record) -> u64;
    /// How many requests with an id are remembered, and for how long.
    fn request_window(&self) -> RequestWindow;

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

    /// A watch that begins at `from`.
    fn watch(&self, want: watch::Want, from: watch::From) -> Result<Self::Watch, Error>;
    fn dispatch(&self) -> Self::Dispatch;
    fn watch_figures(&self) -> watch::Figures;

    fn default_durability(&self) -> Durability;
    fn default_read_level(&self) -> ReadLevel;
    fn store_revision(&self) -> Revision;
    fn state(&self) -> State;
    fn status(&self) -> Status;
    /// Tells all of the store, or what came after a revision, to `sink`. Blocks until that
    /// is done, or `sink` fails.
    fn backup(
        &self,
        after: Option<Revision>,
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Error>;
    /// Reads what is on disk, at no more than `rate` bytes in a second, and tells how far it
    /// is and what is damaged. Blocks until that is done, or `tell` fails.
    fn verify(
        &self,
        rate: Option<u64>,
        tell: &mut (dyn FnMut(VerifyStep) -> std::io::Result<()> + Send),
    ) -> Result<(), Error>;
    /// Somebody knows what a repair left out. Blocks until that is durable.
    fn acknowledge_repair(&self) -> Result<(), Error>;
    /// Makes a snapshot now. Blocks until it counts.
    fn snapshot(&self) -> Result<Snapshot, Error>;
    /// Changes the limit on memory.
    fn set_memory_max(&self, max_bytes: Option<u64>);
    /// How long it is that `revision` was in the file, unless that is long ago.
    fn logged_since(&self, revision: Revision) -> Option<Duration>;
    /// How the work of the log is distributed, since the start.
    fn distributions(&self) -> Distributions;
    /// A sign of life of whatever writes the log, asked for by this call: the same number
    /// twice means that it was stuck in between.
    fn log_turns(&self) -> u64;
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
    NotAnInteger,
    OutOfBounds,
    RangeTooLarge,
    ReplyTooLarge,
    RequestIdReused,
    BadRequestId,
    BadTtl,
    BadNumber,
    NestedTooDeep,
    /// A snapshot could not be written, or was not what was written.
    SnapshotFailed,
    /// A backup ended before it was whole.
    BackupFailed,
    /// A check of the files did not come to its end.
    VerifyFailed,
    /// The acknowledgement of a repair could not be written.
    NotAcknowledged,
    /// The log does not reach back that far any more.
    Compacted,
    /// The caller's deadline passed before anything was applied.
    Deadline,
}

/// An engine's refusal; the message says what, where and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    /// The newest revision that can be inferred from the refusal: a reader at DURABLE
    /// is told when that is durable. 0 is none.
    pub revealed: Revision,
    /// The operation of a transaction that is at fault, as a path of fields.
    pub place: String,
    /// Its index in the list that ran.
    pub operation_index: Option<usize>,
    /// Figures that belong to the refusal.
    pub figures: Vec<(&'static str, u64)>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            revealed: 0,
            place: String::new(),
            operation_index: None,
            figures: Vec::new(),
        }
    }
}

/// What is remembered of requests with an id.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestWindow {
    pub count: u64,
    pub bytes: u64,
    pub ms: u64,
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
    /// Bytes that the log can take before it needs another segment.
    pub log_room: u64,
    pub in_flight_units: u64,
    pub in_flight_bytes: u64,
    pub store_id: String,
    pub dir: PathBuf,
    /// Those on disk that count, the newest last.
    pub snapshots: Vec<Snapshot>,
    pub recovery: Recovery,
    /// It was made by a repair that nobody has acknowledged yet.
    pub repaired: Option<Repaired>,
    pub counters: Counters,
}

/// A snapshot: its state is that of `start` or newer, and of `end` or older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub start: Revision,
    pub end: Revision,
    pub bytes: u64,
    /// Known of one that was just made.
    pub records: u64,
    pub took_ms: u64,
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
    /// What the start began with, and its records.
    pub snapshot: Option<String>,
    pub snapshot_records: u64,
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
    /// Records removed because their deadline had passed.
    pub expired: u64,
    /// How often somebody has set the wall clock.
    pub clock_jumps: u64,
    /// Snapshots that were made, and attempts that failed.
    pub snapshots: u64,
    pub snapshots_failed: u64,
}
