//! Collectors that are not there, do not answer or do not want: calls notice nothing of it,
//! and what is lost is counted.

use std::time::Duration;

use tokio::net::TcpListener;

use super::collector::Collector;
use super::support::{Told, Traced, get, set};

const ALL: (&str, &str) = ("telemetry.otlp_sample", "1");
const LOST: &str = "kvd_spans_dropped_total{why=\"collector\"}";
const FULL: &str = "kvd_spans_dropped_total{why=\"queue\"}";
const SENT: &str = "kvd_spans_sent_total";

/// Looks until a sample is at least so much.
async fn reaches(traced: &Traced, sample: &str, least: u64) -> u64 {
    for _ in 0..600 {
        let value = traced.metric(sample).await;
        if value >= least {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sample} stays below {least}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = nobody.local_addr().expect("bound");
    drop(nobody);
    let traced = Traced::start(&format!("http://{address}"), &[ALL]).await;
    let mut kv = traced.kv().await;
    for i in 0..20 {
        kv.set(set(&format!("k{i}"), "v")).await.expect("set");
        kv.get(get(&format!("k{i}"))).await.expect("read");
    }
    // Each write has two parts at least.
    let lost = reaches(&traced, LOST, 80).await;
    assert_eq!(traced.metric(SENT).await, 0);
    // It goes on: what comes later is lost and counted as well.
    kv.get(get("k1")).await.expect("read");
    reaches(&traced, LOST, lost + 1).await;
    traced.stop().await;
}

#[tokio::test]
async fn a_collector_that_does_not_answer_fills_the_queue_and_holds_nobody_up() {
    let (told, _listening) = Told::listen();
    // Connections are accepted by the system, and nobody ever reads.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound");
    let settings = [ALL, ("telemetry.otlp_timeout", "3s")];
    let traced = Traced::start(&format!("http://{address}"), &settings).await;
    let kv = traced.kv().await;
    let mut calls = 0;
    while traced.metric(FULL).await == 0 {
        let burst = (0..500).map(|_| {
            let mut kv = kv.clone();
            tokio::spawn(async move { kv.get(get("k")).await.map(drop) })
        });
        for call in burst.collect::<Vec<_>>() {
            call.await.expect("no panic").expect("read");
            calls += 1;
        }
        assert!(calls < 200_000, "nothing is dropped");
    }
    // More than the queue holds.
    assert!(calls > 4096, "dropped after {calls}");
    // Neither is the stop held up, for longer than it was told to wait.
    let stop = tokio::time::timeout(Duration::from_secs(60), traced.stop());
    stop.await.expect("stopped in time");
    // What is left is more than the batch that was on its way and the one of the end.
    let lines = told.lines();
    let left = lines
        .iter()
        .filter(|line| line.contains("not sent before the stop"));
    let left: Vec<u64> = left
        .filter_map(|line| line.split_once("spans=")?.1.parse().ok())
        .collect();
    assert!(
        left.len() == 1 && (1..=4096).contains(&left[0]),
        "{left:?}: {lines:?}"
    );
}

#[tokio::test]
async fn spans_that_are_taken_and_those_that_are_refused_are_counted() {
    let (told, _listening) = Told::listen();
    let collector = Collector::rejecting(2).await;
    let traced = Traced::start(&collector.endpoint(), &[ALL]).await;
    let mut kv = traced.kv().await;
    kv.set(set("k", "v")).await.expect("set");
    assert_eq!(reaches(&traced, LOST, 2).await, 2);
    // One call is one batch, however many parts it has.
    let taken = collector.spans().len() as u64 - 2;
    assert!(taken > 0);
    assert_eq!(reaches(&traced, SENT, taken).await, taken);
    traced.stop().await;
    // With what the collector says about it.
    let lines = told.lines();
    let refuses = |line: &&String| line.contains("the collector refuses spans");
    let line = lines.iter().find(refuses);
    let line = line.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(
        line.contains("rejected=2") && line.contains("enough"),
        "{line}"
    );
}

#[tokio::test]
async fn nothing_is_sent_while_it_is_off() {
    let traced = Traced::start("off", &[ALL]).await;
    let mut kv = traced.kv().await;
    kv.set(set("k", "v")).await.expect("set");
    for sample in [SENT, LOST, FULL, "kvd_spans_dropped_total{why=\"stop\"}"] {
        assert_eq!(traced.metric(sample).await, 0, "{sample}");
    }
    traced.stop().await;
}
