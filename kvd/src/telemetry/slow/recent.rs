//! The newest slow operations, kept for who asks.
//!
//! A lock is taken by what was slow already and by who asks, for as long as an entry takes
//! to be copied; what is not slow never comes here. There are never more than [`KEPT`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tonic::Code;

use super::{Parts, Rpc};
use crate::backend::Revision;

/// The protocol names this number.
const KEPT: usize = 128;

/// One that took long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowOperation {
    pub(crate) ended: SystemTime,
    pub(crate) rpc: Rpc,
    pub(crate) code: Code,
    pub(crate) revision: Revision,
    pub(crate) took: Duration,
    pub(crate) parts: Parts,
}

/// See the module. The newest stands at the end.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<SlowOperation>>);

impl Recent {
    pub(super) fn add(&self, operation: SlowOperation) {
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(operation);
    }

    pub(super) fn newest(&self, most: usize) -> Vec<SlowOperation> {
        self.kept().iter().rev().take(most).copied().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<SlowOperation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_told_first() {
        let recent = Recent::default();
        for revision in 1..=200 {
            recent.add(SlowOperation {
                ended: SystemTime::UNIX_EPOCH,
                rpc: Rpc::Set,
                code: Code::Ok,
                revision,
                took: Duration::ZERO,
                parts: Parts::default(),
            });
        }
        let revisions = |most| -> Vec<Revision> {
            let newest = recent.newest(most).into_iter();
            newest.map(|operation| operation.revision).collect()
        };
        assert_eq!(revisions(3), [200, 199, 198]);
        assert_eq!(revisions(usize::MAX), (73..=200).rev().collect::<Vec<_>>());
        assert!(revisions(0).is_empty());
    }
}
