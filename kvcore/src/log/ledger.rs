//! How many bytes the log can still take without asking the file system.
//!
//! A unit reserves an upper bound of its bytes before it takes any lock, so that
//! running out of space is a refusal at the door and never a unit that is applied
//! in memory and cannot be logged.
//!
//! ```text
//!  available = credit of the active segment + worth of each spare - reserved by units in flight
//!  worth     = size - header - SEAL - one maximal unit
//! ```
//! A unit never spans segments, so rotation leaves less than one maximal unit
//! unused: it happens only when the credit is already below zero, and dropping a
//! negative credit can only raise `available`. One spare's worth is held back for
//! units that only delete, so that a full store can be emptied.

use crate::base::alone::Alone;
use crate::base::shared::atomic::{AtomicBool, AtomicI64, Ordering};

/// Room in the log.
#[derive(Debug)]
pub struct Ledger {
    available: Alone<AtomicI64>,
    worth: i64,
    no_space: AtomicBool,
}

/// Why a reservation was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The next segment is being prepared: wait.
    Late,
    /// The file system has no room for another segment.
    NoSpace,
}

impl Ledger {
    /// `worth` is what one segment can certainly take, in bytes.
    pub fn new(worth: u64) -> Self {
        Self {
            available: Alone::new(AtomicI64::new(0)),
            worth: signed(worth),
            no_space: AtomicBool::new(false),
        }
    }

    /// Reserves `bytes`; `deletes_only` may draw on the segment held back.
    pub fn reserve(&self, bytes: u64, deletes_only: bool) -> Result<(), NoRoom> {
        let bytes = signed(bytes);
        let floor = if deletes_only { 0 } else { self.worth };
        let no_space = self.no_space.load(Ordering::Relaxed);
        if no_space && !deletes_only {
            return Err(NoRoom::NoSpace);
        }
        if self.available.fetch_sub(bytes, Ordering::AcqRel) - bytes >= floor {
            return Ok(());
        }
        self.available.fetch_add(bytes, Ordering::AcqRel);
        Err(if no_space {
            NoRoom::NoSpace
        } else {
            NoRoom::Late
        })
    }

    /// Gives back what was reserved and not written.
    pub fn release(&self, bytes: u64) {
        self.available.fetch_add(signed(bytes), Ordering::AcqRel);
    }

    /// Takes `bytes` for the log's own marks if there is plenty.
    pub fn take_if_plenty(&self, bytes: u64) -> bool {
        self.reserve(bytes, false).is_ok()
    }

    /// A group is in the file: its reservations become what it really took.
    pub(crate) fn settle(&self, reserved: u64, written: u64) {
        self.available
            .fetch_add(signed(reserved) - signed(written), Ordering::AcqRel);
    }

    pub(crate) fn segment_added(&self) {
        self.available.fetch_add(self.worth, Ordering::AcqRel);
    }

    /// The active segment is left with `used` of its bytes taken by frames.
    pub(crate) fn segment_left(&self, used: u64) {
        let credit = self.worth - signed(used);
        self.available.fetch_sub(credit, Ordering::AcqRel);
    }

    pub(crate) fn set_no_space(&self, no_space: bool) {
        self.no_space.store(no_space, Ordering::Relaxed);
    }

    /// The file system had no room for another segment when last asked.
    pub fn no_space(&self) -> bool {
        self.no_space.load(Ordering::Relaxed)
    }

    /// Bytes that could be reserved now by a unit that only deletes.
    pub fn available(&self) -> i64 {
        self.available.load(Ordering::Relaxed)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("segments are far smaller than 8 EiB")
}
