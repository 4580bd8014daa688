//! The newest committed groups, in order, within a number of bytes.
//!
//! Dense: a group that does not continue the last one begins the ring anew. That is what
//! makes beginning to fill it safe at any moment: a group that the writer left out because
//! nobody watched is a break, and what lies before a break is read from the log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::broken;
use crate::base::revision::Revision;
use crate::store::Operations;

/// What one unit changed.
#[derive(Debug)]
pub struct Entry {
    pub revision: Revision,
    pub operations: Operations,
}

/// Units that were committed together. Revisions are dense.
#[derive(Debug)]
pub struct Group {
    pub entries: Vec<Entry>,
    bytes: u64,
}

impl Group {
    fn new(entries: Vec<Entry>) -> Self {
        let of = |entry: &Entry| -> u64 {
            let operations = entry.operations.as_slice().iter();
            operations.map(crate::store::Logged::kept_bytes).sum()
        };
        let bytes = entries.iter().map(of).sum::<u64>() + size_of_val(&*entries) as u64;
        Self { entries, bytes }
    }

    fn first(&self) -> Revision {
        self.entries
            .first()
            .map_or(Revision::NONE, |entry| entry.revision)
    }

    fn last(&self) -> Revision {
        self.entries
            .last()
            .map_or(Revision::NONE, |entry| entry.revision)
    }

    /// The units from `revision` on.
    pub fn from(&self, revision: Revision) -> &[Entry] {
        let at = self
            .entries
            .partition_point(|entry| entry.revision < revision);
        &self.entries[at..]
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ring {
    groups: VecDeque<Arc<Group>>,
    bytes: u64,
    budget: u64,
}

impl Ring {
    pub fn new(budget: u64) -> Self {
        Self {
            groups: VecDeque::new(),
            bytes: 0,
            budget,
        }
    }

    /// Adds a group at the end and drops the oldest ones beyond the budget, which are given
    /// back so that they are freed without the ring's lock.
    pub fn push(&mut self, entries: Vec<Entry>) -> Vec<Arc<Group>> {
        let group = Group::new(entries);
        let mut dropped = Vec::new();
        let continues = self
            .groups
            .back()
            .is_none_or(|last| last.last().next() == group.first());
        if !continues && !broken::is(broken::Build::RegisterOutsideSeam) {
            dropped.extend(self.groups.drain(..));
            self.bytes = 0;
        }
        self.bytes += group.bytes;
        self.groups.push_back(Arc::new(group));
        while self.bytes > self.budget
            && let Some(oldest) = self.groups.pop_front()
        {
            self.bytes -= oldest.bytes;
            dropped.push(oldest);
        }
        dropped
    }

    pub fn clear(&mut self) -> VecDeque<Arc<Group>> {
        self.bytes = 0;
        std::mem::take(&mut self.groups)
    }

    /// The group that holds `revision`.
    pub fn find(&self, revision: Revision) -> Option<&Arc<Group>> {
        let at = self.groups.partition_point(|group| group.last() < revision);
        let group = self.groups.get(at)?;
        let there =
            group.first() <= revision || (broken::is(broken::Build::RegisterOutsideSeam) && at > 0);
        there.then_some(group)
    }

    /// The first revision in it.
    pub fn first(&self) -> Option<Revision> {
        self.groups.front().map(|group| group.first())
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
