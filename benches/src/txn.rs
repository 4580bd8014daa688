//! `kvbench txn`: transactions of sets, beside etcd's Txn and Redis' MULTI/EXEC, where
//! acknowledged means on stable storage.

mod subject;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::{Server, say};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, Window, to_the_end};
use crate::interrupt;
use crate::origin::Origin;
use crate::peers::{Peer, version};
use crate::report::{Figures, median};
use crate::setup::{Report, SetupArgs, seconds};
use crate::shapes::Shape;
use subject::{Kind, Reads, Sets, Subject};

const SIZES: [u32; 3] = [1, 4, 16];
const SHAPES: [Shape; 2] = [Shape::new(50, 1), Shape::new(4, 64)];
/// How all keys are written first, and read back at the end.
const FILL: Shape = Shape::new(4, 16);
const FILL_SIZE: u32 = 100;
/// How long that may take for each key.
const PER_KEY: Duration = Duration::from_millis(2);
const THREADS: usize = 2;

#[derive(Args, Clone, Debug)]
pub(crate) struct TxnArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// Runs of each server per row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Leave the others out.
    #[arg(long)]
    only_kvd: bool,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// A server with what it must hold.
struct Side {
    server: Server,
    subject: Subject,
}

struct Bench {
    args: TxnArgs,
    /// kvd is the last.
    sides: Vec<Side>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: TxnArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let mut report = Report::default();
    let contents = Arc::new(Contents::new(args.keys, 16, 64)?);
    let side = |server: Server, kind| Side {
        subject: Subject {
            kind,
            address: server.address(),
            contents: Arc::clone(&contents),
            truth: Arc::new(Truth::new(args.keys)),
        },
        server,
    };
    let (mut sides, mut versions) = (Vec::new(), String::new());
    for (peer, kind) in [(Peer::Redis, Kind::Redis), (Peer::Etcd, Kind::Etcd)] {
        if let Some(program) = (!args.only_kvd).then(|| report.find(peer)).flatten() {
            sides.push(side(peer.start(&program, &launcher)?, kind));
            let _ = writeln!(versions, "- {}", version(&program));
        }
    }
    sides.push(side(launcher.kvd("always")?, Kind::Kvd));
    report.page = format!(
        "# Transactions\n\n{origin}{versions}\
         - kvd --sync always, SYNCED; etcd as it is; Redis with appendfsync always: what is \
         acknowledged is on stable storage\n\
         - {} keys of 16 bytes, values of 64; every reply is checked, and every key is read \
         back at the end\n\
         - medians of {} runs of {} s in turn; closed loop\n\n",
        args.keys,
        args.pairs,
        args.seconds.as_secs_f64(),
    );
    let bench = Bench { args, sides };
    bench.fill()?;
    report.page.push_str(&bench.rows()?);
    bench.read_back()?;
    for side in bench.sides {
        side.server.stop()?;
    }
    Ok(report)
}

impl Side {
    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&error.to_string()))
    }
}

impl Bench {
    fn extra(&self) -> Duration {
        PER_KEY * self.args.keys
    }

    fn fill(&self) -> Result<()> {
        for side in &self.sides {
            say(&format!("filling {}", side.server.name()));
            let sets = Sets {
                subject: side.subject.clone(),
                size: FILL_SIZE,
                generation: 0,
                in_order: Some(AtomicU32::new(0)),
            };
            side.explain(to_the_end(sets, Drive::closed(FILL, THREADS), self.extra()))?;
        }
        Ok(())
    }

    fn read_back(&self) -> Result<()> {
        for side in &self.sides {
            say(&format!("reading back {}", side.server.name()));
            let reads = Reads {
                subject: side.subject.clone(),
                next: AtomicU32::new(0),
            };
            side.explain(to_the_end(
                reads,
                Drive::closed(FILL, THREADS),
                self.extra(),
            ))?;
        }
        Ok(())
    }

    fn rows(&self) -> Result<String> {
        let mut text = String::from(
            "| sets | shape | server | transactions/s | p50 µs | p99 µs | server CPU µs each | \
             kvd's rate over it | its CPU over kvd's | other cores |\n\
             | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        let mut generation = 0;
        for size in SIZES {
            for shape in SHAPES {
                let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); self.sides.len()];
                for _ in 0..self.args.pairs {
                    generation += 1;
                    for (side, runs) in self.sides.iter().zip(&mut runs) {
                        interrupt::check()?;
                        let figures = self.measure(side, size, shape, generation)?;
                        let kind = side.subject.kind;
                        say(&format!(
                            "  {size} sets, {shape}, {kind}: {:.0}/s, {:.1} µs of CPU",
                            figures.ops_per_second, figures.server_us
                        ));
                        runs.push(figures);
                    }
                }
                for (side, own) in self.sides.iter().zip(&runs) {
                    let kvd = runs.last().map_or(&[][..], Vec::as_slice);
                    text.push_str(&row(size, shape, side.subject.kind, own, kvd));
                }
            }
        }
        Ok(text)
    }

    fn measure(&self, side: &Side, size: u32, shape: Shape, generation: u32) -> Result<Figures> {
        let sets = Sets {
            subject: side.subject.clone(),
            size,
            generation,
            in_order: None,
        };
        let window = Window::after(self.args.seconds / 5, self.args.seconds);
        let drive = Drive::closed(shape, THREADS);
        let measured = driver::measured(sets, drive, side.server.pid(), window);
        Ok(Figures::of(&side.explain(measured)?))
    }
}

fn row(size: u32, shape: Shape, kind: Kind, own: &[Figures], kvd: &[Figures]) -> String {
    let of = |figure: &dyn Fn(&Figures) -> f64| median(own.iter().map(figure).collect());
    let pairs = |ratio: &dyn Fn(&Figures, &Figures) -> f64| {
        median(
            own.iter()
                .zip(kvd)
                .map(|(own, kvd)| ratio(own, kvd))
                .collect(),
        )
    };
    format!(
        "| {size} | {shape} | {kind} | {:.0} | {:.0} | {:.0} | {:.1} | **{:.2}** | **{:.2}** | {:.2} |\n",
        of(&|f| f.ops_per_second),
        of(&|f| f.latency_us[0]),
        of(&|f| f.latency_us[1]),
        of(&|f| f.server_us),
        pairs(&|own, kvd| kvd.ops_per_second / own.ops_per_second),
        pairs(&|own, kvd| own.server_us / kvd.server_us),
        own.iter().map(|f| f.other_cores).fold(0.0, f64::max),
    )
}
