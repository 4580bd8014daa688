//! `kvbench paused`: what a watcher that does not read costs the daemon under a stream of
//! writes, and whether it misses anything.
//!
//! Two daemons on the same keys take the same writes at the same rate, one after the other:
//! one that nobody watches, and one whose only watcher stops reading before the first write
//! and goes on after the last. Its windows of HTTP/2 are small, so the daemon can hand over
//! next to nothing meanwhile. Memory is sampled all the while. In the end the records that
//! were built from the stream alone are held against a scan of the store, field by field, and
//! the number of events against that of the writes.

mod round;
mod sample;
mod watcher;

use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::say;
use crate::interrupt;
use crate::origin::Origin;
use crate::results::{Column, Results, Row, Table, Wanted};
use crate::setup::{Report, SetupArgs, seconds};
use round::{Plan, Round};
pub(crate) use sample::metrics;

const MIB: f64 = (1 << 20) as f64;

#[derive(Args, Clone, Debug)]
pub(crate) struct PausedArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    keys: u32,
    /// Seconds for which the watcher does not read.
    #[arg(long, default_value = "60", value_parser = seconds)]
    seconds: Duration,
    /// SETs per second meanwhile.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// MiB of changes that the daemon may keep for its watchers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    budget: u32,
    /// MiB that the watcher may add to what the daemon has resident.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    more: u32,
    /// Rounds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &PausedArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let plan = Plan::new(args.keys, args.seconds, args.rate, args.budget)?;
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        let mut both = [None, None];
        // Which comes first changes from round to round.
        for watched in [number % 2 == 1, number.is_multiple_of(2)] {
            interrupt::check()?;
            let round = plan.round(&launcher, watched)?;
            say(&format!("  {}: {round}", name(watched)));
            both[usize::from(watched)] = Some(round);
        }
        if let [Some(without), Some(with)] = both {
            rounds.push((without, with));
        }
    }
    let mut results = Results::new("paused", "A watcher that does not read", &origin);
    results.note(format!(
        "{} keys of 16 bytes, values of {}; --sync always, SET SYNCED on random keys, open loop at {}/s for {} s: {} \
         writes; watch.ring_bytes={}MiB",
        args.keys,
        round::VALUE_BYTES,
        args.rate,
        args.seconds.as_secs_f64(),
        plan.writes(),
        args.budget,
    ));
    results.note(
        "the watcher begins with the current state, stops reading before the first write, goes on after the last, and \
         compares the records that it was told with a scan",
    );
    results.note(
        "resident: the daemon's own memory (RssAnon), without pages of files; watch bytes: kvd_watch_ring_bytes; both \
         sampled, the most is shown",
    );
    goals(&mut results, &rounds, args);
    results.tables.push(table(&rounds));
    Ok(results.into_report(Report::default()))
}

type Rounds = [(Round, Round)];

fn name(watched: bool) -> &'static str {
    if watched {
        "a paused watcher"
    } else {
        "no watcher"
    }
}

fn goals(results: &mut Results, rounds: &Rounds, args: &PausedArgs) {
    let of = |figure: &dyn Fn(&(Round, Round)) -> f64| rounds.iter().map(figure).collect();
    let bytes = of(&|(_, with)| with.seen.watch_bytes / MIB / f64::from(args.budget));
    let wanted = Some(Wanted::AtMost(1.0));
    results.goal("watch bytes, at most / budget", bytes, wanted);
    let wanted = Some(Wanted::AtMost(f64::from(args.more)));
    let what = "MiB resident while it is paused, at most: with the watcher - without";
    let more = of(&|(without, with)| (with.seen.paused - without.seen.paused) / MIB);
    results.goal(what, more, wanted);
    let what = "MiB resident until it has caught up, at most: with the watcher - without";
    let more = of(&|(without, with)| (with.seen.most() - without.seen.most()) / MIB);
    results.goal(what, more, wanted);
    let what = "MiB resident in the end: with the watcher - without";
    let more = of(&|(without, with)| (with.seen.end - without.seen.end) / MIB);
    results.goal(what, more, wanted);
    let told = of(&|(_, with)| with.events / with.writes);
    let wanted = Some(Wanted::AtLeast(1.0));
    results.goal(
        "events told / writes (more than one is refused)",
        told,
        wanted,
    );
}

fn table(rounds: &Rounds) -> Table {
    let row = |watched: bool| {
        let of = |figure: &dyn Fn(&Round) -> f64| {
            let rounds = rounds.iter();
            let one = rounds.map(|(without, with)| if watched { with } else { without });
            one.map(figure).collect()
        };
        let only = |figure: &dyn Fn(&Round) -> f64| if watched { of(figure) } else { Vec::new() };
        Row {
            group: name(watched).to_owned(),
            subject: String::new(),
            cells: vec![
                of(&|round| round.writes / round.load.as_secs_f64()),
                of(&|round| round.seen.before / MIB),
                of(&|round| round.seen.paused / MIB),
                only(&|round| round.seen.going_on / MIB),
                of(&|round| round.seen.end / MIB),
                only(&|round| round.seen.watch_bytes),
                only(&|round| round.log_reads),
                only(&|round| round.events),
                only(&|round| round.caught_up.as_secs_f64()),
            ],
        }
    };
    Table {
        name: "paused".to_owned(),
        title: "The daemon's memory under the same writes".to_owned(),
        groups: "round".to_owned(),
        columns: vec![
            Column::new("SETs/s", 0),
            Column::new("MiB resident before", 1),
            Column::new("at most, while it is paused", 1),
            Column::new("at most, while it catches up", 1),
            Column::new("at the end", 1),
            Column::new("watch bytes, at most", 0),
            Column::new("reads of the log", 0),
            Column::new("events told", 0),
            Column::new("caught up in s", 2),
        ],
        rows: vec![row(false), row(true)],
    }
}
