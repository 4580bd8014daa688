//! What an embedder chooses, and which choices contradict each other.

use std::path::PathBuf;

use crate::base::limits::{
    COUNTER_BYTES, KEY_BYTES_CAP, Limits, UNIT_BYTES_CAP, UNIT_OPERATIONS, VALUE_BYTES_CAP,
};
use crate::disk::LogIo;
use crate::format::outcome::outcome_max;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::format::unit::{OP_OVERHEAD, REQUEST_ID_BYTES, UNIT_OVERHEAD};
use crate::log::SyncPolicy;
use crate::log::segment::SEAL_ROOM;
use crate::recovery::{DamagedSnapshot, OpenError};

/// How far a write must have got before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In memory.
    None,
    /// In the file: survives the end of the process.
    Logged,
    /// On stable storage: survives power loss.
    Synced,
}

/// What a read may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLevel {
    /// Only what is on stable storage.
    Durable,
    /// The newest, even if a power loss could take it back.
    Latest,
}

impl SyncPolicy {
    /// What a write waits for unless it says otherwise.
    pub fn default_durability(self) -> Durability {
        if self == Self::Always {
            Durability::Synced
        } else {
            Durability::Logged
        }
    }

    /// What a read shows unless it says otherwise.
    pub fn default_read_level(self) -> ReadLevel {
        if self == Self::Always {
            ReadLevel::Durable
        } else {
            ReadLevel::Latest
        }
    }
}

/// Everything that [`crate::Engine::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; created (0700) if it is missing.
    pub dir: PathBuf,
    /// When the log syncs without being asked. Default: always.
    pub policy: SyncPolicy,
    pub limits: Limits,
    /// Accounted bytes of all records; writes that would exceed it are refused.
    /// Default: no limit.
    pub memory_max_bytes: Option<u64>,
    /// Size of a log segment, in bytes. Default 64 MiB. A multiple of 4,096.
    pub segment_bytes: u64,
    /// How the log is written. Default: through a mapping.
    pub io: LogIo,
    /// Accept a file system that forgets everything at power loss (tmpfs).
    pub allow_volatile: bool,
    /// Refuse to start on a suspect tail. Default: under [`SyncPolicy::Always`] only.
    pub refuse_suspect_tail: Option<bool>,
    /// Threads that replay the log. Default: as many as there are cores.
    pub replay_threads: usize,
    /// Shards of the map, a power of two. Default 4,096.
    pub shards: usize,
    pub snapshots: SnapshotOptions,
    pub retain: Retention,
    /// Bytes of the newest changes that are kept in memory while anybody watches; whoever
    /// is behind that reads the log. Default 16 MiB.
    pub watch_ring_bytes: u64,
}

/// Log that is kept although no snapshot needs it, for whoever wants to go on from an older
/// revision. The first to go when the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most this much of it. Default 256 MiB.
    pub bytes: u64,
    /// And none that is older. Default: however old it is.
    pub age: Option<std::time::Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            age: None,
        }
    }
}

/// When snapshots are made, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// One is made when a start would have to replay this many bytes of log, and no fewer
    /// than the last snapshot has. Default 256 MiB. None: only on demand.
    pub log_bytes: Option<u64>,
    /// And when this much time has passed since the last one and something has changed.
    /// Default: no matter how much.
    pub interval: Option<std::time::Duration>,
    /// Bytes a second that writing one may take. Default 64 MiB. None: no limit.
    pub rate: Option<u64>,
    /// Time that a close may take for one, at whatever rate, so that the next start has no
    /// log to replay. One that is not done by then is given up. Default: zero, none is made.
    pub at_close: std::time::Duration,
    /// What a start does about a damaged one. Default: refuse.
    pub damaged: DamagedSnapshot,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            log_bytes: Some(256 << 20),
            interval: None,
            rate: Some(64 << 20),
            at_close: std::time::Duration::ZERO,
            damaged: DamagedSnapshot::default(),
        }
    }
}

