//! Readings of made-up samples.

use std::time::{Duration, Instant};

use kvproto::v1::GetStatusResponse;

use super::*;

fn metrics(gets: u32, sets: u32, fast: u32, all: u32) -> Metrics {
    let text = format!(
        "kvd_requests_total{{rpc=\"Get\",code=\"Ok\"}} {gets}\n\
         kvd_requests_total{{rpc=\"Get\",code=\"Cancelled\"}} 4\n\
         kvd_requests_total{{rpc=\"Set\",code=\"Ok\"}} {sets}\n\
         kvd_pipeline_operations_total{{rpc=\"Set\",code=\"Ok\"}} {sets}\n\
         kvd_request_seconds_bucket{{rpc=\"Get\",le=\"0.001\"}} {fast}\n\
         kvd_request_seconds_bucket{{rpc=\"Get\",le=\"0.01\"}} {all}\n\
         kvd_request_seconds_bucket{{rpc=\"Get\",le=\"+Inf\"}} {all}\n\
         kvd_log_units_total {sets}\n\
         kvd_log_groups_total {}\n# EOF\n",
        sets / 10
    );
    Metrics::parse(&text).expect("OpenMetrics")
}

fn sample(at: Instant, uptime_ms: i64, revision: i64, metrics: Result<Metrics, String>) -> Sample {
    Sample {
        at,
        endpoint: "h:1".to_owned(),
        status: GetStatusResponse {
            uptime_ms,
            store_revision: revision,
            version: "1\u{7}".to_owned(),
            ..GetStatusResponse::default()
        },
        metrics,
        slow: Ok(kvproto::v1::GetSlowOperationsResponse::default()),
        round_trip: Duration::from_micros(250),
    }
}

fn figure(reading: &Reading, name: &str) -> Option<String> {
    let found = reading.figures.iter().find(|(known, _)| *known == name);
    found.expect("a figure").1.clone()
}

#[test]
fn what_happened_is_told_by_second() {
    let begin = Instant::now();
    let before = sample(begin, 1_000, 10, Ok(metrics(100, 50, 10, 20)));
    let end = begin + Duration::from_secs(2);
    let after = sample(end, 3_000, 30, Ok(metrics(300, 250, 100, 120)));
    let reading = Reading::new(&before, &after);
    assert_eq!(figure(&reading, "writes/s").as_deref(), Some("10"));
    assert_eq!(figure(&reading, "group size").as_deref(), Some("10"));
    assert_eq!(figure(&reading, "cpu"), None);
    let names: Vec<(&str, f64)> = reading
        .calls
        .iter()
        .map(|calls| (calls.name.as_str(), calls.per_second))
        .collect();
    assert_eq!(
        names,
        [("Get", 100.0), ("Set", 100.0), ("Set (pipeline)", 100.0)]
    );
    // Of 100 between the samples 90 took up to a millisecond.
    assert_eq!(
        reading.calls[0].quantiles,
        [Some(0.001), Some(0.001), Some(0.01)]
    );
    assert_eq!(reading.calls[1].quantiles, [None; 3]);
    assert!(reading.title.contains(r#""1\x07""#), "{}", reading.title);
}

#[test]
fn a_restart_and_missing_figures_are_no_numbers() {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(1);
    let before = sample(begin, 9_000, 10, Ok(metrics(100, 50, 10, 20)));
    let after = sample(end, 100, 5, Ok(metrics(1, 1, 1, 1)));
    let reading = Reading::new(&before, &after);
    assert!(reading.missing.expect("told").contains("anew"));
    assert!(reading.calls.is_empty());
    let none = Reading::new(&before, &sample(end, 9_500, 10, Err("off".to_owned())));
    assert_eq!(figure(&none, "syncs/s"), None);
    assert_eq!(figure(&none, "writes/s").as_deref(), Some("0"));
    // In no time nothing happens, and nothing is divided by it.
    let same = Reading::new(&before, &before);
    assert_eq!(figure(&same, "writes/s").as_deref(), Some("0"));
}

#[test]
fn figures_are_short() {
    assert_eq!(bytes(512.0), "512 B");
    assert_eq!(bytes(1_536.0), "1.5 KiB");
    assert_eq!(bytes(5e15), "4547 TiB");
    assert_eq!(time(0.000_25), "250 us");
    assert_eq!(time(0.0014), "1.4 ms");
    assert_eq!(time(2.0), "2.0 s");
    assert_eq!(spoken(Duration::from_secs(90_061)), "1 d 1 h");
}
