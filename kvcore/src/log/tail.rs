//! Follows the log frame by frame, from a revision on, in little memory.
//!
//! ```text
//!  seek(after) ─► a Place: where the frame begins that holds what comes after
//!  next(place) ─► that frame, and the Place behind it
//! ```
//! Segments are read through a window, so a reader costs a few hundred KiB however large they
//! are, or one frame if that is larger. To find a revision only heads are read, from the
//! nearest place that some reader has passed before ([`Anchors`]).
//!
//! What is asked for must be logged and pinned ([`Catalog::pin`]): then its frames are whole in
//! files that stay. Where a segment ends, its successor says; the active one ends where the
//! caller says that it has been logged.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog::Catalog;
use crate::base::revision::Revision;
use crate::disk::{Disk, ReadFile};
use crate::format::checksum::Seed;
use crate::format::frame::{
    FRAME_HEAD_BYTES, FrameKind, FrameRead, frame_bytes, next_frame, read_frame, read_head,
};
use crate::format::names::segment_name;
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// Bytes that are read at once.
const WINDOW: usize = 256 << 10;
/// A place is remembered once in so many bytes of a segment.
const ANCHOR_EVERY: u64 = 256 << 10;
/// Places that are remembered.
const ANCHORS: usize = 16_384;

/// A place between two frames.
#[derive(Clone, Copy)]
pub struct Place {
    sequence: u64,
    offset: u64,
    seed: Seed,
    link: u32,
    /// The last revision before it.
    pub last: Revision,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("sequence", &self.sequence)
            .field("offset", &self.offset)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Places that readers have passed, by what comes next there.
#[derive(Debug, Default)]
pub struct Anchors(Mutex<BTreeMap<Revision, Place>>);

impl Anchors {
    /// The nearest place before what comes after `after`, in a segment that is still there.
    fn nearest(&self, after: Revision, catalog: &Catalog) -> Option<Place> {
        let mut all = self.0.lock();
        loop {
            let (&next, &place) = all.range(..=after.next()).next_back()?;
            if catalog.has(place.sequence) {
                return Some(place);
            }
            all.remove(&next);
        }
    }

    fn add(&self, place: Place) {
        let mut all = self.0.lock();
        all.insert(place.last.next(), place);
        if all.len() > ANCHORS {
            all.pop_first();
        }
    }
}

/// A DATA frame, checked.
#[derive(Debug)]
pub struct Frame<'a> {
    pub first_revision: Revision,
    pub units: u32,
    pub payload: &'a [u8],
}

/// Reads on behalf of one caller. What it has read it keeps for the next call only.
#[derive(Debug)]
pub struct Tail<'a> {
    disk: &'a Arc<dyn Disk>,
    catalog: &'a Catalog,
    anchors: &'a Anchors,
    segment: Option<Segment>,
    /// Bytes taken from files so far.
    pub bytes_read: u64,
}

/// The segment at hand.
#[derive(Debug)]
struct Segment {
    sequence: u64,
    file: Box<dyn ReadFile>,
    /// Where frames end, if there is a successor.
    end: Option<u64>,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Tail<'a> {
    pub fn new(disk: &'a Arc<dyn Disk>, catalog: &'a Catalog, anchors: &'a Anchors) -> Self {
        Self {
            disk,
            catalog,
            anchors,
            segment: None,
            bytes_read: 0,
        }
    }

    /// Where the frame begins that holds the first revision behind `after`; `near` is a place
    /// to begin from, if it is not behind that.
    ///
    /// # Errors
    /// See [`Tail::next`].
    pub fn seek(&mut self, after: Revision, near: Option<Place>) -> io::Result<Place> {
        let known = |place: &Place| place.last <= after && self.catalog.has(place.sequence);
        let near = near.filter(known);
        let anchor = self.anchors.nearest(after, self.catalog);
        let best = near
            .into_iter()
            .chain(anchor)
            .max_by_key(|place| (place.last, place.offset));
        let first = self.catalog.needed_after(after);
        let mut place = match best {
            Some(place) if place.sequence >= first => place,
            _ => self.start_of(first)?,
        };
        loop {
            let Some(head) = self.head(&mut place)? else {
                return Ok(place);
            };
            if head.last > after {
                return Ok(place);
            }
            place = head;
        }
    }

    /// The next DATA frame, and the place behind it.
    ///
    /// # Errors
    /// A file cannot be read, or is not what was written: `InvalidData` names file and
    /// revision.
    pub fn next(&mut self, mut place: Place) -> io::Result<(Frame<'_>, Place)> {
        let behind = loop {
            let Some(behind) = self.head(&mut place)? else {
                return Err(damaged(
                    place.sequence,
                    &format!("it ends at revision {}, and more was logged", place.last),
                ));
            };
            if behind.last > place.last {
                break behind;
            }
            place = behind;
        };
        let segment = self.segment.as_mut().expect("its head was just read");
        let len = usize::try_from(behind.offset - place.offset).unwrap_or(usize::MAX);
        let limit = segment.end.unwrap_or_else(|| segment.file.size());
        let len = len.min(usize::try_from(limit - place.offset).unwrap_or(usize::MAX));
        self.bytes_read += segment.load(place.offset, len)?;
        let bytes = segment.at(place.offset);
        match read_frame(&bytes[..len], place.offset, place.seed) {
            FrameRead::Frame { head, payload, .. } => Ok((
                Frame {
                    first_revision: head.first_revision,
                    units: head.units,
                    payload,
                },
                behind,
            )),
            FrameRead::Zero => Err(damaged(place.sequence, "a frame has turned into zeros")),
            FrameRead::Bad { reason, .. } => Err(damaged(place.sequence, &reason.to_string())),
        }
    }

