//! The one copy of the MANIFEST in memory, and the only way to publish it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::rooms::{Rank, Rooms};
use crate::base::revision::{Gap, Revision};
use crate::format::manifest::Manifest;

/// Names what belongs to the store. Every publication is a new generation, durable
/// when [`ManifestFile::publish`] returns.
#[derive(Debug)]
pub struct ManifestFile {
    rooms: Arc<Rooms>,
    current: Mutex<Manifest>,
}

impl ManifestFile {
    pub fn new(rooms: Arc<Rooms>, current: Manifest) -> Self {
        Self {
            rooms,
            current: Mutex::new(current),
        }
    }

    /// Changes the manifest and makes the change durable.
    ///
    /// # Errors
    /// The disk failed; or is full, and there is no room for a change of this rank: then the
    /// old one stands.
    pub fn publish(&self, rank: Rank, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
        let mut current = self.current.lock();
        let mut next = current.clone();
        change(&mut next);
        next.generation += 1;
        self.rooms.replace(rank, &next.encode())?;
        *current = next;
        Ok(())
    }

    pub fn gaps(&self) -> Vec<Gap> {
        self.current.lock().gaps.clone()
    }

    pub fn is_gap(&self, revision: Revision) -> bool {
        self.current
            .lock()
            .gaps
            .iter()
            .any(|gap| gap.contains(revision))
    }

    /// The first revision at or behind this one that lies in no gap.
    pub fn past_gap(&self, revision: Revision) -> Revision {
        let current = self.current.lock();
        let gap = current.gaps.iter().find(|gap| gap.contains(revision));
        gap.map_or(revision, |gap| gap.last.next())
    }

    /// The last revision at or before this one that lies in no gap.
    pub fn before_gap(&self, revision: Revision) -> Revision {
        let current = self.current.lock();
        let gap = current.gaps.iter().find(|gap| gap.contains(revision));
        gap.map_or(revision, |gap| Revision(gap.first.0 - 1))
    }

    pub fn get(&self) -> Manifest {
        self.current.lock().clone()
    }
}
