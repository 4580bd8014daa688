//! `kvbench peers`: kvd beside Redis and etcd, promise matched to promise, in all shapes.
//!
//! All servers run from the start; one at a time is asked, the others wait and cost
//! nothing. Every reply is checked, and at the end every key is read back.

mod rows;
mod side;

use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::say;
use crate::interrupt;
use crate::origin::Origin;
use crate::peers::{Peer, version};
use crate::report::{Figures, median};
use crate::results::{Column, Results, Row, Table, Wanted};
use crate::setup::{KeepArgs, Report, SetupArgs, seconds};
use rows::{BATCH, Case, TABLES, VALUES, Who, cases};
use side::{Side, Sides};

#[derive(Args, Clone, Debug)]
pub(crate) struct PeersArgs {
    /// Number of keys with the smallest values; of larger ones there are fewer.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// Runs of each server per row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value = "1.5", value_parser = seconds)]
    seconds: Duration,
    /// Only tables of these names: set-always, set-everysec, get, stream, mixes.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(TABLES.map(|table| table.0)))]
    only: Vec<String>,
    /// Only shapes whose name contains this, as in "GET, messages".
    #[arg(long, value_name = "TEXT")]
    shape: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// All runs of one server in one case.
struct Line {
    table: &'static str,
    group: String,
    who: Who,
    runs: Vec<Figures>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &PeersArgs) -> Result<Report> {
    let origin = Origin::new()?;
    let launcher = args.setup.launcher(&origin, false)?;
    let mut report = Report::default();
    let (redis, etcd) = (report.find(Peer::Redis), report.find(Peer::Etcd));
    let mut sides = Sides::start(&launcher, redis.as_deref(), etcd.as_deref())?;
    let mut cases = cases();
    cases.retain(|case| args.only.is_empty() || args.only.iter().any(|name| name == case.table));
    if let Some(text) = &args.shape {
        cases.retain(|case| case.group.contains(text));
    }
    let (mut lines, mut generation) = (Vec::new(), 0);
    for (value_bytes, fewer) in VALUES {
        let of_size: Vec<&Case> = cases
            .iter()
            .filter(|case| case.value_bytes == value_bytes)
            .collect();
        if of_size.is_empty() {
            continue;
        }
        say(&format!("values of {value_bytes} bytes"));
        sides.fill((args.keys / fewer).max(100), value_bytes)?;
        for case in of_size {
            lines.extend(measure(&sides, case, args, &mut generation)?);
        }
        sides.read_back()?;
    }
    sides.stop()?;
    let mut results = Results::new("peers", "Beside Redis and etcd", &origin);
    for program in [&redis, &etcd].into_iter().flatten() {
        results.note(version(program));
    }
    notes(&mut results, args);
    goals(&mut results, &lines);
    results.tables = tables(&lines);
    Ok(results.into_report(report))
}

/// Every server of a case in turn, every other round backwards.
fn measure(
    sides: &Sides,
    case: &Case,
    args: &PeersArgs,
    generation: &mut u32,
) -> Result<Vec<Line>> {
    let there: Vec<&Side> = case.who.iter().filter_map(|&who| sides.find(who)).collect();
    let mut lines: Vec<Line> = there
        .iter()
        .map(|side| Line {
            table: case.table,
            group: case.group.clone(),
            who: side.who,
            runs: Vec::new(),
        })
        .collect();
    for round in 0..args.rounds {
        *generation += 1;
        let mut order: Vec<usize> = (0..there.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            interrupt::check()?;
            let figures = there[at].measure(case, *generation, args.seconds)?;
            say(&format!(
                "  {}, {}, {}: {:.0}/s, {:.2} µs of CPU, p99 {:.0} µs",
                case.table,
                case.group,
                there[at].who,
                figures.ops_per_second,
                figures.server_us,
                figures.latency_us[1],
            ));
            lines[at].runs.push(figures);
        }
    }
    Ok(lines)
}

fn notes(results: &mut Results, args: &PeersArgs) {
    let keys: Vec<String> = VALUES
        .iter()
        .map(|(bytes, fewer)| format!("{} of {bytes} B", (args.keys / fewer).max(100)))
        .collect();
    results.note(format!(
        "keys of 16 bytes, uniform unless it says Zipf (0.99); values: {}; every reply is checked, and every key read \
         back at the end",
        keys.join(", ")
    ));
    results.note(
        "always: kvd --sync always with SYNCED and DURABLE, Redis with appendfsync always, etcd as it is; everysec: \
         kvd --sync interval:1s with LOGGED, Redis with appendfsync everysec",
    );
    results.note(format!(
        "CONNECTIONSxIN_FLIGHT, closed loop; runs of {} s in turn, every other round backwards; stream: {BATCH} \
         operations are sent, then all of them answered, and its latencies are of that; the floor is a server with \
         kvd's messages, a plain map and no log",
        args.seconds.as_secs_f64(),
    ));
    results
        .note("not here: YCSB D and E, which need inserts and scans (kvbench scan measures scans)");
}

fn tables(lines: &[Line]) -> Vec<Table> {
    let table = |(name, title): (&str, &str)| {
        let rows: Vec<Row> = lines
            .iter()
            .filter(|line| line.table == name)
            .map(row)
            .collect();
        (!rows.is_empty()).then(|| Table {
            name: format!("peers-{name}"),
            title: title.to_owned(),
            groups: "shape".to_owned(),
            columns: vec![
                Column::plotted("operations/s", 0),
                Column::plotted("operations per second of server CPU", 0),
                Column::new("CPU µs each", 2),
                Column::new("p50 µs", 0),
                Column::new("p99 µs", 0),
                Column::new("other cores", 2),
            ],
            rows,
        })
    };
    TABLES.into_iter().filter_map(table).collect()
}

fn row(line: &Line) -> Row {
    let of = |figure: &dyn Fn(&Figures) -> f64| line.runs.iter().map(figure).collect();
    let most = line
        .runs
        .iter()
        .map(|run| run.other_cores)
        .fold(0.0, f64::max);
    // Latencies and disturbances need no spread of their own.
    let middle = |figure: &dyn Fn(&Figures) -> f64| vec![median(of(figure))];
    Row {
        group: line.group.clone(),
        subject: line.who.to_string(),
        cells: vec![
            of(&|run| run.ops_per_second),
            of(&|run| 1e6 / run.server_us),
            middle(&|run| run.server_us),
            middle(&|run| run.latency_us[0]),
            middle(&|run| run.latency_us[1]),
            vec![most],
        ],
    }
}

/// How much faster the own server is, or how much less CPU an operation takes.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Speed,
    Thrift,
}

