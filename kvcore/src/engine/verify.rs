//! Scrubbing: reads what is on disk while the store is in use, and names what is damaged.
//!
//! Sealed segments and published snapshots never change, so whatever does not fit its
//! checksum is damage of the disk. The segment that is being written is left out: it is
//! checked by the start that reads it. What memory holds is served all the same, since it was
//! checked when it was read or came from a client; what the next start needs is what is
//! looked at here.
//!
//! * A segment is pinned while it is read, not longer: a slow scrub does not keep the log.
//! * Reads go past the page cache, at no more than a rate.
//! * Whoever is told can end it, and so does a close.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Engine;
use crate::commit::Core;
use crate::disk::{Disk, Environment, ReadFile};
use crate::format::StoreId;
use crate::format::manifest::SnapshotRef;
use crate::format::names::segment_name;
use crate::format::segment_header::{PreviousEnd, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::recovery::classify;
use crate::recovery::report::{Class, Place};
use crate::recovery::sift::{Bounds, sift};
use crate::recovery::sift_snapshot::judge_snapshot;
use crate::recovery::survey::SegmentFound;

/// One read.
const PIECE: usize = 256 << 10;
/// How long it sleeps before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(50);

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyStep {
    /// The file that is being read.
    pub file: String,
    pub bytes_done: u64,
    /// Of all files that there were at the beginning.
    pub bytes_total: u64,
    /// Damaged places of that file, once it was read.
    pub found: Vec<Place>,
}

/// What was read in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyInfo {
    pub files: u64,
    pub bytes: u64,
    pub damages: u64,
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the store is being closed")]
    Draining,
    /// Whoever is told said so, or the directory cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

type Tell<'a> = &'a mut (dyn FnMut(VerifyStep) -> io::Result<()> + Send);

/// A scrub under way.
struct Scrub<'a> {
    core: &'a Core,
    environment: &'a Environment,
    store_id: StoreId,
    pace: Mutex<Pace<'a>>,
}

/// Counts what is read, and waits if that was too much.
struct Pace<'a> {
    rate: Option<u64>,
    begun: Duration,
    now: VerifyStep,
    tell: Tell<'a>,
    /// Why it is to end: what reads a file takes that for a fault of the file.
    ended: Option<VerifyError>,
}

impl Pace<'_> {
    fn tell(&mut self) -> io::Result<()> {
        let step = self.now.clone();
        (self.tell)(step).map_err(|error| self.end(VerifyError::Io(error)))
    }

    fn end(&mut self, why: VerifyError) -> io::Error {
        let error = io::Error::other(why.to_string());
        self.ended.get_or_insert(why);
        error
    }
}

impl Engine {
    /// Reads every sealed segment and every snapshot from disk and checks every checksum, at
    /// no more than `rate` bytes in a second. `tell` hears how far it is after every piece,
    /// and what is damaged after every file; an error of it ends the work. Blocks.
    ///
    /// # Errors
    /// See [`VerifyError`]. Damage is no error here.
    pub fn verify(
        &self,
        rate: Option<u64>,
        tell: &mut (dyn FnMut(VerifyStep) -> io::Result<()> + Send),
    ) -> Result<VerifyInfo, VerifyError> {
        let inner = &self.inner;
        let environment = inner.snapshots.environment();
        let scrub = Scrub {
            core: &inner.core,
            environment,
            store_id: inner.store_id,
            pace: Mutex::new(Pace {
                rate,
                begun: environment.clock.instant(),
                now: VerifyStep::default(),
                tell,
                ended: None,
            }),
        };
        scrub.run()
    }
}

impl<'s> Scrub<'s> {
    fn run(&self) -> Result<VerifyInfo, VerifyError> {
        let manifest = self.core.log.manifest.get();
        let sealed = manifest.first_segment..manifest.newest_segment;
        let disk = &self.environment.disk;
        let mut total: u64 = manifest
            .snapshots
            .iter()
            .map(|snapshot| snapshot.bytes)
            .sum();
        let entries = disk.list()?;
        let sizes = entries.iter().filter(|entry| {
            sealed
                .clone()
                .any(|sequence| segment_name(sequence) == entry.name)
        });
        total += sizes.map(|entry| entry.len).sum::<u64>();
        self.pace.lock().now.bytes_total = total;
        let mut info = VerifyInfo::default();
        for snapshot in &manifest.snapshots {
            let found = self.snapshot(snapshot)?;
            self.told(&mut info, found)?;
        }
        for sequence in sealed {
            let found = self.segment(sequence)?;
            self.told(&mut info, found)?;
        }
        info.bytes = self.pace.lock().now.bytes_done;
        Ok(info)
    }

