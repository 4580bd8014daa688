//! What operators ask.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use super::options::Options;
use crate::base::histogram::Distribution;
use crate::base::revision::{Gap, Revision};
use crate::commit::Error;
use crate::format::manifest::{Repaired, SnapshotRef};
use crate::log::SyncPolicy;
use crate::log::rooms::Rank;
use crate::recovery::RecoverySummary;

/// Whether the store takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    Writable,
    /// The disk is full: only deletes are taken. Ends by itself.
    NoSpace {
        reason: String,
    },
    Draining,
    /// The log failed: no writes until a restart.
    Failed {
        reason: String,
    },
}

/// The store at a glance.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: EngineState,
    pub keys: u64,
    /// Accounted bytes of all records.
    pub memory_bytes: u64,
    pub memory_max_bytes: Option<u64>,
    pub store_revision: Revision,
    pub logged: Revision,
    pub durable: Revision,
    pub policy: SyncPolicy,
    pub segments: u64,
    /// Segments times their size.
    pub log_bytes: u64,
    /// Segments ready to rotate into.
    pub spares: u64,
    /// Bytes that the log can take before it needs another segment than these, by units
    /// that only delete; others leave one whole segment.
    pub log_room: u64,
    pub in_flight_units: u64,
    pub in_flight_bytes: u64,
    pub store_id: String,
    pub dir: PathBuf,
    pub gaps: Vec<Gap>,
    /// The published ones, the newest last.
    pub snapshots: Vec<SnapshotRef>,
    pub recovery: RecoverySummary,
    /// The store was made by a repair, and nobody has said yet that they know.
    pub repaired: Option<Repaired>,
    pub counters: CounterValues,
}

/// The log's counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValues {
    pub groups: u64,
    pub units: u64,
    pub syncs: u64,
    pub sync_nanos: u64,
    pub bytes: u64,
    pub rotations: u64,
    /// Records removed because their deadline had passed.
    pub expired: u64,
    /// How often somebody has set the wall clock.
    pub clock_jumps: u64,
    /// Snapshots that were made, and attempts that failed.
    pub snapshots: u64,
    pub snapshots_failed: u64,
}

/// How the work of the log is distributed.
#[derive(Clone, Debug, Default)]
pub struct Distributions {
    /// Of syncs.
    pub sync_nanos: Distribution,
    /// Units of one group.
    pub group_units: Distribution,
    /// What one sync made durable.
    pub sync_units: Distribution,
    pub sync_bytes: Distribution,
}

impl Engine {
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let core = &inner.core;
        let manifest = core.log.manifest.get();
        let segments = manifest.newest_segment - manifest.first_segment + 1;
        let (in_flight_units, in_flight_bytes) = core.gate.in_flight();
        let store_revision = core.sequencer.newest();
        let Options {
            policy,
            segment_bytes,
            ref dir,
            ..
        } = inner.options;
        Status {
            state: self.state(),
            keys: core.shards.keys(),
            memory_bytes: core.memory.used(),
            memory_max_bytes: core.memory.max(),
            store_revision,
            logged: self.named(core.log.watermark.logged()),
            durable: self.named(core.log.watermark.durable()),
            policy,
            segments,
            log_bytes: segments * segment_bytes,
            spares: core.log.spares.ready() as u64,
            log_room: u64::try_from(core.log.ledger.available()).unwrap_or(0),
            in_flight_units,
            in_flight_bytes,
            store_id: inner.store_id.to_string(),
            dir: dir.clone(),
            gaps: manifest.gaps,
            snapshots: manifest.snapshots,
            recovery: inner.recovery.clone(),
            repaired: manifest.repaired,
            counters: self.counters(),
        }
    }

    /// Whether writes are taken, and why not.
    pub fn state(&self) -> EngineState {
        let core = &self.inner.core;
        if let Some(reason) = core.log.watermark.failure() {
            return EngineState::Failed {
                reason: reason.to_string(),
            };
        }
        if core.state.draining() {
            return EngineState::Draining;
        }
        if core.log.ledger.no_space() {
            let reason = core
                .log
                .spares
                .last_error()
                .unwrap_or_else(|| "disk full".into());
            return EngineState::NoSpace { reason };
        }
        EngineState::Writable
    }

    /// Somebody knows what the repair that made this store left out: the status says so no
    /// more. Durable when this returns; of a store that was not repaired, nothing happens.
    ///
    /// # Errors
    /// MANIFEST cannot be written.
    pub fn acknowledge_repair(&self) -> io::Result<()> {
        let log = &self.inner.core.log;
        if let Some(reason) = log.watermark.failure() {
            return Err(io::Error::other(format!("the log has failed: {reason}")));
        }
        if log.manifest.get().repaired.is_none() {
            return Ok(());
        }
        log.manifest
            .publish(Rank::Ordinary, |manifest| manifest.repaired = None)
    }

    /// Does `revision` name something, or may it yet?
    pub fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        let core = &self.inner.core;
        if core.log.manifest.is_gap(revision) {
            return Err(Error::RevisionLost { asked: revision });
        }
        let newest = core.sequencer.newest();
        if revision > newest {
            return Err(Error::FutureRevision {
                asked: revision,
                newest,
            });
        }
        Ok(())
    }

    /// A position of the log as a revision that may be shown: the newest at or below it
    /// that names a unit.
    pub fn named(&self, position: Revision) -> Revision {
        self.inner.core.sequencer.named(position)
    }

    /// The newest revision that names a unit.
    pub fn store_revision(&self) -> Revision {
        self.inner.core.sequencer.newest()
    }

    /// Changes the limit on accounted bytes. One below what is in use refuses writes
    /// that grow until enough is deleted; nothing is removed for it.
    pub fn set_memory_max(&self, max_bytes: Option<u64>) {
        self.inner.core.memory.set_max(max_bytes);
    }

    /// Asks the log's writer for a sign of life: how many turns it has ended. Wakes it, so
    /// that a later call gets a larger number even if there was nothing to write; if it
    /// gets the same, the writer is stuck in a sync or a copy.
    pub fn writer_turns(&self) -> u64 {
        let log = &self.inner.core.log;
        // Counted before it is woken: the turn that it is woken for is always a new one.
        let turns = log.counters.turns.load(Ordering::Relaxed);
        log.watermark.parker().wake();
        turns
    }

    /// How long it is that `revision` was in the file, unless that is long ago.
    pub fn logged_since(&self, revision: Revision) -> Option<Duration> {
        let core = &self.inner.core;
        let now = core.clock.machine().instant();
        Some(now.saturating_sub(core.log.recent.when(revision)?))
    }

    /// How the work of the log is distributed, since the start.
    pub fn distributions(&self) -> Distributions {
        let counters = &self.inner.core.log.counters;
        Distributions {
            sync_nanos: counters.sync_times.values(),
            group_units: counters.group_units.values(),
            sync_units: counters.sync_units.values(),
            sync_bytes: counters.sync_bytes.values(),
        }
    }

    fn counters(&self) -> CounterValues {
        let counters = &self.inner.core.log.counters;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        CounterValues {
            groups: get(&counters.groups),
            units: get(&counters.units),
            syncs: get(&counters.syncs),
            sync_nanos: get(&counters.sync_nanos),
            bytes: get(&counters.bytes),
            rotations: get(&counters.rotations),
            expired: get(&self.inner.core.expired),
            clock_jumps: self.inner.core.clock.jumps(),
            snapshots: get(&self.inner.snapshots.counters.made),
            snapshots_failed: get(&self.inner.snapshots.counters.failed),
        }
    }
}
