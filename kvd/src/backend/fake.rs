//! A store for tests, whose log moves only when it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::*;

#[derive(Clone)]
pub(crate) struct Fake(Arc<Inner>);

struct Inner {
    map: Mutex<HashMap<Vec<u8>, FakeRecord>>,
    revision: AtomicU64,
    last_delete: AtomicU64,
    logged: AtomicU64,
    durable: AtomicU64,
    /// Every write is durable at once.
    instant: bool,
    full: AtomicBool,
    draining: AtomicBool,
    failure: Mutex<Option<Arc<str>>>,
    listeners: Mutex<Vec<Listener>>,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeRecord {
    value: Arc<[u8]>,
    create: Revision,
    modified: Revision,
    version: u64,
}

impl RecordView for FakeRecord {
    fn value(&self) -> &[u8] {
        &self.value
    }
    fn create_revision(&self) -> Revision {
        self.create
    }
    fn mod_revision(&self) -> Revision {
        self.modified
    }
    fn version(&self) -> u64 {
        self.version
    }
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
            map: Mutex::default(),
            revision: AtomicU64::new(1),
            last_delete: AtomicU64::new(0),
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

    fn revealed<T>(&self, value: T, revealed: Revision) -> Revealed<T> {
        let store_revision = self.0.revision.load(Ordering::SeqCst);
        Revealed {
            value,
            revealed,
            store_revision,
        }
    }

    fn apply(&self, mutation: Mutation<'_>) -> Outcome<FakeRecord> {
        let mut map = self.0.map.lock();
        let current = map.get(mutation.key).cloned();
        let met = match mutation.condition {
            None => true,
            Some(Condition::Exists(wanted)) => wanted == current.is_some(),
            Some(Condition::ModRevision(wanted)) => {
                wanted == current.as_ref().map_or(0, |record| record.modified)
            }
        };
        let nothing = matches!(mutation.action, Action::Delete) && current.is_none();
        if !met || nothing {
            let absent = self.0.last_delete.load(Ordering::SeqCst);
            return Outcome {
                applied: false,
                revision: 0,
                revealed: current.as_ref().map_or(absent, |record| record.modified),
                record: current,
                previous: None,
                store_revision: self.0.revision.load(Ordering::SeqCst),
            };
        }
        let revision = self.0.revision.fetch_add(1, Ordering::SeqCst) + 1;
        let record = match mutation.action {
            Action::Set { value } => {
                let record = FakeRecord {
                    value: value.into(),
                    create: current.as_ref().map_or(revision, |record| record.create),
                    modified: revision,
                    version: current.as_ref().map_or(1, |record| record.version + 1),
                };
                map.insert(mutation.key.to_vec(), record.clone());
                Some(record)
            }
            Action::Delete => {
                map.remove(mutation.key);
                self.0.last_delete.store(revision, Ordering::SeqCst);
                None
            }
        };
        Outcome {
            applied: true,
            revision,
            record,
            previous: current,
            revealed: revision,
            store_revision: revision,
        }
    }
}

impl Store for Fake {
    type Record = FakeRecord;

    async fn get(&self, key: &[u8]) -> Result<Revealed<Option<FakeRecord>>, Error> {
        let found = self.0.map.lock().get(key).cloned();
        let absent = self.0.last_delete.load(Ordering::SeqCst);
        let revealed = found.as_ref().map_or(absent, |record| record.modified);
        Ok(self.revealed(found, revealed))
    }

    async fn batch_get(&self, keys: &[&[u8]]) -> Result<Revealed<Vec<Option<FakeRecord>>>, Error> {
        let map = self.0.map.lock();
        let found: Vec<_> = keys.iter().map(|key| map.get(*key).cloned()).collect();
        let newest = found.iter().flatten().map(|record| record.modified).max();
        let revealed = newest
            .unwrap_or(0)
            .max(self.0.last_delete.load(Ordering::SeqCst));
        Ok(self.revealed(found, revealed))
    }

    async fn write(
        &self,
        mutation: Mutation<'_>,
        patience: Patience,
    ) -> Result<Outcome<FakeRecord>, Error> {
        if mutation.key.is_empty() {
            return Err(Error::new(ErrorKind::EmptyKey, "the key is empty"));
        }
        if self.0.draining.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Draining, "the server is stopping"));
        }
        if self.0.failure.lock().is_some() {
            return Err(Error::new(ErrorKind::LogFailed, "the log failed"));
        }
        let begun = Instant::now();
        while self.0.full.load(Ordering::SeqCst) {
            if patience
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
            {
                return Err(Error::new(ErrorKind::Deadline, "the deadline passed"));
            }
            if begun.elapsed() >= patience.wait {
                return Err(Error::new(ErrorKind::Overloaded, "too much in flight"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let outcome = self.apply(mutation);
        if self.0.instant && outcome.applied {
            self.advance(outcome.revision, outcome.revision);
        }
        Ok(outcome)
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
        if revision > self.0.revision.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::FutureRevision, "above the store"));
        }
        Ok(())
    }

    fn default_durability(&self) -> Durability {
        Durability::Synced
    }

    fn default_read_level(&self) -> ReadLevel {
        ReadLevel::Durable
    }

    fn store_revision(&self) -> Revision {
        self.0.revision.load(Ordering::SeqCst)
    }

    fn state(&self) -> State {
        self.failure()
            .map_or(State::Writable, |why| State::Failed(why.to_string()))
    }

    fn status(&self) -> Status {
        Status {
            state: self.state(),
            keys: self.0.map.lock().len() as u64,
            memory_bytes: 0,
            memory_max_bytes: None,
            store_revision: self.0.revision.load(Ordering::SeqCst),
            positions: self.positions(),
            segments: 1,
            log_bytes: 0,
            spares: 2,
            in_flight_units: 0,
            in_flight_bytes: 0,
            store_id: "fake".to_owned(),
            dir: PathBuf::from("/nowhere"),
            recovery: Recovery::default(),
            counters: Counters::default(),
        }
    }

    fn start_drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    fn close(&self, _limit: Duration) -> Result<bool, Error> {
        Ok(true)
    }
}
