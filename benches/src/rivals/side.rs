//! The servers, what each must hold, and one run of one of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kvproto::v1;

use super::rows::{Ask, Case, Who};
use crate::Result;
use crate::batch::Batches;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, Window, Work, to_the_end};
use crate::peers::{Peer, Promise};
use crate::report::Figures;
use crate::shapes::Shape;
use crate::single::{Choice, Mix, Protocol, Single, Target};
use crate::zipf::Zipf;

const FILL: Shape = Shape::new(4, 64);
/// How long writing or reading all keys may take, for each.
const PER_KEY: Duration = Duration::from_millis(5);
const THREADS: usize = 2;

pub(super) struct Sides {
    all: Vec<Side>,
    zipf: Arc<Zipf>,
}

pub(super) struct Side {
    pub(super) who: Who,
    server: Server,
    target: Target,
    zipf: Arc<Zipf>,
}

impl Sides {
    /// Starts kvd and the floor, and those of the others that are there.
    pub(super) fn start(
        launcher: &Launcher,
        redis: Option<&Path>,
        etcd: Option<&Path>,
    ) -> Result<Self> {
        let (contents, zipf) = (Arc::new(Contents::new(1, 16, 0)?), Arc::new(Zipf::new(1)));
        let mut all = Vec::new();
        for who in Who::ALL {
            let server = match who {
                Who::KvdAlways => Some(launcher.kvd("always")),
                Who::KvdInterval => Some(launcher.kvd("interval:1s")),
                Who::Floor => Some(launcher.floor()),
                Who::RedisAlways => redis.map(|program| Peer::Redis.start(program, launcher)),
                Who::RedisEverySecond => redis.map(|program| {
                    let home = launcher.home("redis")?;
                    Peer::Redis.start_in(&home, program, Promise::EverySecond)
                }),
                Who::Etcd => etcd.map(|program| Peer::Etcd.start(program, launcher)),
            };
            let Some(server) = server.transpose()? else {
                continue;
            };
            let target = Target {
                protocol: match who {
                    Who::Etcd => Protocol::Etcd,
                    Who::RedisAlways | Who::RedisEverySecond => Protocol::Redis,
                    Who::KvdAlways | Who::KvdInterval | Who::Floor => Protocol::Kvd,
                },
                address: server.address(),
                durability: if who == Who::KvdAlways {
                    v1::Durability::Synced
                } else {
                    v1::Durability::Logged
                },
                contents: Arc::clone(&contents),
                truth: Arc::new(Truth::new(1)),
            };
            all.push(Side {
                who,
                server,
                target,
                zipf: Arc::clone(&zipf),
            });
        }
        Ok(Self { all, zipf })
    }

    pub(super) fn find(&self, who: Who) -> Option<&Side> {
        self.all.iter().find(|side| side.who == who)
    }

    /// Writes so many keys with values of this size, everywhere.
    pub(super) fn fill(&mut self, keys: u32, value_bytes: usize) -> Result<()> {
        let contents = Arc::new(Contents::new(keys, 16, value_bytes)?);
        self.zipf = Arc::new(Zipf::new(keys));
        for side in &mut self.all {
            side.target.contents = Arc::clone(&contents);
            side.target.truth = Arc::new(Truth::new(keys));
            side.zipf = Arc::clone(&self.zipf);
            side.every_key(Mix::WRITE)?;
        }
        Ok(())
    }

    pub(super) fn read_back(&self) -> Result<()> {
        self.all
            .iter()
            .try_for_each(|side| side.every_key(Mix::READ))
    }

    pub(super) fn stop(self) -> Result<()> {
        self.all.into_iter().try_for_each(|side| side.server.stop())
    }
}

impl Side {
    fn single(&self, mix: Mix, choice: Choice, generation: u32) -> Single {
        Single {
            target: self.target.clone(),
            mix,
            choice,
            keys: 0..self.target.contents.count(),
            generation,
        }
    }

    fn every_key(&self, mix: Mix) -> Result<()> {
        let single = self.single(mix, Choice::InOrder(Arc::default()), 0);
        let extra = PER_KEY * self.target.contents.count();
        self.explain(to_the_end(single, Drive::closed(FILL, THREADS), extra))
    }

    pub(super) fn measure(
        &self,
        case: &Case,
        generation: u32,
        length: Duration,
    ) -> Result<Figures> {
        let mut figures = match case.ask {
            Ask::Single { mix, zipf } => {
                let choice = if zipf {
                    Choice::Zipf(Arc::clone(&self.zipf))
                } else {
                    Choice::Uniform
                };
                self.run(self.single(mix, choice, generation), case.shape, length)?
            }
            Ask::Stream {
                writes,
                batch,
                message,
            } => {
                let batches = Batches {
                    target: self.target.clone(),
                    writes,
                    batch,
                    message,
                    keys: 0..self.target.contents.count(),
                    generation,
                };
                self.run(batches, case.shape, length)?
            }
        };
        // The driver counts its calls.
        let operations = f64::from(case.ask.operations());
        figures.ops_per_second *= operations;
        figures.server_us /= operations;
        figures.client_us /= operations;
        Ok(figures)
    }

    fn run<W: Work>(&self, work: W, shape: Shape, length: Duration) -> Result<Figures> {
        let window = Window::after(length / 4, length);
        let drive = Drive::closed(shape, THREADS);
        let measured = driver::measured(work, drive, self.server.pid(), window);
        let measured = self.explain(measured)?;
        if measured.ops == 0 {
            return Err(self.server.failure("answered nothing in the measured time"));
        }
        Ok(Figures::of(&measured))
    }

    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&error.to_string()))
    }
}
