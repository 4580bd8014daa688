//! kvcore behind the seam: the engine in this process.

mod chunks;
mod options;
mod watch;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvcore::base::limits::CHUNK_KEYS;
use kvcore::{AdmitFailure, Admitted, Attempt, Engine, Prepared};

use super::{
    Distributions, Durability, Error, ErrorKind, KeyRange, Listener, Mutation, Outcome, Page,
    PageLimit, Patience, Positions, RangeDeleted, ReadLevel, Record, RequestId, RequestWindow,
    Revealed, Revision, Snapshot, State, Status, Store, Txn, TxnLimits, TxnOutcome, VerifyStep,
};
use crate::backend::watch::{Figures, From as WatchFrom, Want};
use crate::config::Settings;
use crate::exit::Failure;
use crate::telemetry::slow::Stopwatch;
pub use options::failure;
use options::options;
pub use watch::{EngineDispatch, EngineWatch};

/// How often a write may find another expired key in its way before it is refused.
const ATTEMPTS: usize = 16;

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
        progress: &(dyn Fn(kvcore::LoadProgress) + Sync),
    ) -> Result<Self, Failure> {
        let engine = Engine::open(options(settings), progress).map_err(failure)?;
        Ok(Self(engine))
    }
}

/// What keeps a unit from being committed at once.
enum Obstacle {
    /// No permit, or no room in the log, at this moment.
    Full(Prepared),
    /// Expired keys, whose removal comes first.
    Due(Prepared, Vec<Record>),
}

/// Ways that few go are boxed, so that the one that nearly all go stays small.
impl Embedded {
    /// Commits, if nothing is in the way; nearly always nothing is.
    fn commit_now<T>(
        &self,
        prepared: Prepared,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, kvcore::Error>,
    ) -> Result<Result<T, Obstacle>, Error> {
        let mut watch = Stopwatch::start();
        let admitted = match self.0.try_admit(prepared) {
            Ok(admitted) => admitted,
            Err(AdmitFailure::Refused(error)) => return Err(error.into()),
            Err(AdmitFailure::Busy(prepared)) => return Ok(Err(Obstacle::Full(prepared))),
        };
        watch.admitted();
        let attempt = commit(&self.0, admitted)?;
        watch.committed();
        Ok(match attempt {
            Attempt::Done(done) => Ok(done),
            Attempt::Due { prepared, due } => Err(Obstacle::Due(prepared, due)),
        })
    }

    /// Takes what is in the way out of it and commits, again and again.
    async fn get_past<T>(
        &self,
        mut obstacle: Obstacle,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, kvcore::Error>,
        patience: Patience,
    ) -> Result<T, Error> {
        let mut watch = Stopwatch::start();
        for _ in 0..ATTEMPTS {
            let prepared = match obstacle {
                Obstacle::Full(prepared) => prepared,
                Obstacle::Due(prepared, due) => {
                    self.remove(&due, patience).await?;
                    prepared
                }
            };
            let admitted = self.wait_for_room(prepared, patience).await?;
            watch.admitted();
            let attempt = commit(&self.0, admitted)?;
            watch.committed();
            match attempt {
                Attempt::Done(done) => return Ok(done),
                Attempt::Due { prepared, due } => obstacle = Obstacle::Due(prepared, due),
            }
        }
        Err(kvcore::Error::Overloaded.into())
    }

    async fn wait_for_room(
        &self,
        prepared: Prepared,
        patience: Patience,
    ) -> Result<Admitted<'static>, Error> {
        let enough = Instant::now() + patience.wait;
        let until = patience
            .deadline
            .map_or(enough, |deadline| deadline.min(enough));
        match tokio::time::timeout_at(until.into(), self.0.admit(prepared)).await {
            Ok(admitted) => Ok(admitted?),
            Err(_) if until < enough => Err(Error::new(
                ErrorKind::Deadline,
                "the deadline passed while the write waited to be accepted; nothing was applied",
            )),
            Err(_) => Err(kvcore::Error::Overloaded.into()),
        }
    }

    /// As [`Embedded::commit_now`], and the longer way if something is.
    async fn commit<T>(
        &self,
        prepared: Prepared,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, kvcore::Error>,
        patience: Patience,
    ) -> Result<T, Error> {
        let past = match self.commit_now(prepared, &commit)? {
            Ok(done) => return Ok(done),
            Err(obstacle) => Box::pin(self.get_past(obstacle, commit, patience)),
        };
        past.await
    }

    /// Writes that these records' time is over; the revision that their absence reveals.
    async fn remove(&self, due: &[Record], patience: Patience) -> Result<Revision, Error> {
        let mut newest = 0;
        for prepared in self.0.prepare_removal(due) {
            let admitted = self.wait_for_room(prepared, patience).await?;
            newest = newest.max(self.0.commit_removal(admitted)?.0);
        }
        Ok(newest)
    }

    /// A read whose expired keys are removed for good before anybody is told.
    async fn reveal<T>(
        &self,
        read: kvcore::Revealed<T>,
        patience: Patience,
    ) -> Result<Revealed<T>, Error> {
        let removed = self.remove(&read.due, patience).await;
        let mut told = told(read);
        match removed {
            Ok(removed) => {
                told.revealed = told.revealed.max(removed);
                told.store_revision = told.store_revision.max(removed);
            }
            // Nothing takes the removal any more, and nothing becomes durable any more:
            // only a reader that does not ask for that is told.
            Err(error) if error.kind == ErrorKind::LogFailed => {
                told.revealed = told.store_revision + 1;
            }
            Err(error) => return Err(error),
        }
        Ok(told)
    }

    /// A read as it may be told.
    async fn tell<T>(
        &self,
        read: kvcore::Revealed<T>,
        patience: Patience,
    ) -> Result<Revealed<T>, Error> {
        if read.due.is_empty() {
            return Ok(told(read));
        }
        Box::pin(self.reveal(read, patience)).await
    }
}

