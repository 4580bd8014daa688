//! What a service manager sees and gives: the steps of a process, a socket that nobody
//! reads, and listening sockets.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::{Process, Running, command, config, get, serve_arguments};
use kvd::config::Address;
use kvd::lifecycle::systemd::{Given, Inherited};
use kvd::socket::Passed;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;

struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Self { socket, dir }
    }

    fn path(&self) -> std::ffi::OsString {
        self.dir.path().join("notify").into()
    }

    /// As [`Manager::told`], for a daemon in this process: lets it run meanwhile.
    async fn hears(&self, wanted: &str) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            match self.socket.recv(&mut buffer) {
                Ok(length) if String::from_utf8_lossy(&buffer[..length]).contains(wanted) => return,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("{wanted} was not said");
    }

    /// The message with this line; whatever comes before it is let go.
    fn told(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).expect(wanted);
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line == wanted) {
                return message;
            }
        }
    }
}

#[test]
fn the_manager_is_told_of_every_step_and_a_sign_of_life() {
    let manager = Manager::new();
    let data = manager.dir.path().join("data");
    let arguments = serve_arguments(&data);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(
        command(&arguments)
            .env("NOTIFY_SOCKET", manager.path())
            .env("WATCHDOG_USEC", "400000"),
    );
    manager.told("READY=1");
    // The writer is idle, which is a sign of life as well, again and again: it is woken for
    // it, and not only heard when it looks around by itself, once a second.
    let begun = Instant::now();
    for _ in 0..5 {
        manager.told("WATCHDOG=1");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    process.signal(rustix::process::Signal::HUP);
    let reloading = manager.told("RELOADING=1");
    let stamp = reloading
        .lines()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="));
    let stamp: u64 = stamp.expect("a stamp").parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of this machine's uptime"
    )]
    let age = uptime - stamp as f64 / 1e6;
    assert!((-0.1..10.0).contains(&age), "{age}");
    let reloaded = manager.told("READY=1");
    assert!(
        reloaded.contains("STATUS=settings read again, changed: nothing"),
        "{reloaded}"
    );
    assert_eq!(process.stop().code, Some(0));
    let stopping = manager.told("STOPPING=1");
    assert!(
        stopping.contains("EXTEND_TIMEOUT_USEC=50000000"),
        "{stopping}"
    );
}

#[test]
fn a_manager_that_never_reads_holds_nothing_up() {
    let manager = Manager::new();
    let data = manager.dir.path().join("data");
    let arguments = serve_arguments(&data);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(
        command(&arguments)
            .env("NOTIFY_SOCKET", manager.path())
            // Fills the queue of the socket, which has a handful of places, at once.
            .env("WATCHDOG_USEC", "4000"),
    );
    for _ in 0..30 {
        process.signal(rustix::process::Signal::HUP);
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(ended.stderr.contains("does not read"), "{ended:?}");
    assert!(ended.stderr.contains("stopped in order"), "{ended:?}");
}

#[test]
fn a_manager_that_is_not_there_is_said_once() {
    let manager = Manager::new();
    let data = manager.dir.path().join("data");
    std::fs::remove_file(manager.path()).unwrap();
    let arguments = serve_arguments(&data);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(command(&arguments).env("NOTIFY_SOCKET", manager.path()));
    process.signal(rustix::process::Signal::HUP);
    std::thread::sleep(Duration::from_millis(100));
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = ended
        .stderr
        .matches("cannot tell the service manager")
        .count();
    assert_eq!(said, 1, "{ended:?}");
}

/// Lets the writer go on, also when the test fails: the end of the daemon waits for it.
struct Stands(Arc<AtomicBool>);

impl Drop for Stands {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A writer that stands still, as in a sync that does not return, takes the sign of life
/// away; one that goes on gives it back.
#[tokio::test]
async fn a_stuck_writer_gives_no_sign_of_life() {
    let manager = Manager::new();
    let period = Duration::from_millis(400);
    let given = Given::telling(manager.path(), Some(period));
    let dir = TempDir::new().unwrap();
    let mut daemon = kvd::start_with(config(dir.path(), &[]), given)
        .await
        .unwrap();
    daemon.loaded().await.unwrap();
    let stands = Stands(Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&stands.0);
    daemon.subscribe(Arc::new(move || {
        while seen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }));
    manager.hears("WATCHDOG=1").await;
    stands.0.store(true, Ordering::SeqCst);
    let mut kv =
        KvServiceClient::new(super::support::channel(daemon.listening()[0].tcp().unwrap()).await);
    let write = tokio::spawn(async move { kv.set(super::support::set("k", "v")).await });
    // What was said before the writer stood still, and one look that had seen it move.
    tokio::time::sleep(period).await;
    let mut buffer = [0; 4096];
    while manager.socket.recv(&mut buffer).is_ok() {}
    tokio::time::sleep(3 * period).await;
    assert!(manager.socket.recv(&mut buffer).is_err(), "a sign of life");
    drop(stands);
    write.await.unwrap().unwrap();
    manager.hears("WATCHDOG=1").await;
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn sockets_of_the_manager_stand_in_for_the_settings() {
    let listener = |address: &str| {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    };
    let dir = TempDir::new().unwrap();
    let grpc = listener("127.0.0.1:0");
    let address = grpc.local_addr().unwrap();
    let mut given = Given::default();
    given.inherited = Inherited {
        grpc: vec![Passed::Tcp(grpc)],
        http: None,
    };
    let mut daemon = kvd::start_with(config(dir.path(), &[]), given)
        .await
        .unwrap();
    daemon.loaded().await.unwrap();
    assert_eq!(daemon.listening(), [Address::Tcp(address)]);
    let running = Running { daemon, dir };
    let reply = running.kv().await.get(get("k")).await.unwrap();
    assert!(!reply.into_inner().found);
    running.daemon.stop().await.unwrap();

    let dir = TempDir::new().unwrap();
    let mut given = Given::default();
    given
        .inherited
        .grpc
        .push(Passed::Tcp(listener("0.0.0.0:0")));
    let refused = kvd::start_with(config(dir.path(), &[]), given).await;
    let refused = refused.expect_err("open to others");
    assert_eq!(refused.exit, kvd::exit::Exit::Config);
    assert!(
        refused.message.contains("allow_unauthenticated"),
        "{refused}"
    );
}