    /// The place behind the frame at `place`, which moves to the next segment if this one
    /// ends there. None: nothing more is there yet.
    fn head(&mut self, place: &mut Place) -> io::Result<Option<Place>> {
        loop {
            self.open(place.sequence)?;
            let segment = self.segment.as_mut().expect("just opened");
            if segment.end.is_none_or(|end| place.offset < end) {
                break;
            }
            *place = self.successor(place)?;
        }
        let segment = self.segment.as_mut().expect("just opened");
        let size = segment.end.unwrap_or_else(|| segment.file.size());
        if place.offset + FRAME_HEAD_BYTES as u64 > size {
            return Ok(None);
        }
        self.bytes_read += segment.load(place.offset, FRAME_HEAD_BYTES)?;
        let bytes = &segment.at(place.offset)[..FRAME_HEAD_BYTES];
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let Some((head, link)) = read_head(bytes, place.offset, place.seed) else {
            let what = format!("no sound frame follows revision {}", place.last);
            return Err(damaged(place.sequence, &what));
        };
        head.check(place.last.next(), place.link)
            .map_err(|reason| damaged(place.sequence, &reason.to_string()))?;
        let end = place.offset + frame_bytes(head.payload_bytes as usize) as u64;
        let behind = Place {
            offset: next_frame(end, head.group_end || head.kind == FrameKind::Seal),
            link,
            last: place.last.plus(u64::from(head.units)),
            ..*place
        };
        if end > size {
            return Err(damaged(place.sequence, "a frame reaches beyond its end"));
        }
        if behind.offset / ANCHOR_EVERY != place.offset / ANCHOR_EVERY {
            self.anchors.add(behind);
        }
        Ok(Some(behind))
    }

    fn open(&mut self, sequence: u64) -> io::Result<()> {
        let successor = |this: &Self| -> io::Result<Option<u64>> {
            if !this.catalog.has(sequence + 1) {
                return Ok(None);
            }
            let (header, _) = this.header(sequence + 1)?;
            let previous = header.previous.filter(|end| end.sequence == sequence);
            let what = "its successor does not say where it ends";
            let previous = previous.ok_or_else(|| damaged(sequence, what))?;
            Ok(Some(previous.end))
        };
        match &self.segment {
            Some(open) if open.sequence == sequence && open.end.is_some() => {}
            Some(open) if open.sequence == sequence => {
                let end = successor(self)?;
                if let Some(open) = &mut self.segment {
                    open.end = end;
                }
            }
            _ => {
                let end = successor(self)?;
                self.segment = Some(Segment {
                    sequence,
                    file: self.disk.open_read(&segment_name(sequence))?,
                    end,
                    window: Vec::new(),
                    window_at: 0,
                });
            }
        }
        Ok(())
    }

    fn header(&self, sequence: u64) -> io::Result<(SegmentHeader, u32)> {
        let file = self.disk.open_read(&segment_name(sequence))?;
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
        file.read_exact_at(0, &mut bytes)?;
        let header =
            SegmentHeader::decode(&bytes).map_err(|e| damaged(sequence, &e.to_string()))?;
        Ok((header, SegmentHeader::crc_of(&bytes)))
    }

    fn start_of(&self, sequence: u64) -> io::Result<Place> {
        let (header, link) = self.header(sequence)?;
        Ok(Place {
            sequence,
            offset: SEGMENT_HEADER_BYTES as u64,
            seed: Seed {
                salt: header.salt,
                sequence,
            },
            link,
            last: Revision(header.first_revision.0.saturating_sub(1)),
        })
    }

    fn successor(&self, place: &Place) -> io::Result<Place> {
        let next = self.start_of(place.sequence + 1)?;
        if next.last < place.last {
            let what = format!("it begins before revision {}", place.last.next());
            return Err(damaged(next.sequence, &what));
        }
        Ok(next)
    }
}

impl Segment {
    /// Makes sure that `len` bytes from `offset` on are in the window; how many were read.
    fn load(&mut self, offset: u64, len: usize) -> io::Result<u64> {
        let have = self.window_at..self.window_at + self.window.len() as u64;
        if have.start <= offset && offset + len as u64 <= have.end {
            return Ok(0);
        }
        let rest = usize::try_from(self.file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        if len > rest {
            return Err(damaged(self.sequence, "it is shorter than its frames"));
        }
        let len = len.max(WINDOW.min(rest));
        self.window.clear();
        self.window.shrink_to(WINDOW);
        self.window
            .try_reserve_exact(len)
            .map_err(io::Error::other)?;
        self.window.resize(len, 0);
        self.window_at = offset;
        let read = self.file.read_exact_at(offset, &mut self.window);
        if read.is_err() {
            self.window.clear();
        }
        read.map(|()| len as u64)
    }

    fn at(&self, offset: u64) -> &[u8] {
        let at = usize::try_from(offset - self.window_at).unwrap_or(usize::MAX);
        self.window.get(at..).unwrap_or_default()
    }
}

fn damaged(sequence: u64, what: &str) -> io::Error {
    let name = segment_name(sequence);
    io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {what}"))
}
