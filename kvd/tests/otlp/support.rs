//! A daemon in this process that is traced, and its client.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use kvd::config::{Config, Origin};
use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Traced {
    pub(crate) daemon: kvd::Daemon,
    _dir: TempDir,
}

impl Traced {
    pub(crate) async fn start(endpoint: &str, settings: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let mut config = Config::default();
        let all = [
            ("store.data_dir", dir.path().to_str().expect("UTF-8")),
            ("server.listen", "127.0.0.1:0"),
            ("server.http_listen", "127.0.0.1:0"),
            ("store.allow_volatile", "true"),
            ("server.runtimes", "2"),
            ("log.segment_bytes", "1MiB"),
            ("limits.batch_bytes", "64KiB"),
            ("limits.value_bytes", "32KiB"),
            ("telemetry.otlp_endpoint", endpoint),
        ];
        for (key, value) in all.iter().chain(settings) {
            config
                .set(key, value, Origin::Default)
                .expect("a good setting");
        }
        let mut daemon = kvd::start(config).await.expect("started");
        daemon.loaded().await.expect("loaded");
        Self { daemon, _dir: dir }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let address = self.daemon.listening()[0].tcp().expect("of TCP");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        endpoint.connect().await.expect("listening")
    }

    pub(crate) async fn kv(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel().await)
    }

    /// A sample of `/metrics`.
    pub(crate) async fn metric(&self, sample: &str) -> u64 {
        let metrics = fetch(self.daemon.http().expect("an address")).await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.unwrap_or_else(|| panic!("no {sample} in {metrics}"));
        let whole = value.trim().trim_end_matches(".0");
        whole.parse().expect("a whole number")
    }

    /// What is not sent yet is sent now.
    pub(crate) async fn stop(self) {
        self.daemon.stop().await.expect("stopped");
    }
}

/// What is logged on this thread, on which the exporter runs too.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    /// As long as the guard lives.
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let told = Self::default();
        let writer = told.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (told, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn fetch(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("listening");
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    text
}

pub(crate) fn set(key: &str, value: &str) -> v1::SetRequest {
    v1::SetRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..v1::SetRequest::default()
    }
}

pub(crate) fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest {
        key: key.to_owned().into(),
        options: None,
    }
}

/// With the header that says whose child the call is.
pub(crate) fn child_of<T>(header: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = header.parse().expect("ASCII");
    request.metadata_mut().insert("traceparent", header);
    request
}
