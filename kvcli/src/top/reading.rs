//! What happened between two samples.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    sample::Sample,
    slow::{self, Slow},
};
use crate::{
    command::state_name,
    failure::Exit,
    metrics::Metrics,
    output::{self, Rows},
    text::show,
};

const FIGURES_HEADER: &[&str] = &["name", "value"];
const CALLS_HEADER: &[&str] = &[
    "call",
    "per_second",
    "failed_per_second",
    "p50",
    "p90",
    "p99",
];
/// The latency histogram of calls, where a server has one.
const LATENCY: &str = "kvd_request_seconds";
/// And that of operations of pipelines.
const PIPELINE_LATENCY: &str = "kvd_pipeline_operation_seconds";

/// One kind of call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calls {
    pub(super) name: String,
    pub(super) per_second: f64,
    pub(super) failed: f64,
    /// p50, p90, p99 in seconds.
    pub(super) quantiles: [Option<f64>; 3],
}

/// A figure that may not be known.
pub(super) type Figure = (&'static str, Option<String>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) title: String,
    pub(super) figures: Vec<Figure>,
    pub(super) calls: Vec<Calls>,
    /// The newest first.
    pub(super) slow: Vec<Slow>,
    /// Why some figures are missing.
    pub(super) missing: Option<String>,
}

impl Reading {
    pub(super) fn new(before: &Sample, after: &Sample) -> Self {
        let status = &after.status;
        let uptime = Duration::from_millis(u64::try_from(status.uptime_ms).unwrap_or_default());
        let title = format!(
            "kvd {} at {}, {}, up {}",
            show(status.version.as_bytes()),
            after.endpoint,
            state_name(status.state),
            spoken(uptime)
        );
        let between = Between::new(before, after);
        let (slow, threshold) = slow::of(after);
        let mut figures = between.figures();
        if let Some(at) = figures.iter().position(|(name, _)| *name == "slow ops/s") {
            figures.insert(at + 1, ("slow from", threshold));
        }
        Self {
            title,
            figures,
            calls: between.calls(),
            slow,
            missing: between.missing,
        }
    }

    fn object_of(calls: &Calls) -> Value {
        let [p50, p90, p99] = calls.quantiles;
        json!({
            "call": calls.name,
            "per_second": round(calls.per_second),
            "failed_per_second": round(calls.failed),
            "p50_seconds": p50,
            "p90_seconds": p90,
            "p99_seconds": p99,
        })
    }
}

/// Two samples, made ready for differences.
struct Between<'a> {
    before: &'a Sample,
    after: &'a Sample,
    seconds: f64,
    metrics: Option<(&'a Metrics, &'a Metrics)>,
    missing: Option<String>,
}

impl<'a> Between<'a> {
    fn new(before: &'a Sample, after: &'a Sample) -> Self {
        // A server that was started anew counts from 0.
        let same = after.status.uptime_ms >= before.status.uptime_ms;
        let (metrics, missing) = match (&before.metrics, &after.metrics) {
            (_, Err(error)) => (None, Some(error.clone())),
            (Ok(before), Ok(after)) if same => (Some((before, after)), None),
            (_, Ok(_)) => (None, Some("the server was started anew".to_owned())),
        };
        Self {
            before,
            after,
            seconds: (after.at - before.at).as_secs_f64(),
            metrics,
            missing,
        }
    }

    /// By second. Nothing happens in no time.
    fn rate(&self, difference: f64) -> f64 {
        if self.seconds > 0.0 {
            difference.max(0.0) / self.seconds
        } else {
            0.0
        }
    }

    /// How much a counter has grown.
    fn grown(&self, name: &str) -> Option<f64> {
        let (before, after) = self.metrics?;
        Some(after.get(name)? - before.get(name).unwrap_or(0.0))
    }

