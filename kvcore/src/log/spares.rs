//! Segments prepared ahead of need.
//!
//! Preparing one means writing every page of it, which takes far longer than a
//! commit; so a low-priority thread keeps [`TARGET`] ready and the writer only
//! renames. Running out of disk space can happen here and nowhere else in the log, which is why
//! [rooms](super::rooms) for the next MANIFESTs are made here too.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::ledger::Ledger;
use super::rooms::{Rooms, is_full};
use crate::disk::{Disk, LogIo, SegmentFile};
use crate::format::names::{FileName, spare_name};

/// Spares kept ready: one to rotate into, one that only deletes may draw on.
pub const TARGET: usize = 2;
/// How long to wait before asking a full file system again. It says no at once, so asking
/// costs little; what is freed is to be used within two seconds, and a segment takes a part
/// of them.
const RETRY: Duration = Duration::from_millis(200);

/// A segment file that holds no frame yet.
#[derive(Debug)]
pub struct Spare {
    pub name: String,
    pub file: Box<dyn SegmentFile>,
}

/// The spares and what keeps them coming.
#[derive(Debug)]
pub struct Spares {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    io: LogIo,
    ledger: Arc<Ledger>,
    rooms: Arc<Rooms>,
    next_number: AtomicU64,
    ready: Mutex<VecDeque<Spare>>,
    taken: Condvar,
    stop: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Spares {
    /// Adopts the spares of an earlier run that have the right size, removes the others.
    ///
    /// A spare never holds a frame: it is renamed before the first one is written. It
    /// may hold a header from a rotation that was cut short, which the next header replaces.
    pub fn adopt(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        io: LogIo,
        ledger: Arc<Ledger>,
    ) -> io::Result<Self> {
        let mut ready = VecDeque::new();
        let mut next_number = 1;
        for entry in disk.list()? {
            let FileName::Spare(number) = FileName::parse(&entry.name) else {
                continue;
            };
            next_number = next_number.max(number + 1);
            if entry.len == segment_bytes && ready.len() < TARGET {
                let file = disk.open_segment(&entry.name, io)?;
                ready.push_back(Spare {
                    name: entry.name,
                    file,
                });
                ledger.segment_added();
            } else {
                disk.remove(&entry.name)?;
            }
        }
        Ok(Self {
            rooms: Arc::new(Rooms::new(disk.clone(), TARGET)),
            disk,
            segment_bytes,
            io,
            ledger,
            next_number: AtomicU64::new(next_number),
            ready: Mutex::new(ready),
            taken: Condvar::new(),
            stop: AtomicBool::new(false),
            last_error: Mutex::new(None),
        })
    }

    pub fn ready(&self) -> usize {
        self.ready.lock().len()
    }

    /// Why the last attempt to prepare a spare failed, if it did.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// Where the MANIFESTs that name these segments find room.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// Prepares rooms, and one spare if one is missing; says whether another is still
    /// missing.
    pub fn fill_one(&self) -> io::Result<bool> {
        match self.prepare() {
            Ok(more) => {
                self.ledger.set_no_space(false);
                if self.last_error.lock().take().is_some() {
                    tracing::info!("there is room for log segments again");
                }
                Ok(more)
            }
            Err(error) => {
                self.ledger.set_no_space(true);
                let told = self.last_error.lock().replace(error.to_string());
                if told.is_none() {
                    tracing::warn!(%error, "no room for another log segment; only deletes are accepted until there is");
                }
                Err(error)
            }
        }
    }

    /// The segment of a start, which goes without room for another MANIFEST: the one that
    /// names it is written next.
    pub fn first(&self) -> io::Result<Spare> {
        if self.ready() == 0 {
            self.add()?;
        }
        let spare = self.take();
        spare.ok_or_else(|| io::Error::other("somebody else took the segment"))
    }

    fn prepare(&self) -> io::Result<bool> {
        // First, so that no segment counts that no MANIFEST could name.
        self.rooms.fill()?;
        if self.ready() >= TARGET {
            return Ok(false);
        }
        Ok(self.add()? < TARGET)
    }

    /// Prepares one more; returns how many there are.
    fn add(&self) -> io::Result<usize> {
        // A full disk uses up no number, so that it is told in the same words each time.
        // Nobody else prepares spares meanwhile.
        let number = self.next_number.load(Ordering::Relaxed);
        let name = spare_name(number);
        let made = self.disk.create_segment(&name, self.segment_bytes, self.io);
        if !matches!(&made, Err(error) if is_full(error)) {
            self.next_number.store(number + 1, Ordering::Relaxed);
        }
        let file = made?;
        let mut ready = self.ready.lock();
        ready.push_back(Spare { name, file });
        self.ledger.segment_added();
        Ok(ready.len())
    }

    /// The next segment. The ledger promises that there is one whenever a unit that
    /// was admitted needs it.
    pub(crate) fn take(&self) -> Option<Spare> {
        let spare = self.ready.lock().pop_front();
        self.taken.notify_all();
        spare
    }

    /// Keeps spares coming until [`Spares::stop`]. `added` is called after each.
    pub(crate) fn run(&self, added: &dyn Fn()) {
        while !self.stop.load(Ordering::Acquire) {
            let wait = match self.fill_one() {
                Ok(more) => {
                    added();
                    if more {
                        None
                    } else {
                        Some(Duration::from_secs(60))
                    }
                }
                Err(_) => Some(RETRY),
            };
            if let Some(wait) = wait {
                let mut ready = self.ready.lock();
                let satisfied = ready.len() >= TARGET || self.last_error.lock().is_some();
                if satisfied && !self.stop.load(Ordering::Acquire) {
                    self.taken.wait_for(&mut ready, wait);
                }
            }
        }
    }

    pub(crate) fn stop(&self) {
        let _ready = self.ready.lock();
        self.stop.store(true, Ordering::Release);
        self.taken.notify_all();
    }
}
