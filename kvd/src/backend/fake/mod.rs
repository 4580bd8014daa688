//! A store for tests, whose log moves only when it is told to.

mod state;
mod txn;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::*;
use state::State as Memory;

#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    memory: Mutex<Memory>,
    logged: AtomicU64,
    durable: AtomicU64,
    /// Every write is durable at once.
    instant: bool,
    full: AtomicBool,
    draining: AtomicBool,
    failure: Mutex<Option<Arc<str>>>,
    listeners: Mutex<Vec<Listener>>,
}

impl Fake {
    /// Positions move by [`Fake::advance`] alone.
    pub(crate) fn manual() -> Self {
        Self::new(false)
    }

    /// Every write is durable when it returns.
    pub(crate) fn instant() -> Self {
        Self::new(true)
    }

    fn new(instant: bool) -> Self {
        Self(Arc::new(Inner {
            memory: Mutex::default(),
            logged: AtomicU64::new(1),
            durable: AtomicU64::new(1),
            instant,
            full: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            failure: Mutex::default(),
            listeners: Mutex::default(),
        }))
    }

    pub(crate) fn advance(&self, logged: Revision, durable: Revision) {
        self.0.logged.store(logged, Ordering::Release);
        self.0.durable.store(durable, Ordering::Release);
        self.announce();
    }

    pub(crate) fn fail(&self, reason: &str) {
        *self.0.failure.lock() = Some(reason.into());
        self.announce();
    }

    /// No write is admitted while `full`.
    pub(crate) fn fill(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    fn announce(&self) {
        for listener in self.0.listeners.lock().iter() {
            listener();
        }
    }

    /// Lets `ms` pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.0.memory.lock().now += ms;
    }

    /// Waits to be admitted, as a write does.
    async fn admit(&self, patience: Patience) -> Result<(), Error> {
        if self.0.draining.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Draining, "the server is stopping"));
        }
        if self.0.failure.lock().is_some() {
            return Err(Error::new(ErrorKind::LogFailed, "the log failed"));
        }
        let begun = Instant::now();
        while self.0.full.load(Ordering::SeqCst) {
            patience.check()?;
            if begun.elapsed() >= patience.wait {
                return Err(Error::new(ErrorKind::Overloaded, "too much in flight"));
            }
            let soon = Instant::now() + Duration::from_millis(1);
            let until = patience
                .deadline
                .map_or(soon, |deadline| deadline.min(soon));
            tokio::time::sleep_until(until.into()).await;
        }
        Ok(())
    }

    /// Removes what has expired, then looks. The state is one map under one lock, so
    /// whatever is seen reveals what a look at its keys and the last delete reveal.
    fn look<T>(&self, look: impl FnOnce(&Memory) -> (T, Revision)) -> Revealed<T> {
        let mut memory = self.0.memory.lock();
        memory.remove_expired();
        let (value, revealed) = look(&memory);
        let read = Revealed {
            value,
            revealed,
            store_revision: memory.revision,
        };
        drop(memory);
        self.settle(read.store_revision);
        read
    }

    /// Changes something, and remembers it.
    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> Result<T, Error>) -> Result<T, Error> {
        let mut memory = self.0.memory.lock();
        memory.remove_expired();
        let done = change(&mut memory);
        let revision = memory.revision;
        drop(memory);
        self.settle(revision);
        done
    }

    fn settle(&self, revision: Revision) {
        if self.0.instant && revision > self.0.durable.load(Ordering::SeqCst) {
            self.advance(revision, revision);
        }
    }
}

/// There is no log, so nobody watches.
#[derive(Debug)]
pub(crate) enum NoWatch {}

impl watch::Watch for NoWatch {
    fn poll(&mut self, _: watch::Budget) -> watch::Turn {
        match *self {}
    }

    fn read(&mut self, _: watch::Budget) -> Result<watch::Turn, watch::End> {
        match *self {}
    }

    fn position(&self) -> Option<Revision> {
        match *self {}
    }

    fn start(&self) -> Option<Revision> {
        match *self {}
    }

    fn level(&self) -> watch::Level {
        match *self {}
    }

    fn is_due(&self) -> bool {
        match *self {}
    }

    fn oldest(&self) -> Revision {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) struct NoDispatch;

impl watch::Dispatch for NoDispatch {
    type Watch = NoWatch;

    fn enter(
        &self,
        watch: &mut NoWatch,
        _: &mut dyn FnMut(Arc<watch::Hits>) -> Arc<dyn watch::Ear>,
    ) -> watch::Ticket {
        match *watch {}
    }

    fn leave(&self, _: &watch::Ticket) {}

    fn dispatch(&self) -> bool {
        false
    }
}

impl Store for Fake {
    type Watch = NoWatch;
    type Dispatch = NoDispatch;

    async fn get(&self, key: &[u8], _: Patience) -> Result<Revealed<Option<Record>>, Error> {
        Ok(self.look(|memory| memory.get(key)))
    }

