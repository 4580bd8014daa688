//! One daemon process on a free port, that a driver may kill at any moment.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Starting means recovering; nothing here takes nearly as long.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Small segments, so that kills meet rotations; the limits that these need.
const SETTINGS: [&str; 3] = [
    "log.segment_bytes=4MiB",
    "limits.value_bytes=128KiB",
    "limits.batch_bytes=512KiB",
];

/// A running kvd; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    endpoint: String,
}

impl Daemon {
    /// Starts kvd on `dir` and waits for its ready line.
    pub fn start(kvd: &Path, dir: &Path, policy: &str) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let log_path = dir.with_extension("log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)?;
        let mut command = Command::new(kvd);
        command
            .args(["--listen", "127.0.0.1:0", "--http-listen", "off"])
            .args(["--sync", policy, "--allow-volatile", "--data-dir"])
            .arg(dir)
            .args(SETTINGS.iter().flat_map(|setting| ["--set", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let child = command.spawn()?;
        let mut daemon = Self {
            child,
            endpoint: String::new(),
        };
        let line = daemon
            .first_line()
            .map_err(|error| failed(&error.to_string(), &log_path))?;
        let listen = line
            .split_whitespace()
            .find_map(|field| field.strip_prefix("listen="));
        match listen {
            Some(listen) if line.starts_with("kvd ready ") => {
                daemon.endpoint = format!("http://{listen}");
                Ok(daemon)
            }
            _ => Err(failed(&format!("no ready line but {line:?}"), &log_path)),
        }
    }

    fn first_line(&mut self) -> io::Result<String> {
        let stdout = self.child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("ready-line".into())
            .spawn(move || {
                let mut line = String::new();
                let _ = BufReader::new(stdout).read_line(&mut line);
                let _ = sender.send(line);
            })?;
        receiver
            .recv_timeout(READY_LIMIT)
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "kvd did not get ready"))
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already dead is what it should be.
        let _ = self.kill();
    }
}

/// What went wrong, with the end of the daemon's log.
fn failed(what: &str, log: &Path) -> io::Error {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(20)..].join("\n");
    io::Error::other(format!("{what}; its log ends with:\n{end}"))
}
