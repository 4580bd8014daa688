//! What a server tells of itself: its state, its limits and what it can do.

use super::support::{Running, reason, set};
use kvproto::v1;
use tonic::Code;

#[tokio::test]
async fn status_and_limits() {
    let running = Running::start(&[
        ("memory.max_bytes", "1GiB"),
        ("log.segment_bytes", "64MiB"),
        ("limits.batch_bytes", "8MiB"),
    ])
    .await;
    running.kv().await.set(set("a", "v")).await.unwrap();
    let mut admin = running.admin().await;
    let status = admin
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.state(), v1::ServerState::Serving);
    assert_eq!(
        (status.keys, status.store_revision, status.durable_revision),
        (1, 2, 2)
    );
    assert_eq!(
        (status.memory_max_bytes, &status.sync_policy[..]),
        (1 << 30, "always")
    );
    assert!(status.recovery.is_some() && status.store_id.len() == 32);
    let limits = admin
        .get_limits(v1::GetLimitsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((limits.key_bytes, limits.value_bytes), (4 << 10, 1 << 20));
    assert_eq!(
        (limits.batch_operations, limits.batch_bytes),
        (1024, 8 << 20)
    );
    assert_eq!(
        (limits.pipeline_operations, limits.pipeline_bytes),
        (4096, 4 << 20)
    );
    assert_eq!(
        (limits.reply_bytes, limits.streams_per_connection),
        (3584 << 10, 1024)
    );
    assert_eq!(
        (limits.scan_page_records, limits.scan_page_bytes),
        (1000, 1 << 20)
    );
    assert_eq!(
        (limits.delete_range_keys, limits.txn_range_keys),
        (4096, 10_000)
    );
    assert_eq!((limits.txn_depth, limits.request_id_bytes), (8, 64));
    let century = 100 * 365 * 86_400_000_i64;
    assert!(limits.ttl_ms >= century);
    assert!(limits.request_id_window_count > 0);
    assert!(limits.request_id_window_bytes > 0 && limits.request_id_window_ms > 0);
}

#[tokio::test]
async fn what_is_listed_may_be_required_and_nothing_else() {
    let running = Running::start(&[]).await;
    let mut admin = running.admin().await;
    let can = admin
        .get_capabilities(v1::GetCapabilitiesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(can.capabilities.contains(&v1::Capability::Pipeline.into()));
    assert_eq!(can.transaction_scope(), v1::TransactionScope::Store);
    assert_eq!(can.scan_order(), v1::ScanOrder::Key);
    assert_eq!(can.ttl_granularity_ms, 1);
    assert!(can.capabilities.contains(&v1::Capability::Watch.into()));
    assert!(!can.capabilities.contains(&v1::Capability::Lease.into()));
    assert_eq!(can.default_durability(), v1::Durability::Synced);
    for number in 1..40 {
        let options = Some(v1::ReadOptions {
            require: vec![number],
            ..Default::default()
        });
        let reply = running
            .kv()
            .await
            .get(v1::GetRequest {
                key: "a".into(),
                options,
            })
            .await;
        match reply {
            Ok(_) => assert!(can.capabilities.contains(&number)),
            Err(status) => {
                assert!(!can.capabilities.contains(&number));
                assert_eq!(status.code(), Code::Unimplemented);
                assert_eq!(reason(&status), Some(v1::ErrorReason::CapabilityMissing));
            }
        }
    }
}
