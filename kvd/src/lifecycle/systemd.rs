//! What the service manager is told. Without one nothing happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::backend::Store;
use crate::service::core::Shared;

const EVERY: Duration = Duration::from_secs(1);
/// A start that still makes progress is given this much longer each time.
const EXTENSION_MICROS: u32 = 30_000_000;

pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

pub(super) fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing calls in flight"),
    ]);
}

/// Reports how far loading is until it is done.
pub(super) async fn report_loading<S: Store>(shared: Arc<Shared<S>>) {
    let mut before = None;
    while shared.store.get().is_none() {
        let loading = &shared.loading;
        let now = (
            loading.bytes_done.load(Ordering::Relaxed),
            loading.bytes_total.load(Ordering::Relaxed),
        );
        if before != Some(now) {
            let status = format!("loading: {} of {} bytes", now.0, now.1);
            let longer = NotifyState::ExtendTimeoutUsec(EXTENSION_MICROS);
            tell(&[NotifyState::Status(&status), longer]);
            before = Some(now);
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
