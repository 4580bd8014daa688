//! From a configuration to a serving daemon, and to its orderly end.
//!
//! ```text
//! start:  listen ─► serve, answering LOADING ─► load on its own thread ─► serve
//! reload: read settings again ─► all good? hand over what is live : leave everything
//! stop:   health NOT_SERVING, writes refused ─► listeners closed ─► calls in flight end
//!         ─► (limit: waits cut) ─► log sealed and synced
//! ```

mod drain;
pub mod ready;
pub mod reload;
pub mod signals;
pub mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::accept::accept;
use crate::backend::Store as _;
use crate::backend::embedded::Embedded;
use crate::config::{Address, Config, Mode};
use crate::control::{Ask, Control};
use crate::exit::{Exit, Failure};
use crate::server::Server;
use crate::service::core::Shared;
use crate::socket::{Listener, Passed};
use crate::telemetry::health::{self, Health};
use crate::telemetry::http;
use crate::telemetry::trace::Exporting;
use systemd::{Given, Inherited, Manager};

/// A running daemon. Its control tasks live on the runtime that started it; calls
/// are served on threads of their own.
#[derive(Debug)]
pub struct Daemon {
    server: Server<Embedded>,
    manager: Arc<Manager>,
    listening: Vec<Address>,
    http: Option<SocketAddr>,
    loading: Option<oneshot::Receiver<Result<Embedded, Failure>>>,
    health_changed: Arc<Notify>,
    health_told: watch::Receiver<Option<Health>>,
    /// The number of keys loaded, until it is told that kvd is ready.
    unannounced: Option<u64>,
    /// Accept loops; ended when stopping begins.
    accepting: Vec<JoinHandle<()>>,
    /// HTTP, health and the service manager's; ended last.
    telling: Vec<JoinHandle<()>>,
    exporting: Exporting,
}

/// As [`start_with`], without a service manager.
pub async fn start(config: Config) -> Result<Daemon, Failure> {
    start_with(config, Given::default()).await
}

