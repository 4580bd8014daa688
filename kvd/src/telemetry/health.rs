//! The standard health service, and what it says.
//!
//! | name | SERVING while |
//! | --- | --- |
//! | `""`, `kvd.v1.KvService` | the store is loaded and the server is not stopping |
//! | `kvd.v1.KvService/write` | writes are taken as well |
//! | `kvd.v1.WatchService` | watches are served: as calls that read |

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::backend::{State, Store};
use crate::service::core::Shared;

const ALL: [&str; 4] = ["", KV, WRITE, WATCH];
const KV: &str = "kvd.v1.KvService";
const WATCH: &str = "kvd.v1.WatchService";
const WRITE: &str = "kvd.v1.KvService/write";
/// How often the engine is asked about states that it does not announce.
const EVERY: Duration = Duration::from_millis(500);

/// Whether calls are served, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub reads: bool,
    pub writes: bool,
    /// Empty if all is well.
    pub why: String,
}

impl Health {
    pub fn of<S: Store>(shared: &Shared<S>) -> Self {
        let not = |reads, why: &str| Self {
            reads,
            writes: false,
            why: why.to_owned(),
        };
        if *shared.draining.borrow() {
            return not(false, "stopping");
        }
        let Some(store) = shared.store.get() else {
            return not(false, "loading");
        };
        match store.state() {
            State::Writable => Self {
                reads: true,
                writes: true,
                why: String::new(),
            },
            State::NoSpace(reason) => not(true, &format!("no space for the log: {reason}")),
            State::Draining => not(false, "stopping"),
            State::Failed(reason) => not(true, &format!("the log failed: {reason}")),
        }
    }
}

/// A reporter that says NOT_SERVING to every name.
pub async fn reporter() -> HealthReporter {
    let reporter = HealthReporter::new();
    for name in ALL {
        reporter
            .set_service_status(name, ServingStatus::NotServing)
            .await;
    }
    reporter
}

/// Keeps the reporter up to date until the process stops; then ends its watchers,
/// who would otherwise hold their connections open. What was told last stands in `told`.
pub async fn report<S: Store>(
    shared: Arc<Shared<S>>,
    mut reporter: HealthReporter,
    changed: Arc<Notify>,
    told: watch::Sender<Option<Health>>,
) {
    let mut draining = shared.draining.subscribe();
    loop {
        let health = Health::of(&shared);
        if told.borrow().as_ref() != Some(&health) {
            tell(&reporter, &health).await;
            told.send_replace(Some(health));
        }
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            _ = draining.wait_for(|draining| *draining) => break,
        }
    }
    tell(&reporter, &Health::of(&shared)).await;
    // One turn for the watchers to see it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for name in ALL {
        reporter.clear_service_status(name).await;
    }
}

async fn tell(reporter: &HealthReporter, health: &Health) {
    let status = |serving| {
        if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    };
    reporter.set_service_status("", status(health.reads)).await;
    reporter.set_service_status(KV, status(health.reads)).await;
    reporter
        .set_service_status(WATCH, status(health.reads))
        .await;
    reporter
        .set_service_status(WRITE, status(health.writes))
        .await;
    if health.reads && !health.writes {
        tracing::error!("reads only: {}", health.why);
    } else {
        tracing::info!(
            "{}",
            if health.reads {
                "serving"
            } else {
                health.why.as_str()
            }
        );
    }
}
