//! Which segments the log consists of, and where each begins: what must be kept for whom.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::base::revision::Revision;

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    /// Of its first unit, or of the first to come.
    pub first_revision: Revision,
}

/// See the module. Dense and ascending; never empty once the log is open.
#[derive(Debug, Default)]
pub struct Catalog {
    segments: Mutex<VecDeque<Entry>>,
}

impl Catalog {
    pub fn new(segments: impl IntoIterator<Item = Entry>) -> Self {
        Self {
            segments: Mutex::new(segments.into_iter().collect()),
        }
    }

    /// A new one at the end. One with the number of the last takes its place.
    pub fn push(&self, entry: Entry) {
        let mut segments = self.segments.lock();
        if segments
            .back()
            .is_some_and(|last| last.sequence == entry.sequence)
        {
            segments.pop_back();
        }
        segments.push_back(entry);
    }

    /// The segment that holds what comes after `revision`: the last one that begins at or
    /// before its successor.
    pub fn needed_after(&self, revision: Revision) -> u64 {
        let segments = self.segments.lock();
        let holds = |entry: &&Entry| entry.first_revision <= revision.next();
        let entry = segments.iter().rev().find(holds).or(segments.front());
        entry.map_or(1, |entry| entry.sequence)
    }

    /// Forgets those below `sequence`, except the last of all.
    pub fn forget_below(&self, sequence: u64) {
        let mut segments = self.segments.lock();
        while segments.len() > 1
            && segments
                .front()
                .is_some_and(|first| first.sequence < sequence)
        {
            segments.pop_front();
        }
    }

    /// How many there are from `sequence` on.
    pub fn count_from(&self, sequence: u64) -> u64 {
        let segments = self.segments.lock();
        segments
            .iter()
            .filter(|entry| entry.sequence >= sequence)
            .count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(firsts: &[u64]) -> Catalog {
        let entries = (3..).zip(firsts).map(|(sequence, &first)| Entry {
            sequence,
            first_revision: Revision(first),
        });
        Catalog::new(entries)
    }

    #[test]
    fn the_segment_that_goes_on_after_a_revision_is_found() {
        let catalog = catalog(&[10, 20, 1000]);
        for (after, needed) in [
            (9, 3),
            (10, 3),
            (18, 3),
            (19, 4),
            (20, 4),
            (500, 4),
            (999, 5),
        ] {
            assert_eq!(catalog.needed_after(Revision(after)), needed, "{after}");
        }
        assert_eq!(catalog.needed_after(Revision(1)), 3, "all there is");
        assert_eq!(catalog.count_from(4), 2);
    }

    #[test]
    fn the_last_one_stays_and_may_be_replaced() {
        let catalog = catalog(&[10, 20]);
        catalog.push(Entry {
            sequence: 4,
            first_revision: Revision(70),
        });
        assert_eq!(catalog.needed_after(Revision(69)), 4);
        assert_eq!(catalog.needed_after(Revision(68)), 3);
        catalog.forget_below(9);
        assert_eq!(catalog.count_from(0), 1);
        assert_eq!(catalog.needed_after(Revision(1)), 4);
    }
}
