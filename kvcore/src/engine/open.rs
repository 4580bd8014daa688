//! From a directory to an open store.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::options::Options;
use super::snapshots::Snapshots;
use super::{Engine, Inner};
use crate::base::clock::SystemClock;
use crate::base::entropy::{Entropy, SystemEntropy};
use crate::base::limits::OWN_UNITS;
use crate::base::revision::Revision;
use crate::commit::Core;
use crate::commit::admission::Gate;
use crate::commit::poison::WriteState;
use crate::commit::sequencer::Sequencer;
use crate::commit::sink::PermitSink;
use crate::commit::unit::Unit;
use crate::dedup::{Table, Window};
use crate::disk::{DirLock, Disk, Environment, FsKind, LogIo};
use crate::expiry::UnitLimit;
use crate::log::ledger::Ledger;
use crate::log::manifest_file::ManifestFile;
use crate::log::spares::Spares;
use crate::log::state::LogState;
use crate::log::watermark::Watermark;
use crate::log::writer::{Start, Writer, run};
use crate::recovery::directory::{lock, os_disk};
use crate::recovery::load::{Loaded, Loading, load};
use crate::recovery::replay::Target;
use crate::recovery::{LoadProgress, OpenError};
use crate::store::{Memory, Shards};
use crate::watch::Hub;

/// The log's writer with everything that it works on.
pub type LogWriter = Writer<Unit, PermitSink>;

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
        let clock = Arc::new(SystemClock::default());
        let environment = Environment {
            disk,
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let (engine, writer) = Self::assemble(options, &environment, progress)?;
        engine.start_threads(writer)?;
        Ok(engine)
    }

    /// Opens a store anywhere, without threads: the caller turns the writer.
    #[cfg(feature = "sim")]
    pub fn open_manual(
        options: Options,
        environment: &Environment,
    ) -> Result<(Self, LogWriter), OpenError> {
        options.validate()?;
        Self::assemble(options, environment, &|_| ())
    }

    /// Opens a store anywhere, with its threads.
    #[cfg(feature = "sim")]
    pub fn open_in(options: Options, environment: &Environment) -> Result<Self, OpenError> {
        let (engine, writer) = Self::open_manual(options, environment)?;
        engine.start_threads(writer)?;
        Ok(engine)
    }

    /// Prepares missing spares, as the thread for it would.
    #[cfg(feature = "sim")]
    pub fn fill_spares(&self) {
        while matches!(self.inner.core.log.spares.fill_one(), Ok(true)) {}
        self.inner.core.gate.wake();
    }

    /// What the writer's thread does when the store is closed.
    #[cfg(feature = "sim")]
    pub fn close_manual(&self, writer: &mut LogWriter) {
        self.start_drain();
        while writer.turn() == crate::log::writer::Turn::Worked {}
        self.inner.core.log.close();
        while writer.turn() != crate::log::writer::Turn::Closed {}
    }

    fn assemble(
        options: Options,
        environment: &Environment,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<(Self, LogWriter), OpenError> {
        let Environment {
            disk,
            clock,
            entropy,
        } = environment;
        let started = clock.instant();
        let lock = lock(disk.as_ref())?;
        let seeds = hash_seeds(entropy.as_ref())
            .map_err(OpenError::io("no random numbers for the hasher"))?;
        let target = Target {
            shards: Arc::new(Shards::new(options.shards, seeds)),
            memory: Arc::new(Memory::new(options.memory_max_bytes)),
            requests: Arc::new(Table::new(window(&options), seeds)),
        };
        let ledger = Arc::new(Ledger::new(options.segment_worth()));
        let spares = Spares::adopt(
            disk.clone(),
            options.segment_bytes,
            options.io,
            ledger.clone(),
        )
        .map_err(OpenError::io("cannot take over the prepared segments"))?;
        let loading = Loading {
            environment,
            spares: &spares,
            target: &target,
            threads: options.replay_threads,
            refuse_suspect: options.refuses_suspect(),
            damaged_snapshot: options.snapshots.damaged,
            progress,
        };
        let mut loaded = load(&loading)?;
        ensure_spare(&spares);
        let took = clock.instant().saturating_sub(started);
        loaded.summary.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);

        let watermark = Watermark::new(Revision(loaded.numbering.next.0 - 1));
        let manifest = ManifestFile::new(spares.rooms().clone(), loaded.manifest.clone());
        let log = Arc::new(LogState::new(
            watermark,
            ledger,
            spares,
            manifest,
            std::mem::take(&mut loaded.catalog),
        ));
        Ok(Self::join(options, environment, target, log, lock, loaded))
    }

    /// Joins the recovered parts.
    fn join(
        options: Options,
        environment: &Environment,
        target: Target,
        log: Arc<LogState>,
        lock: Box<dyn DirLock>,
        loaded: Loaded,
    ) -> (Self, LogWriter) {
        let numbering = loaded.numbering;
        // Every permit may be on its way at once: those of callers and the store's own.
        let places = options.limits.in_flight_units + OWN_UNITS;
        let (sequencer, receiver) = Sequencer::new(numbering.last, numbering.next, places);
        let sequencer = Arc::new(sequencer);
        let state = Arc::new(WriteState::default());
        let gate = gate(&options, &log, &sequencer, &state);
        let watches = Arc::new(Hub::new(
            log.clone(),
            environment.disk.clone(),
            options.watch_ring_bytes,
            (numbering.last, numbering.next),
        ));
        let start = Start {
            disk: environment.disk.clone(),
            clock: loaded.clock.clone(),
            entropy: environment.entropy.clone(),
            state: log.clone(),
            policy: options.policy,
            store_id: loaded.manifest.store_id,
            receiver,
            in_flight_units: places,
            active: loaded.active,
            next: numbering.next,
        };
        let writer = Writer::new(start, PermitSink::new(gate.clone(), watches.clone()));
        let Target {
            shards,
            memory,
            requests,
        } = target;
        let core = Core {
            shards,
            memory,
            requests,
            sequencer,
            state,
            gate,
            log,
            clock: loaded.clock,
            expired: Arc::default(),
            removal_limit: UnitLimit::within(
                options.limits.unit_operations,
                options.limits.unit_bytes,
            ),
            watches,
        };
        let store_id = loaded.manifest.store_id;
        let snapshots = Snapshots::new(core.clone(), environment.clone(), &options, store_id);
        let inner = Inner {
            core,
            options,
            store_id,
            recovery: loaded.summary,
            threads: Mutex::default(),
            clock: environment.clock.clone(),
            snapshots: Arc::new(snapshots),
            _lock: lock,
        };
        (
            Self {
                inner: Arc::new(inner),
            },
            writer,
        )
    }

    fn start_threads(&self, writer: LogWriter) -> Result<(), OpenError> {
        let log = self.inner.core.log.clone();
        let gate = self.inner.core.gate.clone();
        let core = self.inner.core.clone();
        let snapshots = self.inner.snapshots.clone();
        let threads = [
            spawn("kv-log", move || run(writer))?,
            spawn("kv-spares", move || {
                lower_priority();
                log.spares.run(&|| gate.wake());
            })?,
            // At normal priority: it takes the locks that writers wait for.
            spawn("kv-expiry", move || super::expiry::run(&core))?,
            // For the same reason.
            spawn("kv-snapshot", move || snapshots.run())?,
        ];
        self.inner.threads.lock().extend(threads);
        Ok(())
    }
}