    /// Says what was found in the file that was just read; none: it is no part of the
    /// store any more.
    fn told(&self, info: &mut VerifyInfo, found: Option<Vec<Place>>) -> Result<(), VerifyError> {
        let Some(found) = found else { return Ok(()) };
        info.files += 1;
        info.damages += found.len() as u64;
        let mut pace = self.pace.lock();
        for place in &found {
            tracing::error!(file = pace.now.file, %place, "damage on disk");
        }
        let step = VerifyStep {
            found,
            ..pace.now.clone()
        };
        (pace.tell)(step)?;
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Paced<'_, 's>> {
        name.clone_into(&mut self.pace.lock().now.file);
        let file = self.environment.disk.open_read(name)?;
        file.settle()?;
        Ok(Paced { scrub: self, file })
    }

    fn snapshot(&self, named: &SnapshotRef) -> Result<Option<Vec<Place>>, VerifyError> {
        let gone = || {
            let now = self.core.log.manifest.get();
            now.snapshots.iter().all(|kept| kept.name != named.name)
        };
        let file = match self.open(&named.name) {
            Ok(file) => file,
            // A newer one has taken its place.
            Err(_) if gone() => return Ok(None),
            Err(error) => return Ok(Some(unreadable(&error))),
        };
        let looked = judge_snapshot(&named.name, &file, Some(named), Some(self.store_id));
        // It may have been ended in the middle.
        self.check()?;
        let mut places = looked.places;
        if looked.class != Class::Clean && places.is_empty() {
            places.push(Place::new(0, 0, looked.note));
        }
        Ok(Some(places))
    }

    fn segment(&self, sequence: u64) -> Result<Option<Vec<Place>>, VerifyError> {
        let Some(_pin) = self.core.log.catalog.pin_segment(sequence) else {
            // Nobody needs it any more.
            return Ok(None);
        };
        let name = segment_name(sequence);
        let bytes = match self.read(&name) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.check()?;
                return Ok(Some(unreadable(&error)));
            }
        };
        let mut next = vec![0; SEGMENT_HEADER_BYTES];
        let disk = &self.environment.disk;
        let following = disk
            .open_read(&segment_name(sequence + 1))
            .and_then(|file| file.read_exact_at(0, &mut next))
            .ok()
            .and_then(|()| SegmentHeader::decode(&next).ok())
            .and_then(|header| header.previous);
        Ok(Some(judge(
            disk,
            &name,
            sequence,
            &bytes,
            following.as_ref(),
        )))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open(name)?;
        let len = usize::try_from(file.size()).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(io::Error::other)?;
        bytes.resize(len, 0);
        for (index, piece) in bytes.chunks_mut(PIECE).enumerate() {
            file.read_exact_at((index * PIECE) as u64, piece)?;
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), VerifyError> {
        self.pace.lock().ended.take().map_or(Ok(()), Err)
    }

    /// Counts `bytes` that are about to be read, says so, and keeps to the rate.
    fn pace(&self, bytes: u64) -> io::Result<()> {
        let mut pace = self.pace.lock();
        pace.now.bytes_done += bytes;
        loop {
            if self.core.state.draining() {
                return Err(pace.end(VerifyError::Draining));
            }
            pace.tell()?;
            let Some(rate) = pace.rate else { return Ok(()) };
            let due = pace.now.bytes_done.saturating_mul(1000) / rate.max(1);
            let taken = self.environment.clock.instant().saturating_sub(pace.begun);
            let ahead = Duration::from_millis(due).saturating_sub(taken);
            if ahead.is_zero() {
                return Ok(());
            }
            std::thread::sleep(ahead.min(STEP));
        }
    }
}

/// What is wrong with a sealed segment.
fn judge(
    disk: &Arc<dyn Disk>,
    name: &str,
    sequence: u64,
    bytes: &[u8],
    following: Option<&PreviousEnd>,
) -> Vec<Place> {
    let whole = |what: String| vec![Place::new(0, SEGMENT_HEADER_BYTES as u64, what)];
    let header = match SegmentHeader::decode(bytes) {
        Ok(header) => header,
        Err(error) => return whole(error.to_string()),
    };
    let link = SegmentHeader::crc_of(bytes);
    if header.sequence != sequence || header.segment_bytes != bytes.len() as u64 {
        return whole("it is another file than its name says, or of another size".into());
    }
    let bounds = Bounds {
        end: following.map(|following| following.end),
        last: following.map(|following| following.last_revision),
    };
    let places = sift(bytes, (&header, link), bounds, &mut |_| ()).places;
    if !places.is_empty() {
        return places;
    }
    // As a start would judge it.
    let (Some(following), Ok(file)) = (following, disk.open_read(name)) else {
        return places;
    };
    let found = SegmentFound {
        name: name.to_owned(),
        file,
        header,
        link,
    };
    match classify::sealed(&found, bytes, following) {
        Ok(_) => places,
        Err(error) => vec![Place::new(0, 0, error.to_string())],
    }
}

fn unreadable(error: &io::Error) -> Vec<Place> {
    let mut place = Place::new(0, 0, error.to_string());
    place.open = true;
    place.all_keys = false;
    vec![place]
}

/// A file whose reading is counted.
#[derive(Debug)]
struct Paced<'a, 's> {
    scrub: &'a Scrub<'s>,
    file: Box<dyn ReadFile>,
}

impl std::fmt::Debug for Scrub<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrub").finish_non_exhaustive()
    }
}

impl ReadFile for Paced<'_, '_> {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn settle(&self) -> io::Result<()> {
        self.file.settle()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.scrub.pace(buf.len() as u64)?;
        self.file.read_exact_at(offset, buf)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
