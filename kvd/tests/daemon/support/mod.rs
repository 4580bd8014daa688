//! A daemon in this process, and daemons in processes of their own.

pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kvd::config::{Config, Origin};
use kvproto::v1::admin_service_client::AdminServiceClient;
use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, ErrorReason as Reason};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

pub(crate) use process::{Ended, Process, command, run, serve_arguments};

/// A daemon in this process.
pub(crate) struct Running {
    pub daemon: kvd::Daemon,
    pub dir: TempDir,
}

impl Running {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let daemon = start_in(dir.path(), settings).await;
        Self { daemon, dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon.listening()[0].tcp().expect("of TCP")
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(self.address()).await
    }

    pub(crate) async fn kv(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel().await).max_decoding_message_size(32 << 20)
    }

    pub(crate) async fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel().await)
    }
}

pub(crate) async fn start_in(dir: &Path, settings: &[(&str, &str)]) -> kvd::Daemon {
    // A process that another test begins holds every open file, this lock's too, until
    // it has become kvd. Whoever else holds it does so for longer.
    for _ in 0..100 {
        let mut daemon = kvd::start(config(dir, settings)).await.expect("started");
        match daemon.loaded().await {
            Ok(()) => return daemon,
            Err(failure) if failure.exit == kvd::exit::Exit::Locked => {}
            Err(failure) => panic!("not loaded: {failure:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} stays locked", dir.display());
}

pub(crate) fn config(dir: &Path, settings: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let all = [
        ("store.data_dir", dir.to_str().expect("UTF-8")),
        ("server.listen", "127.0.0.1:0"),
        ("server.http_listen", "127.0.0.1:0"),
        ("store.allow_volatile", "true"),
        ("server.runtimes", "2"),
        ("log.segment_bytes", "8MiB"),
        ("limits.batch_bytes", "1100KiB"),
    ];
    for (key, value) in all.iter().chain(settings) {
        config
            .set(key, value, Origin::Default)
            .expect("a good setting");
    }
    config
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("listening")
}

/// The reason in a status's ErrorInfo; `None` if kvd did not make it.
pub(crate) fn reason(status: &Status) -> Option<Reason> {
    let details = status.get_error_details();
    let info = details.error_info()?;
    assert_eq!(info.domain, "kvd");
    Some(Reason::from_wire_name(&info.reason).expect("a reason of the protocol"))
}

pub(crate) fn set(key: &str, value: impl Into<bytes::Bytes>) -> v1::SetRequest {
    v1::SetRequest {
        key: key.to_owned().into(),
        value: value.into(),
        ..v1::SetRequest::default()
    }
}

pub(crate) fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest {
        key: key.to_owned().into(),
        options: None,
    }
}
