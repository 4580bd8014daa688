//! The orderly end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Daemon, POLL};
use crate::backend::Store;
use crate::backend::embedded::Embedded;
use crate::exit::{Exit, Failure};
use crate::server::Server;

/// How long connections may linger once no call is in flight: time to read the last
/// replies, and no more for streams that only idle.
const LINGER: Duration = Duration::from_secs(3);
/// How long the answers to cut waits may take to leave.
const CUT_ANSWERS: Duration = Duration::from_millis(500);
/// What the log gets for its end, however long draining took.
const LEAST_FOR_LOG: Duration = Duration::from_secs(5);

pub(super) async fn stop(daemon: Daemon, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let snapshot = daemon.control().config().settings.snapshot_at_stop;
    let beside = snapshot + daemon.exporting.limit();
    daemon.manager.stopping(limit.saturating_add(beside));
    tracing::info!(
        "stopping: finishing {} calls in flight",
        daemon.server.in_flight()
    );
    let shared = Arc::clone(&daemon.server.figures.shared);
    shared.draining.send_replace(true);
    if let Some(store) = shared.store.get() {
        store.start_drain();
    }
    for accepting in daemon.accepting {
        accepting.abort();
    }
    daemon.server.cores.drain();
    if !connections_end(&daemon.server, deadline).await {
        let cut = daemon.server.in_flight();
        tracing::warn!("the drain limit passed: cutting {cut} calls, their outcome is unknown");
        daemon.server.cut_waits();
        connections_end(&daemon.server, Instant::now() + CUT_ANSWERS).await;
    }
    let cores = daemon.server.cores;
    let _ = tokio::task::spawn_blocking(move || cores.cut()).await;
    let closed = match shared.store.get() {
        Some(store) => close(store.clone(), deadline).await,
        None => Ok(()),
    };
    // Every call has ended, and so has its span.
    daemon.exporting.finish().await;
    for telling in daemon.telling {
        telling.abort();
        let _ = telling.await;
    }
    daemon.manager.finish().await;
    closed
}

/// Whether all connections ended, or all but idle ones, before `deadline`.
async fn connections_end(server: &Server<Embedded>, deadline: Instant) -> bool {
    let mut idle_since = None;
    loop {
        if server.cores.ended() {
            return true;
        }
        if server.in_flight() == 0 {
            let since = *idle_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= LINGER {
                return true;
            }
        } else {
            idle_since = None;
        }
        if Instant::now() >= deadline {
            return server.in_flight() == 0;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Seals and syncs the log, on a thread that may block.
async fn close(store: Embedded, deadline: Instant) -> Result<(), Failure> {
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(LEAST_FOR_LOG);
    let closed = tokio::task::spawn_blocking(move || store.close(left)).await;
    match closed {
        Ok(Ok(true)) => {
            tracing::info!("stopped in order");
            Ok(())
        }
        Ok(Ok(false)) => {
            tracing::warn!("stopped without sealing the log: the next start will recover");
            Ok(())
        }
        Ok(Err(error)) => Err(Failure::new(
            Exit::Io,
            format!("closing the store: {error}"),
        )),
        Err(error) => Err(Failure::new(
            Exit::Software,
            format!("closing the store: {error}"),
        )),
    }
}
