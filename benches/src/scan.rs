//! `kvbench scan`: pages of a prefix beside etcd's Range, and scans of all keys.

mod pages;
mod whole;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::{Server, say};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, Window};
use crate::fill;
use crate::interrupt;
use crate::load::Load;
use crate::origin::Origin;
use crate::peers::{Peer, version};
use crate::report::{Figures, median};
use crate::setup::{Report, SetupArgs, seconds};
use crate::shapes::{Call, Shape};
use pages::{Ask, PER_PREFIX, Pages, fill_etcd};
use whole::{Taken, Whole};

/// Keys behind the scanned ones, which the writers change.
const OTHERS: u32 = 10_000;
/// SETs per second beside a scan, and what they run on.
const RATE: u32 = 2_000;
const SETS: Shape = Shape::new(2, 32);
/// A latency, and a rate.
const SHAPES: [Shape; 2] = [Shape::new(1, 1), Shape::new(4, 16)];
/// How much memory may grow while all keys are scanned.
const GROWTH: u64 = 64 << 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct ScanArgs {
    /// Number of keys, in prefixes of 100.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// Runs of each server per row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Leave etcd out.
    #[arg(long)]
    only_kvd: bool,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

struct Bench {
    args: ScanArgs,
    keys: u32,
    contents: Arc<Contents>,
    kvd: Server,
    etcd: Option<Server>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: ScanArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let mut report = Report::default();
    let etcd = if args.only_kvd {
        None
    } else {
        report.find(Peer::Etcd)
    };
    let launcher = args.setup.launcher(&origin, false)?;
    let keys = args.keys / PER_PREFIX * PER_PREFIX;
    let version = etcd.as_deref().map(version);
    let started = etcd.map(|program| Peer::Etcd.start(&program, &launcher));
    let bench = Bench {
        keys,
        contents: Arc::new(Contents::new(keys + OTHERS, 16, 64)?),
        kvd: launcher.kvd("always")?,
        etcd: started.transpose()?,
        args,
    };
    report.page = format!(
        "# Scans\n\n{origin}\
         - {keys} keys of 16 bytes in prefixes of {PER_PREFIX}, values of 64; every record read \
         is checked\n\
         - kvd --sync always, at its default level; {}\n\
         - medians of {} runs of {} s in turn\n\n",
        version.unwrap_or_else(|| "no etcd".into()),
        bench.args.pairs,
        bench.args.seconds.as_secs_f64(),
    );
    let measured = bench.all(&mut report);
    measured.map_err(|error| bench.kvd.failure(&error.to_string()))?;
    bench.kvd.stop()?;
    bench.etcd.map_or(Ok(()), Server::stop)?;
    Ok(report)
}

impl Bench {
    fn all(&self, report: &mut Report) -> Result<()> {
        say("filling");
        let all = 0..self.keys + OTHERS;
        fill::pipeline(
            self.kvd.address(),
            &self.contents,
            all,
            None,
            &AtomicU32::new(0),
        )?;
        if let Some(etcd) = &self.etcd {
            let filled = fill_etcd(etcd.address(), &self.contents, self.keys);
            filled.map_err(|error| etcd.failure(&error.to_string()))?;
        }
        let text = self.pages()?;
        report.page.push_str(&text);
        let whole = Whole {
            address: self.kvd.address(),
            contents: Arc::clone(&self.contents),
            keys: self.keys,
        };
        let taken = (0..self.args.pairs).map(|_| whole.once(&self.kvd));
        let taken: Vec<Taken> = taken.collect::<Result<_>>()?;
        report.page.push_str(&whole_text(self.keys, &taken));
        for [before, peak, _] in taken.iter().map(|taken| taken.resident) {
            if peak > before + GROWTH {
                let grown = (peak - before) >> 20;
                report
                    .misses
                    .push(format!("a scan of all keys took {grown} MiB of memory"));
            }
        }
        let text = self.beside(&whole)?;
        report.page.push_str(&text);
        Ok(())
    }

    /// Pages of a prefix, row by row.
    fn pages(&self) -> Result<String> {
        let mut text = format!(
            "## One page: all {PER_PREFIX} keys of a prefix\n\n\
             | shape | server | pages/s | p50 µs | p99 µs | server CPU µs per page | per key | \
             pages/s over etcd | CPU over etcd | other cores |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        );
        let rows: &[(&str, Ask)] = match &self.etcd {
            Some(_) => &[
                ("etcd Range", Ask::Etcd),
                ("etcd Range, serializable", Ask::EtcdSerializable),
                ("kvd Scan", Ask::Kvd),
            ],
            None => &[("kvd Scan", Ask::Kvd)],
        };
        for shape in SHAPES {
            let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); rows.len()];
            for _ in 0..self.args.pairs {
                for (runs, &(name, ask)) in runs.iter_mut().zip(rows) {
                    interrupt::check()?;
                    let figures = self.run_of(ask, shape)?;
                    say(&format!("  {shape} {name}: {figures:.1?}"));
                    runs.push(figures);
                }
            }
            for (row, &(name, _)) in rows.iter().enumerate() {
                let of = |figure: &dyn Fn(&Figures) -> f64| {
                    median(runs[row].iter().map(figure).collect())
                };
                let over = |figure: &dyn Fn(&Figures) -> f64| {
                    let pairs = runs[row].iter().zip(&runs[0]);
                    median(pairs.map(|(a, b)| figure(a) / figure(b)).collect())
                };
                let cpu = of(&|f| f.server_us);
                let others = runs[row].iter().map(|f| f.other_cores).fold(0.0, f64::max);
                let _ = writeln!(
                    text,
                    "| {shape} | {name} | {:.0} | {:.0} | {:.0} | {cpu:.1} | {:.3} | **{:.2}** | \
                     **{:.3}** | {others:.2} |",
                    of(&|f| f.ops_per_second),
                    of(&|f| f.latency_us[0]),
                    of(&|f| f.latency_us[1]),
                    cpu / f64::from(PER_PREFIX),
                    over(&|f| f.ops_per_second),
                    over(&|f| f.server_us),
                );
            }
        }
        text.push('\n');
        Ok(text)
    }

    fn run_of(&self, ask: Ask, shape: Shape) -> Result<Figures> {
        let etcd = self.etcd.as_ref().unwrap_or(&self.kvd);
        let server = if ask == Ask::Kvd { &self.kvd } else { etcd };
        let pages = Pages {
            address: server.address(),
            ask,
            contents: Arc::clone(&self.contents),
            keys: self.keys,
        };
        let measured = driver::measured(
            pages,
            Drive::closed(shape, 2),
            server.pid(),
            Window::after(self.args.seconds / 5, self.args.seconds),
        );
        let measured = measured.map_err(|error| server.failure(&error.to_string()))?;
        Ok(Figures::of(&measured))
    }

    /// SETs at a fixed rate with and without scans of all keys, in turn.
    fn beside(&self, whole: &Whole) -> Result<String> {
        let mut text = format!(
            "## Beside writers: SET SYNCED, open loop at {RATE}/s\n\n\
             | run | alone p50 µs | p99 µs | with scans p50 µs | p99 µs | p99 ratio | scans |\n\
             | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        );
        let mut ratios = Vec::new();
        for run in 1..=self.args.pairs {
            interrupt::check()?;
            let window = Window::after(self.args.seconds / 5, self.args.seconds);
            let alone = self.sets(2 * run, window)?;
            let window = Window::after(self.args.seconds / 5, self.args.seconds);
            let pid = self.kvd.pid();
            let drive = Drive::closed(Shape::new(1, 1), 1);
            let (with, scans) = thread::scope(|scope| {
                let scans = scope.spawn(|| driver::measured(whole.clone(), drive, pid, window));
                (self.sets(2 * run + 1, window), scans.join())
            });
            let (with, scans) = (with?, scans.map_err(|_| "a load thread panicked")??);
            let ratio = with.latency_us[1] / alone.latency_us[1];
            let [a, b, _] = alone.latency_us;
            let [c, d, _] = with.latency_us;
            let _ = writeln!(
                text,
                "| {run} | {a:.0} | {b:.0} | {c:.0} | {d:.0} | {ratio:.2} | {} |",
                scans.ops
            );
            say(&format!("  SET p99 alone {b:.0} µs, with scans {d:.0} µs"));
            ratios.push(ratio);
        }
        let _ = writeln!(text, "\nMedian ratio: **{:.2}**.", median(ratios));
        Ok(text)
    }

    fn sets(&self, generation: u32, window: Window) -> Result<Figures> {
        let sets = Load {
            address: self.kvd.address(),
            call: Call::SetSynced,
            generation,
            contents: Arc::clone(&self.contents),
            keys: self.keys..self.keys + OTHERS,
            truth: Arc::new(Truth::new(self.keys + OTHERS)),
        };
        let drive = Drive {
            rate: Some(RATE),
            ..Drive::closed(SETS, 1)
        };
        let measured = driver::measured(sets, drive, self.kvd.pid(), window)?;
        Ok(Figures::of(&measured))
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
fn whole_text(keys: u32, taken: &[Taken]) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = String::from(
        "## All keys in one scan\n\n\
         | run | s | keys/s | server CPU µs per key | resident before, at most, after, MiB |\n\
         | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (run, taken) in (1..).zip(taken) {
        let seconds = taken.elapsed.as_secs_f64();
        let [before, peak, after] = taken.resident.map(mib);
        let _ = writeln!(
            text,
            "| {run} | {seconds:.2} | {:.0} | {:.2} | {before:.0}, {peak:.0}, {after:.0} |",
            f64::from(keys) / seconds,
            taken.server_cpu.as_secs_f64() * 1e6 / f64::from(keys),
        );
    }
    text.push('\n');
    text
}
