//! The servers that are measured: processes of their own, started on free loopback
//! ports, known by their ready line, stopped one by one.

mod binary;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;
use crate::floor_server;
pub(crate) use binary::{cargo_profile, kvd_binary};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// How much of a server's log an error shows.
const LOG_TAIL: usize = 2_000;

/// A running server. Dropped without [`Server::stop`], it is killed.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    /// Where it shows its metrics, if it was asked to.
    http: Option<SocketAddr>,
    /// Held by a floor server, which ends when it is closed.
    stdin: Option<ChildStdin>,
    /// Whether it says by its exit code that it ended in order.
    says_so: bool,
    /// Data and log; removed with the last that holds it.
    home: Home,
}

/// A directory that servers are started in, one after the other.
pub(crate) type Home = Arc<TempDir>;

/// What is needed to start servers.
pub(crate) struct Launcher {
    /// The kvd binary.
    pub(crate) kvd: PathBuf,
    /// Where data directories are made: on a real disk.
    pub(crate) data_root: PathBuf,
    /// Threads that serve connections, for both.
    pub(crate) runtimes: usize,
}

impl Launcher {
    /// Starts the floor: this program again, with another command.
    pub(crate) fn floor(&self) -> Result<Server> {
        let program = std::env::current_exe()?;
        let args = ["floor-server", "--listen", "127.0.0.1:0", "--runtimes"];
        let mut args: Vec<OsString> = args.map(OsString::from).into();
        args.push(self.runtimes.to_string().into());
        let home = self.home("floor")?;
        let ready = floor_server::READY;
        start(&home, "floor", &program, args, ready, Stdio::piped())
    }

    /// Starts kvd on an empty directory.
    pub(crate) fn kvd(&self, sync: &str) -> Result<Server> {
        self.kvd_in(&self.home("kvd")?, sync, &[])
    }

    /// Starts kvd on what a directory holds; `settings` are written `name=value`.
    pub(crate) fn kvd_in(&self, home: &Home, sync: &str, settings: &[&str]) -> Result<Server> {
        self.kvd_with(home, sync, settings, "off")
    }

    /// As [`Launcher::kvd_in`], and its metrics can be read.
    pub(crate) fn kvd_shown(&self, home: &Home, sync: &str, settings: &[&str]) -> Result<Server> {
        self.kvd_with(home, sync, settings, "127.0.0.1:0")
    }

    fn kvd_with(&self, home: &Home, sync: &str, settings: &[&str], http: &str) -> Result<Server> {
        let fixed = [
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            http,
            "--sync",
            sync,
        ];
        let mut args: Vec<OsString> = fixed.map(OsString::from).into();
        let runtimes = format!("server.runtimes={}", self.runtimes);
        for setting in settings.iter().copied().chain([runtimes.as_str()]) {
            args.extend(["--set".into(), setting.into()]);
        }
        args.extend(["--data-dir".into(), data_of(home).into()]);
        start(home, "kvd", &self.kvd, args, "kvd ready ", Stdio::null())
    }

    /// An empty directory.
    pub(crate) fn home(&self, name: &str) -> Result<Home> {
        let root = &self.data_root;
        let failed = |e| format!("cannot make a directory in {}: {e}", root.display());
        fs::create_dir_all(root).map_err(failed)?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(root)
            .map_err(failed)?;
        Ok(Arc::new(dir))
    }
}

/// Starts a program and waits for its ready line.
fn start(
    home: &Home,
    name: &'static str,
    program: &Path,
    args: Vec<OsString>,
    ready: &str,
    stdin: Stdio,
) -> Result<Server> {
    let log = fs::File::create(home.path().join("log"))?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let stdout = child.stdout.take();
    let mut server = Server {
        name,
        stdin: child.stdin.take(),
        child,
        says_so: true,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        http: None,
        home: Arc::clone(home),
    };
    let line = stdout.map_or_else(|| Err("it has no output".into()), first_line);
    if let Ok(line) = &line {
        server.http = address_in(line, ready, "http=");
    }
    let address = line.and_then(|line| listen_address(&line, ready));
    server.address = address.map_err(|e| server.failure(&format!("did not start: {e}")))?;
    Ok(server)
}

/// Starts a server of another project, which has no ready line: it is up when it
/// takes connections. `args` are made for its directory and its address.
pub(crate) fn peer(
    home: &Home,
    name: &'static str,
    program: &Path,
    args: impl FnOnce(&Path, SocketAddr) -> Vec<OsString>,
) -> Result<Server> {
    let address = free_address()?;
    let log = fs::File::create(home.path().join("log"))?;
    let child = Command::new(program)
        .args(args(home.path(), address))
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let mut server = Server {
        name,
        stdin: None,
        child,
        says_so: false,
        address,
        http: None,
        home: Arc::clone(home),
    };
    let until = Instant::now() + READY_WITHIN;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.child.try_wait()? {
            return Err(server.failure(&format!("did not start: {status}")));
        }
        if Instant::now() > until {
            return Err(server.failure(&format!("was not ready within {READY_WITHIN:?}")));
        }
        thread::sleep(POLL);
    }
    Ok(server)
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are.
    pub(crate) fn http(&self) -> Result<SocketAddr> {
        Ok(self
            .http
            .ok_or("its ready line has no address of metrics")?)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server in its own way and checks that it ended in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        if self.stdin.take().is_none() {
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
            kill_process(pid.ok_or("a child without a process id")?, Signal::TERM)?;
        }
        let status = self.wait()?;
        if status.success() || !self.says_so {
            return Ok(());
        }
        Err(self.failure(&format!("did not stop in order: {status}")))
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let until = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        Err(self.failure(&format!("did not stop within {STOPPED_WITHIN:?}")))
    }

    /// An error about this server, with the end of its log.
    pub(crate) fn failure(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        let log = fs::read(self.home.path().join("log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]);
        format!("{} {what}\n--- end of its log ---\n{tail}", self.name).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where kvd keeps its files in a directory of its own.
pub(crate) fn data_of(home: &Home) -> PathBuf {
    home.path().join("data")
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The first line of a server's output, waited for a limited time. The rest is read
/// and dropped, so that the server never blocks on it.
fn first_line(output: impl Read + Send + 'static) -> Result<String> {
    let (sender, line) = mpsc::channel();
    thread::Builder::new()
        .name("bench-stdout".into())
        .spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            let _ = sender.send(output.read_line(&mut line).map(|_| line));
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        })?;
    match line.recv_timeout(READY_WITHIN) {
        Ok(Ok(line)) if line.is_empty() => Err("it ended before it was ready".into()),
        Ok(line) => Ok(line?),
        Err(_) => Err(format!("it was not ready within {READY_WITHIN:?}").into()),
    }
}

/// `… listen=ADDRESS …` out of a ready line.
fn listen_address(line: &str, ready: &str) -> Result<SocketAddr> {
    address_in(line, ready, "listen=")
        .ok_or_else(|| format!("expected `{ready}listen=…`, got: {}", line.trim_end()).into())
}

/// The first address of a field of a ready line, which is named with its `=`.
fn address_in(line: &str, ready: &str, name: &str) -> Option<SocketAddr> {
    let mut fields = line.strip_prefix(ready)?.split_ascii_whitespace();
    let addresses = fields.find_map(|field| field.strip_prefix(name))?;
    addresses.split(',').next()?.parse().ok()
}

/// Tells what is going on, beside the report.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

#[cfg(test)]
mod tests;
