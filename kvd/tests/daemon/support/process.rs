//! Kvd in a process of its own: how one is started, filled, signalled and ended, and what
//! it says on the way.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kvproto::v1::kv_service_client::KvServiceClient;

use super::{channel, set};

/// Small files, so that a start takes milliseconds. Temporary directories may be on
/// tmpfs, which a test does not mind.
pub(crate) const SMALL: [(&str, &str); 5] = [
    ("log.segment_bytes", "1MiB"),
    ("limits.batch_bytes", "64KiB"),
    ("limits.value_bytes", "32KiB"),
    ("store.allow_volatile", "true"),
    ("server.runtimes", "2"),
];

/// A kvd in a process of its own; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub ready: String,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// `kvd` with `arguments`, ports chosen by the system, and no settings from outside.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KVD_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The arguments of a daemon on `dir` with small files.
pub(crate) fn serve_arguments(dir: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(["--data-dir".to_owned(), dir.display().to_string()]);
    for (key, value) in SMALL {
        arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    arguments
}

/// Runs to the end; the test fails if that takes long.
pub(crate) fn run(command: &mut Command) -> Ended {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    finish(child, Duration::from_secs(30))
}

fn finish(mut child: Child, limit: Duration) -> Ended {
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > limit {
            child.kill().expect("killed");
            child.wait().expect("ended");
            panic!("kvd did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("ended");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Process {
    /// Starts on `dir` and waits for the ready line.
    pub(crate) fn serve(dir: &Path) -> Self {
        let arguments = serve_arguments(dir);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Self::spawn(&mut command(&arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_log(command, Stdio::piped())
    }

    /// As [`Process::spawn`], with what it logs going somewhere else.
    pub(crate) fn spawn_with_log(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("started");
        let mut ready = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("a line");
        if !ready.starts_with("kvd ready ") {
            let mut stderr = String::new();
            child.kill().expect("killed");
            if let Some(mut piped) = child.stderr.take() {
                piped.read_to_string(&mut stderr).expect("read");
            }
            panic!("no ready line but {ready:?}: {stderr}");
        }
        Self { child, ready }
    }

    /// A field of the ready line.
    pub(crate) fn field(&self, name: &str) -> &str {
        let prefix = format!("{name}=");
        let fields = self.ready.trim_end().split(' ');
        fields
            .into_iter()
            .find_map(|field| field.strip_prefix(&prefix))
            .expect("a field")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.field("listen").parse().expect("an address")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident bytes now.
    pub(crate) fn resident(&self) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/statm", self.pid()));
        let statm = std::fs::read_to_string(path).expect("a living process");
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .expect("a field")
            .parse()
            .expect("a number");
        pages * rustix::param::page_size() as u64
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("sent");
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(mut self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    pub(crate) fn wait(&mut self) -> Ended {
        let placeholder = Command::new("true").spawn().expect("true");
        let child = std::mem::replace(&mut self.child, placeholder);
        finish(child, Duration::from_secs(30))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sets `count` keys of 16 KiB, so that a store of small segments has several.
pub(crate) async fn fill(process: &Process, first: usize, count: usize) {
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
pub(crate) async fn writes(dir: &Path) {
    let process = Process::serve(dir);
    fill(&process, 0, 1).await;
    assert_eq!(process.stop().code, Some(0));
}

/// Runs kvd on `dir` until it gives up.
pub(crate) fn refused(dir: &Path, more: &[&str]) -> Ended {
    let arguments = serve_arguments(dir);
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    run(&mut command(&arguments))
}

/// That it ended with `code` and has said all of `texts`.
pub(crate) fn expect(name: &str, ended: &Ended, code: i32, texts: &[&str]) {
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
