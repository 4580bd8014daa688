//! `kvbench metrics`: what the metrics cost those who read and write.
//!
//! Three daemons run from the start and are asked in turn: two that show no metrics, whose
//! difference is what the measurement itself does not hold still, and one whose metrics
//! are read every second while it is asked. Whether anybody reads them or not, every call
//! is counted: that cannot be switched off, so it is measured by itself.

mod counting;
mod side;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::say;
use crate::contents::Contents;
use crate::interrupt;
use crate::origin::Origin;
use crate::report::{Figures, median};
use crate::results::{Column, Results, Row, Table, Wanted};
use crate::setup::{Report, SetupArgs, seconds};
use crate::shapes::Shape;
use counting::Counting;
use side::{Ask, BATCH, Case, Scrape, Side, Who};

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 64;
/// The most that an operation may cost more, in percent.
const MOST: f64 = 2.0;

const CASES: [Case; 5] = [
    Case::new("GET, 4x64", Ask::Get, Shape::new(4, 64)),
    Case::new("GET, 50x1", Ask::Get, Shape::new(50, 1)),
    Case::new("SET, 4x64", Ask::Set, Shape::new(4, 64)),
    Case::new("Pipeline, GET", Ask::StreamOfGets, Shape::new(4, 1)),
    Case::new("Pipeline, SET", Ask::StreamOfSets, Shape::new(4, 1)),
];

#[derive(Args, Clone, Debug)]
pub(crate) struct MetricsArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// Turns of the daemons in each shape.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measured seconds of each turn.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// The turns of one shape, each with the figures of all daemons in the order of
/// [`Who::ALL`].
struct Line {
    case: Case,
    turns: Vec<[Figures; Who::ALL.len()]>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &MetricsArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let contents = Arc::new(Contents::new(args.keys, KEY_BYTES, VALUE_BYTES)?);
    let sides = Who::ALL.map(|who| Side::start(&launcher, &contents, who));
    let sides = sides.into_iter().collect::<Result<Vec<Side>>>()?;
    for side in &sides {
        side.fill()?;
    }
    let mut lines = Vec::new();
    let mut generation = 0;
    for case in CASES {
        let mut turns = Vec::new();
        for _ in 0..args.rounds {
            generation += 1;
            turns.push(turn(&sides, &case, generation, args.seconds)?);
        }
        lines.push(Line { case, turns });
    }
    say("reading back");
    for side in &sides {
        side.read_back()?;
    }
    let scrape = sides[Who::Read as usize].scrape_cost()?;
    let counting = Counting::measure()?;
    for side in sides {
        side.stop()?;
    }
    let mut results = Results::new("metrics", "What metrics cost", &origin);
    notes(&mut results, args, &scrape, &counting);
    for line in &lines {
        goals(&mut results, line, &counting);
    }
    results.tables.push(table(&lines));
    Ok(results.into_report(Report::default()))
}

/// Every daemon once; who begins changes from turn to turn.
fn turn(
    sides: &[Side],
    case: &Case,
    generation: u32,
    length: Duration,
) -> Result<[Figures; Who::ALL.len()]> {
    let mut turn = [None; Who::ALL.len()];
    for at in 0..sides.len() {
        interrupt::check()?;
        let at = (at + generation as usize) % sides.len();
        let figures = sides[at].measure(case, generation, length)?;
        say(&format!(
            "  {}, {}: {:.0}/s, {:.3} µs of CPU",
            case.name, sides[at].who, figures.ops_per_second, figures.server_us
        ));
        turn[at] = Some(figures);
    }
    let [Some(silent), Some(again), Some(read)] = turn else {
        return Err("a daemon had no turn".into());
    };
    Ok([silent, again, read])
}

/// How much more `own` costs than `other`, in percent.
fn more(own: f64, other: f64) -> f64 {
    (own / other - 1.0) * 100.0
}

