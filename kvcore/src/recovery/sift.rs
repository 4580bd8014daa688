//! Goes through a damaged segment and takes what is whole, one frame after the other.
//!
//! ```text
//!  frame  frame  ####  frame  frame      a frame whose head can be made out: only its units are in doubt
//!  frame  frame  ##########...  frame    otherwise the next head that can only be this log's own is searched for
//! ```
//! Invariants:
//! - what is handed out is covered by a checksum that fits, at its place in its file, and
//!   decodes: nothing is guessed. Where one flipped bit explains a bad frame, the unit that
//!   it lies in is left out and the others are handed out;
//! - every revision between the first and the last is handed out or stands in a place;
//! - nothing here decides what damage means.

use super::report::{LostKey, Place};
use crate::base::revision::Revision;
use crate::format::checksum::Seed;
use crate::format::frame::{
    Body, FRAME_HEAD_BYTES, FrameHead, FrameKind, FrameRead, SealPayload, mend_frame, next_frame,
    probe_head, read_frame,
};
use crate::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::format::unit::{check_units, units};

/// Units that may be believed.
#[derive(Debug)]
pub struct Sound<'a> {
    pub first_revision: Revision,
    pub engine_ms: u64,
    pub payload: &'a [u8],
    /// The one among them that may not.
    pub except: Option<usize>,
}

/// What is known of a segment from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Where its frames end.
    pub end: Option<u64>,
    /// The last revision that it has, or had at least.
    pub last: Option<Revision>,
}

/// What a segment holds.
#[derive(Clone, Debug)]
pub struct Sifted {
    /// The last revision in it, damaged or not; one below its first if there is none.
    pub last_revision: Revision,
    /// Units that are whole.
    pub units: u64,
    /// Behind the last frame.
    pub end: u64,
    pub durable: Revision,
    pub engine_ms: u64,
    /// It ends with a SEAL: nothing is missing at its end.
    pub sealed: bool,
    pub places: Vec<Place>,
    /// A newer kvd wrote something here.
    pub newer: Option<String>,
}

/// Hands every sound frame of `bytes` to `each`. `link` is the header's checksum.
pub fn sift(
    bytes: &[u8],
    (header, link): (&SegmentHeader, u32),
    bounds: Bounds,
    each: &mut dyn FnMut(&Sound<'_>),
) -> Sifted {
    let end = bounds.end.and_then(|end| usize::try_from(end).ok());
    let end = end.map_or(bytes.len(), |end| end.min(bytes.len()));
    let mut sieve = Sieve {
        bytes: &bytes[..end],
        seed: Seed {
            salt: header.salt,
            sequence: header.sequence,
        },
        bounds,
        at: SEGMENT_HEADER_BYTES,
        expected: header.first_revision,
        link: Some(link),
        found: Sifted {
            last_revision: Revision(header.first_revision.0 - 1),
            units: 0,
            end: SEGMENT_HEADER_BYTES as u64,
            durable: Revision::NONE,
            engine_ms: header.engine_ms,
            sealed: false,
            places: Vec::new(),
            newer: None,
        },
    };
    while sieve.step(each) {}
    sieve.finish()
}

struct Sieve<'a> {
    bytes: &'a [u8],
    seed: Seed,
    bounds: Bounds,
    at: usize,
    expected: Revision,
    /// Unknown behind a place whose frames could not be made out.
    link: Option<u32>,
    found: Sifted,
}

