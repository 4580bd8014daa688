//! `kvbench expiry`: very many keys that end at the same moment.
//!
//! Rounds with such keys and rounds with keys that stay take turns, each with a fresh
//! daemon. All the while, writers change other keys and readers read the keys that are
//! to end; every reply is held against the reader's own clock.

mod readers;
mod round;

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::say;
use crate::interrupt;
use crate::origin::Origin;
use crate::report::median;
use crate::setup::{Report, SetupArgs};
use round::{Plan, Round};

/// How soon after the deadline the memory has to be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
pub(crate) struct ExpiryArgs {
    /// Number of keys that end together.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Seconds from the first write to the deadline [default: 6, and 15 per million keys].
    #[arg(long, value_parser = clap::value_parser!(u64).range(5..=3600))]
    lead: Option<u64>,
    /// SETs per second of the open loop.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// GETs per second of the readers.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    read_rate: u32,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// Measures, and returns the report and what was violated.
pub(crate) fn run(args: &ExpiryArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let lead = args
        .lead
        .unwrap_or(6 + u64::from(args.keys) * 15 / 1_000_000);
    let plan = Plan::new(
        args.keys,
        Duration::from_secs(lead),
        args.rate,
        args.read_rate,
    )?;
    let mut pairs = Vec::new();
    for number in 1..=args.pairs {
        interrupt::check()?;
        let ends = plan.round(&launcher, true)?;
        say(&format!("  round {number}, keys end: {ends}"));
        interrupt::check()?;
        let stays = plan.round(&launcher, false)?;
        say(&format!("  round {number}, keys stay: {stays}"));
        pairs.push((ends, stays));
    }
    let violations = pairs.iter().flat_map(|(ends, stays)| {
        let late = (ends.back_ms > BACK_WITHIN.as_secs_f64() * 1e3).then(|| {
            format!(
                "memory_bytes was back {:.0} ms after the deadline",
                ends.back_ms
            )
        });
        let read = [ends, stays].map(|round| round.violations.clone());
        late.into_iter().chain(read.into_iter().flatten())
    });
    let misses = violations.collect();
    let mut page = format!(
        "# {} keys end at once\n\n{origin}\
         - --sync always; keys of 16 bytes, values of 64, filled through Pipeline with one `at_ms`\n\
         - SET SYNCED on {} other keys: open loop at {}/s and a closed loop of 4x1; GETs of \
         random keys that are to end: {}/s, each held against the reader's clock\n\
         - latencies of the SETs from 0.5 s before the deadline to 2 s after it; the same \
         without an end in turn\n\n",
        args.keys,
        round::OTHERS,
        args.rate,
        args.read_rate,
    );
    page.push_str(&summary(&pairs));
    page.push_str(&details(&pairs));
    Ok(Report {
        page,
        misses,
        ..Report::default()
    })
}

type Pairs = [(Round, Round)];

fn summary(pairs: &Pairs) -> String {
    let of = |figure: &dyn Fn(&(Round, Round)) -> f64| median(pairs.iter().map(figure).collect());
    let reads: u64 = pairs.iter().map(|(ends, _)| ends.reads.0).sum();
    let late: u64 = pairs.iter().map(|(ends, _)| ends.reads.1).sum();
    let wrong: usize = pairs.iter().map(|(ends, _)| ends.violations.len()).sum();
    let ratio = |which: fn(&Round) -> f64| of(&|(ends, stays)| which(ends) / which(stays));
    let mib = |which: fn(&Round) -> f64| of(&|(ends, _)| which(ends));
    format!(
        "| | |\n| --- | ---: |\n\
         | reads answered before the deadline, all found | {reads} |\n\
         | reads sent after it, none found | {late} |\n\
         | violations | {wrong} |\n\
         | memory_bytes back at its baseline after the deadline, median | {:.0} ms |\n\
         | the same, longest | {:.0} ms |\n\
         | SET p99, open loop, over the same without an end | **{:.2}** |\n\
         | SET p99, closed loop, over the same without an end | **{:.2}** |\n\
         | resident before, full, 2 s and 14 s after the deadline | {:.0}, {:.0}, {:.0}, {:.0} MiB |\n\n",
        of(&|(ends, _)| ends.back_ms),
        pairs
            .iter()
            .map(|(ends, _)| ends.back_ms)
            .fold(0.0, f64::max),
        ratio(|round| round.open.latency_us[1]),
        ratio(|round| round.closed.latency_us[1]),
        mib(|round| round.resident_mib[0]),
        mib(|round| round.resident_mib[1]),
        mib(|round| round.resident_mib[2]),
        mib(|round| round.resident_mib[3]),
    )
}

fn details(pairs: &Pairs) -> String {
    let mut text = String::from(
        "| round | keys | filled in s | back after ms | open p50 µs | p99 µs | p99.9 µs | \
         closed SETs/s | p50 µs | p99 µs | p99.9 µs | other cores |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (number, (ends, stays)) in (1..).zip(pairs) {
        for (what, round) in [("end", ends), ("stay", stays)] {
            let latencies = [round.open, round.closed].map(|load| {
                let [p50, p99, p999] = load.latency_us;
                format!("{p50:.0} | {p99:.0} | {p999:.0}")
            });
            let [open, closed] = latencies;
            let back = if what == "end" {
                format!("{:.0}", round.back_ms)
            } else {
                String::from("-")
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {number} | {what} | {:.1} | {back} | {open} | {:.0} | {closed} | {:.2} |",
                round.filled.as_secs_f64(),
                round.closed.ops_per_second,
                round.closed.other_cores,
            );
        }
    }
    text
}
