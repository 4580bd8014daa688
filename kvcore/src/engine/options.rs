//! What an embedder chooses, and which choices contradict each other.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::limits::{
    KEY_BYTES_CAP, Limits, UNIT_BYTES_CAP, UNIT_OPERATIONS, VALUE_BYTES_CAP,
};
use crate::disk::LogIo;
use crate::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::format::unit::{OP_OVERHEAD, UNIT_OVERHEAD};
use crate::log::SyncPolicy;
use crate::log::segment::SEAL_ROOM;
use crate::recovery::OpenError;

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
        }
    }

    pub(crate) fn refuses_suspect(&self) -> bool {
        self.refuse_suspect_tail
            .unwrap_or(self.policy == SyncPolicy::Always)
    }

    /// Upper bound of an encoded unit, in bytes.
    pub(crate) fn unit_encoded_max(&self) -> u64 {
        let limits = &self.limits;
        let single = limits.key_bytes + limits.value_bytes;
        let content = limits.unit_bytes.max(single);
        let operations = content.min(limits.unit_operations);
        (content + UNIT_OVERHEAD + operations * OP_OVERHEAD) as u64
    }

    /// What one segment can certainly take: its size less header, SEAL and one
    /// maximal unit that did not fit.
    pub(crate) fn segment_worth(&self) -> u64 {
        let unit = crate::commit::admission::Cost {
            bytes: self.unit_encoded_max(),
            deletes_only: false,
        };
        self.segment_bytes - SEGMENT_HEADER_BYTES as u64 - SEAL_ROOM - unit.reserved()
    }

    /// Refuses choices that cannot work together, naming each.
    pub fn validate(&self) -> Result<(), OpenError> {
        let limits = &self.limits;
        check((1..=KEY_BYTES_CAP).contains(&limits.key_bytes), || {
            format!(
                "limits.key_bytes is {}, it must be 1 to {KEY_BYTES_CAP}",
                limits.key_bytes
            )
        })?;
        check(limits.value_bytes <= VALUE_BYTES_CAP, || {
            format!(
                "limits.value_bytes is {}, it may be {VALUE_BYTES_CAP} at most",
                limits.value_bytes
            )
        })?;
        check(limits.unit_bytes <= UNIT_BYTES_CAP, || {
            format!(
                "limits.batch_bytes is {}, it may be {UNIT_BYTES_CAP} at most",
                limits.unit_bytes
            )
        })?;
        check(
            (1..=UNIT_OPERATIONS).contains(&limits.unit_operations),
            || {
                format!(
                    "limits.batch_operations is {}, it must be 1 to {UNIT_OPERATIONS}",
                    limits.unit_operations
                )
            },
        )?;
        let unit = self.unit_encoded_max();
        check(
            self.segment_bytes.is_multiple_of(4096) && self.segment_bytes <= 1 << 30,
            || {
                format!(
                    "log.segment_bytes is {}, it must be a multiple of 4 KiB up to 1 GiB",
                    self.segment_bytes
                )
            },
        )?;
        check(unit <= self.segment_bytes / 4, || {
            format!(
                "the largest unit has {unit} bytes by limits.*, more than a quarter of \
                 log.segment_bytes ({}); lower the one or raise the other",
                self.segment_bytes
            )
        })?;
        check(unit <= limits.in_flight_bytes as u64 / 2, || {
            format!(
                "the largest unit has {unit} bytes by limits.*, more than half of \
                 limits.in_flight_bytes ({}); lower the one or raise the other",
                limits.in_flight_bytes
            )
        })?;
        check((1..=1 << 19).contains(&limits.in_flight_units), || {
            format!(
                "limits.in_flight_units is {}, it must be 1 to 524288",
                limits.in_flight_units
            )
        })?;
        check(
            self.shards.is_power_of_two() && self.shards >= 2 && self.shards <= 1 << 20,
            || {
                format!(
                    "shards is {}, it must be a power of two from 2 to 1048576",
                    self.shards
                )
            },
        )?;
        if let SyncPolicy::Interval(every) = self.policy {
            check(
                every >= Duration::from_millis(1) && every <= Duration::from_secs(3600),
                || format!("log.sync=interval:{every:?}: it must be 1ms to 1h"),
            )?;
        }
        Ok(())
    }
}

fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), OpenError> {
    if holds {
        Ok(())
    } else {
        Err(OpenError::Options(message()))
    }
}
