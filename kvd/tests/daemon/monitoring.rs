//! What is written about metrics, and what draws and watches them, against what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::support::Running;
use super::support::http::fetch;

fn page(name: &str) -> (PathBuf, String) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../docs/operations").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (path, text)
}

/// Name, kind and help of every family.
fn families(metrics: &str) -> BTreeMap<String, (String, String)> {
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in metrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            families.entry(name.to_owned()).or_default().1 = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
    }
    families
}

/// The names of samples that a family has.
fn samples(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "sum", "count"]
            .map(|part| format!("{name}_{part}"))
            .to_vec(),
        _ => vec![name.to_owned()],
    }
}

/// Every word in `text` that looks like a metric of ours.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("kvd_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

async fn served() -> BTreeMap<String, (String, String)> {
    let running = Running::start(&[]).await;
    let (_, metrics) = fetch(running.daemon.http().expect("an address"), "/metrics").await;
    running.daemon.stop().await.expect("stopped");
    families(&metrics)
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_what_is_served() {
    let known: BTreeSet<String> = served()
        .await
        .iter()
        .flat_map(|(name, (kind, _))| samples(name, kind))
        .collect();
    let (path, dashboard) = page("monitoring/grafana.json");
    let json: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = json["panels"].as_array().expect("panels");
    let mut asked = 0;
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            let names = names_in(expression);
            assert!(!names.is_empty(), "{expression} asks for nothing");
            for name in names {
                assert!(known.contains(&name), "{}: {name}", path.display());
                asked += 1;
            }
        }
    }
    assert!(asked > 20);
    let (path, alerts) = page("monitoring/alerts.yaml");
    let names = names_in(&alerts);
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(known.contains(&name), "{}: {name}", path.display());
    }
}

/// Counters of what was lost or refused are looked at by nobody unless an alert does.
#[tokio::test]
async fn whatever_counts_a_loss_has_an_alert() {
    const LOSSES: [&str; 5] = ["_dropped", "_errors", "_failed", "_lost", "_refused"];
    let (path, alerts) = page("monitoring/alerts.yaml");
    let watched = names_in(&alerts);
    let families = served().await;
    let losses = families
        .keys()
        .filter(|name| LOSSES.iter().any(|end| name.ends_with(end)));
    let mut found = 0;
    for name in losses {
        let sample = format!("{name}_total");
        assert!(watched.contains(&sample), "{}: no {sample}", path.display());
        found += 1;
    }
    assert_eq!(found, 5, "{families:?}");
}

/// With the feature `otlp` or without: a dashboard of both kinds of daemon has no holes.
#[tokio::test]
async fn spans_are_served_by_every_build_and_drawn_by_their_reason() {
    let running = Running::start(&[]).await;
    let (_, metrics) = fetch(running.daemon.http().expect("an address"), "/metrics").await;
    running.daemon.stop().await.expect("stopped");
    let (_, dashboard) = page("monitoring/grafana.json");
    let json: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let drawn = json["panels"].to_string();
    let dropped = ["queue", "collector", "stop"]
        .map(|why| format!("kvd_spans_dropped_total{{why=\"{why}\"}}"));
    for sample in dropped
        .iter()
        .map(String::as_str)
        .chain(["kvd_spans_sent_total"])
    {
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
        let value: f64 = line.expect(sample).trim().parse().expect("a number");
        assert!(value.abs() < f64::EPSILON, "{sample} {value}");
    }
    for wanted in [
        "sum by (why) (rate(kvd_spans_dropped_total",
        "kvd_spans_sent_total",
    ] {
        assert!(drawn.contains(wanted), "no {wanted}");
    }
}

/// `BLESS=1 cargo test -p kvd --test daemon every_metric` writes the table; labels are kept.
#[tokio::test]
async fn every_metric_is_in_the_documentation() {
    let (path, text) = page("monitoring.md");
    let head = "| metric | kind | unit | labels | what |\n| --- | --- | --- | --- | --- |\n";
    let (before, after) = text.split_once(head).expect("the table");
    let rows: Vec<String> = served()
        .await
        .iter()
        .map(|(name, (kind, help))| {
            let (unit, labels) = (unit(name, kind), labels(name));
            format!("| `{name}` | {kind} | {unit} | {labels} | {help} |\n")
        })
        .collect();
    let rows = rows.concat();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{head}{rows}")).expect("written");
        return;
    }
    assert_eq!(after, rows, "{} is not what is served", path.display());
}

/// What a value counts, by its name.
fn unit(name: &str, kind: &str) -> &'static str {
    let ends = [
        ("_bytes", "bytes"),
        ("_bytes_max", "bytes"),
        ("_max_bytes", "bytes"),
        ("_seconds", "seconds"),
        ("_ms", "milliseconds"),
        ("_revision", "revision"),
        ("_state", "0 or 1"),
        ("_ready", "0 or 1"),
    ];
    let found = ends.iter().find(|(end, _)| name.ends_with(end));
    found.map_or(if kind == "counter" { "count" } else { "number" }, |f| f.1)
}

fn labels(name: &str) -> &'static str {
    match name {
        "kvd_requests" | "kvd_pipeline_operations" => "`rpc`, `code`",
        "kvd_request_seconds" | "kvd_pipeline_operation_seconds" => "`rpc`, `outcome`",
        "kvd_requests_in_flight" | "kvd_slow_operations" => "`rpc`",
        "kvd_slow_operation_seconds" => "`part`",
        "kvd_ready" => "`kind`",
        "kvd_watch_events" => "`cause`",
        "kvd_spans_dropped" => "`why`",
        "kvd_connections_refused" => "`cap`",
        "kvd_revision" => "`at`",
        "kvd_state" => "`state`",
        "kvd_memory_owner_bytes" => "`owner`",
        _ => "",
    }
}
