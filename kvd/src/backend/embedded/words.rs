//! What the engine says, in the words of the seam.

use kvcore::EngineState;

use crate::backend::{
    Counters, Error, ErrorKind, Positions, RangeDeleted, Recovery, Snapshot, State, Status,
};

/// One step of a range delete, or the only one.
impl From<kvcore::RangeDeleted> for RangeDeleted {
    fn from(step: kvcore::RangeDeleted) -> Self {
        Self {
            deleted: step.deleted,
            first: step.revision.0,
            last: step.revision.0,
            more: step.more,
            replayed: step.replayed,
            revealed: step.revealed.0,
            store_revision: step.store_revision.0,
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
            log_room: status.log_room,
            in_flight_units: status.in_flight_units,
            in_flight_bytes: status.in_flight_bytes,
            store_id: status.store_id,
            dir: status.dir,
            snapshots: status
                .snapshots
                .iter()
                .map(|snapshot| Snapshot {
                    start: snapshot.start.0,
                    end: snapshot.end.0,
                    bytes: snapshot.bytes,
                    ..Snapshot::default()
                })
                .collect(),
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
                snapshot: recovery.snapshot,
                snapshot_records: recovery.snapshot_records,
            },
            repaired: status.repaired,
            counters: Counters {
                groups: status.counters.groups,
                syncs: status.counters.syncs,
                sync_nanos_total: status.counters.sync_nanos,
                units: status.counters.units,
                log_bytes_written: status.counters.bytes,
                rotations: status.counters.rotations,
                expired: status.counters.expired,
                clock_jumps: status.counters.clock_jumps,
                snapshots: status.counters.snapshots,
                snapshots_failed: status.counters.snapshots_failed,
            },
        }
    }
}

impl From<kvcore::SnapshotInfo> for Snapshot {
    fn from(info: kvcore::SnapshotInfo) -> Self {
        Self {
            start: info.start.0,
            end: info.end.0,
            bytes: info.bytes,
            records: info.records,
            took_ms: info.took_ms,
        }
    }
}

impl From<kvcore::SnapshotError> for Error {
    fn from(error: kvcore::SnapshotError) -> Self {
        use kvcore::SnapshotError as Failed;
        let kind = match error {
            Failed::Draining => ErrorKind::Draining,
            Failed::LogFailed(_) => ErrorKind::LogFailed,
            Failed::Running => ErrorKind::Overloaded,
            Failed::Io(_) | Failed::Damaged { .. } | Failed::NotDurable(_) => {
                ErrorKind::SnapshotFailed
            }
        };
        Self::new(kind, error.to_string())
    }
}

impl From<kvcore::BackupError> for Error {
    fn from(error: kvcore::BackupError) -> Self {
        use kvcore::BackupError as Failed;
        let kind = match error {
            Failed::Draining => ErrorKind::Draining,
            Failed::LogFailed(_) => ErrorKind::LogFailed,
            Failed::Compacted { .. } => ErrorKind::Compacted,
            Failed::Revision(error) => return error.into(),
            Failed::Io(_) => ErrorKind::BackupFailed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<kvcore::VerifyError> for Error {
    fn from(error: kvcore::VerifyError) -> Self {
        let kind = match error {
            kvcore::VerifyError::Draining => ErrorKind::Draining,
            kvcore::VerifyError::Io(_) => ErrorKind::VerifyFailed,
        };
        Self::new(kind, error.to_string())
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
            Kind::NotAnInteger => ErrorKind::NotAnInteger,
            Kind::OutOfBounds => ErrorKind::OutOfBounds,
            Kind::RangeTooLarge => ErrorKind::RangeTooLarge,
            Kind::ReplyTooLarge => ErrorKind::ReplyTooLarge,
            Kind::RequestIdReused => ErrorKind::RequestIdReused,
            Kind::BadRequestId => ErrorKind::BadRequestId,
            Kind::BadTtl => ErrorKind::BadTtl,
            Kind::BadNumber => ErrorKind::BadNumber,
            Kind::NestedTooDeep => ErrorKind::NestedTooDeep,
            // A kind that this version does not know must not pass for a refusal.
            _ => ErrorKind::UnknownOutcome,
        };
        Self {
            revealed: error.revealed().0,
            place: error.place().to_owned(),
            operation_index: error.operation_index(),
            ..Self::new(kind, error.to_string())
        }
    }
}
