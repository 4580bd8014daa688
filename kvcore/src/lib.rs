//! The engine of kvd: a durable key-value store that keeps everything in memory.
//!
//! ```no_run
//! use kvcore::{Durability, Engine, Mutation, Options};
//!
//! let store = Engine::open(Options::new("/var/lib/example"), &|_| ())?;
//! store.write(Mutation::set(b"colour", b"blue"), Durability::Synced)?;
//! assert_eq!(store.get(b"colour")?.value.expect("just set").value(), b"blue");
//! store.close(std::time::Duration::from_secs(10))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Layers; a module uses those above it in this table and never those below:
//!
//! | layer | modules |
//! | --- | --- |
//! | 0 vocabulary | [`base`] |
//! | 1 files and bytes | [`disk`], [`mod@format`] |
//! | 2 log and memory | [`log`], [`store`] |
//! | 3 features | [`dedup`], [`expiry`], [`snapshot`], [`watch`] |
//! | 4 the door, and recovery | [`commit`], [`recovery`] |
//! | 5 facade | [`engine`] |
//!
//! No async runtime, no gRPC: threads, locks and files only.

pub mod base;
pub mod commit;
pub mod dedup;
pub mod disk;
pub mod engine;
pub mod expiry;
pub mod format;
pub mod log;
pub mod recovery;
pub mod snapshot;
pub mod store;
pub mod watch;

pub use base::histogram::{Distribution, Sizes, Times};
pub use base::limits::Limits;
pub use base::op::{Cause, OpCode, OpView};
pub use base::range::KeyRange;
pub use base::revision::{Gap, Revision};
pub use commit::{
    Action, AdmitFailure, Admitted, Attempt, Compare, Condition, CountPage, Error, ErrorKind,
    Expire, ExpireCondition, Expiry, Increment, Mutation, Operator, Outcome, Page, PageLimit,
    Prepared, RangeDeleted, RequestId, Revealed, Target, Txn, TxnBranch, TxnLimits, TxnOp,
    TxnOutcome, TxnResult, UnitOutcome, Unmet,
};
pub use disk::{Environment, LogIo};
pub use engine::options::{Durability, Options, ReadLevel, Retention, SnapshotOptions};
pub use engine::{
    BackupError, BackupInfo, Closed, Digest, Digester, Distributions, Engine, EngineState,
    SnapshotError, SnapshotInfo, Status, VerifyError, VerifyInfo, VerifyStep, WatchFrom,
    WatchThread, Watcher,
};
pub use format::manifest::Repaired;
pub use log::SyncPolicy;
pub use recovery::check::check;
pub use recovery::repair::{Fate, KeyFate, RepairReport, Way, repair};
pub use recovery::report::{CheckReport, Class, FileReport, LostKey, Place, Verdict, show_key};
pub use recovery::restore::{RestoreOptions, Restored, restore};
pub use recovery::{DamagedSnapshot, LoadProgress, OpenError, OpenErrorKind, RecoverySummary};
pub use recovery::{DumpOptions, DumpSummary, Dumped, dump};
pub use store::Record;
