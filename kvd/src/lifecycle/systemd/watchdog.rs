//! Signs of life for the service manager, taken from the one that matters: the thread
//! that writes the log.
//!
//! | the writer | is alive |
//! | --- | --- |
//! | writes, syncs, or has nothing to do | yes: it answers when it is woken |
//! | has no disk space, or has given up after a failed sync | yes: a restart would not help |
//! | is inside a sync or a copy that does not return | no |
//!
//! Loading and stopping have limits of their own and are not watched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Manager;
use crate::backend::Store;
use crate::service::core::Shared;

/// Looks per period. After a sign of life the next is due within a period, so a stuck
/// writer is noticed in time and one late look does no harm.
const LOOKS: u32 = 4;

/// The period that the manager asked for, if it did.
pub(super) fn period(usec: Option<&str>, pid: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(usec) = usec else { return Ok(None) };
    let meant = pid.is_none_or(|pid| pid == std::process::id().to_string());
    match usec.parse() {
        Ok(1..) if !meant => Ok(None),
        Ok(usec @ 1..) => Ok(Some(Duration::from_micros(usec))),
        _ => Err(format!(
            "WATCHDOG_USEC={usec} is not a number of microseconds; no sign of life will be given"
        )),
    }
}

/// Whether the writer has moved from one look to the next.
#[derive(Debug, Default)]
struct Pulse {
    seen: Option<u64>,
}

impl Pulse {
    fn beats(&mut self, turns: u64) -> bool {
        self.seen.replace(turns) != Some(turns)
    }
}

/// Feeds the watchdog until dropped.
pub(in crate::lifecycle) async fn feed<S: Store>(
    manager: Arc<Manager>,
    shared: Arc<Shared<S>>,
    period: Duration,
) {
    let mut pulse = Pulse::default();
    let mut stuck_since = None::<Instant>;
    loop {
        tokio::time::sleep(period / LOOKS).await;
        let watched = shared.store.get().filter(|_| !*shared.draining.borrow());
        if watched.is_none_or(|store| pulse.beats(store.log_turns())) {
            manager.alive();
            if let Some(since) = stuck_since.take() {
                let ms = since.elapsed().as_millis();
                tracing::warn!("the log moves again after {ms} ms");
            }
        } else if stuck_since.is_none() {
            stuck_since = Some(Instant::now());
            tracing::error!(
                "the thread that writes the log does not answer: a sync or a copy hangs; the \
                 service manager gets no sign of life until it does"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_twice_is_no_sign_of_life() {
        let mut pulse = Pulse::default();
        let looks = [0, 1, 1, 1, 2].map(|turns| pulse.beats(turns));
        assert_eq!(looks, [true, true, false, false, true]);
    }

    #[test]
    fn the_period_is_for_this_process_and_a_number() {
        let own = std::process::id().to_string();
        let second = Ok(Some(Duration::from_secs(1)));
        assert_eq!(period(None, None), Ok(None));
        assert_eq!(period(Some("1000000"), None), second);
        assert_eq!(period(Some("1000000"), Some(&own)), second);
        assert_eq!(period(Some("1000000"), Some("1")), Ok(None));
        for wrong in ["0", "", "1s", "-1", "99999999999999999999999"] {
            let refused = period(Some(wrong), None);
            assert!(
                refused.is_err_and(|why| why.contains("WATCHDOG_USEC")),
                "{wrong}"
            );
        }
    }
}
