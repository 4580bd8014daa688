//! Slow operations: counted with the parts of their time, and told one by one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::support::http::{fetch, value};
use super::support::{Running, set};
use kvproto::v1;
use kvproto::v1::admin_service_client::AdminServiceClient;
use tonic::Code;
use tonic::transport::Channel;

#[tokio::test]
async fn slow_operations_are_counted_with_the_parts_of_their_time() {
    let running = Running::start(&[("telemetry.slow_operation", "1ms")]).await;
    let http = running.daemon.http().unwrap();
    let slow = "kvd_slow_operations_total{rpc=\"Set\"}";
    for _ in 0..1000 {
        // A sync of so much takes longer than a millisecond sooner or later.
        let mut kv = running.kv().await;
        kv.set(set("k", vec![7; 1_000_000])).await.unwrap();
        let (_, metrics) = fetch(http, "/metrics").await;
        if !metrics.contains(slow) {
            continue;
        }
        let part = |name: &str| {
            let line = format!("kvd_slow_operation_seconds_total{{part=\"{name}\"}}");
            value(&metrics, &line)
        };
        let parts = ["queue", "lock", "append", "sync", "rest"].map(part);
        assert!(parts.iter().sum::<f64>() >= 0.001, "{parts:?}");
        // That it was locked, evaluated and applied took some time, as did the log.
        assert!(parts[1] > 0.0 && parts[2] + parts[3] > 0.0, "{parts:?}");
        let told = running.admin().await;
        slow_operations_are_told(told).await;
        return;
    }
    panic!("nothing was slow");
}

/// Of a server in which Sets were slow.
async fn slow_operations_are_told(mut admin: AdminServiceClient<Channel>) {
    let mut ask = async |limit| {
        let request = v1::GetSlowOperationsRequest {
            limit,
            ..v1::GetSlowOperationsRequest::default()
        };
        admin.get_slow_operations(request).await
    };
    let reply = ask(0).await.expect("told").into_inner();
    assert_eq!(reply.threshold_ms, 1);
    assert!(reply.total >= 1 && reply.header.is_some());
    let set = reply.operations.iter().find(|slow| slow.rpc == "Set");
    let set = set.expect("a Set was slow");
    assert!(set.took_us >= 1_000 && set.revision >= 2 && set.code == 0);
    let parts = set.queue_us + set.lock_us + set.append_us + set.sync_us + set.rest_us;
    // Each part is rounded down.
    assert!((set.took_us - 5..=set.took_us).contains(&parts), "{set:?}");
    assert!(
        set.lock_us > 0 && set.append_us + set.sync_us > 0,
        "{set:?}"
    );
    let ended = UNIX_EPOCH + Duration::from_millis(set.wall_time_ms.cast_unsigned());
    assert!(ended <= SystemTime::now() + Duration::from_secs(1));
    let newest = ask(1).await.expect("told").into_inner().operations;
    assert_eq!(newest.len(), 1);
    let refused = ask(-1).await.expect_err("below 0");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("not negative: -1"), "{refused}");
}