fn told<T>(read: kvcore::Revealed<T>) -> Revealed<T> {
    Revealed {
        value: read.value,
        revealed: read.revealed.0,
        store_revision: read.store_revision.0,
    }
}

impl Store for Embedded {
    type Watch = EngineWatch;
    type Dispatch = EngineDispatch;

    async fn get(&self, key: &[u8], patience: Patience) -> Result<Revealed<Option<Record>>, Error> {
        let reveal = {
            let read = self.0.look(key)?;
            if read.due.is_empty() {
                return Ok(told(read));
            }
            Box::pin(self.reveal(read, patience))
        };
        reveal.await
    }

    async fn batch_get(
        &self,
        keys: &[&[u8]],
        patience: Patience,
    ) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        self.tell(self.0.look_all(keys)?, patience).await
    }

    async fn write(
        &self,
        mutation: Mutation<'_>,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<Outcome, Error> {
        let past = {
            let prepared = self.0.prepare(&mutation, request)?;
            match self.commit_now(prepared, Engine::commit)? {
                Ok(done) => return Ok(done),
                Err(obstacle) => Box::pin(self.get_past(obstacle, Engine::commit, patience)),
            }
        };
        past.await
    }

    async fn txn(
        &self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<TxnOutcome, Error> {
        let prepared = self.0.prepare_txn(txn, limits, request)?;
        self.commit(prepared, Engine::commit_txn, patience).await
    }

    async fn scan(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
        patience: Patience,
    ) -> Result<Revealed<Page>, Error> {
        let page = self.0.look_page(range, after, reverse, limit)?;
        self.tell(page, patience).await
    }

    async fn count(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        patience: Patience,
    ) -> Result<Revealed<u64>, Error> {
        let limit = limit.unwrap_or(u64::MAX);
        let (mut count, mut revealed, mut after) = (0, 0, None::<Vec<u8>>);
        loop {
            patience.check()?;
            let page = self.0.look_count(range, after.as_deref(), CHUNK_KEYS)?;
            let page = self.tell(page, patience).await?;
            count += page.value.count;
            revealed = page.revealed.max(revealed);
            after = page.value.next;
            if after.is_none() || count >= limit {
                return Ok(Revealed {
                    value: count.min(limit),
                    revealed,
                    store_revision: page.store_revision,
                });
            }
            tokio::task::yield_now().await;
        }
    }

    async fn delete_range(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        atomic: bool,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<RangeDeleted, Error> {
        if !atomic {
            return self.delete_chunks(range, limit, request, patience).await;
        }
        let limit = usize::try_from(limit.unwrap_or(0)).unwrap_or(usize::MAX);
        let prepared = self.0.prepare_range_delete(range, limit, request)?;
        let deleted = self.commit(prepared, Engine::commit_range_delete, patience);
        Ok(deleted.await?.into())
    }

    fn expect<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        self.0.expect(keys);
    }

    fn expires_at_ms(&self, record: &Record) -> u64 {
        self.0.expires_at_ms(record)
    }

    fn request_window(&self) -> RequestWindow {
        let limits = &self.0.options().limits;
        RequestWindow {
            count: limits.request_ids as u64,
            bytes: limits.request_id_bytes as u64,
            ms: limits.request_id_ms,
        }
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

    fn watch(&self, want: Want, from: WatchFrom) -> Result<EngineWatch, Error> {
        Ok(EngineWatch {
            watch: self.0.open_watch(want, from)?,
            engine: self.0.clone(),
        })
    }

    fn dispatch(&self) -> EngineDispatch {
        EngineDispatch::new(&self.0)
    }

    fn watch_figures(&self) -> Figures {
        watch::figures(&self.0)
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

    fn backup(
        &self,
        after: Option<Revision>,
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        self.0.backup(after.map(kvcore::Revision), sink)?;
        Ok(())
    }

    fn verify(
        &self,
        rate: Option<u64>,
        tell: &mut (dyn FnMut(VerifyStep) -> std::io::Result<()> + Send),
    ) -> Result<(), Error> {
        self.0.verify(rate, tell)?;
        Ok(())
    }

    fn acknowledge_repair(&self) -> Result<(), Error> {
        self.0.acknowledge_repair().map_err(|error| {
            let what = format!("the acknowledgement could not be written: {error}");
            Error::new(ErrorKind::NotAcknowledged, what)
        })
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.0.snapshot()?.into())
    }

    fn set_memory_max(&self, max_bytes: Option<u64>) {
        self.0.set_memory_max(max_bytes);
    }

    fn logged_since(&self, revision: Revision) -> Option<Duration> {
        self.0.logged_since(kvcore::Revision(revision))
    }

    fn distributions(&self) -> Distributions {
        self.0.distributions()
    }

    fn log_turns(&self) -> u64 {
        self.0.writer_turns()
    }

    fn start_drain(&self) {
        self.0.start_drain();
    }

    fn close(&self, limit: Duration) -> Result<bool, Error> {
        Ok(self.0.close(limit)?.clean)
    }
}
