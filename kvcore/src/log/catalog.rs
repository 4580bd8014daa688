//! Which segments the log consists of, and where each begins: what must be kept for whom.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::base::revision::Revision;

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    /// Of its first unit, or of the first to come.
    pub first_revision: Revision,
    /// Engine clock when it was begun, ms.
    pub begun_ms: u64,
}

/// See the module. Dense and ascending; never empty once the log is open.
#[derive(Debug, Default)]
pub struct Catalog {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    segments: VecDeque<Entry>,
    /// Sequences that readers need from there on, and how many readers.
    pins: BTreeMap<u64, usize>,
}

/// Keeps segments from being removed while it lives.
#[derive(Debug)]
#[must_use]
pub struct Pin<'a> {
    catalog: &'a Catalog,
    sequence: u64,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut inner = self.catalog.inner.lock();
        if let Some(readers) = inner.pins.get_mut(&self.sequence) {
            *readers -= 1;
            if *readers == 0 {
                inner.pins.remove(&self.sequence);
            }
        }
    }
}

impl Catalog {
    pub fn new(segments: impl IntoIterator<Item = Entry>) -> Self {
        let inner = Inner {
            segments: segments.into_iter().collect(),
            pins: BTreeMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// A new one at the end. One with the number of the last takes its place.
    pub fn push(&self, entry: Entry) {
        let segments = &mut self.inner.lock().segments;
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
        self.inner.lock().needed_after(revision)
    }

    /// Keeps all that comes after `revision` in place. None if a part of it is gone.
    pub fn pin(&self, revision: Revision) -> Option<Pin<'_>> {
        let mut inner = self.inner.lock();
        let oldest = inner.segments.front()?;
        let whole = oldest.first_revision <= revision.next() || oldest.sequence == 1;
        let sequence = inner.needed_after(revision);
        if !whole {
            return None;
        }
        *inner.pins.entry(sequence).or_default() += 1;
        Some(Pin {
            catalog: self,
            sequence,
        })
    }

    /// Keeps one segment, and those after it, in place. None if it is gone.
    pub fn pin_segment(&self, sequence: u64) -> Option<Pin<'_>> {
        let mut inner = self.inner.lock();
        inner
            .segments
            .iter()
            .find(|entry| entry.sequence == sequence)?;
        *inner.pins.entry(sequence).or_default() += 1;
        Some(Pin {
            catalog: self,
            sequence,
        })
    }

    /// Gives up those below `sequence`, but none that is pinned and not the last of all:
    /// from now on nobody can pin them. Returns the first that stays.
    pub fn retire(&self, sequence: u64) -> u64 {
        let mut inner = self.inner.lock();
        let pinned = inner.pins.keys().next().copied();
        let sequence = pinned.map_or(sequence, |pinned| pinned.min(sequence));
        let first = |inner: &Inner| inner.segments.front().map(|first| first.sequence);
        while inner.segments.len() > 1 && first(&inner).is_some_and(|first| first < sequence) {
            inner.segments.pop_front();
        }
        first(&inner).unwrap_or(sequence)
    }

    /// The first of the last `count` segments behind the active one that hold anything
    /// from `since_ms` on.
    pub fn retained_from(&self, count: u64, since_ms: u64) -> u64 {
        let inner = self.inner.lock();
        let mut first = inner.segments.back().map_or(1, |last| last.sequence);
        let mut ended_ms = u64::MAX;
        for (behind, entry) in (0..).zip(inner.segments.iter().rev()) {
            if behind > count || ended_ms < since_ms {
                break;
            }
            first = entry.sequence;
            ended_ms = entry.begun_ms;
        }
        first
    }

    /// The first revision that is still there: of the very first change, or of the oldest
    /// segment's.
    pub fn oldest(&self) -> Revision {
        let inner = self.inner.lock();
        let oldest = inner.segments.front();
        oldest.map_or(Revision::START, |oldest| oldest.first_revision)
    }

    pub fn has(&self, sequence: u64) -> bool {
        let inner = self.inner.lock();
        inner
            .segments
            .iter()
            .any(|entry| entry.sequence == sequence)
    }

    /// How many there are from `sequence` on.
    pub fn count_from(&self, sequence: u64) -> u64 {
        let inner = self.inner.lock();
        inner
            .segments
            .iter()
            .filter(|entry| entry.sequence >= sequence)
            .count() as u64
    }
}

impl Inner {
    fn needed_after(&self, revision: Revision) -> u64 {
        let holds = |entry: &&Entry| entry.first_revision <= revision.next();
        let entry = self.segments.iter().rev().find(holds);
        entry
            .or(self.segments.front())
            .map_or(1, |entry| entry.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(firsts: &[u64]) -> Catalog {
        let entries = (3..).zip(firsts).map(|(sequence, &first)| Entry {
            sequence,
            first_revision: Revision(first),
            begun_ms: first * 10,
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
    fn what_late_readers_may_want_is_bounded_by_size_and_age() {
        let catalog = catalog(&[10, 20, 30, 40]);
        for (count, since_ms, first) in [
            (0, 0, 6),
            (1, 0, 5),
            (9, 0, 3),
            (9, 400, 5),
            (9, 399, 5),
            (9, 300, 4),
            (9, 301, 5),
            (1, 200, 5),
            (9, 9000, 6),
        ] {
            let found = catalog.retained_from(count, since_ms);
            assert_eq!(found, first, "{count} segments since {since_ms}");
        }
    }

    #[test]
    fn the_last_one_stays_and_may_be_replaced() {
        let catalog = catalog(&[10, 20]);
        catalog.push(Entry {
            sequence: 4,
            first_revision: Revision(70),
            begun_ms: 700,
        });
        assert_eq!(catalog.needed_after(Revision(69)), 4);
        assert_eq!(catalog.needed_after(Revision(68)), 3);
        assert_eq!(catalog.retire(9), 4);
        assert_eq!(catalog.count_from(0), 1);
        assert_eq!(catalog.needed_after(Revision(1)), 4);
    }

    #[test]
    fn what_is_pinned_stays_and_what_is_gone_cannot_be_pinned() {
        let catalog = catalog(&[10, 20, 30, 40]);
        assert!(catalog.pin(Revision(5)).is_none(), "gone before");
        let pins = [catalog.pin(Revision(25)), catalog.pin(Revision(25))];
        assert_eq!(catalog.retire(6), 4, "revision 26 is in segment 4");
        assert!(catalog.pin(Revision(12)).is_none());
        let [one, other] = pins;
        drop(one);
        assert_eq!(catalog.retire(6), 4);
        drop(other);
        assert_eq!(catalog.retire(5), 5);
        assert!(catalog.pin_segment(4).is_none());
        let pin = catalog.pin_segment(5);
        assert!(pin.is_some());
        assert_eq!(catalog.retire(6), 5);
        drop(pin);
        assert_eq!(catalog.retire(6), 6);
    }
}
