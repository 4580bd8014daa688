//! Damage: found while serving, found by `kvd check`, and left behind by `kvd repair`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, ErrorReason as Reason};
use serde_json::Value as Json;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::support::process::{expect, fill};
use super::support::{Ended, Process, channel, command, get, reason, run, set};

async fn admin(process: &Process) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel(process.address()).await)
}

async fn verify(process: &Process, bytes_per_second: i64) -> Vec<v1::VerifyResponse> {
    let request = v1::VerifyRequest {
        bytes_per_second,
        ..v1::VerifyRequest::default()
    };
    let begun = admin(process).await.verify(request).await.expect("begun");
    let mut messages = begun.into_inner();
    let mut all = Vec::new();
    while let Some(message) = messages.message().await.expect("a message") {
        all.push(message);
    }
    assert!(all.last().expect("a message").last, "it came to its end");
    all
}

fn repair(dir: &Path, arguments: &[&str]) -> Ended {
    let dir = dir.display().to_string();
    let mut all = vec!["repair", &dir];
    all.extend(arguments);
    run(&mut command(&all))
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("seg-{number:020}.kvlog"))
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("there");
    bytes[offset] ^= 0x08;
    fs::write(path, bytes).expect("written");
}

/// Everything in the directory.
fn bytes_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("a file"))
    });
    let mut all: Vec<_> = entries.collect();
    all.sort();
    all
}