/// A server in a group of a table.
type At = (&'static str, &'static str, Who);

/// The own server, the other one, and the least ratio that is wanted.
type Compared = (At, At, Measure, Option<f64>);

/// A stream is held against etcd's puts too: many at once on a connection is what kvd has
/// for that, and etcd has not.
const COMPARED: [Compared; 9] = {
    use Measure::{Speed, Thrift};
    use Who::{Etcd, Floor, KvdAlways, KvdInterval, RedisAlways, RedisEverySecond};
    const SET: &str = "SET, everysec, messages of 64";
    const SAFE: &str = "SET, always, messages of 64";
    const GET: &str = "GET, messages of 64";
    const fn stream(group: &'static str, who: Who) -> At {
        ("stream", group, who)
    }
    const fn put(group: &'static str, who: Who) -> At {
        ("set-always", group, who)
    }
    let (deep, wide) = ("4x64, 64 B", "50x1, 64 B");
    let redis = RedisEverySecond;
    [
        (
            stream(SET, KvdInterval),
            stream(SET, Floor),
            Speed,
            Some(0.54),
        ),
        (
            stream(GET, KvdInterval),
            stream(GET, Floor),
            Speed,
            Some(0.54),
        ),
        (
            stream(SET, KvdInterval),
            stream(SET, redis),
            Thrift,
            Some(1.2),
        ),
        (
            stream(SAFE, KvdAlways),
            stream(SAFE, RedisAlways),
            Thrift,
            Some(1.2),
        ),
        (
            stream(GET, KvdInterval),
            stream(GET, redis),
            Thrift,
            Some(1.2),
        ),
        (stream(SAFE, KvdAlways), put(deep, Etcd), Thrift, Some(8.0)),
        (put(deep, KvdAlways), put(deep, Etcd), Thrift, None),
        (put(wide, KvdAlways), put(wide, Etcd), Thrift, None),
        (
            put(deep, KvdAlways),
            put(deep, RedisAlways),
            Speed,
            Some(1.0),
        ),
    ]
};

impl Measure {
    fn of(self, own: &Figures, other: &Figures) -> f64 {
        match self {
            Self::Speed => own.ops_per_second / other.ops_per_second,
            Self::Thrift => other.server_us / own.server_us,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Speed => "operations/s",
            Self::Thrift => "operations per second of server CPU",
        }
    }
}

fn goals(results: &mut Results, lines: &[Line]) {
    let find = |(table, group, who): At| {
        let mut all = lines.iter();
        all.find(|line| line.table == table && line.group == group && line.who == who)
    };
    for (at, other_at, measure, wanted) in COMPARED {
        let (Some(own), Some(other)) = (find(at), find(other_at)) else {
            continue;
        };
        let pairs = own.runs.iter().zip(&other.runs);
        let ratios = pairs.map(|(own, other)| measure.of(own, other)).collect();
        let (name, who) = (measure.name(), format!("{} / {}", own.who, other.who));
        let mut what = format!("{name}: {who}, {}: {}", own.table, own.group);
        if (own.table, &own.group) != (other.table, &other.group) {
            what = format!("{what} / {}: {}", other.table, other.group);
        }
        results.goal(what, ratios, wanted.map(Wanted::AtLeast));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ratio_compares_what_is_measured() {
        let cases = cases();
        for (table, group, who) in COMPARED
            .into_iter()
            .flat_map(|(own, other, ..)| [own, other])
        {
            let mut same = cases
                .iter()
                .filter(|case| case.table == table && case.group == group);
            let case = same
                .next()
                .unwrap_or_else(|| panic!("no case {table}: {group}"));
            assert!(case.who.contains(&who), "{table}: {group}: {who}");
        }
    }

    #[test]
    fn a_ratio_above_one_is_in_favour_of_the_own_server() {
        let figures = |ops_per_second, server_us| Figures {
            ops_per_second,
            server_us,
            client_us: 1.0,
            other_cores: 0.0,
            latency_us: [1.0; 3],
        };
        let (own, other) = (figures(300.0, 2.0), figures(100.0, 5.0));
        assert!((Measure::Speed.of(&own, &other) - 3.0).abs() < 1e-9);
        assert!((Measure::Thrift.of(&own, &other) - 2.5).abs() < 1e-9);
    }
}
