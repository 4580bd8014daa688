//! Removals of expired records: those that somebody met, and those that nobody asks for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::admission::Admitted;
use super::error::Error;
use super::prepared::{Item, Prepared, Work};
use super::transaction::{Attempt, Core};
use crate::base::op::Cause;
use crate::base::revision::Revision;
use crate::expiry::{sweep, units};
use crate::store::Record;

/// How long the sweeper waits for a permit before it looks again.
const PATIENCE: Duration = Duration::from_secs(1);

impl Core {
    /// The removal of expired records, as units of moderate size. A record that was met
    /// twice is removed once: a unit changes a key once.
    pub fn prepare_removal(&self, due: &[Record]) -> Vec<Prepared> {
        if due.is_empty() {
            return Vec::new();
        }
        let mut due = due.to_vec();
        due.sort_by(|a, b| {
            a.key()
                .cmp(b.key())
                .then(b.mod_revision().cmp(&a.mod_revision()))
        });
        due.dedup_by(|later, first| later.key() == first.key());
        units(due, self.removal_limit)
            .into_iter()
            .map(|records| self.removal(&records))
            .collect()
    }

    fn removal(&self, records: &[Record]) -> Prepared {
        let items = records
            .iter()
            .map(|record| Item::take(record, Cause::Expired, &self.shards));
        Prepared::many(Work::Many(items.collect()))
    }

    /// Commits a removal. The revision is what the absence reveals: the removal's own, or
    /// that of whatever has taken the records' place meanwhile.
    pub fn commit_removal(&self, admitted: Admitted<'_>) -> Result<Revision, Error> {
        let Attempt::Done(outcome) = self.commit_all(admitted)? else {
            unreachable!("a removal looks past deadlines")
        };
        let removed = outcome.count.map_or(0, |count| count.deleted);
        self.expired.fetch_add(removed, Ordering::Relaxed);
        Ok(outcome.revealed)
    }

    /// Takes away a bounded part of what is due.
    pub fn sweep_turn(&self) -> Swept {
        let before = self.expired.load(Ordering::Relaxed);
        let mut blocked = false;
        sweep(
            &self.shards,
            self.clock.now(),
            self.removal_limit,
            |records| {
                let prepared = self.removal(&records).own();
                let committed = self
                    .gate
                    .admit_within(prepared, PATIENCE)
                    .and_then(|admitted| self.commit_removal(admitted));
                blocked |= committed.is_err();
                committed.is_ok()
            },
        );
        Swept {
            removed: self.expired.load(Ordering::Relaxed) - before,
            blocked,
        }
    }
}

/// What a turn of the sweeper came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    pub removed: u64,
    /// Something is due that cannot be removed now: the log has no room, or has failed.
    pub blocked: bool,
}
