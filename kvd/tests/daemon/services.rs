//! The happy paths of every call, over the embedded engine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::support::{Running, get, reason, set, start_in};
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::{self, operation::Operation as Op, operation_result::Result as OpResult};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Channel;

fn condition(test: v1::condition::Test) -> v1::Condition {
    v1::Condition { test: Some(test) }
}

#[tokio::test]
async fn set_get_delete() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let missing = kv.get(get("a")).await.unwrap().into_inner();
    assert!(!missing.found && missing.record.is_none());
    let created = kv.set(set("a", "one")).await.unwrap().into_inner();
    assert!(created.applied && created.header.unwrap().durable);
    assert_eq!(created.revision, 2);
    let numbers = created.record.unwrap();
    assert_eq!(
        (
            numbers.create_revision,
            numbers.mod_revision,
            numbers.version
        ),
        (2, 2, 1)
    );
    assert!(numbers.key.is_empty() && numbers.value.is_empty());
    let replaced = v1::SetRequest {
        return_previous: true,
        ..set("a", "two")
    };
    let replaced = kv.set(replaced).await.unwrap().into_inner();
    assert_eq!(replaced.previous.unwrap().value, "one");
    let found = kv.get(get("a")).await.unwrap().into_inner().record.unwrap();
    assert_eq!((&found.key[..], &found.value[..]), (&b"a"[..], &b"two"[..]));
    assert_eq!(
        (found.create_revision, found.mod_revision, found.version),
        (2, 3, 2)
    );
    let delete = v1::DeleteRequest {
        key: "a".into(),
        return_previous: true,
        ..v1::DeleteRequest::default()
    };
    let deleted = kv.delete(delete.clone()).await.unwrap().into_inner();
    assert_eq!((deleted.deleted, deleted.revision), (true, 4));
    assert_eq!(deleted.previous.unwrap().value, "two");
    let again = kv.delete(delete).await.unwrap().into_inner();
    assert_eq!((again.deleted, again.revision), (false, 0));
    running.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn conditions_hold_or_show_what_stands() {
    use v1::condition::Test;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let cases = [
        (Test::Exists(true), false),
        (Test::ModRevision(0), true),
        (Test::Exists(false), false),
        (Test::ModRevision(1), false),
        (Test::ModRevision(2), true),
        (Test::Exists(true), true),
    ];
    for (test, applied) in cases {
        let request = v1::SetRequest {
            condition: Some(condition(test.clone())),
            ..set("a", "v")
        };
        let reply = kv.set(request).await.unwrap().into_inner();
        assert_eq!(reply.applied, applied, "{test:?}");
        assert_eq!(reply.revision == 0, !applied, "{test:?}");
        if !applied {
            assert_eq!(reply.record, None);
            assert_eq!(
                reply.current.is_some(),
                test != Test::Exists(true),
                "{test:?}"
            );
        }
    }
    let delete = v1::DeleteRequest {
        key: "a".into(),
        condition: Some(condition(Test::ModRevision(1))),
        ..v1::DeleteRequest::default()
    };
    let reply = kv.delete(delete).await.unwrap().into_inner();
    assert!(!reply.deleted);
    assert_eq!(reply.current.unwrap().mod_revision, 4);
}

#[tokio::test]
async fn values_of_every_size_come_back_whole_and_survive_a_restart() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let sizes = [0, 1, 1023, 1024, 65_535, 65_536, 1 << 20];
    let value = |size: usize| -> Vec<u8> { (0..=250).cycle().take(size).collect() };
    for size in sizes {
        kv.set(set(&format!("key {size}\0\u{ff}"), value(size)))
            .await
            .unwrap();
    }
    let Running { daemon, dir } = running;
    daemon.stop().await.unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let running = Running { daemon, dir };
    let mut kv = running.kv().await;
    for size in sizes {
        let found = kv
            .get(get(&format!("key {size}\0\u{ff}")))
            .await
            .unwrap()
            .into_inner();
        assert!(found.record.unwrap().value == value(size), "{size}");
    }
}