fn notes(results: &mut Results, args: &MetricsArgs, scrape: &Scrape, counting: &Counting) {
    results.note(format!(
        "{} keys of {KEY_BYTES} bytes, values of {VALUE_BYTES}, uniform; kvd --sync interval:1s, LOGGED; a pipeline has \
         {BATCH} operations to a message, one message unanswered on each of four connections; turns of {} s; every reply \
         is checked, and every key read back at the end",
        args.keys,
        args.seconds.as_secs_f64(),
    ));
    results.note(
        "percent: of CPU time of the server for each operation; those who show none are two daemons, and the second \
         against the first is what this measurement cannot tell from nothing; the one that is read is held against \
         the mean of both",
    );
    results.note(format!(
        "one reading at rest after all that: {:.2} ms of the daemon's CPU for {:.1} KiB, so once a second is {:.3} % of \
         a core, whatever else is done",
        scrape.cpu_ms,
        scrape.kib,
        scrape.cpu_ms / 10.0,
    ));
    results.note(format!(
        "counting cannot be switched off and is in all figures; by itself, in one thread with warm caches, an operation \
         takes {:.1} ns, an addition {:.1} ns, a look at the clock {:.1} ns; a call counts itself, adds twice and looks \
         twice, the {BATCH} operations of a message of a pipeline, of one kind here, are counted once and share two looks; with \
         caches that the rest of the work has emptied it is more",
        counting.count, counting.add, counting.clock,
    ));
}

fn goals(results: &mut Results, line: &Line, counting: &Counting) {
    let name = line.case.name;
    let turns = line.turns.iter();
    let read = turns.clone().map(|[silent, again, read]| {
        let without = f64::midpoint(silent.server_us, again.server_us);
        more(read.server_us, without)
    });
    let noise = turns
        .clone()
        .map(|[silent, again, _]| more(again.server_us, silent.server_us));
    let counted_ns = if line.case.is_stream() {
        counting.operation_ns(BATCH)
    } else {
        counting.call_ns()
    };
    let share = turns.map(|[silent, ..]| counted_ns / (silent.server_us * 10.0));
    let what = format!("{name}: % more with metrics read every second");
    results.goal(what, read.collect(), Some(Wanted::AtMost(MOST)));
    let what = format!("{name}: % more of the second daemon that shows none");
    results.goal(what, noise.collect(), None);
    let share = median(share.collect());
    results.goal(format!("{name}: % that is counting"), vec![share], None);
}

fn table(lines: &[Line]) -> Table {
    let mut rows = Vec::new();
    for line in lines {
        for who in Who::ALL {
            let of = |figure: fn(&Figures) -> f64| {
                let turns = line.turns.iter();
                turns.map(|turn| figure(&turn[who as usize])).collect()
            };
            rows.push(Row {
                group: line.case.name.to_owned(),
                subject: who.to_string(),
                cells: vec![
                    of(|figures| figures.server_us),
                    of(|figures| figures.ops_per_second),
                    of(|figures| figures.latency_us[1]),
                    of(|figures| figures.other_cores),
                ],
            });
        }
    }
    Table {
        name: "metrics".into(),
        title: "With and without somebody who reads the metrics".into(),
        groups: "shape".into(),
        columns: vec![
            Column::new("CPU µs each", 3),
            Column::new("operations/s", 0),
            Column::new("p99 µs", 0),
            Column::new("other cores", 2),
        ],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_is_told_in_percent_and_judged() {
        let figures = |server_us| Figures {
            ops_per_second: 1.0,
            server_us,
            client_us: 1.0,
            other_cores: 0.0,
            latency_us: [1.0; 3],
        };
        let line = |read| Line {
            case: CASES[0],
            turns: vec![[figures(9.0), figures(11.0), figures(read)]; 3],
        };
        let counting = Counting {
            count: 30.0,
            add: 5.0,
            clock: 25.0,
        };
        let judged = |read| {
            let mut report = Results::new("metrics", "x", &Origin::new().expect("of this build"));
            goals(&mut report, &line(read), &counting);
            report.goals
        };
        let goals = judged(10.3);
        assert!((goals[0].ratio() - 3.0).abs() < 1e-9);
        assert_eq!(goals[0].reached(), Some(false));
        assert!((goals[1].ratio() - 22.222).abs() < 1e-3);
        assert_eq!((goals[1].reached(), goals[2].reached()), (None, None));
        assert!((goals[2].ratio() - 1.0).abs() < 1e-9, "90 ns of 9 µs");
        assert_eq!(judged(10.1)[0].reached(), Some(true));
        assert!(
            (counting.operation_ns(50) - 1.6).abs() < 1e-9,
            "80 ns for 50"
        );
    }
}
