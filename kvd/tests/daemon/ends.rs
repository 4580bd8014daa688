//! How a daemon ends, by a signal, by a kill or in order, and what the next start finds.

use std::fs;
use std::time::{Duration, Instant};

use super::support::process::{fill, writes};
use super::support::{
    Process, Running, channel, command, get, raw, run, serve_arguments, set, start_in,
};
use kvproto::v1;
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;

#[tokio::test]
async fn a_kill_loses_nothing_durable_and_check_calls_it_clean_or_torn() {
    let root = TempDir::new().unwrap();
    for round in 0..3 {
        let process = Process::serve(root.path());
        let mut kv = KvServiceClient::new(channel(process.address()).await);
        for i in 0..round * 20 {
            assert!(
                kv.get(get(&format!("k{i}")))
                    .await
                    .unwrap()
                    .into_inner()
                    .found,
                "k{i}"
            );
        }
        fill(&process, round * 20, 20).await;
        process.signal(rustix::process::Signal::KILL);
        drop(process);
        let check = run(&mut command(&["check", &root.path().display().to_string()]));
        assert_eq!(check.code, Some(0), "{check:?}");
    }
}

#[tokio::test]
async fn a_start_after_a_kill_begins_with_the_snapshot_that_was_asked_for() {
    let root = TempDir::new().unwrap();
    let process = Process::serve(root.path());
    fill(&process, 0, 30).await;
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let made = admin
        .create_snapshot(v1::CreateSnapshotRequest::default())
        .await
        .expect("a snapshot")
        .into_inner();
    assert_eq!(made.records, 30);
    assert!(made.bytes > 30 * (16 << 10) && made.start_revision <= made.end_revision);
    fill(&process, 30, 5).await;
    process.signal(rustix::process::Signal::KILL);
    drop((admin, process));
    let check = run(&mut command(&["check", &root.path().display().to_string()]));
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("30 records"), "{check:?}");

    let process = Process::serve(root.path());
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let status = admin.get_status(v1::GetStatusRequest::default()).await;
    let status = status.expect("a status").into_inner();
    let recovery = status.recovery.expect("it is loaded");
    assert_eq!((status.keys, recovery.snapshot_records), (35, 30));
    assert_eq!(recovery.units, 5, "only what came after is replayed");
    assert_eq!(status.snapshots.len(), 1);
    assert_eq!(status.snapshots[0].end_revision, made.end_revision);
}

#[tokio::test]
async fn signals_end_it_in_order_and_the_second_at_once() {
    let root = TempDir::new().unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut process = Process::serve(root.path());
        fill(&process, 0, 3).await;
        assert!(
            process
                .ready
                .contains(&format!("data_dir={}", root.path().display()))
        );
        process.signal(signal);
        let ended = process.wait();
        assert_eq!((ended.code, &ended.stdout[..]), (Some(0), ""), "{ended:?}");
        assert!(ended.stderr.contains("stopped in order"), "{ended:?}");
    }
    let process = Process::serve(root.path());
    assert_eq!(process.field("keys"), "3");
    // A request that has begun to arrive and never ends holds the end up.
    let connection = raw::connect(process.address()).await;
    let mut arriving = connection.ready().await.unwrap();
    let head = raw::head("/kvd.v1.KvService/Set", &[]);
    let (_reply, mut body) = arriving.send_request(head, false).unwrap();
    body.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x10"), false)
        .unwrap();
    // One behind it on the same connection is answered: so it has arrived that far.
    let mut behind = arriving.ready().await.unwrap();
    let head = raw::head("/kvd.v1.KvService/Get", &[]);
    let (reply, mut whole) = behind.send_request(head, false).unwrap();
    whole.send_data(raw::framed(&get("k0")), true).unwrap();
    reply.await.unwrap();
    let mut process = process;
    process.signal(rustix::process::Signal::TERM);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    process.signal(rustix::process::Signal::INT);
    let ended = process.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    writes(root.path()).await;
}

#[tokio::test]
async fn a_stop_makes_a_snapshot_if_it_is_asked_to() {
    let dir = TempDir::new().unwrap();
    let mut arguments = serve_arguments(dir.path());
    arguments.extend(["--set".to_owned(), "snapshot.at_stop=1min".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(&mut command(&arguments));
    fill(&process, 0, 1).await;
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("made a snapshot before the end"),
        "{ended:?}"
    );
    let files = fs::read_dir(dir.path()).unwrap();
    let snapshots = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".kvsnap")
    });
    assert_eq!(snapshots.count(), 1);
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
