//! What a bench found, and how it is shown.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::plan::Plan;
use crate::{
    failure::{Exit, Failure},
    output::{self, Rows},
};

/// Nanoseconds; what takes longer counts as this.
const LONGEST: u64 = 600_000_000_000;
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
const EXAMPLES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
}

/// The counts of one thread, or of all.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    gets: Histogram<u64>,
    sets: Histogram<u64>,
    /// From the moment an operation was due to the one it was sent.
    lag: Histogram<u64>,
    failures: BTreeMap<String, u64>,
    pub(super) wrong: u64,
    pub(super) examples: Vec<String>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, 3)
                .map_err(|error| Failure::usage(format!("no histogram: {error}")))
        };
        Ok(Self {
            gets: histogram()?,
            sets: histogram()?,
            lag: histogram()?,
            failures: BTreeMap::new(),
            wrong: 0,
            examples: Vec::new(),
        })
    }

    pub(super) fn took(&mut self, kind: Kind, took: Duration, lag: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let histogram = match kind {
            Kind::Get => &mut self.gets,
            Kind::Set => &mut self.sets,
        };
        histogram.saturating_record(nanos(took));
        self.lag.saturating_record(nanos(lag));
    }

    pub(super) fn failure(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        let cannot = |error| Failure::usage(format!("histograms do not fit: {error}"));
        self.gets.add(&other.gets).map_err(cannot)?;
        self.sets.add(&other.sets).map_err(cannot)?;
        self.lag.add(&other.lag).map_err(cannot)?;
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        self.wrong += other.wrong;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples
            .extend(other.examples.iter().take(room).cloned());
        Ok(())
    }
}

/// All of a run.
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
    /// Seconds, where the server's figures could be read.
    pub(super) server_cpu: Option<f64>,
    pub(super) client_cpu: Duration,
}

/// The outcome with what was asked for.
pub(super) struct Report {
    summary: Vec<(&'static str, Value)>,
    failures: BTreeMap<String, u64>,
    /// Name, and figures in the order of [`LATENCY_HEADER`].
    latencies: Vec<(&'static str, Latency)>,
}

const SUMMARY_HEADER: &[&str] = &["name", "value"];
const LATENCY_HEADER: &[&str] = &[
    "operation",
    "count",
    "mean_us",
    "p50_us",
    "p90_us",
    "p99_us",
    "p99.9_us",
    "max_us",
];

struct Latency {
    count: u64,
    mean: f64,
    quantiles: Vec<(&'static str, f64)>,
    max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean: round(histogram.mean() / 1e3, 1),
            quantiles: QUANTILES
                .iter()
                .map(|(name, quantile)| (*name, micros(histogram.value_at_quantile(*quantile))))
                .collect(),
            max: micros(histogram.max()),
        }
    }

    fn object(&self) -> Value {
        let mut object = Map::new();
        object.insert("count".into(), self.count.into());
        object.insert("mean_us".into(), json!(self.mean));
        for (name, value) in &self.quantiles {
            object.insert(format!("{name}_us"), json!(value));
        }
        object.insert("max_us".into(), json!(self.max));
        object.into()
    }

    fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![
            name.to_owned(),
            self.count.to_string(),
            self.mean.to_string(),
        ];
        row.extend(self.quantiles.iter().map(|(_, value)| value.to_string()));
        row.push(self.max.to_string());
        row
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn micros(nanos: u64) -> f64 {
    round(nanos as f64 / 1e3, 1)
}

fn round(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        round(count as f64 / seconds, 0)
    } else {
        0.0
    }
}

impl Report {
    pub(super) fn new(plan: &Plan, outcome: Outcome) -> Self {
        let Outcome {
            tally,
            elapsed,
            server_cpu,
            client_cpu,
        } = outcome;
        let operations = tally.gets.len() + tally.sets.len();
        let seconds = elapsed.as_secs_f64();
        let mut summary: Vec<(&'static str, Value)> = vec![
            (
                "loop",
                if plan.rate.is_some() {
                    "open"
                } else {
                    "closed"
                }
                .into(),
            ),
            ("connections", plan.connections.into()),
            ("in_flight", plan.in_flight.into()),
            ("keys", plan.keys.into()),
            ("key_bytes", plan.key_size.into()),
            ("value_bytes", plan.value_size.into()),
            ("seconds", json!(round(seconds, 3))),
            ("operations", operations.into()),
            ("operations_per_second", json!(per(operations, seconds))),
        ];
        if let Some(rate) = plan.rate {
            summary.push(("rate_asked_for", rate.into()));
        }
        summary.push(("wrong", tally.wrong.into()));
        summary.push(("failed", tally.failed().into()));
        if let Some(cpu) = server_cpu {
            summary.push(("server_cpu_seconds", json!(round(cpu, 3))));
            let each = json!(per(operations, cpu));
            summary.push(("operations_per_server_cpu_second", each));
        }
        let client = json!(round(client_cpu.as_secs_f64(), 3));
        summary.push(("client_cpu_seconds", client));
        let mut latencies = vec![
            ("get", Latency::of(&tally.gets)),
            ("set", Latency::of(&tally.sets)),
        ];
        if plan.rate.is_some() {
            latencies.push(("sent_late", Latency::of(&tally.lag)));
        }
        Self {
            summary,
            failures: tally.failures,
            latencies,
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        let mut line = |name: &str, value: String| {
            out.extend_from_slice(format!("{name}={value}\n").as_bytes());
        };
        for (name, value) in &self.summary {
            line(name, plain(value));
        }
        for (name, count) in &self.failures {
            line(&format!("failed.{name}"), count.to_string());
        }
        for (name, latency) in &self.latencies {
            for (heading, cell) in LATENCY_HEADER.iter().zip(latency.row(name)).skip(1) {
                line(&format!("{name}.{heading}"), cell);
            }
        }
    }

    fn object(&self) -> Map<String, Value> {
        let summary = self.summary.iter();
        let mut object: Map<String, Value> = summary
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        object.insert("failures".into(), json!(self.failures));
        let latency = self.latencies.iter();
        let latency: Map<String, Value> = latency
            .map(|(name, latency)| ((*name).to_owned(), latency.object()))
            .collect();
        object.insert("latency".into(), latency.into());
        object
    }

    fn rows(&self) -> Rows {
        let summary = self.summary.iter();
        let mut rows: Vec<Vec<String>> = summary
            .map(|(name, value)| vec![(*name).to_owned(), plain(value)])
            .collect();
        let failures = self.failures.iter();
        rows.extend(failures.map(|(name, n)| vec![format!("failed: {name}"), n.to_string()]));
        Rows {
            header: SUMMARY_HEADER,
            rows,
        }
    }

    fn tables(&self) -> Vec<Rows> {
        let latencies = self.latencies.iter();
        let latencies = Rows {
            header: LATENCY_HEADER,
            rows: latencies.map(|(name, latency)| latency.row(name)).collect(),
        };
        vec![self.rows(), latencies]
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut all = Tally::new().expect("a tally");
        for ms in [1, 2, 3] {
            let mut one = Tally::new().expect("a tally");
            one.took(Kind::Get, Duration::from_millis(ms), Duration::ZERO);
            one.failure("LOADING".to_owned());
            one.wrong(format!("{ms}"));
            all.add(&one).expect("they fit");
        }
        let latency = Latency::of(&all.gets);
        assert_eq!(latency.count, 3);
        assert!((latency.quantiles[0].1 - 2_000.0).abs() < 3.0);
        assert!((latency.max - 3_000.0).abs() < 4.0);
        assert_eq!((all.failed(), all.wrong, all.examples.len()), (3, 3, 3));
    }
}
