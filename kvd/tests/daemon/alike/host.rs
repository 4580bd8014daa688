//! The daemon under test: in this process, or in one of its own that can be killed.

use std::net::SocketAddr;

use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::support::{Process, channel, command, serve_arguments, start_in};

/// Limits that the operations reach.
pub(super) const LIMITS: [(&str, &str); 4] = [
    ("limits.key_bytes", "64B"),
    ("limits.value_bytes", "1KiB"),
    ("limits.batch_operations", "16"),
    ("limits.batch_bytes", "64KiB"),
];

enum Running {
    Here(Box<kvd::Daemon>),
    Apart(Process),
}

pub(super) struct Host {
    dir: TempDir,
    running: Option<Running>,
    pub(super) kv: KvServiceClient<Channel>,
    pub(super) admin: AdminServiceClient<Channel>,
}

impl Host {
    pub(super) async fn start(apart: bool) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let (running, address) = run(&dir, apart).await;
        let (kv, admin) = clients(address).await;
        Self {
            dir,
            running: Some(running),
            kv,
            admin,
        }
    }

    /// Ends the daemon in order, or kills it if it can be, and starts it again. True: it
    /// was killed.
    pub(super) async fn restart(&mut self, kill: bool) -> bool {
        let (apart, killed) = match self.running.take().expect("it runs") {
            Running::Here(daemon) => {
                daemon.stop().await.expect("stopped in order");
                (false, false)
            }
            Running::Apart(process) if kill => {
                drop(process);
                (true, true)
            }
            Running::Apart(process) => {
                let ended = process.stop();
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
                (true, false)
            }
        };
        let (running, address) = run(&self.dir, apart).await;
        self.running = Some(running);
        (self.kv, self.admin) = clients(address).await;
        killed
    }
}

async fn run(dir: &TempDir, apart: bool) -> (Running, SocketAddr) {
    if !apart {
        let daemon = start_in(dir.path(), &LIMITS).await;
        let address = daemon.listening()[0].tcp().expect("of TCP");
        return (Running::Here(Box::new(daemon)), address);
    }
    let mut arguments = serve_arguments(dir.path());
    for (key, value) in LIMITS {
        let setting = format!("{key}={value}");
        let given = format!("{key}=");
        match arguments.iter_mut().find(|one| one.starts_with(&given)) {
            Some(other) => *other = setting,
            None => arguments.extend(["--set".to_owned(), setting]),
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(&mut command(&arguments));
    let address = process.address();
    (Running::Apart(process), address)
}

async fn clients(address: SocketAddr) -> (KvServiceClient<Channel>, AdminServiceClient<Channel>) {
    let channel = channel(address).await;
    (
        KvServiceClient::new(channel.clone()),
        AdminServiceClient::new(channel),
    )
}
