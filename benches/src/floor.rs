//! `kvbench floor`: kvd and the floor in turn, row by row.
//!
//! Each row has fresh servers with the same keys, so that no row works on what
//! another left behind and the log stays small. Both servers live through the row and
//! are asked alternately; the one that waits costs nothing.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::Result;
use crate::child::{Launcher, Server, say};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, Window};
use crate::interrupt;
use crate::load::{Load, every_key};
use crate::origin::Origin;
use crate::report::{Figures, Outcome, Pair, Setting, markdown};
use crate::setup::{Report, SetupArgs, seconds};
use crate::shapes::{Call, Row, Shape, rows};

/// Connections and calls in flight for filling and reading back.
const FILL: Shape = Shape::new(4, 64);

#[derive(Args, Clone, Debug)]
pub(crate) struct FloorArgs {
    /// Runs of each server per row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Seconds of load before the measured ones.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm: Duration,
    /// Which calls; may be given more than once [default: all].
    #[arg(long, value_enum)]
    call: Vec<Call>,
    /// Which load, as CONNECTIONSxIN_FLIGHT; may be given more than once
    /// [default: 4x64, 50x1 and 1x1].
    #[arg(long)]
    shape: Vec<Shape>,
    /// Number of keys, asked for uniformly.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Bytes of a key.
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// Threads of the load driver.
    #[arg(long, default_value_t = 2, value_parser = some())]
    threads: usize,
    /// Threads that serve connections, in both servers [default: one per core].
    #[arg(long, value_parser = some())]
    runtimes: Option<usize>,
    /// Measure the floor against itself instead of kvd: what is left is noise.
    #[arg(long)]
    against_itself: bool,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// A number of threads.
fn some() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=256)
}

/// What the runs of one command have in common.
struct Bench {
    args: FloorArgs,
    launcher: Launcher,
    contents: Arc<Contents>,
}

/// Measures, and returns the report and what was missed.
pub(crate) fn run(args: FloorArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let mut launcher = args.setup.launcher(&origin, args.against_itself)?;
    launcher.runtimes = args.runtimes.unwrap_or(origin.cores);
    let setting = Setting {
        origin,
        runtimes: launcher.runtimes,
        threads: args.threads,
        keys: args.keys,
        key_bytes: args.key_bytes,
        value_bytes: args.value_bytes,
        seconds: args.seconds.as_secs_f64(),
        warm: args.warm.as_secs_f64(),
        subject: if args.against_itself { "itself" } else { "kvd" },
    };
    let contents = Arc::new(Contents::new(args.keys, args.key_bytes, args.value_bytes)?);
    let bench = Bench {
        args,
        launcher,
        contents,
    };
    let outcomes = bench.rows().into_iter().map(|row| bench.row(row));
    let outcomes: Vec<Outcome> = outcomes.collect::<Result<_>>()?;
    let misses = outcomes.iter().flat_map(Outcome::misses).collect();
    Ok(Report {
        page: markdown(&setting, &outcomes),
        misses,
        ..Report::default()
    })
}

impl Bench {
    fn rows(&self) -> Vec<Row> {
        let or_all = |given: &[Call]| match given {
            [] => Call::ALL.to_vec(),
            given => given.to_vec(),
        };
        let or_standard = |given: &[Shape]| match given {
            [] => Shape::STANDARD.to_vec(),
            given => given.to_vec(),
        };
        rows(&or_all(&self.args.call), &or_standard(&self.args.shape))
    }

    fn row(&self, row: Row) -> Result<Outcome> {
        say(&format!("{row}"));
        let mut floor = self.fill(self.launcher.floor()?)?;
        let mut kvd = self.fill(if self.args.against_itself {
            self.launcher.floor()?
        } else {
            self.launcher.kvd(row.policy)?
        })?;
        let mut pairs = Vec::new();
        for number in 1..=self.args.pairs {
            let pair = Pair {
                floor: floor.measure(self, row, number)?,
                kvd: kvd.measure(self, row, number)?,
            };
            let ratio = pair.kvd.ops_per_second / pair.floor.ops_per_second;
            say(&format!(
                "  pair {number}: floor {:.0}/s, {:.2} µs; kvd {:.0}/s, {:.2} µs; ratio {ratio:.3}",
                pair.floor.ops_per_second,
                pair.floor.server_us,
                pair.kvd.ops_per_second,
                pair.kvd.server_us,
            ));
            pairs.push(pair);
        }
        for subject in [floor, kvd] {
            subject.read_back(self)?;
            subject.server.stop()?;
        }
        Ok(Outcome { row, pairs })
    }

    /// Writes every key once.
    fn fill(&self, server: Server) -> Result<Subject> {
        let truth = Arc::new(Truth::new(self.args.keys));
        let subject = Subject { server, truth };
        let filled = every_key(&self.load(&subject, Call::SetNone, 0), self.drive(FILL))
            .and_then(|()| driver::settle(subject.server.address()));
        subject.explain("could not be filled", filled)?;
        Ok(subject)
    }

    fn drive(&self, shape: Shape) -> Drive {
        Drive::closed(shape, self.args.threads)
    }

    fn load(&self, subject: &Subject, call: Call, generation: u32) -> Load {
        Load {
            address: subject.server.address(),
            call,
            generation,
            contents: Arc::clone(&self.contents),
            keys: 0..self.args.keys,
            truth: Arc::clone(&subject.truth),
        }
    }
}

/// A server, and what it must hold.
struct Subject {
    server: Server,
    truth: Arc<Truth>,
}

impl Subject {
    fn measure(&mut self, bench: &Bench, row: Row, number: u32) -> Result<Figures> {
        interrupt::check()?;
        let load = bench.load(self, row.call, number);
        let window = Window::after(bench.args.warm, bench.args.seconds);
        let measured = driver::measured(load, bench.drive(row.shape), self.server.pid(), window);
        let measured = self.explain("failed under load", measured)?;
        if measured.ops == 0 {
            return Err(self.server.failure("answered nothing in the measured time"));
        }
        Ok(Figures::of(&measured))
    }

    /// Reads every key and compares it with what was acknowledged last.
    fn read_back(&self, bench: &Bench) -> Result<()> {
        let read = every_key(&bench.load(self, Call::Get, 0), bench.drive(FILL));
        self.explain("does not hold what it acknowledged", read)
    }

    fn explain<T>(&self, what: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&format!("{what}: {error}")))
    }
}
