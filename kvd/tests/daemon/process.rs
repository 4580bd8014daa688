//! Whole processes: what makes one refuse to start, one row each with its exit code,
//! what it says, and a start that succeeds afterwards; and how one ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::support::{Ended, Process, channel, command, get, run, serve_arguments, set};
use kvproto::v1;
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;

/// Sets `count` keys of 16 KiB, so that a store of small segments has several.
pub(super) async fn fill(process: &Process, first: usize, count: usize) {
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    for i in first..first + count {
        kv.set(set(&format!("k{i}"), vec![7; 16 << 10]))
            .await
            .expect("written");
    }
    drop(kv);
    // Its connection closes on this thread, which is about to block.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// That the store in `dir` serves and takes a write.
async fn writes(dir: &Path) {
    let process = Process::serve(dir);
    fill(&process, 0, 1).await;
    assert_eq!(process.stop().code, Some(0));
}

/// Runs kvd on `dir` until it gives up.
fn refused(dir: &Path, more: &[&str]) -> Ended {
    let arguments = serve_arguments(dir);
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    run(&mut command(&arguments))
}

pub(super) fn expect(name: &str, ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
    assert_eq!(ended.stdout, "", "{name}");
    for text in texts {
        assert!(
            ended.stderr.contains(text),
            "{name}: {text:?} is not in {}",
            ended.stderr
        );
    }
    assert!(
        !ended.stderr.contains("panicked"),
        "{name}: {}",
        ended.stderr
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn a_configuration_that_cannot_be_used() {
    let root = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let torn = file("torn.toml", "[log]\nsync = \"always\n");
    let unknown = file("unknown.toml", "\n[log]\nsnyc = \"always\"\n");
    let bare = file("bare.toml", "[memory]\nmax_bytes = 1000000\n");
    let rows: &[(&str, &[&str], i32, &[&str])] = &[
        ("bad TOML", &["--config", &torn], 78, &["torn.toml:2"]),
        (
            "no file",
            &["--config", "/nonexistent/kvd.toml"],
            78,
            &["/nonexistent/kvd.toml"],
        ),
        (
            "unknown key in the file",
            &["--config", &unknown],
            78,
            &["unknown.toml:3", "log.snyc", "log.sync"],
        ),
        (
            "bare number in the file",
            &["--config", &bare],
            78,
            &["bare.toml:2", "memory.max_bytes", "unit"],
        ),
        (
            "unknown key in a flag",
            &["--set", "log.snyc=always"],
            78,
            &["--set log.snyc", "log.sync"],
        ),
        (
            "bare size",
            &["--set", "limits.key_bytes=64"],
            78,
            &["limits.key_bytes", "64KiB"],
        ),
        (
            "bare duration",
            &["--drain-timeout", "20"],
            78,
            &["--drain-timeout", "20ms"],
        ),
        (
            "bad policy",
            &["--sync", "sometimes"],
            78,
            &["--sync", "interval:"],
        ),
        (
            "out of range",
            &["--set", "server.max_streams=0"],
            78,
            &["1 to 65536"],
        ),
        (
            "bad address",
            &["--http-listen", "nowhere"],
            78,
            &["--http-listen", "IP:PORT"],
        ),
        (
            "unix socket without a path from the root",
            &["--listen", "unix:run/kvd"],
            78,
            &["unix:run/kvd", "absolute path"],
        ),
        (
            "others can reach it",
            &["--listen", "0.0.0.0:0"],
            78,
            &["--listen", "--allow-unauthenticated"],
        ),
        (
            "twice",
            &["--sync", "never", "--set", "log.sync=always"],
            78,
            &["twice", "log.sync"],
        ),
        (
            "units that fit no segment",
            &["--set", "log.segment_bytes=1MiB"],
            78,
            &["log.segment_bytes"],
        ),
        ("unknown flag", &["--frobnicate"], 2, &["--frobnicate"]),
        ("no value", &["--set", "log.sync"], 2, &["KEY=VALUE"]),
        ("unknown command", &["frobnicate"], 2, &["frobnicate"]),
    ];
    let data = root.path().join("data").display().to_string();
    for (name, arguments, code, texts) in rows {
        let with_dir = if *code == 2 {
            vec![]
        } else {
            vec!["--data-dir", &data]
        };
        let arguments: Vec<&str> = with_dir
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        expect(name, &run(&mut command(&arguments)), *code, texts);
    }
    let from_outside = run(command(&["--data-dir", &data]).env("KVD_LOG__SYNC", "sometimes"));
    expect(
        "environment",
        &from_outside,
        78,
        &["environment KVD_LOG__SYNC", "log.sync"],
    );
    assert!(!root.path().join("data").exists(), "nothing was touched");
}

#[tokio::test]
async fn an_unknown_variable_is_warned_about_and_the_daemon_serves() {
    let dir = TempDir::new().unwrap();
    let arguments = serve_arguments(dir.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(command(&arguments).env("KVD_LOG__SNYC", "never"));
    fill(&process, 0, 1).await;
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("KVD_LOG__SNYC"), "{ended:?}");
}

#[tokio::test]
async fn an_address_or_a_directory_that_is_taken() {
    let root = TempDir::new().unwrap();
    let first = Process::serve(root.path());
    let locked = refused(root.path(), &[]);
    expect(
        "locked",
        &locked,
        75,
        &["in use", &root.path().display().to_string()],
    );
    let taken = first.field("listen").to_owned();
    let data = root.path().join("other").display().to_string();
    for (name, arguments) in [
        ("gRPC port", ["--listen", &taken, "--http-listen", "off"]),
        (
            "HTTP port",
            ["--listen", "127.0.0.1:0", "--http-listen", &taken],
        ),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--data-dir", &data]);
        expect(
            name,
            &run(&mut command(&arguments)),
            69,
            &[&taken, "--listen"],
        );
    }
    fill(&first, 0, 1).await;
    assert_eq!(first.stop().code, Some(0));
    writes(root.path()).await;
}

#[tokio::test]
async fn a_place_that_holds_no_store() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let refused_file = refused(&file, &[]);
    expect("a file", &refused_file, 74, &[&file.display().to_string()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    let nowhere = Path::new("/proc/kvd-data");
    expect(
        "nothing can be made there",
        &refused(nowhere, &[]),
        74,
        &["/proc/kvd-data"],
    );
    let data = root.path().join("data");
    writes(&data).await;
    if let Some(read_only) = ReadOnly::mount(&data) {
        expect("read-only", &refused(&read_only.at, &[]), 74, &["ead-only"]);
    } else {
        eprintln!("skipped: a read-only directory needs the right to mount");
    }
    writes(&data).await;
}

/// A read-only view of a directory, as long as it lives.
struct ReadOnly {
    at: PathBuf,
}

impl ReadOnly {
    fn mount(dir: &Path) -> Option<Self> {
        let at = dir.with_extension("read-only");
        fs::create_dir(&at).ok()?;
        let run = |arguments: &[&str]| {
            let status = std::process::Command::new("mount").args(arguments).status();
            status.is_ok_and(|status| status.success())
        };
        let (from, to) = (dir.display().to_string(), at.display().to_string());
        let mounted = run(&["--bind", &from, &to]);
        let this = mounted.then_some(Self { at })?;
        run(&["-o", "remount,bind,ro", &to]).then_some(this)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.at).status();
    }
}

#[tokio::test]
async fn tmpfs_has_to_be_allowed() {
    let Ok(root) = TempDir::new_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let data = root.path().join("data").display().to_string();
    let arguments = [
        "--data-dir",
        &data,
        "--listen",
        "127.0.0.1:0",
        "--http-listen",
        "off",
    ];
    let ended = run(&mut command(&arguments));
    expect("tmpfs", &ended, 78, &["tmpfs", "--allow-volatile"]);
    writes(Path::new(&data)).await;
}

/// Copies the files of a store.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segment(number: u64) -> String {
    format!("seg-{number:020}.kvlog")
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn replace(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

type Damage = fn(dir: &Path, other: &Path);

/// What is done to a store of three segments, and what must be said of it.
const DAMAGES: [(&str, Damage, &str); 10] = [
    (
        "middle segment missing",
        |dir, _| fs::remove_file(dir.join(segment(2))).unwrap(),
        "2.kvlog",
    ),
    (
        "newest segment missing",
        |dir, _| fs::remove_file(dir.join(segment(3))).unwrap(),
        "3.kvlog",
    ),
    (
        "first segment missing",
        |dir, _| fs::remove_file(dir.join(segment(1))).unwrap(),
        "1.kvlog",
    ),
    (
        "segment renamed",
        |dir, _| fs::rename(dir.join(segment(2)), dir.join(segment(9))).unwrap(),
        "2.kvlog",
    ),
    (
        "segment duplicated",
        |dir, _| replace(&dir.join(segment(1)), &dir.join(segment(4))),
        "4.kvlog",
    ),
    (
        "segment of another store",
        |dir, other| replace(&other.join(segment(2)), &dir.join(segment(2))),
        "2.kvlog",
    ),
    (
        "MANIFEST of another store",
        |dir, other| replace(&other.join("MANIFEST"), &dir.join("MANIFEST")),
        "1.kvlog",
    ),
    (
        "MANIFEST missing",
        |dir, _| fs::remove_file(dir.join("MANIFEST")).unwrap(),
        "MANIFEST",
    ),
    (
        "MANIFEST damaged",
        |dir, _| flip(&dir.join("MANIFEST"), 40),
        "MANIFEST",
    ),
    (
        "a flipped bit",
        |dir, _| flip(&dir.join(segment(2)), 300_000),
        "2.kvlog",
    ),
];

#[tokio::test]
async fn damaged_files_are_refused_by_name() {
    let root = TempDir::new().unwrap();
    let (good, other) = (root.path().join("good"), root.path().join("other"));
    for (dir, count) in [(&good, 150), (&other, 150)] {
        let process = Process::serve(dir);
        fill(&process, 0, count).await;
        assert_eq!(process.stop().code, Some(0));
    }
    let check = |dir: &Path| run(&mut command(&["check", &dir.display().to_string()]));
    assert_eq!(check(&good).code, Some(0));
    for (at, (name, damage, text)) in DAMAGES.into_iter().enumerate() {
        let dir = root.path().join(format!("damaged-{at}"));
        copy(&good, &dir);
        damage(&dir, &other);
        let before = listing(&dir);
        let checked = check(&dir);
        assert_eq!(checked.code, Some(65), "{name}: {checked:?}");
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(told.contains(text), "{name}: {text:?} is not in {told}");
        expect(name, &refused(&dir, &[]), 65, &[text]);
        assert_eq!(
            listing(&dir),
            before,
            "{name}: a refused start changed the directory"
        );
    }
    writes(&good).await;
    expect(
        "nothing there",
        &check(&root.path().join("nothing")),
        74,
        &["not a directory"],
    );
}

/// Names and sizes, without the lock.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.metadata().unwrap().len(),
            )
        })
        .filter(|(name, _)| name != "LOCK")
        .collect();
    files.sort();
    files
}

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
    let connection = super::support::raw::connect(process.address()).await;
    let mut arriving = connection.ready().await.unwrap();
    let head = super::support::raw::head("/kvd.v1.KvService/Set", &[]);
    let (_reply, mut body) = arriving.send_request(head, false).unwrap();
    body.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x10"), false)
        .unwrap();
    // One behind it on the same connection is answered: so it has arrived that far.
    let mut behind = arriving.ready().await.unwrap();
    let head = super::support::raw::head("/kvd.v1.KvService/Get", &[]);
    let (reply, mut whole) = behind.send_request(head, false).unwrap();
    whole
        .send_data(super::support::raw::framed(&get("k0")), true)
        .unwrap();
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