#[tokio::test]
async fn batches_answer_item_by_item() {
    use v1::batch_get_result::Result as Got;
    use v1::batch_write_operation::Operation;
    use v1::batch_write_result::Result as Written;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let item = |operation| v1::BatchWriteOperation {
        operation: Some(operation),
    };
    let delete = |key: &'static str| {
        item(Operation::Delete(v1::DeleteRequest {
            key: key.into(),
            ..Default::default()
        }))
    };
    let only_new = v1::SetRequest {
        condition: Some(condition(v1::condition::Test::Exists(false))),
        ..set("a", "other")
    };
    let request = v1::BatchWriteRequest {
        operations: vec![
            item(Operation::Set(set("a", "1"))),
            item(Operation::Set(set("b", "2"))),
            item(Operation::Set(only_new)),
            delete("b"),
            delete("nothing"),
        ],
        options: None,
    };
    let reply = kv.batch_write(request).await.unwrap().into_inner();
    assert!(reply.header.unwrap().durable);
    let results: Vec<_> = reply
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        Written::Set(one),
        Written::Set(two),
        Written::Set(refused),
        Written::Delete(gone),
        Written::Delete(nothing),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!((one.revision, two.revision, gone.revision), (2, 3, 4));
    assert!(one.header.is_none() && !refused.applied && !nothing.deleted);
    assert_eq!(refused.current.as_ref().unwrap().value, "1");
    let keys = vec!["a".into(), "b".into(), "a".into()];
    let reply = kv
        .batch_get(v1::BatchGetRequest {
            keys,
            options: None,
        })
        .await
        .unwrap();
    let results: Vec<_> = reply
        .into_inner()
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [Got::Record(first), Got::Missing(_), Got::Record(second)] = &results[..] else {
        panic!("{results:?}");
    };
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_reply_that_is_full_says_so_item_by_item() {
    use v1::batch_get_result::Result as Got;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("big", vec![7; 1 << 20])).await.unwrap();
    kv.set(set("small", "v")).await.unwrap();
    let mut keys = vec!["big".into(); 4];
    keys.push("small".into());
    let reply = kv
        .batch_get(v1::BatchGetRequest {
            keys,
            options: None,
        })
        .await
        .unwrap();
    let results: Vec<_> = reply
        .into_inner()
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        Got::Record(_),
        Got::Record(_),
        Got::Record(_),
        Got::Error(full),
        Got::Record(_),
    ] = &results[..]
    else {
        panic!("{:?}", results.len());
    };
    assert_eq!(full.reason(), v1::ErrorReason::ReplyTooLarge);
    assert_eq!(full.code, i32::from(Code::ResourceExhausted));
}

#[tokio::test]
async fn a_pipeline_of_mixed_operations() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let mut operations = Vec::new();
    for id in 0..1000 {
        let key = format!("k{}", id / 2);
        let operation = if id % 2 == 0 {
            Op::Set(set(&key, key.clone()))
        } else {
            Op::Get(get(&key))
        };
        operations.push(v1::Operation {
            id,
            operation: Some(operation),
        });
    }
    let messages: Vec<_> = operations
        .chunks(10)
        .map(|chunk| v1::PipelineRequest {
            operations: chunk.to_vec(),
            require: Vec::new(),
        })
        .collect();
    let mut replies = kv
        .pipeline(tokio_stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let mut next = 0;
    while let Some(reply) = replies.next().await {
        let reply = reply.unwrap();
        assert!(reply.header.unwrap().durable);
        for result in reply.results {
            assert_eq!(result.id, next);
            match result.result.unwrap() {
                OpResult::Set(set) => assert!(set.applied && next % 2 == 0),
                OpResult::Get(get) => assert!(get.found && next % 2 == 1),
                other => panic!("{other:?}"),
            }
            next += 1;
        }
    }
    assert_eq!(next, 1000);
}

#[tokio::test]
async fn under_interval_writes_are_logged_and_a_wait_makes_them_durable() {
    let running = Running::start(&[("log.sync", "interval:1h")]).await;
    let mut kv = running.kv().await;
    let written = kv.set(set("a", "v")).await.unwrap().into_inner();
    assert!(!written.header.unwrap().durable);
    assert!(
        !kv.get(get("a"))
            .await
            .unwrap()
            .into_inner()
            .header
            .unwrap()
            .durable
    );
    let wait = v1::WaitDurableRequest {
        revision: written.revision,
        require: Vec::new(),
    };
    let header = kv
        .wait_durable(wait)
        .await
        .unwrap()
        .into_inner()
        .header
        .unwrap();
    assert!(header.durable && header.durable_revision >= written.revision);
    assert!(
        kv.get(get("a"))
            .await
            .unwrap()
            .into_inner()
            .header
            .unwrap()
            .durable
    );
    kv.set(set("b", "v")).await.unwrap();
    let newest = kv
        .wait_durable(v1::WaitDurableRequest::default())
        .await
        .unwrap();
    assert_eq!(newest.into_inner().header.unwrap().durable_revision, 3);
}

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

