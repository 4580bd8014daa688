//! The directory: what it says now, what the device says, and the changes in between.
//!
//! A change is pending until the directory is synced. A crash keeps any of the pending
//! changes, except that one which was made on top of another for the same name needs
//! that other. A rename is kept whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) type FileId = u64;
pub(super) type Names = BTreeMap<Arc<str>, FileId>;

#[derive(Clone, Debug)]
enum Change {
    Create(Arc<str>, FileId),
    Rename(Arc<str>, Arc<str>, FileId),
    Remove(Arc<str>),
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, id) => {
                names.insert(Arc::clone(name), *id);
            }
            Self::Rename(from, to, id) => {
                names.remove(from);
                names.insert(Arc::clone(to), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }

    fn touches(&self) -> [&Arc<str>; 2] {
        match self {
            Self::Create(name, _) | Self::Remove(name) => [name, name],
            Self::Rename(from, to, _) => [from, to],
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    now: Names,
    durable: Names,
    pending: Vec<Change>,
}

impl Directory {
    /// As a boot finds it.
    pub(super) fn settled(names: Names) -> Self {
        Self {
            now: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> &Names {
        &self.now
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Puts a name there as if it had always been.
    pub(super) fn place(&mut self, name: Arc<str>, id: FileId) {
        self.now.insert(Arc::clone(&name), id);
        self.durable.insert(name, id);
    }

    pub(super) fn create(&mut self, name: Arc<str>, id: FileId) {
        self.change(Change::Create(name, id));
    }

    pub(super) fn rename(&mut self, from: Arc<str>, to: Arc<str>, id: FileId) {
        self.change(Change::Rename(from, to, id));
    }

    pub(super) fn remove(&mut self, name: Arc<str>) {
        self.change(Change::Remove(name));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn synced(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Some of the changes reached the device; no later sync will bring the others.
    pub(super) fn sync_failed(&mut self, keeps: &mut dyn FnMut(usize) -> bool) {
        self.durable = self.survivor(keeps);
        self.pending.clear();
    }

    /// What the device says if it got those changes that `keeps` picks by their index.
    pub(super) fn survivor(&self, keeps: &mut dyn FnMut(usize) -> bool) -> Names {
        let mut names = self.durable.clone();
        let mut lost = BTreeSet::new();
        for (index, change) in self.pending.iter().enumerate() {
            let possible = !change.touches().iter().any(|name| lost.contains(*name));
            if possible && keeps(index) {
                change.apply(&mut names);
            } else {
                lost.extend(change.touches());
            }
        }
        names
    }
}
