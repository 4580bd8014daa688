//! SIGHUP and Reload: what can change changes, what cannot is named, and a mistake changes
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::support::{Process, Running, channel, command, reason, serve_arguments, set};
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{
    ConfigEntry, ConfigOrigin, ErrorReason as Reason, GetConfigRequest, GetLimitsRequest,
    ReloadRequest, ReloadResponse,
};
use tempfile::TempDir;
use tonic_types::StatusExt as _;

/// A daemon with a file of settings, whose log goes to a file.
struct Rig {
    process: Process,
    config: PathBuf,
    log: PathBuf,
    _dir: TempDir,
}

impl Rig {
    /// Why a write of 2000 bytes is refused. With one connection allowed, those that ended
    /// a moment ago may still be counted.
    async fn refusal(&self) -> Option<Reason> {
        for _ in 0..100 {
            let mut kv = KvServiceClient::new(channel(self.process.address()).await);
            let refused = kv.set(set("k", vec![7; 2000])).await.unwrap_err();
            if let Some(reason) = reason(&refused) {
                return Some(reason);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    fn start(text: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("kvd.toml");
        let log = dir.path().join("log");
        fs::write(&config, text).unwrap();
        let data = dir.path().join("data");
        let mut arguments = serve_arguments(&data);
        arguments.extend(["--config".to_owned(), config.display().to_string()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = command(&arguments);
        let process = Process::spawn_with_log(&mut command, fs::File::create(&log).unwrap());
        Self {
            process,
            config,
            log,
            _dir: dir,
        }
    }

    /// Reloads; what is logged meanwhile, up to a line with `last`.
    fn reload(&self, last: &str) -> String {
        let before = fs::read_to_string(&self.log).unwrap().len();
        self.process.signal(rustix::process::Signal::HUP);
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            let new = &log[before..];
            if new.contains(last) {
                return new.to_owned();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "no {last:?} in {new}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that shows what is in force.
    async fn in_force(&self) -> String {
        let channel = channel(self.process.address()).await;
        let mut limits = AdminServiceClient::new(channel)
            .get_limits(GetLimitsRequest {})
            .await
            .unwrap()
            .into_inner();
        limits.header = None;
        format!("{limits:?}")
    }
}

const GOOD: &str = "[memory]\nmax_bytes = \"64MiB\"\n[server]\nmax_connections = 100\n";

#[tokio::test]
async fn what_can_change_changes_and_the_rest_is_named() {
    let rig = Rig::start(GOOD);
    let mut kv = KvServiceClient::new(channel(rig.process.address()).await);
    kv.set(set("k", vec![7; 10_000])).await.unwrap();
    let text = "[memory]\nmax_bytes = \"8KiB\"\n[server]\nmax_connections = 50\nmax_streams = 7\n\
                [log]\nsync = \"never\"\n[telemetry]\nlevel = \"warn\"\n";
    fs::write(&rig.config, text).unwrap();
    let log = rig.reload("needs a restart");
    for part in [
        "memory.max_bytes 64MiB -> 8KiB",
        "server.max_connections 100 -> 50",
        "telemetry.level info -> warn",
        "log.sync always -> never",
        "server.max_streams 1024 -> 7",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let in_force = rig.in_force().await;
    for part in [
        "memory_max_bytes: 8192",
        "connections: 50,",
        "streams_per_connection: 1024",
    ] {
        assert!(in_force.contains(part), "{part}: {in_force}");
    }
    // Less than is in use: what grows is refused, the rest goes on.
    let refused = kv.set(set("new", vec![7; 100])).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::MemoryLimit));
    kv.set(set("k", "short")).await.unwrap();
    kv.set(set("new", vec![7; 100])).await.unwrap();
    // At level warn a reload that is in order says nothing.
    let before = fs::read_to_string(&rig.log).unwrap();
    fs::write(&rig.config, "[telemetry]\nlevel = \"warn\"\n").unwrap();
    rig.process.signal(rustix::process::Signal::HUP);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read_to_string(&rig.log).unwrap(), before);
    assert!(rig.in_force().await.contains("memory_max_bytes: 0"));
    assert_eq!(rig.process.stop().code, Some(0));
}

/// Each is the good file with another limit, which must not be taken over, and a mistake.
const MISTAKES: [(&str, &str, &str); 9] = [
    ("syntax", "[log\n", "kvd.toml:5:5"),
    ("unknown key", "[log]\nsnyc = \"never\"\n", "log.sync"),
    (
        "wrong type",
        "[log]\nsync = 3.5\n",
        "\"3.5\" is not a sync policy",
    ),
    ("bare number", "[log]\nsegment_bytes = 67108864\n", "unit"),
    (
        "out of range",
        "[limits]\nvalue_bytes = \"17MiB\"\n",
        "outside",
    ),
    (
        "wrong section",
        "[log]\nmax_streams = 1\n",
        "server.max_streams",
    ),
    (
        "values that do not fit",
        "[limits]\nkey_bytes = \"64KiB\"\n",
        "limits.batch_bytes: 65536 bytes are fewer",
    ),
    (
        "not for the engine",
        "[limits]\nin_flight_operations = 1048576\n",
        "in_flight_operations",
    ),
    ("broken profile", "[profile.x]\nlog = 1\n", "\"log\""),
];

#[tokio::test]
async fn a_mistake_changes_nothing() {
    let rig = Rig::start(GOOD);
    let before = rig.in_force().await;
    let unchanged = async |name: &str, part: &str| {
        let log = rig.reload("everything stays as it was");
        assert!(log.contains(part), "{name}: {part:?} is not in {log}");
        assert_eq!(rig.in_force().await, before, "{name}");
    };
    let other = GOOD.replace("64MiB", "1KiB").replace("100", "1");
    for (name, mistake, part) in MISTAKES {
        fs::write(&rig.config, format!("{other}{mistake}")).unwrap();
        unchanged(name, part).await;
    }
    fs::write(&rig.config, [&b"# \xff\n"[..], other.as_bytes()].concat()).unwrap();
    unchanged("not UTF-8", "UTF-8").await;
    fs::write(&rig.config, vec![b'#'; 2 << 20]).unwrap();
    unchanged("too long", "2097152 bytes").await;
    fs::remove_file(&rig.config).unwrap();
    unchanged("gone", "cannot read").await;
    make_fifo(&rig.config);
    unchanged("a pipe", "not a regular file").await;
    fs::remove_file(&rig.config).unwrap();
    fs::create_dir(&rig.config).unwrap();
    unchanged("a directory", "not a regular file").await;
    fs::remove_dir(&rig.config).unwrap();
    // And then one without a mistake is taken over.
    fs::write(&rig.config, &other).unwrap();
    rig.reload("changed: server.max_connections 100 -> 1");
    assert_eq!(rig.refusal().await, Some(Reason::MemoryLimit));
    assert_eq!(rig.process.stop().code, Some(0));
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// What a call of Reload came to.
async fn ask(process: &Process) -> Result<ReloadResponse, tonic::Status> {
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let reply = admin.reload(ReloadRequest {}).await?;
    Ok(reply.into_inner())
}

async fn entry(process: &Process, name: &str) -> ConfigEntry {
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let reply = admin.get_config(GetConfigRequest {}).await.unwrap();
    let entries = reply.into_inner().entries;
    assert!(entries.is_sorted_by(|a, b| a.name < b.name));
    let found = entries.into_iter().find(|entry| entry.name == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn a_call_reloads_as_the_signal_does() {
    let rig = Rig::start(GOOD);
    let before = entry(&rig.process, "memory.max_bytes").await;
    assert_eq!(
        (before.value.as_str(), before.origin(), before.reloadable),
        ("64MiB", ConfigOrigin::File, true)
    );
    assert!(before.place.ends_with("kvd.toml:2"), "{}", before.place);
    let flag = entry(&rig.process, "log.segment_bytes").await;
    assert_eq!(
        (flag.origin(), flag.reloadable),
        (ConfigOrigin::Flag, false)
    );
    assert_eq!(flag.place, "--set log.segment_bytes=1MiB");
    let all = kvd::config::TABLE.len();
    let mut admin = AdminServiceClient::new(channel(rig.process.address()).await);
    let listed = admin.get_config(GetConfigRequest {}).await.unwrap();
    assert_eq!(listed.into_inner().entries.len(), all);

    let other = "[memory]\nmax_bytes = \"32MiB\"\n[log]\nsync = \"never\"\n";
    fs::write(&rig.config, other).unwrap();
    let reply = ask(&rig.process).await.unwrap();
    assert_eq!(
        reply.changed,
        ["server.max_connections", "memory.max_bytes"]
    );
    assert_eq!(reply.needs_restart, ["log.sync"]);
    let told: Vec<_> = reply
        .changes
        .iter()
        .map(|c| (c.name.as_str(), c.before.as_str(), c.after.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("server.max_connections", "100", "4096"),
            ("memory.max_bytes", "64MiB", "32MiB"),
            ("log.sync", "always", "never"),
        ]
    );
    assert!(reply.changes[2].place.ends_with("kvd.toml:4"));
    let now = entry(&rig.process, "memory.max_bytes").await;
    assert_eq!(now.value, "32MiB");
    // What needs a restart is shown as it is, not as it would be.
    assert_eq!(entry(&rig.process, "log.sync").await.value, "always");
    assert!(rig.in_force().await.contains("memory_max_bytes: 33554432"));
    assert_eq!(rig.process.stop().code, Some(0));
}

#[tokio::test]
async fn a_call_is_told_every_mistake() {
    let rig = Rig::start(GOOD);
    let before = rig.in_force().await;
    fs::write(
        &rig.config,
        "[memory]\nmax_bytes = 7\n[log]\nsnyc = \"x\"\n",
    )
    .unwrap();
    let refused = ask(&rig.process).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::BadConfig));
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    for part in [
        "kvd.toml:2:13",
        "memory.max_bytes",
        "kvd.toml:4:1",
        "log.sync",
    ] {
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    assert_eq!(problems(&refused), "2");
    // More than fits into the headers of an answer.
    let wrong: Vec<String> = (0..300).map(|at| format!("wrong{at} = 1\n")).collect();
    let text = format!("[log]\n{}", wrong.concat());
    fs::write(&rig.config, text).unwrap();
    let refused = ask(&rig.process).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::BadConfig));
    assert!(refused.message().contains("more: kvd config check"));
    assert_eq!(problems(&refused), "300");
    assert_eq!(rig.in_force().await, before);
    assert_eq!(entry(&rig.process, "memory.max_bytes").await.value, "64MiB");
    // All who ask at once are answered, or told to come back.
    fs::write(&rig.config, GOOD).unwrap();
    let asks = (0..40).map(|_| ask(&rig.process));
    let mut done = 0;
    for outcome in futures_util::future::join_all(asks).await {
        match outcome {
            Ok(reply) => {
                assert!(reply.changes.is_empty());
                done += 1;
            }
            Err(status) => assert_eq!(reason(&status), Some(Reason::Overloaded)),
        }
    }
    assert!(done >= 1);
    assert_eq!(rig.process.stop().code, Some(0));
}

fn problems(status: &tonic::Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap().metadata["problems"].clone()
}

#[tokio::test]
async fn a_daemon_inside_a_program_has_nothing_to_read_again() {
    let running = Running::start(&[]).await;
    let mut admin = running.admin().await;
    let refused = admin.reload(ReloadRequest {}).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::NotConfigured));
    running.daemon.stop().await.unwrap();
}