#[test]
fn logs_can_be_json() {
    let dir = TempDir::new().unwrap();
    let mut arguments = serve_arguments(dir.path());
    arguments.extend(["--set".to_owned(), "telemetry.log_format=json".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Not the stream to the journal: the variable names something else.
    let mut command = command(&arguments);
    let ended = Process::spawn(command.env("JOURNAL_STREAM", "1:1")).stop();
    assert_eq!(ended.code, Some(0));
    let lines: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert!(messages.iter().any(|m| *m == "serving"), "{messages:?}");
    assert!(
        messages.iter().any(|m| *m == "stopped in order"),
        "{messages:?}"
    );
    assert!(lines.iter().all(|line| line["level"].is_string()));
}

#[test]
fn a_journal_that_is_asked_for_and_not_there_is_an_error() {
    if Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut arguments = serve_arguments(dir.path());
    arguments.extend([
        "--set".to_owned(),
        "telemetry.log_format=journald".to_owned(),
    ]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(&mut command(&arguments));
    assert_eq!(ended.code, Some(78));
    for part in [
        "telemetry.log_format",
        "/run/systemd/journal/socket",
        "auto",
    ] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn pages_and_completions_are_made_from_the_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&mut command(&["completions", shell]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("drain-timeout"), "{shell}");
    }
    let page = run(&mut command(&["man"]));
    assert!(page.stdout.contains(".TH kvd 1"), "{}", page.stdout);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("man");
    let ended = run(&mut command(&["man", "--dir", path.to_str().unwrap()]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let restore = fs::read_to_string(path.join("kvd-restore.1")).unwrap();
    assert!(restore.contains("at\\-revision"), "{restore}");
    assert!(path.join("kvd.1").exists() && path.join("kvd-config-check.1").exists());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ended = run(&mut command(&["man", "--dir", file.to_str().unwrap()]));
    assert_eq!(ended.code, Some(74));
    assert!(
        ended.stderr.contains("cannot write into"),
        "{}",
        ended.stderr
    );
}