#[tokio::test]
async fn the_memory_limit_refuses_growth_and_lets_deletes_through() {
    let running = Running::start(&[("memory.max_bytes", "64KiB")]).await;
    let mut kv = running.kv().await;
    let status = loop {
        let key = format!("k{}", rand(&mut kv).await);
        if let Err(status) = kv.set(set(&key, vec![0; 4096])).await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), Some(v1::ErrorReason::MemoryLimit));
    assert!(status.message().contains("memory.max_bytes"), "{status}");
    let delete = v1::DeleteRequest {
        key: "k2".into(),
        ..Default::default()
    };
    assert!(kv.delete(delete).await.unwrap().into_inner().deleted);
    kv.set(set("k2", "small")).await.unwrap();
}

/// A number that was not used before: the next revision.
async fn rand(kv: &mut v1::kv_service_client::KvServiceClient<Channel>) -> i64 {
    let reply = kv.get(get("none")).await.unwrap().into_inner();
    reply.header.unwrap().store_revision + 1
}

#[tokio::test]
async fn health_and_reflection() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let running = Running::start(&[]).await;
    let mut health = HealthClient::new(running.channel().await);
    let expected = [
        ("", ServingStatus::Serving),
        ("kvd.v1.KvService", ServingStatus::Serving),
        ("kvd.v1.KvService/write", ServingStatus::Serving),
        ("kvd.v1.WatchService", ServingStatus::Serving),
    ];
    for (service, status) in expected {
        let check = tonic_health::pb::HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut reply = health.check(check.clone()).await.unwrap().into_inner();
        for _ in 0..100 {
            if reply.status() == status {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            reply = health.check(check.clone()).await.unwrap().into_inner();
        }
        assert_eq!(reply.status(), status, "{service:?}");
    }
    let check = tonic_health::pb::HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    assert_eq!(
        health.check(check).await.unwrap_err().code(),
        Code::NotFound
    );
    // A watcher sees the end coming and does not hold it up.
    let check = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(check).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let (v1_names, v1alpha_names) = reflected(running.channel().await).await;
    assert_eq!(v1_names, v1alpha_names);
    for name in [
        "kvd.v1.KvService",
        "kvd.v1.AdminService",
        "grpc.health.v1.Health",
    ] {
        assert!(v1_names.contains(&name.to_owned()), "{v1_names:?}");
    }
    let begun = std::time::Instant::now();
    running.daemon.stop().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
}

/// The services that both versions of reflection list.
async fn reflected(channel: Channel) -> (Vec<String>, Vec<String>) {
    macro_rules! list {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut client = ServerReflectionClient::new(channel.clone());
            let replies = client
                .server_reflection_info(tokio_stream::once(request))
                .await;
            let reply = replies
                .unwrap()
                .into_inner()
                .message()
                .await
                .unwrap()
                .unwrap();
            let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
                panic!("{reply:?}");
            };
            let mut names: Vec<_> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .filter(|name| !name.contains("reflection"))
                .collect();
            names.sort();
            names
        }};
    }
    (list!(v1), list!(v1alpha))
}

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

/// The value of a line that begins so.
fn value(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|l| l.strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("{line} is not in:\n{metrics}"));
    found.trim().parse().expect("a number")
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

/// A plain GET.
pub(super) async fn fetch(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: kvd\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

#[tokio::test]
async fn calls_in_flight_are_finished_when_the_daemon_stops() {
    let running = Running::start(&[]).await;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let mut kv = running.kv().await;
        tasks.push(tokio::spawn(async move {
            let mut durable = Vec::new();
            for i in 0.. {
                let key = format!("{task}/{i}");
                match kv.set(set(&key, key.clone())).await {
                    Ok(reply) => {
                        assert!(reply.into_inner().header.unwrap().durable);
                        durable.push(key);
                    }
                    Err(_) => break,
                }
            }
            durable
        }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let Running { daemon, dir } = running;
    daemon.stop().await.unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let running = Running { daemon, dir };
    let mut kv = running.kv().await;
    let mut admin = running.admin().await;
    let status = admin
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(status.recovery.unwrap().started_clean);
    for task in tasks {
        let durable = task.await.unwrap();
        assert!(!durable.is_empty());
        for key in durable {
            assert!(kv.get(get(&key)).await.unwrap().into_inner().found, "{key}");
        }
    }
}
