//! kvcore behind the seam: the engine in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvcore::{
    AdmitFailure, Admitted, Engine, EngineState, LogIo, OpenError, OpenErrorKind, Options,
    Prepared, Record, SyncPolicy,
};

use super::{
    Action, Condition, Counters, Durability, Error, ErrorKind, Listener, Mutation, Outcome,
    Patience, Positions, ReadLevel, RecordView, Recovery, Revealed, Revision, State, Status, Store,
};
use crate::config::Settings;
use crate::config::value::{Io, SuspectTail, Sync};
use crate::exit::{Exit, Failure};

/// The embedded engine.
#[derive(Clone, Debug)]
pub struct Embedded(Engine);

impl Embedded {
    /// Whether the engine can work with the settings at all.
    pub fn check(settings: &Settings) -> Result<(), Failure> {
        options(settings).validate().map_err(failure)
    }

    /// Reads the store from disk, and waits until writes are taken. Blocks.
    pub fn open(
        settings: &Settings,
        progress: &(dyn Fn(kvcore::LoadProgress) + std::marker::Sync),
    ) -> Result<Self, Failure> {
        let engine = Engine::open(options(settings), progress).map_err(failure)?;
        Ok(Self(engine))
    }
}

/// The engine's options out of the settings.
fn options(settings: &Settings) -> Options {
    Options {
        policy: match settings.sync {
            Sync::Always => SyncPolicy::Always,
            Sync::Interval(every) => SyncPolicy::Interval(every),
            Sync::Never => SyncPolicy::Never,
        },
        limits: kvcore::Limits {
            key_bytes: settings.key_bytes.bytes(),
            value_bytes: settings.value_bytes.bytes(),
            unit_bytes: settings.batch_bytes.bytes(),
            unit_operations: settings.batch_operations,
            in_flight_units: settings.in_flight_operations,
            in_flight_bytes: settings.in_flight_bytes.bytes(),
        },
        memory_max_bytes: settings.memory_max_bytes.0,
        segment_bytes: settings.segment_bytes.0,
        io: match settings.log_io {
            Io::Mmap => LogIo::Mmap,
            Io::Pwrite => LogIo::Pwrite,
        },
        allow_volatile: settings.allow_volatile,
        refuse_suspect_tail: match settings.suspect_tail {
            SuspectTail::Auto => None,
            SuspectTail::Refuse => Some(true),
            SuspectTail::Cut => Some(false),
        },
        replay_threads: settings.replay_threads.or_cores(),
        ..Options::new(&settings.data_dir)
    }
}

/// Why a store cannot be opened, as an exit.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub fn failure(error: OpenError) -> Failure {
    let exit = match error.kind() {
        OpenErrorKind::Options => Exit::Config,
        OpenErrorKind::Damaged => Exit::Damaged,
        OpenErrorKind::Io => Exit::Io,
        OpenErrorKind::Locked => Exit::Locked,
    };
    Failure::new(exit, error.to_string())
}

impl RecordView for Record {
    fn value(&self) -> &[u8] {
        Self::value(self)
    }

    fn create_revision(&self) -> Revision {
        Self::create_revision(self).0
    }

    fn mod_revision(&self) -> Revision {
        Self::mod_revision(self).0
    }

    fn version(&self) -> u64 {
        Self::version(self)
    }
}

impl Embedded {
    /// One attempt, and only if there is no room the longer way.
    async fn admit(&self, prepared: Prepared, patience: Patience) -> Result<Admitted, Error> {
        match self.0.try_admit(prepared) {
            Ok(admitted) => Ok(admitted),
            Err(AdmitFailure::Refused(error)) => Err(error.into()),
            Err(AdmitFailure::Busy(prepared)) => self.wait_for_room(prepared, patience).await,
        }
    }

    async fn wait_for_room(
        &self,
        prepared: Prepared,
        patience: Patience,
    ) -> Result<Admitted, Error> {
        let enough = Instant::now() + patience.wait;
        let until = patience
            .deadline
            .map_or(enough, |deadline| deadline.min(enough));
        // Boxed so that the way that nearly all writes go stays small.
        let admission = Box::pin(self.0.admit(prepared));
        match tokio::time::timeout_at(until.into(), admission).await {
            Ok(admitted) => Ok(admitted?),
            Err(_) if until < enough => Err(Error::new(
                ErrorKind::Deadline,
                "the deadline passed while the write waited to be accepted; nothing was applied",
            )),
            Err(_) => Err(kvcore::Error::Overloaded.into()),
        }
    }
}

impl Store for Embedded {
    type Record = Record;

    async fn get(&self, key: &[u8]) -> Result<Revealed<Option<Record>>, Error> {
        Ok(self.0.get(key)?.into())
    }