/// Woken whenever the log has moved.
fn gate(
    options: &Options,
    log: &Arc<LogState>,
    sequencer: &Arc<Sequencer>,
    state: &Arc<WriteState>,
) -> Arc<Gate> {
    let (units, bytes) = (
        options.limits.in_flight_units,
        options.limits.in_flight_bytes,
    );
    let parts = (log.clone(), sequencer.clone(), state.clone());
    let gate = Gate::new(parts, units, bytes, options.unit_encoded_max());
    let gate = Arc::new(gate);
    let weak = Arc::downgrade(&gate);
    log.watermark.subscribe(Arc::new(move || {
        if let Some(gate) = weak.upgrade() {
            gate.wake();
        }
    }));
    gate
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

/// A write needs a segment behind the active one, since one is held back for deletes.
/// Without room for it the store opens all the same, and says that it has none.
fn ensure_spare(spares: &Spares) {
    if spares.ready() == 0 {
        // It has told why not, and goes on trying.
        let _ = spares.fill_one();
    }
}

fn window(options: &Options) -> Window {
    let limits = &options.limits;
    Window {
        requests: limits.request_ids,
        bytes: limits.request_id_bytes,
        age_ms: limits.request_id_ms,
    }
}

fn hash_seeds(entropy: &dyn Entropy) -> io::Result<[u64; 4]> {
    Ok([
        entropy.u64()?,
        entropy.u64()?,
        entropy.u64()?,
        entropy.u64()?,
    ])
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
