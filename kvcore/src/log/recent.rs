//! When the newest groups were in the file: who asks later can tell the time that a unit
//! took to get there from that of the sync.
//!
//! The writer alone writes, at one place after the other; readers look without a lock and
//! take nothing that has changed while they looked.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use crate::base::revision::Revision;

/// Groups that are remembered.
const GROUPS: usize = 512;

/// One group: its last revision, and when it was in the file.
#[derive(Debug, Default)]
struct Group {
    /// 0 while it is being changed.
    last: AtomicU64,
    nanos: AtomicU64,
}

/// The newest groups.
#[derive(Debug)]
pub struct Recent {
    groups: Box<[Group]>,
    next: AtomicU64,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            groups: (0..GROUPS).map(|_| Group::default()).collect(),
            next: AtomicU64::new(0),
        }
    }
}

impl Recent {
    /// The group that ends with `last` is in the file. By the writer alone.
    pub(crate) fn logged(&self, last: Revision, now: Duration) {
        let next = self.next.load(Ordering::Relaxed);
        let place = usize::try_from(next % GROUPS as u64).unwrap_or_default();
        let group = &self.groups[place];
        group.last.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        group.nanos.store(nanos, Ordering::Relaxed);
        group.last.store(last.0, Ordering::Release);
        self.next.store(next + 1, Ordering::Relaxed);
    }

    /// When the group with `revision` was in the file, unless that is long ago.
    pub fn when(&self, revision: Revision) -> Option<Duration> {
        let groups = self.groups.iter().filter_map(|group| {
            let last = group.last.load(Ordering::Acquire);
            let nanos = group.nanos.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            (last != 0 && group.last.load(Ordering::Relaxed) == last).then_some((last, nanos))
        });
        let mut groups: Vec<(u64, u64)> = groups.collect();
        groups.sort_unstable();
        let at = groups.partition_point(|(last, _)| *last < revision.0);
        // Of the oldest that is left nobody knows where it begins.
        let first = usize::from(groups.len() == GROUPS);
        let (_, nanos) = groups.get(at).filter(|_| at >= first)?;
        Some(Duration::from_nanos(*nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_found_by_the_group_that_holds_it() {
        let recent = Recent::default();
        assert_eq!(recent.when(Revision(1)), None);
        recent.logged(Revision(5), Duration::from_nanos(50));
        recent.logged(Revision(9), Duration::from_nanos(90));
        let when = |revision| recent.when(Revision(revision)).map(|at| at.as_nanos());
        assert_eq!(
            [when(3), when(5), when(6), when(9)],
            [Some(50), Some(50), Some(90), Some(90)]
        );
        assert_eq!(when(10), None);
        for group in 2..2 + GROUPS as u64 {
            recent.logged(Revision(group * 10), Duration::from_nanos(group));
        }
        let oldest = 20;
        assert_eq!(when(9), None);
        assert_eq!(when(oldest), None);
        assert_eq!(when(oldest + 1), Some(3));
    }
}