/// Listens, starts serving and begins to load. Returns while loading goes on: see
/// [`Daemon::loaded`].
pub async fn start_with(config: Config, given: Given) -> Result<Daemon, Failure> {
    let settings = config.settings.clone();
    Embedded::check(&settings)?;
    let manager = Arc::new(given.manager());
    let Inherited { grpc, http } = given.inherited;
    let (listeners, listening) = if grpc.is_empty() {
        bind_all(&settings.listen.0, settings.unix_mode)?
    } else {
        adopt_all(grpc, settings.allow_unauthenticated)?
    };
    let http_listener = match http {
        Some(listener) => Some(adopt_http(listener)?),
        None => settings.http_listen.0.map(bind_http).transpose()?,
    };
    let shared = Arc::new(Shared::new(config));
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
    let (telling_health, health_told) = watch::channel(None);
    let mut telling = vec![tokio::spawn(health::report(
        Arc::clone(&shared),
        reporter,
        Arc::clone(&health_changed),
        telling_health,
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
    let exporting = Exporting::start(&shared);
    let loading = Some(load(Arc::clone(&shared))?);
    if let Some(period) = manager.watchdog {
        let fed = systemd::feed(Arc::clone(&manager), Arc::clone(&shared), period);
        telling.push(tokio::spawn(fed));
    }
    let report = systemd::report_loading(Arc::clone(&manager), shared);
    telling.push(tokio::spawn(report));
    Ok(Daemon {
        server,
        manager,
        listening,
        http,
        loading,
        health_changed,
        health_told,
        unannounced: None,
        accepting,
        telling,
        exporting,
    })
}

type Bound = (Listener, Address);

fn bind_all(places: &[Address], mode: Mode) -> Result<(Vec<Listener>, Vec<Address>), Failure> {
    let bound: Result<Vec<Bound>, Failure> = places.iter().map(|at| bind(at, mode)).collect();
    Ok(bound?.into_iter().unzip())
}

fn bind(place: &Address, mode: Mode) -> Result<Bound, Failure> {
    let listener = Listener::bind(place, mode).and_then(|listener| {
        let bound = listener.address()?;
        Ok((listener, bound))
    });
    listener.map_err(|e| cannot_listen(place, &e))
}

fn bind_http(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let place = Address::Tcp(address);
    match bind(&place, Mode(0))? {
        (Listener::Tcp(listener), Address::Tcp(bound)) => Ok((listener, bound)),
        _ => Err(cannot_listen(&place, &"it is not an address")),
    }
}

fn cannot_listen(place: &Address, why: &dyn std::fmt::Display) -> Failure {
    let message =
        format!("cannot listen on {place}: {why}; choose another with --listen or --http-listen");
    Failure::new(Exit::Unavailable, message)
}

/// Takes over listeners of the gRPC side that the service manager has opened.
fn adopt_all(passed: Vec<Passed>, open: bool) -> Result<(Vec<Listener>, Vec<Address>), Failure> {
    let adopt = |passed| {
        let adopted = Listener::adopt(passed).and_then(|listener| {
            let place = listener.address()?;
            Ok((listener, place))
        });
        adopted.map_err(|e| cannot_adopt(&e))
    };
    let adopted: Vec<Bound> = passed.into_iter().map(adopt).collect::<Result<_, _>>()?;
    match adopted.iter().find(|(_, place)| !place.is_local()) {
        Some((_, place)) if !open => Err(Failure::new(
            Exit::Config,
            format!(
                "the service manager's socket at {place} can be reached from other machines, \
                 and this version has no authentication: let it listen on a loopback address, or \
                 set server.allow_unauthenticated"
            ),
        )),
        _ => Ok(adopted.into_iter().unzip()),
    }
}

fn adopt_http(listener: std::net::TcpListener) -> Result<(TcpListener, SocketAddr), Failure> {
    let adopted = TcpListener::from_std(listener).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    adopted.map_err(|e| cannot_adopt(&e))
}

fn cannot_adopt(why: &std::io::Error) -> Failure {
    let message = format!("cannot use a socket of the service manager: {why}");
    Failure::new(Exit::Software, message)
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
    /// Waits until the store is read, serves it from then on, and returns when that shows.
    /// May be cancelled and called again.
    pub async fn loaded(&mut self) -> Result<(), Failure> {
        self.open().await?;
        // Whoever is told that kvd is ready finds it SERVING. An error: it is stopping.
        let serving = |told: &Option<Health>| told.as_ref().is_some_and(|health| health.reads);
        let _ = self.health_told.wait_for(serving).await;
        if let Some(keys) = self.unannounced.take() {
            self.manager.ready(keys);
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Failure> {
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
        #[cfg(feature = "debug-hooks")]
        crate::debug::hook(&store);
        let keys = store.status().keys;
        self.server.opened(store);
        // A reload while loading could not reach the store.
        self.apply();
        self.health_changed.notify_one();
        self.unannounced = Some(keys);
        Ok(())
    }

    /// `listener` is called by the log's thread whenever the log moves, and must be quick.
    pub fn subscribe(&self, listener: crate::backend::Listener) {
        if let Some(store) = self.server.figures.shared.store.get() {
            store.subscribe(listener);
        }
    }

    /// The settings, and who asks for them to be read again.
    fn control(&self) -> &Control {
        &self.server.figures.shared.control
    }

    /// From here on calls of Reload wait to be answered by whoever holds this. Once only.
    pub fn answer_asks(&self) -> Option<mpsc::Receiver<Ask>> {
        self.control().answer_asks()
    }

    /// Where the gRPC side listens, with the ports that the system chose.
    pub fn listening(&self) -> &[Address] {
        &self.listening
    }

    /// The address of the HTTP side.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Drains and closes. Nothing that was acknowledged as durable is lost, whatever
    /// comes of it.
    pub async fn stop(self) -> Result<(), Failure> {
        let limit = self.control().config().settings.drain_timeout;
        drain::stop(self, limit).await
    }
}

/// How often something is looked at that announces nothing.
const POLL: Duration = Duration::from_millis(10);