    async fn batch_get(&self, keys: &[&[u8]]) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        Ok(self.0.batch_get(keys)?.into())
    }

    async fn write(
        &self,
        mutation: Mutation<'_>,
        patience: Patience,
    ) -> Result<Outcome<Record>, Error> {
        let mutation = kvcore::Mutation {
            key: mutation.key,
            action: match mutation.action {
                Action::Set { value } => kvcore::Action::Set { value },
                Action::Delete => kvcore::Action::Delete,
            },
            condition: mutation.condition.map(|condition| match condition {
                Condition::Exists(exists) => kvcore::Condition::Exists(exists),
                Condition::ModRevision(number) => {
                    kvcore::Condition::ModRevision(kvcore::Revision(number))
                }
            }),
        };
        let prepared = self.0.prepare(&mutation)?;
        let admitted = self.admit(prepared, patience).await?;
        let outcome = self.0.commit(admitted)?;
        Ok(Outcome {
            applied: outcome.applied,
            revision: outcome.revision.0,
            record: outcome.record,
            previous: outcome.previous,
            revealed: outcome.revealed.0,
            store_revision: outcome.store_revision.0,
        })
    }

    fn positions(&self) -> Positions {
        let watermark = self.0.watermark();
        Positions {
            logged: watermark.logged().0,
            durable: watermark.durable().0,
        }
    }

    fn named(&self, position: Revision) -> Revision {
        self.0.named(kvcore::Revision(position)).0
    }

    fn want_logged(&self, revision: Revision) {
        self.0.watermark().want_logged(kvcore::Revision(revision));
    }

    fn want_durable(&self, revision: Revision) {
        self.0.watermark().want_sync(kvcore::Revision(revision));
    }

    fn failure(&self) -> Option<Arc<str>> {
        self.0.watermark().failure().cloned()
    }

    fn subscribe(&self, listener: Listener) {
        self.0.watermark().subscribe(listener);
    }

    fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        Ok(self.0.check_revision(kvcore::Revision(revision))?)
    }

    fn store_revision(&self) -> Revision {
        self.0.store_revision().0
    }

    fn default_durability(&self) -> Durability {
        match self.0.options().policy.default_durability() {
            kvcore::Durability::None => Durability::None,
            kvcore::Durability::Logged => Durability::Logged,
            kvcore::Durability::Synced => Durability::Synced,
        }
    }

    fn default_read_level(&self) -> ReadLevel {
        match self.0.options().policy.default_read_level() {
            kvcore::ReadLevel::Durable => ReadLevel::Durable,
            kvcore::ReadLevel::Latest => ReadLevel::Latest,
        }
    }

    fn state(&self) -> State {
        self.0.state().into()
    }

    fn status(&self) -> Status {
        self.0.status().into()
    }

    fn start_drain(&self) {
        self.0.start_drain();
    }

    fn close(&self, limit: Duration) -> Result<bool, Error> {
        Ok(self.0.close(limit)?.clean)
    }
}

impl<T> From<kvcore::Revealed<T>> for Revealed<T> {
    fn from(read: kvcore::Revealed<T>) -> Self {
        Self {
            value: read.value,
            revealed: read.revealed.0,
            store_revision: read.store_revision.0,
        }
    }
}

impl From<EngineState> for State {
    fn from(state: EngineState) -> Self {
        match state {
            EngineState::Writable => Self::Writable,
            EngineState::NoSpace { reason } => Self::NoSpace(reason),
            EngineState::Draining => Self::Draining,
            EngineState::Failed { reason } => Self::Failed(reason),
        }
    }
}

impl From<kvcore::Status> for Status {
    fn from(status: kvcore::Status) -> Self {
        let recovery = status.recovery;
        Self {
            state: status.state.into(),
            keys: status.keys,
            memory_bytes: status.memory_bytes,
            memory_max_bytes: status.memory_max_bytes,
            store_revision: status.store_revision.0,
            positions: Positions {
                logged: status.logged.0,
                durable: status.durable.0,
            },
            segments: status.segments,
            log_bytes: status.log_bytes,
            spares: status.spares,
            in_flight_units: status.in_flight_units,
            in_flight_bytes: status.in_flight_bytes,
            store_id: status.store_id,
            dir: status.dir,
            recovery: Recovery {
                took_ms: recovery.took_ms,
                units: recovery.units,
                segments: recovery.segments,
                bytes: recovery.log_bytes,
                torn_bytes: recovery.torn_bytes,
                quarantined: recovery.quarantined,
                gaps: status
                    .gaps
                    .iter()
                    .map(|gap| (gap.first.0, gap.last.0))
                    .collect(),
                clean_start: recovery.clean_start,
            },
            counters: Counters {
                groups: status.counters.groups,
                syncs: status.counters.syncs,
                sync_nanos_total: status.counters.sync_nanos,
                units: status.counters.units,
                log_bytes_written: status.counters.bytes,
                rotations: status.counters.rotations,
            },
        }
    }
}

impl From<kvcore::Error> for Error {
    fn from(error: kvcore::Error) -> Self {
        use kvcore::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::EmptyKey => ErrorKind::EmptyKey,
            Kind::KeyTooLarge => ErrorKind::KeyTooLarge,
            Kind::ValueTooLarge => ErrorKind::ValueTooLarge,
            Kind::TooManyOperations => ErrorKind::TooManyOperations,
            Kind::UnitTooLarge => ErrorKind::UnitTooLarge,
            Kind::DuplicateKey => ErrorKind::DuplicateKey,
            Kind::MemoryLimit => ErrorKind::MemoryLimit,
            Kind::NoLogSpace => ErrorKind::NoLogSpace,
            Kind::Overloaded => ErrorKind::Overloaded,
            Kind::Draining => ErrorKind::Draining,
            Kind::LogFailed => ErrorKind::LogFailed,
            Kind::FutureRevision => ErrorKind::FutureRevision,
            Kind::RevisionLost => ErrorKind::RevisionLost,
            // A kind that this version does not know must not pass for a refusal.
            _ => ErrorKind::UnknownOutcome,
        };
        Self::new(kind, error.to_string())
    }
}
