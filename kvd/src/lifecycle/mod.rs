//! From a configuration to a serving daemon, and to its orderly end.
//!
//! ```text
//! start:  listen ─► serve, answering LOADING ─► load on its own thread ─► serve
//! stop:   health NOT_SERVING, writes refused ─► listeners closed ─► calls in flight end
//!         ─► (limit: waits cut) ─► log sealed and synced
//! ```

mod drain;
pub mod ready;
pub mod signals;
mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::accept::{accept, listen};
use crate::backend::Store as _;
use crate::backend::embedded::Embedded;
use crate::config::{Config, Settings};
use crate::exit::{Exit, Failure};
use crate::server::Server;
use crate::service::core::Shared;
use crate::telemetry::{health, http};

/// A running daemon. Its control tasks live on the runtime that started it; calls
/// are served on threads of their own.
#[derive(Debug)]
pub struct Daemon {
    server: Server<Embedded>,
    listening: Vec<SocketAddr>,
    http: Option<SocketAddr>,
    loading: Option<oneshot::Receiver<Result<Embedded, Failure>>>,
    health_changed: Arc<Notify>,
    /// Accept loops; ended when stopping begins.
    accepting: Vec<JoinHandle<()>>,
    /// HTTP and health; ended last.
    telling: Vec<JoinHandle<()>>,
}

/// Listens, starts serving and begins to load. Returns while loading goes on: see
/// [`Daemon::loaded`].
pub async fn start(config: Config) -> Result<Daemon, Failure> {
    let settings = config.settings;
    Embedded::check(&settings)?;
    let (listeners, listening) = bind_all(&settings.listen.0)?;
    let http_listener = settings.http_listen.0.map(bind).transpose()?;
    let shared = Arc::new(Shared::new(settings));
    let reporter = health::reporter().await;
    let server = Server::start(&shared, reporter.clone())
        .map_err(|e| Failure::new(Exit::Software, format!("cannot start threads: {e}")))?;
    let accepting = listeners
        .into_iter()
        .map(|listener| {
            let caps = Arc::clone(&server.figures.caps);
            tokio::spawn(accept(listener, server.cores.dealer(), caps))
        })
        .collect();
    let health_changed = Arc::new(Notify::new());
    let mut telling = vec![tokio::spawn(health::report(
        Arc::clone(&shared),
        reporter,
        Arc::clone(&health_changed),
    ))];
    let mut http = None;
    if let Some((listener, address)) = http_listener {
        http = Some(address);
        let figures = Arc::clone(&server.figures);
        telling.push(tokio::spawn(async move {
            if let Err(error) = http::serve(listener, figures).await {
                tracing::error!(%error, "the HTTP side has ended");
            }
        }));
    }
    let loading = Some(load(Arc::clone(&shared))?);
    telling.push(tokio::spawn(systemd::report_loading(shared)));
    Ok(Daemon {
        server,
        listening,
        http,
        loading,
        health_changed,
        accepting,
        telling,
    })
}

type Bound = (TcpListener, SocketAddr);

fn bind_all(addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), Failure> {
    let bound: Result<Vec<Bound>, Failure> = addresses.iter().copied().map(bind).collect();
    Ok(bound?.into_iter().unzip())
}

fn bind(address: SocketAddr) -> Result<Bound, Failure> {
    let listener = listen(address).and_then(|listener| {
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    });
    listener.map_err(|e| {
        let message = format!(
            "cannot listen on {address}: {e}; choose another with --listen or --http-listen"
        );
        Failure::new(Exit::Unavailable, message)
    })
}

/// Reads the store on a thread of its own.
fn load(
    shared: Arc<Shared<Embedded>>,
) -> Result<oneshot::Receiver<Result<Embedded, Failure>>, Failure> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let loading = &shared.loading;
        let opened = Embedded::open(&shared.settings, &|progress| {
            loading
                .bytes_done
                .store(progress.bytes_done, Ordering::Relaxed);
            loading
                .bytes_total
                .store(progress.bytes_total, Ordering::Relaxed);
        });
        // Nobody listens if the process is already stopping; dropping closes again.
        let _ = sender.send(opened);
    };
    std::thread::Builder::new()
        .name("kvd-load".to_owned())
        .spawn(work)
        .map_err(|e| Failure::new(Exit::Software, format!("cannot start a thread: {e}")))?;
    Ok(receiver)
}

impl Daemon {
    /// Waits until the store is read, and serves it from then on.
    pub async fn loaded(&mut self) -> Result<(), Failure> {
        let Some(loading) = self.loading.as_mut() else {
            return Ok(());
        };
        let opened = loading.await;
        self.loading = None;
        let store = opened
            .map_err(|_| Failure::new(Exit::Software, "loading ended without a result"))??;
        let changed = Arc::clone(&self.health_changed);
        // Weak, because the store holds the listener: it must not hold the store.
        let shared = Arc::downgrade(&self.server.figures.shared);
        store.subscribe(Arc::new(move || {
            let shared = shared.upgrade();
            if shared.is_some_and(|shared| shared.failed()) {
                changed.notify_one();
            }
        }));
        self.server.opened(store);
        self.health_changed.notify_one();
        systemd::ready();
        Ok(())
    }

    /// The addresses of the gRPC side, with the ports that the system chose.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// The address of the HTTP side.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    fn settings(&self) -> &Settings {
        &self.server.figures.shared.settings
    }

    /// Drains and closes. Nothing that was acknowledged as durable is lost, whatever
    /// comes of it.
    pub async fn stop(self) -> Result<(), Failure> {
        let limit = self.settings().drain_timeout;
        drain::stop(self, limit).await
    }
}

/// How often something is looked at that announces nothing.
const POLL: Duration = Duration::from_millis(10);
