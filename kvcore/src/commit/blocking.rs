//! Admission for threads that may block.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::admission::{AdmitFailure, Admitted, Gate};
use super::error::Error;
use super::prepared::Prepared;

impl Gate {
    /// Admits, waiting for room for as long as `limit`.
    pub fn admit_within(
        self: &Arc<Self>,
        prepared: Prepared,
        limit: Duration,
    ) -> Result<Admitted<'_>, Error> {
        let prepared = match self.try_admit(prepared) {
            Ok(admitted) => return Ok(admitted),
            Err(AdmitFailure::Refused(error)) => return Err(error),
            Err(AdmitFailure::Busy(prepared)) => prepared,
        };
        block_on(self.admit(prepared), limit).unwrap_or(Err(Error::Overloaded))
    }
}

/// Wakes the thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future on this thread until it is ready or the time is up.
fn block_on<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let deadline = Instant::now() + limit;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}
