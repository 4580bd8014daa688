//! The engine's options out of the settings, and the exit of a store that does not open.

use kvcore::{
    DamagedSnapshot, LogIo, OpenError, OpenErrorKind, Options, Retention, SnapshotOptions,
    SyncPolicy,
};

use crate::config::Settings;
use crate::config::value::{Damaged, Io, SuspectTail, Sync};
use crate::exit::{Exit, Failure};

/// The engine's options out of the settings.
pub(super) fn options(settings: &Settings) -> Options {
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
            ..kvcore::Limits::default()
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
        watch_ring_bytes: settings.watch_ring_bytes.0,
        retain: Retention {
            bytes: settings.retain_bytes.0,
            age: Some(settings.retain_age).filter(|age| !age.is_zero()),
        },
        snapshots: SnapshotOptions {
            log_bytes: settings.snapshot_log_bytes.0,
            interval: Some(settings.snapshot_interval).filter(|every| !every.is_zero()),
            rate: settings.snapshot_rate.0,
            at_close: settings.snapshot_at_stop,
            damaged: match settings.snapshot_damaged {
                Damaged::Refuse => DamagedSnapshot::Refuse,
                Damaged::UseOlder => DamagedSnapshot::UseOlder,
            },
        },
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