impl Sieve<'_> {
    /// One frame, or one damaged place. False at the end.
    fn step(&mut self, each: &mut dyn FnMut(&Sound<'_>)) -> bool {
        let Some(rest) = self.bytes.get(self.at..).filter(|rest| !rest.is_empty()) else {
            return false;
        };
        if self.found.sealed {
            return false;
        }
        match read_frame(rest, self.at as u64, self.seed) {
            FrameRead::Zero => self.skip("there is no frame here"),
            FrameRead::Frame {
                head,
                head_crc,
                payload,
                bytes,
            } => {
                if head.first_revision < self.expected {
                    return self.skip("a frame with revisions that were there before");
                }
                self.follow(&head);
                self.take(&head, payload, each);
                self.go_on(&head, head_crc, bytes)
            }
            FrameRead::Bad { reason, .. } => {
                let reason = reason.to_string();
                match mend_frame(rest, self.at as u64, self.seed) {
                    Some(mended) if mended.head.first_revision >= self.expected => {
                        let from = self.at + FRAME_HEAD_BYTES;
                        let len = mended.head.payload_bytes as usize;
                        let read = &self.bytes[from..from + len];
                        self.follow(&mended.head);
                        self.mended(
                            &mended.head,
                            (mended.bytes, reason),
                            &mended.body,
                            read,
                            each,
                        );
                        self.go_on(&mended.head, mended.head_crc, mended.bytes)
                    }
                    _ => self.skip(&reason),
                }
            }
        }
    }

    /// Does the frame come next?
    fn follow(&mut self, head: &FrameHead) {
        let offset = self.at as u64;
        if head.first_revision > self.expected {
            let place = Place::new(offset, offset, "frames are missing before this one");
            let last = Revision(head.first_revision.0 - 1);
            self.found.places.push(place.losing(self.expected, last));
            self.expected = head.first_revision;
        } else if self.link.is_some_and(|link| link != head.link) {
            let what = "the frame does not follow the one before it";
            self.found.places.push(Place::new(offset, offset, what));
        }
    }

    /// Hands out the units of a frame whose bytes are as they were written.
    fn take(&mut self, head: &FrameHead, payload: &[u8], each: &mut dyn FnMut(&Sound<'_>)) {
        let offset = self.at as u64;
        if head.kind == FrameKind::Seal {
            self.found.sealed = SealPayload::decode(payload).is_ok();
        }
        if head.kind != FrameKind::Data {
            return;
        }
        let mut count = 0;
        let bad = units(payload).find_map(|unit| {
            count += 1;
            unit.err()
        });
        let what = match bad {
            None if count == head.units => {
                self.found.units += u64::from(count);
                each(&Sound {
                    first_revision: head.first_revision,
                    engine_ms: head.engine_ms,
                    payload,
                    except: None,
                });
                return;
            }
            None => format!(
                "the frame holds {count} units, its head says {}",
                head.units
            ),
            Some(error) => {
                if error.is_newer() {
                    self.found.newer.get_or_insert(error.to_string());
                }
                error.to_string()
            }
        };
        let end = offset + head_end(head);
        let mut place = Place::new(offset, end, what).losing_frame(head);
        place.keys = keys_of(head, payload, None);
        place.all_keys = false;
        self.found.places.push(place);
    }

    /// A frame that is not as it was written.
    fn mended(
        &mut self,
        head: &FrameHead,
        (bytes, reason): (usize, String),
        body: &Body,
        read: &[u8],
        each: &mut dyn FnMut(&Sound<'_>),
    ) {
        let offset = self.at as u64;
        let end = offset + bytes as u64;
        let payload_at = offset + FRAME_HEAD_BYTES as u64;
        match body {
            Body::Whole => {
                let what = format!("{reason}; one bit outside the units is wrong");
                self.found.places.push(Place::new(offset, end, what));
                self.take(head, read, each);
            }
            Body::OneBit { at, payload } => {
                // A frame that was signed with other units than its head says was never sound.
                let sound = check_units(payload, head.units).is_ok();
                let index = unit_at(payload, *at).filter(|_| sound);
                let Some(index) = index else {
                    return self.lose(head, end, &reason, read);
                };
                let revision = head.first_revision.plus(index as u64);
                let what = format!("{reason}; one bit is wrong");
                let place = Place::new(payload_at + *at as u64, end, what);
                let mut place = place.losing(revision, revision);
                place.keys = keys_of(head, payload, Some(index));
                place.all_keys = true;
                self.found.places.push(place);
                self.found.units += u64::from(head.units) - 1;
                each(&Sound {
                    first_revision: head.first_revision,
                    engine_ms: head.engine_ms,
                    payload,
                    except: Some(index),
                });
            }
            Body::Lost => self.lose(head, end, &reason, read),
        }
    }

    /// The head is known, the units cannot be believed.
    fn lose(&mut self, head: &FrameHead, end: u64, reason: &str, read: &[u8]) {
        let mut place = Place::new(self.at as u64, end, reason);
        if head.units > 0 {
            place = place.losing_frame(head);
            place.keys = keys_of(head, read, None);
            place.all_keys = false;
        }
        self.found.places.push(place);
    }

    /// Behind a frame.
    fn go_on(&mut self, head: &FrameHead, head_crc: u32, bytes: usize) -> bool {
        let end = self.at + bytes;
        let next = usize::try_from(next_frame(end as u64, head.group_end)).unwrap_or(usize::MAX);
        let between = self.bytes.get(end..next.min(self.bytes.len()));
        if between.unwrap_or_default().iter().any(|byte| *byte != 0) {
            let what = "bytes between the end of a group and the next sector";
            self.found
                .places
                .push(Place::new(end as u64, next as u64, what));
        }
        self.expected = head.next_revision();
        self.link = Some(head_crc);
        self.at = next;
        self.found.end = next as u64;
        self.found.durable = self.found.durable.max(head.durable);
        self.found.engine_ms = self.found.engine_ms.max(head.engine_ms);
        true
    }

    /// No frame can be made out here: on to the next that can.
    fn skip(&mut self, reason: &str) -> bool {
        let from = self.at;
        let next = (from.next_multiple_of(8)..self.bytes.len())
            .step_by(8)
            .skip(1)
            .find(|at| self.is_ours(*at));
        let Some(next) = next else { return false };
        let place = Place::new(from as u64, next as u64, reason);
        let first = probe_head(&self.bytes[next..], next as u64, self.seed)
            .map_or(self.expected, |head| head.first_revision);
        self.found.places.push(if first > self.expected {
            place.losing(self.expected, Revision(first.0 - 1))
        } else {
            place
        });
        (self.at, self.expected, self.link) = (next, first, None);
        true
    }

    /// Is there a head that only this log can have written, and that can come next?
    fn is_ours(&self, at: usize) -> bool {
        let head = probe_head(&self.bytes[at..], at as u64, self.seed);
        head.is_some_and(|head| {
            let ahead = head.first_revision.0.wrapping_sub(self.expected.0);
            let bounded = |last: Revision| head.next_revision() <= last.next();
            let sealed = self.bounds.end.is_some();
            ahead <= Revision::JUMP && (!sealed || self.bounds.last.is_none_or(bounded))
        })
    }

    fn finish(mut self) -> Sifted {
        let durable = (self.found.durable >= self.expected).then_some(self.found.durable);
        if let Some(last) = self.bounds.last.max(durable)
            && last >= self.expected
        {
            let (at, end) = (self.at as u64, self.bytes.len() as u64);
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let reason = match read_frame(rest, at, self.seed) {
                FrameRead::Bad { reason, .. } => reason.to_string(),
                _ => "there is no frame here".to_owned(),
            };
            let place = Place::new(at, end.max(at), reason);
            self.found.places.push(place.losing(self.expected, last));
            self.expected = last.next();
        }
        self.found.last_revision = Revision(self.expected.0 - 1);
        self.found
    }
}

fn head_end(head: &FrameHead) -> u64 {
    crate::format::frame::frame_bytes(head.payload_bytes as usize) as u64
}

/// The unit that a byte of a payload lies in.
fn unit_at(payload: &[u8], byte: usize) -> Option<usize> {
    let mut at = 0;
    for index in 0.. {
        let len = payload.get(at..)?.first_chunk::<4>()?;
        at += 4 + usize::try_from(u32::from_le_bytes(*len)).ok()?;
        if byte < at {
            return Some(index);
        }
    }
    None
}

/// The keys that a unit concerns, or all of a frame's as far as they can be read.
fn keys_of(head: &FrameHead, payload: &[u8], only: Option<usize>) -> Vec<LostKey> {
    let mut keys = Vec::new();
    for (index, unit) in units(payload).take(head.units as usize).enumerate() {
        let Ok(unit) = unit else { break };
        if only.is_some_and(|only| only != index) {
            continue;
        }
        keys.extend(unit.ops().map(|op| LostKey {
            revision: head.first_revision.plus(index as u64),
            key: op.key.to_vec(),
        }));
    }
    keys
}
