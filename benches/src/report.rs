//! From measured windows to figures, ratios, verdicts and a page of markdown.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::driver::Measured;
use crate::origin::Origin;
use crate::shapes::Row;

/// Cores busy beside the run from which on a missed target is not taken at its word.
const DISTURBED: f64 = 0.25;

/// One run in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) ops_per_second: f64,
    /// µs of CPU per operation, of the server and of the load driver.
    pub(crate) server_us: f64,
    pub(crate) client_us: f64,
    /// Cores that everything else on the machine kept busy.
    pub(crate) other_cores: f64,
    /// Latencies in µs: median, 99 %, 99.9 %.
    pub(crate) latency_us: [f64; 3],
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn of(measured: &Measured) -> Self {
        let per_op = |time: Duration| time.as_secs_f64() * 1e6 / measured.ops as f64;
        let at = |quantile| measured.latency.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            ops_per_second: measured.ops as f64 / measured.elapsed.as_secs_f64(),
            server_us: per_op(measured.server_cpu),
            client_us: per_op(measured.client_cpu),
            other_cores: measured.other_cpu.as_secs_f64() / measured.elapsed.as_secs_f64(),
            latency_us: [at(0.5), at(0.99), at(0.999)],
        }
    }
}

/// One run of each, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) floor: Figures,
    pub(crate) kvd: Figures,
}

impl Pair {
    /// Operations per second, kvd over floor.
    fn speed(&self) -> f64 {
        self.kvd.ops_per_second / self.floor.ops_per_second
    }

    /// Server CPU per operation, kvd over floor.
    fn cost(&self) -> f64 {
        self.kvd.server_us / self.floor.server_us
    }
}

/// All pairs of one row.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    pub(crate) pairs: Vec<Pair>,
}

impl Outcome {
    fn median(&self, of: impl Fn(&Pair) -> f64) -> f64 {
        median(self.pairs.iter().map(of).collect())
    }

    /// What was to be reached and was not.
    pub(crate) fn misses(&self) -> Vec<String> {
        let speed = self.median(Pair::speed);
        let slow = self
            .row
            .target()
            .filter(|&target| speed < target || speed.is_nan());
        let slow = slow.map(|target| {
            format!(
                "{}: {speed:.3} of the floor, wanted >= {target:.2}",
                self.row
            )
        });
        let cost = self.median(|pair| pair.floor.server_us);
        let dear = self
            .row
            .floor_ceiling()
            .filter(|&most| cost > most || cost.is_nan());
        let dear = dear.map(|most| {
            format!(
                "{}: the floor costs {cost:.2} µs of CPU per call, wanted <= {most}",
                self.row
            )
        });
        let others = self.other_cores();
        let hint = if others > DISTURBED {
            format!(" (other processes kept {others:.1} cores busy: repeat when it is quiet)")
        } else {
            String::new()
        };
        let misses = slow.into_iter().chain(dear);
        misses.map(|miss| miss + &hint).collect()
    }

    /// The most that everything else kept busy during a run.
    fn other_cores(&self) -> f64 {
        let runs = self.pairs.iter().flat_map(|pair| [pair.floor, pair.kvd]);
        runs.map(|run| run.other_cores).fold(0.0, f64::max)
    }

    fn verdict(&self) -> &'static str {
        match (self.row.target(), self.misses().is_empty()) {
            (None, _) => "-",
            (_, true) => "reached",
            (_, false) => "MISSED",
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// Where and how the figures were made.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) origin: Origin,
    pub(crate) runtimes: usize,
    pub(crate) threads: usize,
    pub(crate) keys: u32,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
    pub(crate) seconds: f64,
    pub(crate) warm: f64,
    /// What stands in the place of kvd.
    pub(crate) subject: &'static str,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        writeln!(
            f,
            "- both servers with {} runtimes; load from {} threads on the same cores",
            self.runtimes, self.threads
        )?;
        writeln!(
            f,
            "- {} keys of {} bytes, uniform; values of {} bytes, every one read is checked",
            self.keys, self.key_bytes, self.value_bytes
        )?;
        writeln!(
            f,
            "- each run {} s after {} s of warm-up; floor and {} in turn",
            self.seconds, self.warm, self.subject
        )
    }
}

/// The report as markdown.
pub(crate) fn markdown(setting: &Setting, outcomes: &[Outcome]) -> String {
    let subject = setting.subject;
    let mut page = format!(
        "# {subject} against the floor\n\n\
         The floor is a server with the same messages that answers from a plain map.\n\n\
         {setting}\n\
         Medians of the pairs; CPU is the server's, in µs per operation. Other cores: how \
         many cores all other processes kept busy, at most; much above 0 the figures are \
         disturbed, most of all those per second.\n\n\
         | call | shape | --sync | floor ops/s | {subject} ops/s | ratio | wanted | \
         floor CPU | {subject} CPU | CPU ratio | other cores | verdict |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    );
    for outcome in outcomes {
        page.push_str(&summary(outcome));
    }
    for outcome in outcomes {
        page.push_str(&details(outcome, subject));
    }
    page
}

fn summary(outcome: &Outcome) -> String {
    let row = outcome.row;
    let wanted = row
        .target()
        .map_or("-".into(), |target| format!("{target:.2}"));
    let others = outcome.other_cores();
    format!(
        "| {} | {} | {} | {:.0} | {:.0} | **{:.3}** | {wanted} | {:.2} | {:.2} | {:.2} | {others:.2} | {} |\n",
        row.call,
        row.shape,
        row.policy,
        outcome.median(|pair| pair.floor.ops_per_second),
        outcome.median(|pair| pair.kvd.ops_per_second),
        outcome.median(Pair::speed),
        outcome.median(|pair| pair.floor.server_us),
        outcome.median(|pair| pair.kvd.server_us),
        outcome.median(Pair::cost),
        outcome.verdict(),
    )
}

/// Every pair of a row: two lines each, the ratios on the second.
fn details(outcome: &Outcome, subject: &str) -> String {
    let mut text = format!(
        "\n## {}\n\n\
         | pair | server | ops/s | CPU µs/op | driver µs/op | p50 µs | p99 µs | p99.9 µs | \
         other cores | ratio | CPU ratio |\n\
         | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        outcome.row
    );
    for (number, pair) in (1..).zip(&outcome.pairs) {
        let ratios = format!("{:.3} | {:.3}", pair.speed(), pair.cost());
        let lines = [
            ("floor", pair.floor, " | "),
            (subject, pair.kvd, ratios.as_str()),
        ];
        for (server, figures, ratios) in lines {
            let [p50, p99, p999] = figures.latency_us;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {number} | {server} | {:.0} | {:.2} | {:.2} | {p50:.0} | {p99:.0} | \
                 {p999:.0} | {:.2} | {ratios} |",
                figures.ops_per_second, figures.server_us, figures.client_us, figures.other_cores,
            );
        }
    }
    text
}

#[cfg(test)]
mod tests;
