//! What the service manager gives and is told. Without one nothing happens.
//!
//! ```text
//! start:   STATUS and EXTEND_TIMEOUT_USEC while loading gets on ─► READY when it serves
//! reload:  RELOADING, MONOTONIC_USEC ─► READY
//! stop:    STOPPING, EXTEND_TIMEOUT_USEC for as long as draining may take
//! always:  WATCHDOG while the writer of the log lives
//! ```
//! READY is said only by a process that serves: a reload while loading says nothing of it.

mod notify;
mod sockets;
mod watchdog;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub use self::notify::Notifier;
pub use self::sockets::Inherited;
pub(super) use self::watchdog::feed;
use crate::backend::Store;
use crate::exit::{Exit, Failure};
use crate::service::core::Shared;

const EVERY: Duration = Duration::from_secs(1);
/// A start that still makes progress is given this much longer each time: more than one
/// step of it, a segment to sync, read and check, takes on a slow disk.
const EXTENSION: Duration = Duration::from_secs(120);
/// What a stop may take beside draining: to sync and seal the log.
const FOR_LOG: Duration = Duration::from_secs(30);

/// What the process was started with beside its settings.
#[derive(Debug, Default)]
pub struct Given {
    pub inherited: Inherited,
    notify_socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Given {
    /// Takes it from the environment, which is changed: call it before there are threads.
    pub fn take() -> Result<Self, Failure> {
        let text = |name| std::env::var(name).ok();
        let (usec, pid) = (text("WATCHDOG_USEC"), text("WATCHDOG_PID"));
        let watchdog = watchdog::period(usec.as_deref(), pid.as_deref());
        Ok(Self {
            inherited: Inherited::take().map_err(|why| Failure::new(Exit::Config, why))?,
            notify_socket: std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: watchdog.unwrap_or_else(|why| {
                tracing::warn!("{why}");
                None
            }),
        })
    }

    /// Tell the manager at this socket, with signs of life in this period.
    pub fn telling(socket: OsString, watchdog: Option<Duration>) -> Self {
        Self {
            inherited: Inherited::default(),
            notify_socket: Some(socket),
            watchdog,
        }
    }

    pub(super) fn manager(&self) -> Manager {
        Manager {
            notifier: self
                .notify_socket
                .as_deref()
                .map(Notifier::to)
                .unwrap_or_default(),
            watchdog: self.watchdog,
        }
    }
}

/// The service manager.
#[derive(Debug)]
pub(super) struct Manager {
    notifier: Notifier,
    pub(super) watchdog: Option<Duration>,
}

impl Manager {
    pub(super) fn ready(&self, keys: u64) {
        let message = format!("READY=1\nSTATUS=serving, {keys} keys at the start");
        self.notifier.step(message);
    }

    pub(super) fn stopping(&self, drain: Duration) {
        let longer = extend(drain.saturating_add(FOR_LOG));
        let message = format!("STOPPING=1\nSTATUS=finishing calls in flight\n{longer}");
        self.notifier.step(message);
    }

    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        let message = format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reading settings again");
        self.notifier.step(message);
    }

    /// The reload that was announced has ended, well or not.
    pub(super) fn reloaded(&self, status: &str) {
        self.notifier
            .step(format!("READY=1\n{}", status_line(status)));
    }

    /// Something for the operator to see.
    pub(super) fn status(&self, status: &str) {
        self.notifier.passing(status_line(status));
    }

    fn alive(&self) {
        self.notifier.passing("WATCHDOG=1".to_owned());
    }

    pub(super) async fn finish(self: Arc<Self>) {
        if let Some(manager) = Arc::into_inner(self) {
            manager.notifier.finish().await;
        }
    }
}

/// A message has a field per line, so a status has one line.
fn status_line(status: &str) -> String {
    format!("STATUS={}", status.replace('\n', "; "))
}

fn extend(time: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", time.as_micros())
}

/// Reports how far loading is until it is done.
pub(super) async fn report_loading<S: Store>(manager: Arc<Manager>, shared: Arc<Shared<S>>) {
    let mut before = None;
    while shared.store.get().is_none() {
        let loading = &shared.loading;
        let now = (
            loading.bytes_done.load(Ordering::Relaxed),
            loading.bytes_total.load(Ordering::Relaxed),
        );
        if before != Some(now) {
            let (done, total) = now;
            let percent = (done.saturating_mul(100)).checked_div(total).unwrap_or(0);
            let status = format!("STATUS=loading: {percent} %, {done} of {total} bytes");
            let longer = extend(EXTENSION);
            manager.notifier.passing(format!("{status}\n{longer}"));
            before = Some(now);
        }
        tokio::time::sleep(EVERY).await;
    }
}
