//! A tiny store whose threads are the explorer's.

use std::path::Path;
use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::SimDisk;
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{
    Admitted, Attempt, Engine, Environment, Error, KeyRange, Mutation, Options, Outcome, PageLimit,
    Prepared, Record, RequestId, Revision, Txn, TxnLimits, TxnOutcome,
};
use shuttle::thread;

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
}

/// What is left when all threads have ended.
pub(crate) struct Rest {
    disk: SimDisk,
    writer: LogWriter,
}

fn options() -> Options {
    let mut options = Options::new(Path::new("/simulated"));
    options.shards = 4;
    options.replay_threads = 1;
    options.segment_bytes = 64 << 10;
    options.limits.key_bytes = 16;
    options.limits.value_bytes = 64;
    options.limits.unit_operations = 16;
    options.limits.unit_bytes = 1 << 10;
    options.limits.in_flight_units = 64;
    options.limits.in_flight_bytes = 64 << 10;
    options
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> (Engine, LogWriter) {
    let environment = Environment {
        disk: Arc::new(disk.clone()),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
    };
    Engine::open_manual(options(), &environment).expect("it opens")
}

pub(crate) fn store() -> (Store, Rest) {
    let (disk, clock) = (SimDisk::new(1), Arc::default());
    let (engine, writer) = open(&disk, &clock);
    engine.fill_spares();
    (Store { engine, clock }, Rest { disk, writer })
}

impl Store {
    pub(crate) fn write(&self, mutation: Mutation<'_>) -> Outcome {
        let prepared = self.engine.prepare(&mutation, None).expect("valid");
        self.commit(prepared, Engine::commit).expect("writable")
    }

    pub(crate) fn write_as(&self, mutation: Mutation<'_>, id: &[u8]) -> Outcome {
        let request = RequestId {
            id,
            fingerprint: 1,
            item: 0,
        };
        let prepared = self
            .engine
            .prepare(&mutation, Some(request))
            .expect("valid");
        self.commit(prepared, Engine::commit).expect("writable")
    }

    pub(crate) fn txn(&self, txn: &Txn<'_>) -> TxnOutcome {
        let limits = TxnLimits::default();
        let prepared = self.engine.prepare_txn(txn, limits, None).expect("valid");
        self.commit(prepared, Engine::commit_txn).expect("writable")
    }

    pub(crate) fn delete_range(&self, range: &KeyRange) {
        let prepared = self.engine.prepare_range_delete(range, 0, None);
        self.commit(prepared.expect("valid"), Engine::commit_range_delete)
            .expect("writable");
    }

    fn commit<T>(
        &self,
        mut prepared: Prepared,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            match commit(&self.engine, self.admit(prepared))? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Due {
                    prepared: again,
                    due,
                } => {
                    self.remove(&due);
                    prepared = again;
                }
            }
        }
    }

    fn admit(&self, prepared: Prepared) -> Admitted<'_> {
        self.engine.try_admit(prepared).expect("there is room")
    }

    /// Commits removals; the newest revision that they reveal.
    pub(crate) fn remove(&self, due: &[Record]) -> Revision {
        let removals = self.engine.prepare_removal(due).into_iter();
        let revisions = removals.map(|prepared| {
            let admitted = self.admit(prepared);
            self.engine.commit_removal(admitted).expect("writable")
        });
        revisions.max().unwrap_or_default()
    }

    /// The record of a key, and what the answer reveals.
    pub(crate) fn get(&self, key: &[u8]) -> (Option<Record>, Revision) {
        let answer = self.engine.look(key).expect("valid");
        let removed = self.remove(&answer.due);
        (answer.value, answer.revealed.max(removed))
    }

    pub(crate) fn keys(&self, range: &KeyRange, page: usize) -> Vec<Vec<u8>> {
        let limit = PageLimit {
            records: page,
            bytes: usize::MAX,
        };
        let (mut keys, mut after) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let page = self.engine.look_page(range, after.as_deref(), false, limit);
            let page = page.expect("a range");
            self.remove(&page.due);
            keys.extend(
                page.value
                    .records
                    .iter()
                    .map(|record| record.key().to_vec()),
            );
            after = page.value.next;
            if after.is_none() {
                return keys;
            }
        }
    }

    /// Runs threads to their end.
    pub(crate) fn run(&self, threads: Vec<Box<dyn FnOnce(Self) + Send>>) {
        let running: Vec<_> = threads
            .into_iter()
            .map(|body| {
                let store = self.clone();
                thread::spawn(move || body(store))
            })
            .collect();
        for thread in running {
            thread.join().expect("no assertion failed");
        }
    }
}

/// Key, value, and the numbers of a record.
type Content = (Vec<u8>, Vec<u8>, [u64; 4]);

fn contents(engine: &Engine) -> Vec<Content> {
    let mut all = Vec::new();
    engine.for_each(|record| {
        all.push((
            record.key().to_vec(),
            record.value().to_vec(),
            [
                record.mod_revision().0,
                record.create_revision().0,
                record.version(),
                record.deadline_ms(),
            ],
        ));
    });
    all
}

impl Rest {
    /// The log's writer does what there is to do.
    pub(crate) fn turn(&mut self) {
        while self.writer.turn() == Turn::Worked {}
    }

    /// The log, replayed, gives what memory holds; the index and the counts agree; every
    /// permit and every accounted byte is where it should be.
    pub(crate) fn check(mut self, store: Store) {
        while self.writer.turn() == Turn::Worked {
            store.engine.fill_spares();
        }
        let status = store.engine.status();
        assert_eq!((status.in_flight_units, status.in_flight_bytes), (0, 0));
        assert_eq!(
            status.durable, status.store_revision,
            "no revision is missing"
        );
        let (before, clock) = (contents(&store.engine), store.clock.clone());
        drop((store, self.writer));
        let (engine, _writer) = open(&self.disk.kill(), &clock);
        assert_eq!(contents(&engine), before, "the log tells of another state");
        let replayed = engine.status();
        assert_eq!(replayed.keys, status.keys);
        assert_eq!(replayed.memory_bytes, status.memory_bytes);
    }
}
