//! From a directory to an open store.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::options::Options;
use super::{Engine, Inner};
use crate::base::clock::{Clock, SystemClock};
use crate::base::revision::Revision;
use crate::commit::admission::Gate;
use crate::commit::poison::WriteState;
use crate::commit::sequencer::Sequencer;
use crate::commit::sink::PermitSink;
use crate::commit::transaction::Core;
use crate::commit::unit::Unit;
use crate::disk::{Disk, FsKind, LogIo, OsDisk};
use crate::log::ledger::Ledger;
use crate::log::manifest_file::ManifestFile;
use crate::log::spares::Spares;
use crate::log::watermark::Watermark;
use crate::log::writer::{LogState, Start, Writer, run};
use crate::recovery::OpenError;
use crate::recovery::load::{Loaded, load};
use crate::recovery::replay::Target;
use crate::store::{Memory, Shards};

/// The log's writer with everything that it works on.
pub type LogWriter = Writer<Unit, PermitSink>;

/// How far loading has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    pub bytes_done: u64,
    pub bytes_total: u64,
}

impl Engine {
    /// Opens the store in `options.dir`, creating it if there is none, and recovers what
    /// the disk holds. Blocks until that is done; `progress` is called on the way.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is never repaired here: the store is not opened and
    /// nothing is changed.
    pub fn open(
        options: Options,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<Self, OpenError> {
        options.validate()?;
        let disk = os_disk(&options.dir)?;
        check_file_system(disk.as_ref(), &options)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (engine, writer) = Self::assemble(options, disk, clock, progress)?;
        engine.start_threads(writer)?;
        Ok(engine)
    }

    /// Opens a store on any disk and clock, without threads: the caller turns the writer.
    #[cfg(feature = "sim")]
    pub fn open_manual(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, LogWriter), OpenError> {
        options.validate()?;
        Self::assemble(options, disk, clock, &|_| ())
    }

    /// Opens a store on any disk and clock, with its threads.
    #[cfg(feature = "sim")]
    pub fn open_on(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let (engine, writer) = Self::open_manual(options, disk, clock)?;
        engine.start_threads(writer)?;
        Ok(engine)
    }

    /// Prepares a missing spare, as the thread for it would.
    #[cfg(feature = "sim")]
    pub fn fill_spares(&self) {
        while matches!(self.inner.core.log.spares.fill_one(), Ok(true)) {}
        self.inner.core.gate.wake();
    }

    fn assemble(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<(Self, LogWriter), OpenError> {
        let started = clock.instant();
        let lock = disk.lock().map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked {
                dir: disk.describe(),
            },
            _ => OpenError::Io {
                what: format!("cannot lock {}", disk.describe()),
                source,
            },
        })?;
        let target = Target {
            shards: Arc::new(Shards::new(options.shards)),
            memory: Arc::new(Memory::new(options.memory_max_bytes)),
        };
        let ledger = Arc::new(Ledger::new(options.segment_worth()));
        let spares = Spares::adopt(
            disk.clone(),
            options.segment_bytes,
            options.io,
            ledger.clone(),
        )
        .map_err(OpenError::io("cannot take over the prepared segments"))?;
        let loaded = load(&disk, &options, &spares, clock.as_ref(), &target, progress)?;

        let Loaded {
            manifest,
            active,
            numbering,
            engine_clock_offset,
            mut summary,
        } = loaded;
        let store_id = manifest.store_id;
        let log = Arc::new(LogState::new(
            Watermark::new(Revision(numbering.next.0 - 1)),
            ledger,
            spares,
            ManifestFile::new(disk.clone(), manifest),
        ));
        let units = options.limits.in_flight_units;
        let (sequencer, receiver) = Sequencer::new(numbering.last, numbering.next, units);
        let sequencer = Arc::new(sequencer);
        let state = Arc::new(WriteState::default());
        let bytes = options.limits.in_flight_bytes;
        let gate = Arc::new(Gate::new(
            log.clone(),
            sequencer.clone(),
            state.clone(),
            units,
            bytes,
        ));
        let weak = Arc::downgrade(&gate);
        log.watermark.subscribe(Arc::new(move || {
            if let Some(gate) = weak.upgrade() {
                gate.wake();
            }
        }));
        let writer = Writer::new(
            Start {
                disk: disk.clone(),
                clock: clock.clone(),
                state: log.clone(),
                policy: options.policy,
                store_id,
                receiver,
                in_flight_units: units,
                active,
                next: numbering.next,
                engine_clock_offset,
            },
            PermitSink::new(gate.clone()),
        );
        let took = clock.instant().saturating_sub(started);
        summary.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let Target { shards, memory } = target;
        let inner = Inner {
            core: Core {
                shards,
                memory,
                sequencer,
                state,
                gate,
                log,
            },
            options,
            store_id,
            recovery: summary,
            threads: Mutex::default(),
            _disk: disk,
            clock,
            _lock: lock,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            writer,
        ))
    }

    fn start_threads(&self, writer: LogWriter) -> Result<(), OpenError> {
        let log = self.inner.core.log.clone();
        let gate = self.inner.core.gate.clone();
        let threads = [
            spawn("kv-log", move || run(writer))?,
            spawn("kv-spares", move || {
                lower_priority();
                log.spares.run(&|| gate.wake());
            })?,
        ];
        self.inner.threads.lock().extend(threads);
        Ok(())
    }
}

fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(OpenError::io(format!("cannot start the thread {name}")))
}

/// Preparing segments must not take the processor from those who commit. It takes no
/// lock that a writer of keys waits for.
fn lower_priority() {
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "the thread that prepares segments keeps its priority");
    }
}

pub(crate) fn os_disk(dir: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    let disk = OsDisk::open(dir).map_err(OpenError::io(format!(
        "cannot use {} as the data directory",
        dir.display()
    )))?;
    Ok(Arc::new(disk))
}

/// Some file systems cannot keep what the options promise.
fn check_file_system(disk: &dyn Disk, options: &Options) -> Result<(), OpenError> {
    let kind = disk
        .fs_kind()
        .map_err(OpenError::io("cannot tell the file system"))?;
    match kind {
        FsKind::Local(_) => Ok(()),
        FsKind::Volatile(_) if options.allow_volatile => Ok(()),
        FsKind::Volatile(name) => Err(OpenError::Options(format!(
            "{} is on {name}, which forgets everything at power loss; choose a directory on a \
             disk, or accept that with --allow-volatile",
            disk.describe()
        ))),
        FsKind::Remote(name) if options.io == LogIo::Mmap => Err(OpenError::Options(format!(
            "{} is on {name}, where a shared mapping cannot be trusted; choose a local \
             directory, or set log.io=pwrite",
            disk.describe()
        ))),
        FsKind::Remote(name) => {
            tracing::warn!(
                name,
                "the data directory is on a network or user-space file system"
            );
            Ok(())
        }
    }
}