    fn level(&self, name: &str) -> Option<f64> {
        self.metrics?.1.get(name)
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn figures(&self) -> Vec<Figure> {
        let status = &self.after.status;
        let memory = match status.memory_max_bytes {
            0 => bytes(status.memory_bytes as f64),
            most => format!(
                "{} of {}",
                bytes(status.memory_bytes as f64),
                bytes(most as f64)
            ),
        };
        let revisions = status.store_revision - self.before.status.store_revision;
        let ratio = |a: &str, b: &str| {
            let (a, b) = self.grown(a).zip(self.grown(b))?;
            (b > 0.0).then(|| a / b)
        };
        let per_second = |name: &str| Some(self.rate(self.grown(name)?));
        let behind = status.store_revision - status.durable_revision;
        vec![
            ("keys", Some(status.keys.to_string())),
            ("memory", Some(memory)),
            ("writes/s", Some(number(self.rate(revisions as f64)))),
            ("not durable yet", Some(behind.max(0).to_string())),
            ("log", Some(bytes(status.log_bytes as f64))),
            (
                "log written/s",
                per_second("kvd_log_written_bytes_total").map(bytes),
            ),
            ("syncs/s", per_second("kvd_log_syncs_total").map(number)),
            (
                "sync, mean",
                ratio("kvd_log_sync_seconds_total", "kvd_log_syncs_total").map(time),
            ),
            (
                "group size",
                ratio("kvd_log_units_total", "kvd_log_groups_total").map(number),
            ),
            (
                "slow ops/s",
                per_second("kvd_slow_operations_total").map(number),
            ),
            ("in flight", Some(status.in_flight_operations.to_string())),
            ("connections", self.level("kvd_connections").map(number)),
            (
                "resident",
                self.level("process_resident_memory_bytes").map(bytes),
            ),
            (
                "cpu",
                per_second("process_cpu_seconds_total").map(|cpu| format!("{:.0} %", cpu * 100.0)),
            ),
            (
                "round trip",
                Some(time(self.after.round_trip.as_secs_f64())),
            ),
        ]
    }

    /// The busiest first.
    fn calls(&self) -> Vec<Calls> {
        let Some((before, after)) = self.metrics else {
            return Vec::new();
        };
        let mut calls: Vec<Calls> = Vec::new();
        for (family, suffix, latency) in [
            ("kvd_requests_total", "", LATENCY),
            (
                "kvd_pipeline_operations_total",
                " (pipeline)",
                PIPELINE_LATENCY,
            ),
        ] {
            let grown = |failed_only: bool| {
                let old = before.by(family, "rpc", failed_only);
                let of = move |name: &str| old.iter().find(|(n, _)| n == name).map_or(0.0, |o| o.1);
                let new = after.by(family, "rpc", failed_only).into_iter();
                new.map(move |(name, value)| {
                    let grown = value - of(&name);
                    (name, grown)
                })
            };
            let failed: Vec<(String, f64)> = grown(true).collect();
            for (name, count) in grown(false) {
                let quantiles = quantiles(before, after, latency, &name);
                let failed = failed.iter().find(|(n, _)| *n == name);
                calls.push(Calls {
                    per_second: self.rate(count),
                    failed: self.rate(failed.map_or(0.0, |(_, failed)| *failed)),
                    name: show(name.as_bytes()) + suffix,
                    quantiles,
                });
            }
        }
        calls.sort_by(|a, b| {
            let busier = b.per_second.total_cmp(&a.per_second);
            busier.then_with(|| a.name.cmp(&b.name))
        });
        calls
    }
}

/// p50, p90 and p99 of what was counted between two moments: upper bounds of their
/// buckets.
fn quantiles(before: &Metrics, after: &Metrics, family: &str, name: &str) -> [Option<f64>; 3] {
    let old = before.buckets(family, "rpc", name);
    let new = after.buckets(family, "rpc", name);
    let grown: Vec<(f64, f64)> = new
        .into_iter()
        .map(|(bound, count)| {
            let old = old
                .iter()
                .find(|(known, _)| known.total_cmp(&bound).is_eq());
            (bound, count - old.map_or(0.0, |(_, count)| *count))
        })
        .collect();
    let all = grown.last().map_or(0.0, |(_, count)| *count);
    [0.5, 0.9, 0.99].map(|quantile| {
        let wanted = all * quantile;
        let bucket = grown
            .iter()
            .find(|(_, count)| all > 0.0 && *count >= wanted);
        bucket
            .map(|(bound, _)| *bound)
            .filter(|bound| bound.is_finite())
    })
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A count, with a digit behind the point only if it is small.
pub(super) fn number(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

pub(super) fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_024.0 {
            return format!("{} {unit}", number(value));
        }
        value /= 1_024.0;
    }
    format!("{} TiB", number(value))
}

/// Seconds in the unit that suits them.
pub(super) fn time(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.1} s")
    } else if seconds >= 1e-3 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} us", seconds * 1e6)
    }
}

pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

impl output::Report for Reading {
    fn raw(&self, out: &mut Vec<u8>) {
        let mut line = |text: String| out.extend_from_slice(text.as_bytes());
        for (name, value) in &self.figures {
            line(format!("{name}={}\n", or_dash(value.clone())));
        }
        for calls in &self.calls {
            line(format!("{}/s={}\n", calls.name, number(calls.per_second)));
        }
        for slow in &self.slow {
            let named = slow::HEADER.iter().zip(slow.cells());
            let words: Vec<String> = named.map(|(name, cell)| format!("{name}={cell}")).collect();
            line(words.join("\t") + "\n");
        }
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("title".into(), self.title.clone().into());
        for (name, value) in &self.figures {
            object.insert((*name).to_owned(), json!(value));
        }
        let calls: Vec<Value> = self.calls.iter().map(Self::object_of).collect();
        object.insert("calls".into(), calls.into());
        let slow: Vec<Value> = self.slow.iter().map(Slow::object).collect();
        object.insert("slow_operations".into(), slow.into());
        object
    }

    fn rows(&self) -> Rows {
        let row = |(name, value): &Figure| vec![(*name).to_owned(), or_dash(value.clone())];
        Rows {
            header: FIGURES_HEADER,
            rows: self.figures.iter().map(row).collect(),
        }
    }

    fn tables(&self) -> Vec<Rows> {
        let row = |calls: &Calls| {
            let mut row = vec![
                calls.name.clone(),
                number(calls.per_second),
                number(calls.failed),
            ];
            row.extend(calls.quantiles.map(|quantile| or_dash(quantile.map(time))));
            row
        };
        let calls = Rows {
            header: CALLS_HEADER,
            rows: self.calls.iter().map(row).collect(),
        };
        let mut tables = vec![self.rows(), calls];
        if !self.slow.is_empty() {
            tables.push(slow::rows(&self.slow));
        }
        tables
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }

    fn problems(&self) -> Vec<String> {
        let missing = self.missing.iter();
        missing
            .map(|why| format!("no figures of calls and log: {why} (hint: --metrics HOST:PORT)"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