impl Options {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            policy: SyncPolicy::Always,
            limits: Limits::default(),
            memory_max_bytes: None,
            segment_bytes: 64 << 20,
            io: LogIo::default(),
            allow_volatile: false,
            refuse_suspect_tail: None,
            replay_threads: std::thread::available_parallelism().map_or(1, usize::from),
            shards: crate::base::limits::SHARDS,
            snapshots: SnapshotOptions::default(),
            retain: Retention::default(),
            watch_ring_bytes: 16 << 20,
        }
    }

    pub(crate) fn refuses_suspect(&self) -> bool {
        self.refuse_suspect_tail
            .unwrap_or(self.policy == SyncPolicy::Always)
    }

    /// Upper bound of an encoded unit, in bytes.
    pub(crate) fn unit_encoded_max(&self) -> u64 {
        let limits = &self.limits;
        let single = limits.key_bytes + limits.value_bytes.max(COUNTER_BYTES);
        let content = limits.unit_bytes.max(single);
        let operations = content.min(limits.unit_operations);
        (content + UNIT_OVERHEAD + operations * OP_OVERHEAD) as u64 + self.request_max()
    }

    /// Upper bound of what a request's id and outcome add to a unit.
    pub(crate) fn request_max(&self) -> u64 {
        (REQUEST_ID_BYTES + outcome_max(self.limits.unit_operations)) as u64
    }

    /// What one segment can certainly take: its size less header, SEAL and one
    /// maximal unit that did not fit.
    pub(crate) fn segment_worth(&self) -> u64 {
        let unit = crate::commit::admission::Cost {
            bytes: self.unit_encoded_max(),
            deletes_only: false,
            own: false,
        };
        self.segment_bytes - SEGMENT_HEADER_BYTES as u64 - SEAL_ROOM - unit.reserved()
    }

    /// Refuses choices that cannot work, alone or together, naming each.
    pub fn validate(&self) -> Result<(), OpenError> {
        let Limits {
            key_bytes,
            value_bytes,
            unit_operations,
            unit_bytes,
            ..
        } = self.limits;
        within(
            "limits.key_bytes",
            key_bytes as u64,
            1,
            KEY_BYTES_CAP as u64,
        )?;
        within(
            "limits.value_bytes",
            value_bytes as u64,
            0,
            VALUE_BYTES_CAP as u64,
        )?;
        within(
            "limits.batch_operations",
            unit_operations as u64,
            1,
            UNIT_OPERATIONS as u64,
        )?;
        within(
            "limits.batch_bytes",
            unit_bytes as u64,
            0,
            UNIT_BYTES_CAP as u64,
        )?;
        within(
            "limits.in_flight_operations",
            self.limits.in_flight_units as u64,
            1,
            1 << 19,
        )?;
        within("shards", self.shards as u64, 2, 1 << 20)?;
        within("log.segment_bytes", self.segment_bytes, 16 << 10, 1 << 30)?;
        check(self.shards.is_power_of_two(), || {
            format!("shards is {}, it must be a power of two", self.shards)
        })?;
        check(self.segment_bytes.is_multiple_of(4096), || {
            format!(
                "log.segment_bytes is {}, it must be a multiple of 4 KiB",
                self.segment_bytes
            )
        })?;
        if let SyncPolicy::Interval(every) = self.policy {
            let ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
            within("the interval of log.sync, in ms,", ms, 1, 3_600_000)?;
        }
        self.validate_unit()
    }

    /// A unit must leave room for others: in a segment and among those in flight.
    fn validate_unit(&self) -> Result<(), OpenError> {
        let unit = self.unit_encoded_max();
        let too_large = |part: &str, of: &str, bytes: u64| {
            format!(
                "the largest unit has {unit} bytes by limits.*, more than {part} of {of} \
                 ({bytes}); lower the one or raise the other"
            )
        };
        let in_flight = self.limits.in_flight_bytes as u64;
        check(unit <= self.segment_bytes / 4, || {
            too_large("a quarter", "log.segment_bytes", self.segment_bytes)
        })?;
        check(unit <= in_flight / 2, || {
            too_large("half", "limits.in_flight_bytes", in_flight)
        })
    }
}

fn within(what: &str, value: u64, low: u64, high: u64) -> Result<(), OpenError> {
    check((low..=high).contains(&value), || {
        format!("{what} is {value}, it must be {low} to {high}")
    })
}

fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), OpenError> {
    if holds {
        Ok(())
    } else {
        Err(OpenError::Options(message()))
    }
}
