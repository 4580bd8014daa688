//! One daemon, asked with or without somebody who reads its metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use kvproto::v1;

use crate::Result;
use crate::batch::Batches;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::cpu;
use crate::driver::{self, Drive, Window, Work, to_the_end};
use crate::fill;
use crate::paused::metrics;
use crate::report::Figures;
use crate::shapes::Shape;
use crate::single::{Choice, Mix, Protocol, Single, Target};

/// Operations unanswered on a connection of a pipeline, all of one message.
pub(super) const BATCH: u32 = 64;
const THREADS: usize = 2;
const READ_BACK: Shape = Shape::new(4, 64);
/// How long reading back may take for each key.
const PER_KEY: Duration = Duration::from_millis(1);
const EVERY: Duration = Duration::from_secs(1);
/// Readings whose cost is measured.
const READINGS: u32 = 200;

/// A daemon, by what becomes of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Who {
    Silent,
    Again,
    Read,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Silent, Self::Again, Self::Read];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "shows none",
            Self::Again => "shows none, again",
            Self::Read => "read every second",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Get,
    Set,
    StreamOfGets,
    StreamOfSets,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    ask: Ask,
    shape: Shape,
}

impl Case {
    pub(super) const fn new(name: &'static str, ask: Ask, shape: Shape) -> Self {
        Self { name, ask, shape }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.ask, Ask::StreamOfGets | Ask::StreamOfSets)
    }
}

/// What reading the metrics once costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrape {
    pub(super) cpu_ms: f64,
    pub(super) kib: f64,
}

pub(super) struct Side {
    pub(super) who: Who,
    server: Server,
    target: Target,
}

impl Side {
    pub(super) fn start(launcher: &Launcher, contents: &Arc<Contents>, who: Who) -> Result<Self> {
        let home = launcher.home("kvd")?;
        // Snapshots would fall into some turns and not into others.
        let settings = ["snapshot.log_bytes=none"];
        let server = if who == Who::Read {
            launcher.kvd_shown(&home, "interval:1s", &settings)?
        } else {
            launcher.kvd_in(&home, "interval:1s", &settings)?
        };
        let target = Target {
            protocol: Protocol::Kvd,
            address: server.address(),
            durability: v1::Durability::Logged,
            contents: Arc::clone(contents),
            truth: Arc::new(Truth::new(contents.count())),
        };
        Ok(Self {
            who,
            server,
            target,
        })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
    }

    pub(super) fn fill(&self) -> Result<()> {
        let target = &self.target;
        let all = 0..target.contents.count();
        self.explain(fill::generation(target.address, &target.contents, all, 0))
    }

    /// Reads every key once.
    pub(super) fn read_back(&self) -> Result<()> {
        let single = self.single(Mix::READ, Choice::InOrder(Arc::default()), 0);
        let extra = PER_KEY * self.target.contents.count();
        self.explain(to_the_end(single, Drive::closed(READ_BACK, THREADS), extra))
    }

    fn single(&self, mix: Mix, choice: Choice, generation: u32) -> Single {
        Single {
            target: self.target.clone(),
            mix,
            choice,
            keys: 0..self.target.contents.count(),
            generation,
        }
    }

    fn batches(&self, writes: bool, generation: u32) -> Batches {
        Batches {
            target: self.target.clone(),
            writes,
            batch: BATCH,
            message: BATCH,
            keys: 0..self.target.contents.count(),
            generation,
        }
    }

    /// One turn, with its reader if it has one.
    pub(super) fn measure(
        &self,
        case: &Case,
        generation: u32,
        length: Duration,
    ) -> Result<Figures> {
        let window = Window::after(length / 4, length);
        let (over, ended) = mpsc::channel();
        thread::scope(|scope| {
            let reads = self.who == Who::Read;
            let reader = reads.then(|| scope.spawn(move || self.read(&ended)));
            let figures = self.ask(case, generation, window);
            drop(over);
            if let Some(reader) = reader {
                reader.join().map_err(|_| "who reads metrics panicked")??;
            }
            figures
        })
    }

    /// Reads the metrics every second, at once for the first time, until `ended`.
    fn read(&self, ended: &mpsc::Receiver<()>) -> Result<()> {
        let address = self.server.http()?;
        loop {
            self.explain(metrics(address))?;
            if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
    }

    fn ask(&self, case: &Case, generation: u32, window: Window) -> Result<Figures> {
        let single = |mix| self.single(mix, Choice::Uniform, generation);
        match case.ask {
            Ask::Get => self.run(single(Mix::READ), case.shape, window, 1),
            Ask::Set => self.run(single(Mix::WRITE), case.shape, window, 1),
            Ask::StreamOfGets => {
                self.run(self.batches(false, generation), case.shape, window, BATCH)
            }
            Ask::StreamOfSets => {
                self.run(self.batches(true, generation), case.shape, window, BATCH)
            }
        }
    }

    /// `operations`: of one call of the driver, which counts calls.
    fn run<W: Work>(
        &self,
        work: W,
        shape: Shape,
        window: Window,
        operations: u32,
    ) -> Result<Figures> {
        let drive = Drive::closed(shape, THREADS);
        let measured = driver::measured(work, drive, self.server.pid(), window);
        let measured = self.explain(measured)?;
        if measured.ops == 0 {
            return Err(self.server.failure("answered nothing in the measured time"));
        }
        let mut figures = Figures::of(&measured);
        let operations = f64::from(operations);
        figures.ops_per_second *= operations;
        figures.server_us /= operations;
        figures.client_us /= operations;
        Ok(figures)
    }

    /// Many readings, one after the other, of a daemon that does nothing else.
    pub(super) fn scrape_cost(&self) -> Result<Scrape> {
        let (address, pid) = (self.server.http()?, self.server.pid());
        let before = cpu::of(pid)?;
        let mut bytes = 0;
        for _ in 0..READINGS {
            bytes += self.explain(metrics(address))?.len();
        }
        let took = cpu::of(pid)?.saturating_sub(before);
        Ok(Scrape {
            cpu_ms: took.as_secs_f64() * 1e3 / f64::from(READINGS),
            kib: f64::from(u32::try_from(bytes)?) / 1024.0 / f64::from(READINGS),
        })
    }

    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&error.to_string()))
    }
}
