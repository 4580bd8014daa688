//! The HTTP side: probes, and the metrics of what was called and how long it took.

use super::support::http::{fetch, value};
use super::support::{Running, get, set};
use kvproto::v1;

#[tokio::test]
async fn the_http_side() {
    let running = Running::start(&[]).await;
    running.kv().await.set(set("a", "v")).await.unwrap();
    let _ = running.kv().await.set(set("", "v")).await.unwrap_err();
    let http = running.daemon.http().unwrap();
    assert_eq!(fetch(http, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(fetch(http, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(fetch(http, "/nothing").await.0, 404);
    let (code, metrics) = fetch(http, "/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "kvd_requests_total{rpc=\"Set\",code=\"Ok\"} 1",
        "kvd_requests_total{rpc=\"Set\",code=\"InvalidArgument\"} 1",
        "kvd_revision{at=\"durable\"} 2",
        "kvd_state{state=\"writable\"} 1",
        "kvd_keys 1",
        "process_resident_memory_bytes ",
        "kvd_jemalloc_resident_bytes ",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
}

/// The same as a whole number.
fn whole(metrics: &str, line: &str) -> String {
    format!("{:.0}", value(metrics, line))
}

#[tokio::test]
async fn times_are_counted_once_for_each_call() {
    let running = Running::start(&[]).await;
    for i in 0..20 {
        let key = format!("k{}", i % 3);
        running.kv().await.set(set(&key, "v")).await.unwrap();
    }
    let _ = running.kv().await.set(set("", "v")).await.unwrap_err();
    let operations = (0..30)
        .map(|id| v1::Operation {
            id,
            operation: Some(v1::operation::Operation::Get(get("k1"))),
        })
        .collect();
    let message = v1::PipelineRequest {
        operations,
        ..v1::PipelineRequest::default()
    };
    let mut kv = running.kv().await;
    let replies = kv.pipeline(tokio_stream::iter([message])).await;
    let mut replies = replies.unwrap().into_inner();
    while replies.message().await.unwrap().is_some() {}
    let (_, metrics) = fetch(running.daemon.http().unwrap(), "/metrics").await;
    let ok = "{rpc=\"Set\",outcome=\"ok\"}";
    assert_eq!(
        whole(&metrics, &format!("kvd_request_seconds_count{ok}")),
        "20"
    );
    assert!(value(&metrics, &format!("kvd_request_seconds_sum{ok}")) > 0.0);
    let error = "kvd_request_seconds_count{rpc=\"Set\",outcome=\"error\"}";
    assert_eq!(whole(&metrics, error), "1");
    let all = "kvd_pipeline_operation_seconds_count{rpc=\"Get\",outcome=\"ok\"}";
    assert_eq!(whole(&metrics, all), "30");
    // Buckets are cumulative, and the last holds all.
    let buckets: Vec<u64> = metrics
        .lines()
        .filter(|line| line.starts_with("kvd_request_seconds_bucket{"))
        .filter(|line| line.contains("rpc=\"Set\",outcome=\"ok\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(buckets.len(), 90);
    assert!(buckets.is_sorted());
    assert_eq!(buckets.last(), Some(&20));
    assert!(metrics.contains("le=\"+Inf\""));
    // What the log's thread has counted agrees with its counters.
    for (count, counter) in [
        ("kvd_log_sync_duration_seconds_count", "kvd_log_syncs_total"),
        ("kvd_log_group_units_count", "kvd_log_groups_total"),
        ("kvd_log_group_units_sum", "kvd_log_units_total"),
        ("kvd_log_sync_units_sum", "kvd_log_units_total"),
    ] {
        assert_eq!(whole(&metrics, count), whole(&metrics, counter), "{count}");
    }
    assert_eq!(whole(&metrics, "kvd_log_units_total"), "20");
    let bytes = whole(&metrics, "kvd_log_sync_bytes_sum");
    assert_eq!(bytes, whole(&metrics, "kvd_log_written_bytes_total"));
}