#[tokio::test]
async fn damage_is_found_while_serving_and_repaired_afterwards() {
    let root = TempDir::new().unwrap();
    let (dir, new) = (root.path().join("store"), root.path().join("new"));
    let process = Process::serve(&dir);
    fill(&process, 0, 150).await;
    let all = verify(&process, 0).await;
    let last = &all[all.len() - 1];
    assert!(all.iter().all(|message| message.damages.is_empty()));
    assert_eq!(last.bytes_done, last.bytes_total);
    assert!(last.bytes_total >= 2 << 20, "{last:?}");

    flip(&segment(&dir, 2), 300_000);
    let found: Vec<v1::Damage> = verify(&process, 64 << 20)
        .await
        .into_iter()
        .flat_map(|message| message.damages)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let damage = &found[0];
    let name = segment(&dir, 2);
    assert_eq!(damage.file, name.file_name().unwrap().to_string_lossy());
    assert_eq!(damage.offset, 300_000);
    assert!(damage.first_revision > 1 && damage.first_revision == damage.last_revision);
    let key = String::from_utf8(damage.keys[0].to_vec()).expect("text");
    // A store in use is not repaired.
    let used = repair(&dir, &["--plan"]);
    expect("in use", &used, 75, &["in use"]);
    assert_eq!(process.stop().code, Some(0));

    let before = bytes_of(&dir);
    let json = run(&mut command(&[
        "check",
        &dir.display().to_string(),
        "-o",
        "json",
    ]));
    assert_eq!(json.code, Some(65), "{json:?}");
    let report: Json = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(report["verdict"], "corrupt");
    let files = report["files"].as_array().expect("files");
    let file = files
        .iter()
        .find(|file| file["name"] == damage.file.as_str());
    let file = file.expect("the file is named");
    assert_eq!(file["class"], "corrupt");
    assert_eq!(file["first_bad_offset"], 300_000);
    assert_eq!(file["revisions_lost"], 1);
    assert_eq!(file["places"][0]["keys"][0]["key"], key.as_str());
    assert_eq!(
        file["places"][0]["keys"][0]["revision"],
        damage.first_revision
    );

    let plan = repair(&dir, &["--plan"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    for part in [
        "salvage",
        "from an older snapshot",
        "truncate",
        &key,
        "149 records",
    ] {
        assert!(plan.stdout.contains(part), "{part}: {plan:?}");
    }
    let into = new.display().to_string();
    let applied = repair(&dir, &["--into", &into, "--apply", "--salvage"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(bytes_of(&dir) == before, "the damaged store was changed");
    let again = repair(&dir, &["--into", &into, "--apply", "--salvage"]);
    expect("again", &again, 78, &["is not empty"]);
    repaired_store(&new, &key).await;
}

/// It serves all but the damaged record, and says that it was repaired until it is told that
/// this is known.
async fn repaired_store(new: &Path, key: &str) {
    let process = Process::serve(new);
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    for n in 0..150 {
        let name = format!("k{n}");
        let found = kv.get(get(&name)).await.expect("served").into_inner().found;
        assert_eq!(found, name != key, "{name}");
    }
    let mut admin = admin(&process).await;
    let status = admin.get_status(v1::GetStatusRequest {}).await;
    let status = status.expect("a status").into_inner();
    let told = status.repaired.expect("repaired");
    assert_eq!(told.lost_revisions, 1);
    assert!(told.wall_time_ms > 0 && status.state_detail.contains("repaired"));
    let of = |store_id: &str| v1::AcknowledgeRepairRequest {
        store_id: store_id.to_owned(),
    };
    for other in ["", "of another store"] {
        let refused = admin.acknowledge_repair(of(other)).await;
        let refused = refused.expect_err("it is another one");
        assert_eq!(reason(&refused), Some(Reason::StoreMismatch));
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    }
    kv.set(set("more", "is taken")).await.expect("accepted");
    for _ in 0..2 {
        let done = admin.acknowledge_repair(of(&status.store_id)).await;
        done.expect("acknowledged");
    }
    drop((kv, admin));
    assert_eq!(process.stop().code, Some(0));
    let process = Process::serve(new);
    let mut admin = self::admin(&process).await;
    let status = admin.get_status(v1::GetStatusRequest {}).await;
    assert_eq!(status.expect("a status").into_inner().repaired, None);
}

#[tokio::test]
async fn what_cannot_be_repaired_so_is_refused_by_name() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("store");
    let new = root.path().join("new").display().to_string();
    let process = Process::serve(&dir);
    fill(&process, 0, 150).await;
    assert_eq!(process.stop().code, Some(0));
    flip(&segment(&dir, 1), 300_000);
    let apply = ["--into", &new, "--apply"];
    let cases: [(&[&str], i32, &str); 6] = [
        (&[], 2, "--plan"),
        (&["--apply", "--salvage"], 2, "--into"),
        (&["--into", &new, "--apply"], 2, "--salvage"),
        (&["--plan", "--apply"], 2, "cannot be used with"),
        (
            &[apply[0], apply[1], apply[2], "--from-older-snapshot"],
            65,
            "whole up to revision",
        ),
        (
            &[
                apply[0],
                apply[1],
                apply[2],
                "--truncate-at-revision",
                "149",
            ],
            65,
            "not to be had",
        ),
    ];
    for (arguments, code, text) in cases {
        let ended = repair(&dir, arguments);
        expect(&arguments.join(" "), &ended, code, &[text]);
    }
    let ended = repair(&root.path().join("absent"), &["--plan"]);
    expect("absent", &ended, 74, &["not a directory"]);
    assert!(!Path::new(&new).exists());
}

/// Whoever goes away leaves room for the next: the thread ends.
#[tokio::test]
async fn a_check_ends_with_its_caller_and_few_run_at_a_time() {
    let root = TempDir::new().unwrap();
    let process = Process::serve(root.path());
    fill(&process, 0, 150).await;
    let slow = v1::VerifyRequest {
        bytes_per_second: 1000,
        ..v1::VerifyRequest::default()
    };
    let mut admin = admin(&process).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(
            admin
                .verify(slow.clone())
                .await
                .expect("begun")
                .into_inner(),
        );
    }
    let refused = admin.verify(slow.clone()).await.expect_err("too many");
    assert_eq!(reason(&refused), Some(Reason::Overloaded));
    // A thread gets its name only when it runs.
    let begun = Instant::now();
    while threads(&process) != 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "not one each");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(running);
    let begun = Instant::now();
    while threads(&process) > 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "they go on for nobody"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let negative = v1::VerifyRequest {
        bytes_per_second: -1,
        ..v1::VerifyRequest::default()
    };
    let refused = admin.verify(negative).await.expect_err("negative");
    assert_eq!(reason(&refused), Some(Reason::BadNumber));
    let _running = admin.verify(slow).await.expect("there is room again");
    // A stop does not wait for it.
    assert_eq!(process.stop().code, Some(0));
}

/// Threads of the process that read for a check.
fn threads(process: &Process) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).expect("a process");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "kvd-verify").count()
}
