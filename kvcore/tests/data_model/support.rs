//! A store in memory whose clock, log and sweeper move only when they are told to.

use std::path::Path;
use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::SimDisk;
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{
    Attempt, Engine, Environment, Error, KeyRange, Mutation, Options, Outcome, PageLimit,
    RangeDeleted, Record, RequestId, Revision, Txn, TxnLimits, TxnOutcome,
};

pub(crate) struct Store {
    pub(crate) engine: Engine,
    writer: LogWriter,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: SimDisk,
    pub(crate) options: Options,
}

pub(crate) fn options() -> Options {
    let mut options = Options::new(Path::new("/simulated"));
    options.shards = 16;
    options.replay_threads = 2;
    options.segment_bytes = 4 << 20;
    options.limits.unit_bytes = 256 << 10;
    options.limits.value_bytes = 64 << 10;
    options
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::open(options, SimDisk::new(1), Arc::default())
    }

    fn open(options: Options, disk: SimDisk, clock: Arc<ManualClock>) -> Self {
        let environment = Environment {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let (engine, writer) =
            Engine::open_manual(options.clone(), &environment).expect("it opens");
        engine.fill_spares();
        Self {
            engine,
            writer,
            clock,
            disk,
            options,
        }
    }

    /// Lets the log do all there is to do.
    pub(crate) fn turn(&mut self) {
        while self.writer.turn() == Turn::Worked {
            self.engine.fill_spares();
        }
    }

    /// Ends as if the process had been killed with everything durable, and starts again.
    pub(crate) fn restart(mut self) -> Self {
        self.turn();
        self.crash()
    }

    /// Ends as if power had been lost now, and starts again.
    pub(crate) fn crash(self) -> Self {
        let Self {
            engine,
            writer,
            clock,
            disk,
            options,
        } = self;
        drop((engine, writer));
        Self::open(options, disk.crash(3), clock)
    }

    pub(crate) fn write(&self, mutation: Mutation<'_>) -> Result<Outcome, Error> {
        let prepared = self.engine.prepare(&mutation, None)?;
        self.commit(prepared, Engine::commit)
    }

    pub(crate) fn write_as(
        &self,
        mutation: Mutation<'_>,
        request: RequestId<'_>,
    ) -> Result<Outcome, Error> {
        let prepared = self.engine.prepare(&mutation, Some(request))?;
        self.commit(prepared, Engine::commit)
    }

    pub(crate) fn txn(&self, txn: &Txn<'_>) -> Result<TxnOutcome, Error> {
        let limits = TxnLimits::default();
        let prepared = self.engine.prepare_txn(txn, limits, None)?;
        self.commit(prepared, Engine::commit_txn)
    }

    pub(crate) fn txn_as(
        &self,
        txn: &Txn<'_>,
        request: RequestId<'_>,
    ) -> Result<TxnOutcome, Error> {
        let limits = TxnLimits::default();
        let prepared = self.engine.prepare_txn(txn, limits, Some(request))?;
        self.commit(prepared, Engine::commit_txn)
    }

    pub(crate) fn delete_range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<RangeDeleted, Error> {
        let prepared = self.engine.prepare_range_delete(range, limit, None)?;
        self.commit(prepared, Engine::commit_range_delete)
    }

    pub(crate) fn commit<T>(
        &self,
        mut prepared: kvcore::Prepared,
        commit: impl Fn(&Engine, kvcore::Admitted<'_>) -> Result<Attempt<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..4 {
            let admitted = self.engine.try_admit(prepared).expect("there is room");
            match commit(&self.engine, admitted)? {
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
        panic!("expired keys keep standing in the way");
    }

    /// Commits the removal of what is due; what its absence reveals.
    pub(crate) fn remove(&self, due: &[Record]) -> Revision {
        let removals = self.engine.prepare_removal(due).into_iter();
        let revisions = removals.map(|prepared| {
            let admitted = self.engine.try_admit(prepared).expect("there is room");
            self.engine.commit_removal(admitted).expect("writable")
        });
        revisions.max().unwrap_or_default()
    }

    /// The value of a key, as text.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.record(key)
            .map(|record| String::from_utf8_lossy(record.value()).into_owned())
    }

    pub(crate) fn record(&self, key: &str) -> Option<Record> {
        let answer = self.engine.look(key.as_bytes()).expect("a valid key");
        self.remove(&answer.due);
        answer.value
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Outcome {
        self.write(Mutation::set(key.as_bytes(), value.as_bytes()))
            .expect("writable")
    }

    /// The keys of a range, by pages of `page`.
    pub(crate) fn keys(&self, range: &KeyRange, reverse: bool, page: usize) -> Vec<String> {
        let limit = PageLimit {
            records: page,
            bytes: usize::MAX,
        };
        let (mut keys, mut after) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let answer = self
                .engine
                .look_page(range, after.as_deref(), reverse, limit)
                .expect("a range");
            self.remove(&answer.due);
            let found = answer.value.records.iter();
            keys.extend(found.map(|r| String::from_utf8_lossy(r.key()).into_owned()));
            after = answer.value.next;
            if after.is_none() {
                return keys;
            }
        }
    }
}

pub(crate) fn request(id: &str, fingerprint: u128) -> RequestId<'_> {
    RequestId {
        id: id.as_bytes(),
        fingerprint,
        item: 0,
    }
}
