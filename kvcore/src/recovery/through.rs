//! Goes through the whole log of a damaged directory, from its first segment to its newest.

use super::classify::{self, Tail};
use super::error::OpenError;
use super::inspect::{Inventory, MISSING_TOLD, SegmentAt, read_what_can_be};
use super::report::{Class, FileReport, Place};
use super::sift::{Bounds, Sifted, Sound, sift};
use super::summary::LoadProgress;
use crate::base::revision::Revision;
use crate::format::names::segment_name;
use crate::format::segment_header::{PreviousEnd, SEGMENT_HEADER_BYTES};

/// The smallest unit takes more bytes than this: so many revisions may have been in a
/// segment that is gone.
const UNIT_BYTES_MIN: u64 = 8;
/// Size of a segment about which nothing else is known: the largest.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Where the log ends, as far as it can be told.
#[derive(Clone, Debug, Default)]
pub struct LogEnd {
    /// The last revision that is or was known to be in it.
    pub last: Revision,
    /// Nothing above this can have been handed out, but for the jump of an unclean end.
    pub numbered: Revision,
    pub engine_ms: u64,
    /// A newer kvd wrote something of it.
    pub newer: Option<String>,
}

/// A walk under way.
struct Through<'a> {
    inventory: &'a Inventory,
    files: Vec<FileReport>,
    end: LogEnd,
    /// Known to have been durable by what was read so far.
    durable: Revision,
    /// Numbers without a file that can be read, since the last one that could.
    missing: Vec<u64>,
}

