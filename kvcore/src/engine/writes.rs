//! Writes, in three steps for servers and in one for programs that may block.

use std::time::Duration;

use super::Engine;
use super::options::Durability;
use crate::base::revision::Revision;
use crate::commit::admission::Admission;
use crate::commit::{
    AdmitFailure, Admitted, Attempt, Error, Mutation, Outcome, Prepared, RequestId, UnitOutcome,
};
use crate::log::watermark::WaitError;

/// How long a blocking write waits for a permit, and then for its durability.
const ADMIT_LIMIT: Duration = Duration::from_secs(1);
const DURABLE_LIMIT: Duration = Duration::from_secs(60);
/// How often a write steps aside for expired keys. Each time a key must have been written
/// and have ended again in between.
const ATTEMPTS: u32 = 16;

impl Engine {
    /// Checks a write against the limits and copies its key and value. A write that has a
    /// request id is applied once, however often it comes.
    pub fn prepare(
        &self,
        mutation: &Mutation<'_>,
        request: Option<RequestId<'_>>,
    ) -> Result<Prepared, Error> {
        let inner = &self.inner;
        Prepared::one(mutation, request, &inner.options.limits, &inner.core.shards)
    }

    /// As [`Engine::prepare`] for a unit of 1 to 1,024 different keys: all or none.
    pub fn prepare_all(
        &self,
        mutations: &[Mutation<'_>],
        request: Option<RequestId<'_>>,
    ) -> Result<Prepared, Error> {
        let inner = &self.inner;
        Prepared::all(
            mutations,
            request,
            &inner.options.limits,
            &inner.core.shards,
        )
    }

    /// Takes a permit and room in the log, if there is both right now.
    pub fn try_admit(&self, prepared: Prepared) -> Result<Admitted<'_>, AdmitFailure> {
        self.inner.core.gate.try_admit(prepared)
    }

    /// Waits for a permit and room in the log. The future needs no particular runtime;
    /// the caller bounds the wait by dropping it.
    pub fn admit(&self, prepared: Prepared) -> Admission {
        self.inner.core.gate.admit(prepared)
    }

    /// Applies a prepared write of one key on this thread. Does not wait for the log:
    /// what [`Outcome::revision`] needs, the caller waits for.
    pub fn commit(&self, admitted: Admitted<'_>) -> Result<Attempt<Outcome>, Error> {
        self.inner.core.commit(admitted)
    }

    /// Applies a prepared unit of several keys: all of them or none.
    pub fn commit_all(&self, admitted: Admitted<'_>) -> Result<Attempt<UnitOutcome>, Error> {
        self.inner.core.commit_all(admitted)
    }

    /// Writes one key and waits, at most about a minute, until it is as durable as asked.
    pub fn write(&self, mutation: Mutation<'_>, durability: Durability) -> Result<Outcome, Error> {
        let outcome = self.blocking(self.prepare(&mutation, None)?, Self::commit)?;
        self.wait_after(outcome.revision, durability)?;
        Ok(outcome)
    }

    /// As [`Engine::write`], applied once however often it is called with this id.
    pub fn write_once(
        &self,
        mutation: Mutation<'_>,
        request: RequestId<'_>,
        durability: Durability,
    ) -> Result<Outcome, Error> {
        let outcome = self.blocking(self.prepare(&mutation, Some(request))?, Self::commit)?;
        self.wait_after(outcome.revision, durability)?;
        Ok(outcome)
    }

    /// Writes several keys, all or none, and waits until they are as durable as asked.
    pub fn write_all(
        &self,
        mutations: &[Mutation<'_>],
        durability: Durability,
    ) -> Result<UnitOutcome, Error> {
        let outcome = self.blocking(self.prepare_all(mutations, None)?, Self::commit_all)?;
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

    pub(super) fn wait_after(
        &self,
        revision: Revision,
        durability: Durability,
    ) -> Result<(), Error> {
        if revision == Revision::NONE {
            return Ok(());
        }
        self.wait(revision, durability, DURABLE_LIMIT)
    }

    pub(super) fn admit_blocking(&self, prepared: Prepared) -> Result<Admitted<'_>, Error> {
        self.inner.core.gate.admit_within(prepared, ADMIT_LIMIT)
    }

    /// Admits and commits on this thread, stepping aside for expired keys.
    pub(super) fn blocking<T>(
        &self,
        mut prepared: Prepared,
        commit: impl Fn(&Self, Admitted<'_>) -> Result<Attempt<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS {
            match commit(self, self.admit_blocking(prepared)?)? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Due {
                    prepared: again,
                    due,
                } => {
                    for removal in self.prepare_removal(&due) {
                        self.commit_removal(self.admit_blocking(removal)?)?;
                    }
                    prepared = again;
                }
            }
        }
        Err(Error::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::entropy::SeededEntropy;
    use crate::disk::{Environment, SimDisk};
    use crate::engine::Options;

    #[test]
    fn numbers_do_not_run_further_ahead_of_the_disk_than_a_start_jumps() {
        let environment = Environment {
            disk: Arc::new(SimDisk::new(1)),
            clock: Arc::<ManualClock>::default(),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let mut options = Options::new(Path::new("/simulated"));
        options.segment_bytes = 64 << 20;
        let (engine, _writer) = Engine::open_manual(options, &environment).expect("opens");
        engine.fill_spares();
        let watermark = engine.watermark();
        let admit = || {
            let set = Mutation::set(b"k", b"v");
            engine.try_admit(engine.prepare(&set, None).expect("within the limits"))
        };
        let durable = watermark.durable();
        // As far as everything in flight leaves room for, and one less.
        let far = durable.plus(Revision::JUMP - (1 << 20));
        watermark.advance_logged(Revision(far.0 - 1));
        assert!(admit().is_ok());
        watermark.advance_logged(far);
        assert!(matches!(admit(), Err(AdmitFailure::Busy(_))));
        watermark.advance_durable(durable.next());
        assert!(admit().is_ok(), "the disk has caught up");
    }
}
