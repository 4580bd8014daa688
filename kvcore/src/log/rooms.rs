//! Room for the next MANIFESTs, kept for the day when the disk is full.
//!
//! A MANIFEST is replaced by a new file, which needs a block. The log must be able to name
//! its next segment when somebody else has taken the last one, else a full disk, which is a
//! reason to refuse writes, would be a failure of the log, which is one to restart. So a few
//! small files of zeros lie ready, each to be written over and renamed to MANIFEST.
//!
//! - A segment counts as ready only while there is a room for the MANIFEST that will name it
//!   and [`TO_CLOSE`] besides.
//! - They are tried only when there is no space for a new file, and replaced when there is.
//! - No start needs them: the next one removes what it finds.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::format::names::{MANIFEST, room_name};

/// The one that the orderly end of the log needs.
pub const TO_CLOSE: usize = 1;
/// What giving up log and snapshots may use.
const FOR_RELIEF: usize = 2;
/// How much longer than the last MANIFEST the next one may be, in bytes.
const GROWTH: u64 = 2 * BLOCK;
const BLOCK: u64 = 4 << 10;

/// What a new MANIFEST is for: how many rooms it has to leave to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It can wait until there is space.
    Ordinary,
    /// It lets files be removed.
    Relief,
    /// The log cannot go on, or not end in order, without it.
    Vital,
}

#[derive(Debug)]
pub struct Rooms {
    disk: Arc<dyn Disk>,
    /// Segments that are kept ready.
    spares: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Room>,
    numbered: u64,
    longest: u64,
}

#[derive(Debug)]
struct Room {
    name: String,
    bytes: u64,
}

impl Inner {
    /// One that leaves less than half of the growth to the next MANIFEST.
    fn too_small(&self) -> Option<usize> {
        let bytes = (self.longest + GROWTH / 2).next_multiple_of(BLOCK);
        self.ready.iter().position(|room| room.bytes < bytes)
    }
}

impl Rooms {
    pub fn new(disk: Arc<dyn Disk>, spares: usize) -> Self {
        Self {
            disk,
            spares,
            inner: Mutex::default(),
        }
    }

    pub fn ready(&self) -> usize {
        self.inner.lock().ready.len()
    }

    /// Makes those that are missing or too small. For one thread at a time; a rotation may need
    /// the lock, so it is not held while the disk works.
    pub fn fill(&self) -> io::Result<()> {
        loop {
            let (name, bytes) = {
                let inner = self.inner.lock();
                let missing = inner.ready.len() < self.spares + TO_CLOSE + FOR_RELIEF;
                if !missing && inner.too_small().is_none() {
                    return Ok(());
                }
                let bytes = (inner.longest + GROWTH).next_multiple_of(BLOCK);
                (room_name(inner.numbered + 1), bytes)
            };
            self.disk.reserve(&name, bytes)?;
            let small = {
                let mut inner = self.inner.lock();
                inner.numbered += 1;
                inner.ready.push_back(Room { name, bytes });
                // Not before there is a better one: what it occupied could be taken.
                let small = inner.too_small();
                small.and_then(|at| inner.ready.remove(at))
            };
            if let Some(small) = small {
                self.disk.remove(&small.name)?;
            }
        }
    }

    /// Replaces MANIFEST: by a new file, or in a room if there is no space for one.
    pub fn replace(&self, rank: Rank, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let full = match self.disk.replace(MANIFEST, bytes) {
            Err(error) if is_full(&error) => error,
            done => {
                let longest = &mut self.inner.lock().longest;
                *longest = len.max(*longest);
                return done;
            }
        };
        let left_to_others = match rank {
            Rank::Ordinary => return Err(full),
            Rank::Relief => self.spares + TO_CLOSE,
            Rank::Vital => 0,
        };
        let Some(room) = self.take(len, left_to_others) else {
            return Err(full);
        };
        tracing::debug!(name = room.name, "no space for a MANIFEST: it takes a room");
        self.disk.replace_with(&room.name, MANIFEST, bytes)
    }

    fn take(&self, len: u64, left_to_others: usize) -> Option<Room> {
        let mut inner = self.inner.lock();
        inner.longest = inner.longest.max(len);
        let fits = inner.ready.iter().position(|room| room.bytes >= len)?;
        if inner.ready.len() <= left_to_others {
            return None;
        }
        inner.ready.remove(fits)
    }
}

/// Whether a call failed for want of space.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn on_a_full_disk_each_rank_leaves_what_the_others_need() {
        let disk = SimDisk::new(1);
        let rooms = Rooms::new(Arc::new(disk.clone()), 2);
        rooms.replace(Rank::Ordinary, b"first").unwrap();
        rooms.fill().unwrap();
        assert_eq!(rooms.ready(), 5);
        // Somebody else takes every block, what a replacement has freed too.
        let replace = |rank| {
            disk.set_capacity(Some(disk.allocated()));
            rooms.replace(rank, b"next")
        };
        assert!(is_full(&replace(Rank::Ordinary).unwrap_err()));
        replace(Rank::Relief).unwrap();
        replace(Rank::Relief).unwrap();
        assert!(is_full(&replace(Rank::Relief).unwrap_err()));
        for _ in 0..3 {
            replace(Rank::Vital).unwrap();
        }
        assert!(is_full(&replace(Rank::Vital).unwrap_err()));
        disk.set_capacity(None);
        rooms.fill().unwrap();
        assert_eq!(rooms.ready(), 5);
    }

    #[test]
    fn a_room_that_is_too_small_stays_until_there_is_a_better_one() {
        let disk = SimDisk::new(1);
        let rooms = Rooms::new(Arc::new(disk.clone()), 2);
        rooms.fill().unwrap();
        // All are too small for what may come after this one.
        rooms.replace(Rank::Vital, &[1; 7000]).unwrap();
        for _ in 0..10 {
            // Somebody else takes what is given back.
            disk.set_capacity(Some(disk.allocated()));
            assert!(is_full(&rooms.fill().unwrap_err()));
            assert_eq!(rooms.ready(), 5);
        }
        rooms.replace(Rank::Vital, &[2; 7000]).unwrap();
        disk.set_capacity(None);
        rooms.fill().unwrap();
        assert_eq!(rooms.ready(), 5);
        disk.set_capacity(Some(disk.allocated()));
        rooms.replace(Rank::Vital, &[3; 15_000]).unwrap();
    }
}