/// Reads every segment from `first` on and hands what is sound to `each`, in order. `reached`
/// is the revision that needs no log. Returns what is to be said of every file of the log.
pub fn go_through(
    inventory: &Inventory,
    (first, reached): (u64, Revision),
    progress: &dyn Fn(LoadProgress),
    each: &mut dyn FnMut(&Sound<'_>),
) -> Result<(Vec<FileReport>, LogEnd), OpenError> {
    let mut through = Through {
        inventory,
        files: Vec::new(),
        end: LogEnd {
            last: reached,
            numbered: inventory.durable().max(reached),
            ..LogEnd::default()
        },
        durable: inventory.durable(),
        missing: Vec::new(),
    };
    let Some((begin, newest)) = inventory.numbers else {
        return Ok((through.files, through.end));
    };
    let there = inventory.segments.range(first..);
    let bytes_total = there.clone().map(|(_, segment)| segment.file.size()).sum();
    let mut bytes_done = 0;
    let mut next = first.max(begin);
    for (&number, segment) in there {
        through.missing.extend((next..number).take(MISSING_TOLD));
        next = number + 1;
        through.segment(number, segment, each)?;
        bytes_done += segment.file.size();
        progress(LoadProgress {
            bytes_done,
            bytes_total,
        });
    }
    through.missing.extend((next..=newest).take(MISSING_TOLD));
    through.tell_missing(None);
    Ok((through.files, through.end))
}

impl Through<'_> {
    fn segment(
        &mut self,
        number: u64,
        segment: &SegmentAt,
        each: &mut dyn FnMut(&Sound<'_>),
    ) -> Result<(), OpenError> {
        let previous = segment
            .header
            .previous
            .map(|previous| previous.last_revision);
        if self.missing.is_empty() && previous > Some(self.end.last) {
            self.missing.push(number - 1);
        }
        self.tell_missing(Some(segment));
        let (bytes, unread) = read_what_can_be(segment.file.as_ref(), &segment.name)?;
        let mut report = FileReport::new(&segment.name, Class::Clean, "");
        if bytes.len() < SEGMENT_HEADER_BYTES {
            report.class = Class::Corrupt;
            report.note = format!("it has {} bytes", bytes.len());
            self.files.push(report);
            return Ok(());
        }
        let (bounds, class, note) = self.bounds(number, segment, &bytes);
        let sifted = sift(&bytes, (&segment.header, segment.link), bounds, each);
        report.class = class;
        report.note = note;
        if segment.mended {
            let what = "one bit of the header is wrong";
            report
                .places
                .push(Place::new(0, SEGMENT_HEADER_BYTES as u64, what));
        }
        if unread > 0 {
            report.note = format!("{unread} bytes of it cannot be read");
        }
        if segment.header.segment_bytes != bytes.len() as u64 {
            report.class = Class::Corrupt;
            report.note = format!(
                "it has {} bytes, its header says {}",
                bytes.len(),
                segment.header.segment_bytes
            );
        }
        self.take(number, report, sifted, segment);
        Ok(())
    }

    /// Where the segment ends, and what that makes of it.
    fn bounds(&self, number: u64, segment: &SegmentAt, bytes: &[u8]) -> (Bounds, Class, String) {
        if let Some(next) = self.following(number) {
            let bounds = Bounds {
                end: Some(next.end),
                last: Some(next.last_revision),
            };
            return (bounds, Class::Clean, String::new());
        }
        if !self.inventory.is_newest(number) {
            return (Bounds::default(), Class::Clean, String::new());
        }
        let known = Bounds {
            end: None,
            last: Some(self.durable),
        };
        match judged(segment, bytes, self.durable) {
            None => (known, Class::Corrupt, String::new()),
            Some((_, Tail::Suspect { why, bytes })) => {
                let note = format!("the last {bytes} bytes: {why}");
                (Bounds::default(), Class::Suspect, note)
            }
            Some((end, tail)) => {
                let bounds = Bounds {
                    end: Some(end),
                    last: None,
                };
                match tail {
                    Tail::Torn { bytes, why } => {
                        let note = format!("{bytes} bytes from byte {end} on: {why}");
                        (bounds, Class::TornTail, note)
                    }
                    _ => (bounds, Class::Clean, String::new()),
                }
            }
        }
    }

    /// What the next segment says of this one.
    fn following(&self, number: u64) -> Option<&PreviousEnd> {
        let next = self.inventory.segments.get(&(number + 1))?;
        let previous = next.header.previous.as_ref()?;
        (previous.sequence == number).then_some(previous)
    }

    fn take(&mut self, number: u64, mut report: FileReport, sifted: Sifted, segment: &SegmentAt) {
        report.first_revision = segment.header.first_revision;
        report.last_revision = sifted.last_revision;
        report.units = sifted.units;
        report.bytes = sifted.end;
        report.places.extend(sifted.places);
        let ended = sifted.sealed || self.following(number).is_some();
        let sound_newest = matches!(report.class, Class::Clean | Class::TornTail);
        let whole = ended || (self.inventory.is_newest(number) && sound_newest);
        if !whole {
            // Nothing says how far it went.
            let most = report.bytes + segment.header.segment_bytes / UNIT_BYTES_MIN;
            self.number(sifted.last_revision.plus(most));
            match report.places.last_mut() {
                Some(last) if last.lost.is_some_and(|l| l.last == sifted.last_revision) => {
                    last.open = report.class != Class::Suspect;
                }
                _ if self.inventory.is_newest(number) => {}
                _ => {
                    let what = "it ends without a SEAL, and what follows it is gone";
                    let place = Place::new(sifted.end, sifted.end, what);
                    report.places.push(Place {
                        open: true,
                        all_keys: false,
                        ..place
                    });
                }
            }
        }
        if !report.places.is_empty() && report.class == Class::Clean {
            report.class = Class::Corrupt;
        }
        if let Some(newer) = sifted.newer {
            let newer = format!("{}: {newer}", report.name);
            self.end.newer.get_or_insert(newer);
        }
        self.durable = self.durable.max(sifted.durable);
        self.end.last = self.end.last.max(sifted.last_revision);
        self.end.engine_ms = self.end.engine_ms.max(sifted.engine_ms);
        self.number(sifted.last_revision.max(sifted.durable));
        self.files.push(report);
    }

    fn number(&mut self, revision: Revision) {
        self.end.numbered = self.end.numbered.max(revision);
    }

    /// Says what is lost with the files that are missing before `next`, or at the end.
    fn tell_missing(&mut self, next: Option<&SegmentAt>) {
        let reached = self.end.last;
        let count = self.missing.len();
        for (index, number) in std::mem::take(&mut self.missing).into_iter().enumerate() {
            let name = segment_name(number);
            let found = self
                .inventory
                .unusable
                .iter()
                .find(|file| file.name == name);
            let mut report = found
                .cloned()
                .unwrap_or_else(|| FileReport::new(&name, Class::Missing, "the file is missing"));
            let what = match report.places.pop() {
                Some(place) => place.what,
                None => report.note.clone(),
            };
            if index + 1 == count {
                // All that is lost is told with the last of several in a row.
                let place = Place::new(0, 0, what);
                report.places.push(self.lost_between(place, reached, next));
                report.note = String::new();
            }
            self.files.push(report);
        }
        if let Some(next) = next {
            self.end.last = reached.max(Revision(next.header.first_revision.0 - 1));
            self.number(self.end.last);
        }
    }

    fn lost_between(&mut self, place: Place, reached: Revision, next: Option<&SegmentAt>) -> Place {
        let last = match next.map(|next| &next.header) {
            Some(header) => match &header.previous {
                Some(previous) => previous.last_revision,
                None => Revision(header.first_revision.0 - 1),
            },
            None => self.durable,
        };
        let place = if last > reached {
            self.end.last = last;
            place.losing(reached.next(), last)
        } else {
            place
        };
        if next.is_some() {
            return place;
        }
        let sizes = self.inventory.segments.values();
        let bytes = sizes.map(|segment| segment.header.segment_bytes).max();
        let most = bytes.unwrap_or(SEGMENT_BYTES_MAX) / UNIT_BYTES_MIN;
        self.number(last.max(reached).plus(most));
        Place {
            open: true,
            all_keys: false,
            ..place
        }
    }
}

/// The newest segment as a start would judge it: where it ends, and how.
fn judged(segment: &SegmentAt, bytes: &[u8], durable: Revision) -> Option<(u64, Tail)> {
    if segment.mended {
        return None;
    }
    let newest = classify::judge_newest(&segment.name, &segment.header, bytes, durable).ok()?;
    let units = newest.walk.frames.iter();
    let whole = |frame: &crate::log::reader::DataFrame| {
        crate::format::unit::check_units(&bytes[frame.payload.clone()], frame.units).is_ok()
    };
    units
        .clone()
        .all(whole)
        .then_some((newest.walk.end, newest.tail))
}
