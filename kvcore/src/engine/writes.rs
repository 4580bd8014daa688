//! Writes, in three steps for servers and in one for programs that may block.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::Engine;
use super::options::Durability;
use crate::base::revision::Revision;
use crate::commit::admission::Admission;
use crate::commit::mutation::UnitOutcome;
use crate::commit::{AdmitFailure, Admitted, Error, Mutation, Outcome, Prepared};
use crate::log::watermark::WaitError;

/// How long a blocking write waits for a permit, and then for its durability.
const ADMIT_LIMIT: Duration = Duration::from_secs(1);
const DURABLE_LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Checks a write against the limits and copies its key and value.
    pub fn prepare(&self, mutation: &Mutation<'_>) -> Result<Prepared, Error> {
        let inner = &self.inner;
        Prepared::one(mutation, &inner.options.limits, &inner.core.shards)
    }

    /// As [`Engine::prepare`] for a unit of 1 to 1,024 different keys: all or none.
    pub fn prepare_all(&self, mutations: &[Mutation<'_>]) -> Result<Prepared, Error> {
        let inner = &self.inner;
        Prepared::all(mutations, &inner.options.limits, &inner.core.shards)
    }

    /// Takes a permit and room in the log, if there is both right now.
    pub fn try_admit(&self, prepared: Prepared) -> Result<Admitted, AdmitFailure> {
        self.inner.core.gate.try_admit(prepared)
    }

    /// Waits for a permit and room in the log. The future needs no particular runtime;
    /// the caller bounds the wait by dropping it.
    pub fn admit(&self, prepared: Prepared) -> Admission {
        self.inner.core.gate.admit(prepared)
    }

    /// Applies a prepared write of one key on this thread. Does not wait for the log:
    /// what [`Outcome::revision`] needs, the caller waits for.
    pub fn commit(&self, admitted: Admitted) -> Result<Outcome, Error> {
        self.inner.core.commit(admitted)
    }

    /// Applies a prepared unit of several keys: all of them or none.
    pub fn commit_all(&self, admitted: Admitted) -> Result<UnitOutcome, Error> {
        self.inner.core.commit_all(admitted)
    }

    /// Writes one key and waits, at most about a minute, until it is as durable as asked.
    pub fn write(&self, mutation: Mutation<'_>, durability: Durability) -> Result<Outcome, Error> {
        let outcome = self.commit(self.admit_blocking(self.prepare(&mutation)?)?)?;
        self.wait_after(outcome.revision, durability)?;
        Ok(outcome)
    }

    /// Writes several keys, all or none, and waits until they are as durable as asked.
    pub fn write_all(
        &self,
        mutations: &[Mutation<'_>],
        durability: Durability,
    ) -> Result<UnitOutcome, Error> {
        let outcome = self.commit_all(self.admit_blocking(self.prepare_all(mutations)?)?)?;
        self.wait_after(outcome.revision, durability)?;
        Ok(outcome)
    }

    /// Blocks until `revision` is as durable as asked.
    pub fn wait(
        &self,
        revision: Revision,
        durability: Durability,
        limit: Duration,
    ) -> Result<(), Error> {
        let durable = match durability {
            Durability::None => return Ok(()),
            Durability::Logged => false,
            Durability::Synced => true,
        };
        self.watermark()
            .wait(revision, durable, limit)
            .map_err(|error| match error {
                WaitError::TimedOut => Error::TimedOut(revision),
                WaitError::Failed(reason) => Error::UnknownOutcome(reason.to_string()),
            })
    }

    fn wait_after(&self, revision: Revision, durability: Durability) -> Result<(), Error> {
        if revision == Revision::NONE {
            return Ok(());
        }
        self.wait(revision, durability, DURABLE_LIMIT)
    }

    fn admit_blocking(&self, prepared: Prepared) -> Result<Admitted, Error> {
        let prepared = match self.try_admit(prepared) {
            Ok(admitted) => return Ok(admitted),
            Err(AdmitFailure::Refused(error)) => return Err(error),
            Err(AdmitFailure::Busy(prepared)) => prepared,
        };
        block_on(self.admit(prepared), ADMIT_LIMIT).unwrap_or(Err(Error::Overloaded))
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
