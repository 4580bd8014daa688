//! `kvbench floor`: kvd and the floor in turn, row by row.
//!
//! Each row has fresh servers with the same keys, so that no row works on what
//! another left behind and the log stays small. Both servers live through the row and
//! are asked alternately; the one that waits costs nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::Result;
use crate::child::{self, Launcher, Server, kvd_binary, say};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Load};
use crate::interrupt;
use crate::report::{Figures, Outcome, Pair, Setting, markdown};
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
    /// The kvd to measure [default: the one beside this program, built if need be].
    #[arg(long, value_name = "FILE")]
    kvd: Option<PathBuf>,
    /// Where kvd's data directories are made and removed; must be on a disk
    /// [default: kvbench, beside the directory of this program].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Also write the report here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 1 if a target is missed.
    #[arg(long)]
    pub(crate) check: bool,
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let number = text.parse().ok().filter(|n| (0.01..=3600.0).contains(n));
    let number = number.ok_or("expected a number of seconds from 0.01 to 3600")?;
    Ok(Duration::from_secs_f64(number))
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
pub(crate) fn run(args: FloorArgs) -> Result<(String, Vec<String>)> {
    let exe = std::env::current_exe()?;
    let profile_dir = exe.parent().ok_or("this program has no directory")?;
    let profile = profile_dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let cores = thread::available_parallelism()?.get();
    let launcher = Launcher {
        kvd: if args.against_itself {
            exe.clone()
        } else {
            kvd_binary(args.kvd.clone(), &profile)?
        },
        data_root: args
            .data_root
            .clone()
            .unwrap_or_else(|| profile_dir.with_file_name("kvbench")),
        runtimes: args.runtimes.unwrap_or(cores),
    };
    let setting = Setting {
        command: command(&profile),
        commit: commit(),
        profile: profile.into_owned(),
        cores,
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
    Ok((markdown(&setting, &outcomes), misses))
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
        let filled = driver::every_key(&self.load(&subject, Call::SetNone, FILL, 0))
            .and_then(|()| driver::settle(subject.server.address()));
        subject.explain("could not be filled", filled)?;
        Ok(subject)
    }

    fn load(&self, subject: &Subject, call: Call, shape: Shape, generation: u32) -> Load {
        Load {
            address: subject.server.address(),
            call,
            shape,
            generation,
            contents: Arc::clone(&self.contents),
            truth: Arc::clone(&subject.truth),
            threads: self.args.threads,
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
        let load = bench.load(self, row.call, row.shape, number);
        let (warm, length) = (bench.args.warm, bench.args.seconds);
        let measured = driver::measured(&load, self.server.pid(), warm, length);
        let measured = self.explain("failed under load", measured)?;
        if measured.ops == 0 {
            return Err(self.server.failure("answered nothing in the measured time"));
        }
        Ok(Figures::of(&measured))
    }

    /// Reads every key and compares it with what was acknowledged last.
    fn read_back(&self, bench: &Bench) -> Result<()> {
        let read = driver::every_key(&bench.load(self, Call::Get, FILL, 0));
        self.explain("does not hold what it acknowledged", read)
    }

    fn explain<T>(&self, what: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&format!("{what}: {error}")))
    }
}

/// The command, as it can be typed again.
fn command(profile: &str) -> String {
    let args = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!(
        "cargo run --profile {} -p kvbench -- {args}",
        child::cargo_profile(profile)
    )
}

/// The commit that the source is at, and whether it was changed since.
fn commit() -> String {
    let describe = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match describe {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