    async fn batch_get(
        &self,
        keys: &[&[u8]],
        _: Patience,
    ) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        Ok(self.look(|memory| {
            let found: Vec<_> = keys.iter().map(|key| memory.get(key)).collect();
            let revealed = found.iter().map(|(_, revealed)| *revealed).max();
            let found = found.into_iter().map(|(record, _)| record).collect();
            (found, revealed.unwrap_or(0))
        }))
    }

    async fn write(
        &self,
        mutation: Mutation<'_>,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<Outcome, Error> {
        if mutation.key.is_empty() {
            return Err(Error::new(ErrorKind::EmptyKey, "the key is empty"));
        }
        self.admit(patience).await?;
        self.change(|memory| memory.write(mutation, request))
    }

    async fn txn(
        &self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<TxnOutcome, Error> {
        self.admit(patience).await?;
        self.change(|memory| memory.txn(txn, limits, request))
    }

    async fn scan(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
        _: Patience,
    ) -> Result<Revealed<Page>, Error> {
        Ok(self.look(|memory| {
            let page = memory.page(range, after, reverse, limit);
            let revealed = memory.revealed_by(&page.records);
            (page, revealed)
        }))
    }

    async fn count(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        _: Patience,
    ) -> Result<Revealed<u64>, Error> {
        Ok(self.look(|memory| {
            let records = memory.range(range);
            let count = (records.len() as u64).min(limit.unwrap_or(u64::MAX));
            (count, memory.revealed_by(&records))
        }))
    }

    async fn delete_range(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        atomic: bool,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<RangeDeleted, Error> {
        self.admit(patience).await?;
        self.change(|memory| memory.delete_range(range, limit, atomic, request))
    }

    fn expires_at_ms(&self, record: &Record) -> u64 {
        record.deadline_ms()
    }

    fn request_window(&self) -> RequestWindow {
        RequestWindow {
            count: 1000,
            bytes: 1 << 20,
            ms: 60_000,
        }
    }

    fn positions(&self) -> Positions {
        Positions {
            logged: self.0.logged.load(Ordering::Acquire),
            durable: self.0.durable.load(Ordering::Acquire),
        }
    }

    fn named(&self, position: Revision) -> Revision {
        position
    }

    fn want_logged(&self, _revision: Revision) {}

    fn want_durable(&self, _revision: Revision) {}

    fn failure(&self) -> Option<Arc<str>> {
        self.0.failure.lock().clone()
    }

    fn subscribe(&self, listener: Listener) {
        self.0.listeners.lock().push(listener);
    }

    fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.0.memory.lock().revision {
            return Err(Error::new(ErrorKind::FutureRevision, "above the store"));
        }
        Ok(())
    }

    fn watch(&self, _: watch::Want, _: watch::From) -> Result<NoWatch, Error> {
        Err(Error::new(ErrorKind::Compacted, "there is no log"))
    }

    fn dispatch(&self) -> NoDispatch {
        NoDispatch
    }

    fn watch_figures(&self) -> watch::Figures {
        watch::Figures::default()
    }

    fn default_durability(&self) -> Durability {
        Durability::Synced
    }

    fn default_read_level(&self) -> ReadLevel {
        ReadLevel::Durable
    }

    fn store_revision(&self) -> Revision {
        self.0.memory.lock().revision
    }

    fn state(&self) -> State {
        self.failure()
            .map_or(State::Writable, |why| State::Failed(why.to_string()))
    }

    fn status(&self) -> Status {
        let keys = self.0.memory.lock().map.len() as u64;
        Status {
            state: self.state(),
            keys,
            memory_bytes: 0,
            memory_max_bytes: None,
            store_revision: self.store_revision(),
            positions: self.positions(),
            segments: 1,
            log_bytes: 0,
            spares: 2,
            log_room: 0,
            in_flight_units: 0,
            in_flight_bytes: 0,
            store_id: "fake".to_owned(),
            dir: PathBuf::from("/nowhere"),
            snapshots: Vec::new(),
            recovery: Recovery::default(),
            repaired: None,
            counters: Counters::default(),
        }
    }

    fn backup(
        &self,
        _after: Option<Revision>,
        _sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::BackupFailed, "there is no disk"))
    }

    fn verify(
        &self,
        _rate: Option<u64>,
        _tell: &mut (dyn FnMut(VerifyStep) -> std::io::Result<()> + Send),
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::VerifyFailed, "there is no disk"))
    }

    fn acknowledge_repair(&self) -> Result<(), Error> {
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        Err(Error::new(ErrorKind::SnapshotFailed, "there is no disk"))
    }

    fn set_memory_max(&self, _max_bytes: Option<u64>) {}

    fn logged_since(&self, _revision: Revision) -> Option<Duration> {
        None
    }

    fn distributions(&self) -> Distributions {
        Distributions::default()
    }

    fn log_turns(&self) -> u64 {
        0
    }

    fn start_drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    fn close(&self, _limit: Duration) -> Result<bool, Error> {
        Ok(true)
    }
}
