//! The gRPC side as a whole: what each runtime serves, and the runtimes.

use std::io;
use std::sync::Arc;

use kvproto::v1::admin_service_server::AdminServiceServer;
use kvproto::v1::lease_service_server::LeaseServiceServer;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::backend::Store;
use crate::connection::Caps;
use crate::front::Front;
use crate::intake::Intake;
use crate::runtime::Cores;
use crate::serve::Http2;
use crate::service::admin::Admin;
use crate::service::core::{Core, Shared};
use crate::service::kv::KvServer;
use crate::service::not_yet::NotYet;
use crate::service::watch::{Watch, WatchServer};
use crate::telemetry::metrics::Figures;
use crate::telemetry::stats::Stats;
use crate::waiter::Waiters;

/// The running gRPC side.
#[derive(Debug)]
pub struct Server<S: Store> {
    pub cores: Cores,
    pub figures: Arc<Figures<S>>,
}

impl<S: Store> Server<S> {
    /// Starts the runtimes. Calls are refused with LOADING until
    /// [`Server::opened`].
    pub fn start(shared: &Arc<Shared<S>>, health: HealthReporter) -> io::Result<Self> {
        let settings = &shared.settings;
        let count = settings.runtimes.or_cores();
        let figures = Arc::new(Figures {
            caps: Caps::new(settings.max_connections, settings.max_connections_per_ip),
            intake: Intake::new(settings.request_memory.bytes()),
            stats: (0..count)
                .map(|_| Arc::default())
                .collect::<Vec<Arc<Stats>>>(),
            waiters: (0..count)
                .map(|_| Waiters::new(settings.request_timeout))
                .collect(),
            watchers: (0..count).map(|_| Arc::default()).collect(),
            shared: Arc::clone(shared),
        });
        let http2 = Http2 {
            max_streams: u32::try_from(settings.max_streams).unwrap_or(u32::MAX),
        };
        let of = Arc::clone(&figures);
        let cores = Cores::start(count, http2, move |core| front(&of, &health, core))?;
        Ok(Self { cores, figures })
    }

    /// The store is loaded: from here on calls are served.
    pub fn opened(&self, store: S) {
        // Weak, because the store holds the listener: it must not hold the store.
        let figures = Arc::downgrade(&self.figures);
        store.subscribe(Arc::new(move || {
            let Some(figures) = figures.upgrade() else {
                return;
            };
            let Some(store) = figures.shared.store.get() else {
                return;
            };
            let (positions, failed) = (store.positions(), store.failure().is_some());
            for waiters in &figures.waiters {
                waiters.advanced(positions, failed);
            }
            for watchers in &figures.watchers {
                watchers.advanced();
            }
        }));
        for watchers in &self.figures.watchers {
            watchers.opened(store.dispatch());
        }
        self.figures.shared.opened(store);
    }

    /// Calls begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.figures
            .stats
            .iter()
            .map(|stats| stats.in_flight())
            .sum()
    }

    /// Ends every wait for the log: what is not known to be there stays undecided.
    pub fn cut_waits(&self) {
        for waiters in &self.figures.waiters {
            waiters.cut();
        }
    }
}

/// What one runtime serves; called on it.
fn front<S: Store>(
    figures: &Figures<S>,
    health: &HealthReporter,
    core: usize,
) -> Front<KvServer<S>> {
    let core = Arc::new(Core {
        shared: Arc::clone(&figures.shared),
        waiters: Arc::clone(&figures.waiters[core]),
        watchers: Arc::clone(&figures.watchers[core]),
        stats: Arc::clone(&figures.stats[core]),
        intake: figures.intake.for_runtime(),
    });
    let store = Arc::clone(&figures.shared.store);
    tokio::spawn(Arc::clone(&core.waiters).drive(store));
    tokio::spawn(Arc::clone(&core.watchers).drive());
    let longest = figures.shared.limits.request_message();
    let kv = KvServer::new(Arc::clone(&core));
    let intake = Arc::clone(&core.intake);
    Front::new(kv, rest(&core, health, longest), intake)
}

/// Everything but calls on keys.
fn rest<S: Store>(core: &Arc<Core<S>>, health: &HealthReporter, longest: usize) -> Routes {
    let admin = AdminServiceServer::new(Admin::new(Arc::clone(core)));
    let watch = WatchServer::new(Watch::new(Arc::clone(core)), longest);
    let lease = LeaseServiceServer::new(NotYet::new(Arc::clone(core)));
    let health = HealthServer::new(HealthService::from_health_reporter(health.clone()));
    let routes = Routes::default()
        .add_service(admin.max_decoding_message_size(longest))
        .add_service(watch)
        .add_service(lease.max_decoding_message_size(longest))
        .add_service(health);
    add_reflection(routes)
}

/// Reflection in both versions: older tools ask for the first.
fn add_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(kvproto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "reflection is not served");
            routes
        }
    }
}
