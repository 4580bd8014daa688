//! Torn, or damaged? Both ways of being wrong are counted: a power cut that is refused, and a
//! loss that is cut off in silence. Neither may happen, however often it is tried.
//!
//! ```text
//!  frames ... W | above W ...          W: the highest revision that anything certifies
//! ```
//! | what is done | to | must be |
//! | --- | --- | --- |
//! | words, sectors or pages go missing | frames above W | a torn tail, or a clean end |
//! | a bit flips, bytes are zeroed, swapped, or come from elsewhere | a frame at or below W | corruption |
//! | a bit flips | a frame above W | torn or suspect, never passed over |
//!
//! `KVD_TAIL_CASES=N` sets how many cases there are (default 20,000), `KVD_TAIL_SEED=N` where
//! they begin.

use std::ops::Range;
use std::sync::Arc;

use kvcore::base::broken::Build;
use kvcore::base::clock::ManualClock;
use kvcore::disk::{Disk, SimDisk, SimRng};
use kvcore::format::checksum::Seed;
use kvcore::format::frame::{FrameHead, frame_bytes, next_frame, read_head};
use kvcore::format::manifest::Manifest;
use kvcore::format::names::{MANIFEST, segment_name};
use kvcore::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use kvcore::log::writer::Turn;
use kvcore::recovery::classify::{Tail, judge_newest};
use kvcore::{Engine, Revision, SyncPolicy};

use crate::from_env;
use crate::story::{commit, environment, options};

/// Damages of one store.
const PER_STORE: u64 = 250;

/// A store that ended, with what is known of its newest segment.
struct Ended {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    name: String,
    bytes: Vec<u8>,
    header: SegmentHeader,
    /// What MANIFEST certifies.
    known: Revision,
    frames: Vec<(FrameHead, Range<usize>)>,
    /// What anything certifies.
    watermark: Revision,
}

#[derive(Debug, Default)]
struct Counts {
    torn: u64,
    corrupt: u64,
    flipped_above: u64,
    opened: u64,
    misjudged: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    MissingAbove,
    Below,
    FlippedAbove,
}

fn end(seed: u64, rng: &mut SimRng) -> Option<Ended> {
    let clock = Arc::new(ManualClock::default());
    let disk = SimDisk::new(seed);
    let environment = environment(&disk, &clock, seed);
    let policy = options(SyncPolicy::Always);
    let (engine, mut writer) = Engine::open_manual(policy, &environment).expect("a new store");
    for _ in 0..3 + rng.below(40) {
        let key = format!("key{}", rng.below(8)).into_bytes();
        let len = usize::try_from(rng.below(700)).expect("small");
        // Zero bytes, so that words of values look like missing ones now and then.
        let byte = u8::try_from(rng.below(4)).expect("small") * 41;
        commit(&engine, &vec![(key, Some(vec![byte; len]))]);
        if rng.chance(2, 3) {
            while writer.turn() == Turn::Worked {}
        }
        engine.fill_spares();
    }
    match rng.below(4) {
        // The log falls idle, and a Mark certifies all of it.
        0 => {
            while writer.turn() == Turn::Worked {}
            clock.advance(10);
            while writer.turn() == Turn::Worked {}
        }
        1 => engine.close_manual(&mut writer),
        _ => while writer.turn() == Turn::Worked {},
    }
    drop((engine, writer));
    let disk = disk.kill();
    let manifest = Manifest::decode(&disk.file_bytes(MANIFEST)?).ok()?;
    let name = segment_name(manifest.newest_segment);
    let bytes = disk.file_bytes(&name)?;
    let header = SegmentHeader::decode(&bytes).ok()?;
    let known = manifest.durable.max(manifest.clean.unwrap_or_default());
    let frames = frames(&bytes, &header);
    let watermark = frames
        .iter()
        .fold(known, |most, (head, _)| most.max(head.durable));
    (!frames.is_empty()).then_some(Ended {
        disk,
        clock,
        name,
        bytes,
        header,
        known,
        frames,
        watermark,
    })
}

fn frames(bytes: &[u8], header: &SegmentHeader) -> Vec<(FrameHead, Range<usize>)> {
    let seed = Seed {
        salt: header.salt,
        sequence: header.sequence,
    };
    let mut all = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some((head, _)) = bytes
        .get(at..)
        .and_then(|rest| read_head(rest, at as u64, seed))
    {
        let end = at + frame_bytes(head.payload_bytes as usize);
        all.push((head, at..end));
        at = usize::try_from(next_frame(end as u64, head.group_end)).expect("in memory");
    }
    all
}

impl Ended {
    /// The bytes after a damage of this kind; none if there is nothing to damage so.
    fn damaged(&self, damage: Damage, rng: &mut SimRng) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        let below =
            |head: &FrameHead| head.units > 0 && head.next_revision().0 - 1 <= self.watermark.0;
        match damage {
            Damage::MissingAbove => {
                let above = self.frames.iter().find(|(head, _)| !below(head))?;
                let last = self.frames.last()?.1.end;
                let unit = [8, 512, 4096][at_most(rng, 3)];
                let (num, den) = [(1, 20), (1, 3), (9, 10)][at_most(rng, 3)];
                let mut place = above.1.start / unit * unit;
                while place < last {
                    let piece = place.max(above.1.start)..(place + unit).min(bytes.len());
                    if rng.chance(num, den) {
                        bytes[piece].fill(0);
                    }
                    place += unit;
                }
            }
            Damage::Below => {
                let all: Vec<_> = self.frames.iter().filter(|(head, _)| below(head)).collect();
                let (_, range) = all.get(at_most(rng, all.len().max(1)))?;
                hurt(&mut bytes, range, &self.frames, rng);
            }
            Damage::FlippedAbove => {
                let all: Vec<_> = self
                    .frames
                    .iter()
                    .filter(|(head, _)| !below(head))
                    .collect();
                let (_, range) = all.get(at_most(rng, all.len().max(1)))?;
                bytes[range.start + at_most(rng, range.len())] ^= 1 << rng.below(8);
            }
        }
        (bytes != self.bytes).then_some(bytes)
    }

    /// What is wrong with the judgement, if anything.
    fn misjudged(&self, damage: Damage, bytes: &[u8]) -> Option<String> {
        let judged = judge_newest(&self.name, &self.header, bytes, self.known);
        let right = match (damage, &judged) {
            (Damage::MissingAbove, Ok(newest)) => !matches!(newest.tail, Tail::Suspect { .. }),
            (Damage::FlippedAbove, Ok(newest)) => newest.tail != Tail::Clean,
            (Damage::Below, judged) => judged.is_err(),
            (_, Err(_)) => false,
        };
        let told = judged.map(|newest| newest.tail);
        (!right).then(|| format!("{damage:?} is judged {told:?}"))
    }

    /// A start says what the judgement says.
    fn opens_like_judged(&self, bytes: &[u8], seed: u64) -> bool {
        let disk = self.disk.kill();
        Disk::replace(&disk, &self.name, bytes).expect("written");
        let judged = judge_newest(&self.name, &self.header, bytes, self.known);
        let clean = Manifest::decode(&disk.file_bytes(MANIFEST).expect("there"))
            .expect("sound")
            .clean;
        let takes = judged.is_ok_and(|newest| {
            let last = newest.walk.last_revision;
            !matches!(newest.tail, Tail::Suspect { .. }) && clean.is_none_or(|clean| clean == last)
        });
        let environment = environment(&disk, &self.clock, seed);
        Engine::open_manual(options(SyncPolicy::Always), &environment).is_ok() == takes
    }
}

fn at_most(rng: &mut SimRng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("below a usize")
}

/// Damages one frame, so that at least one of its bytes is another.
fn hurt(
    bytes: &mut [u8],
    range: &Range<usize>,
    frames: &[(FrameHead, Range<usize>)],
    rng: &mut SimRng,
) {
    let at = range.start + at_most(rng, range.len());
    match rng.below(5) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at / 8 * 8..(at / 8 * 8 + 8).min(range.end)].fill(0),
        2 => {
            let sector = at / 512 * 512;
            bytes[sector.max(range.start)..(sector + 512).min(range.end)].fill(0);
        }
        3 => bytes[range.clone()].fill(0),
        _ => {
            // A frame of this log that was written to the wrong place.
            let (_, other) = &frames[at_most(rng, frames.len())];
            let len = other.len().min(range.len());
            let copy = bytes[other.start..other.start + len].to_vec();
            bytes[range.start..range.start + len].copy_from_slice(&copy);
        }
    }
}

/// Judges so many damages; says of each that is judged wrongly why.
fn judge(cases: u64, mut seed: u64) -> (Counts, Vec<String>) {
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    while counts.torn + counts.corrupt + counts.flipped_above < cases {
        let mut rng = SimRng::new(seed);
        let ended = end(seed, &mut rng);
        for case in 0..PER_STORE {
            let Some(ended) = &ended else { break };
            let damage =
                [Damage::MissingAbove, Damage::Below, Damage::FlippedAbove][at_most(&mut rng, 3)];
            let Some(bytes) = ended.damaged(damage, &mut rng) else {
                continue;
            };
            match damage {
                Damage::MissingAbove => counts.torn += 1,
                Damage::Below => counts.corrupt += 1,
                Damage::FlippedAbove => counts.flipped_above += 1,
            }
            if let Some(what) = ended.misjudged(damage, &bytes) {
                counts.misjudged += 1;
                wrong.push(format!("seed {seed}, case {case}: {what}"));
            }
            if case % 50 == 0 {
                counts.opened += 1;
                assert!(
                    ended.opens_like_judged(&bytes, seed),
                    "seed {seed}, case {case}: a start says otherwise, {damage:?}"
                );
            }
        }
        seed += 1;
    }
    (counts, wrong)
}

#[test]
fn a_torn_tail_is_never_taken_for_damage_nor_damage_for_a_torn_tail() {
    let cases = from_env("KVD_TAIL_CASES").unwrap_or(20_000);
    let (counts, wrong) = judge(cases, from_env("KVD_TAIL_SEED").unwrap_or(1));
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        counts.torn > cases / 10 && counts.corrupt > cases / 10,
        "{counts:?}"
    );
    assert!(
        counts.flipped_above > cases / 10 && counts.opened > 0,
        "{counts:?}"
    );
}

#[test]
fn a_build_that_takes_any_bad_checksum_for_the_end_misjudges() {
    let broken = || judge(500, 1);
    let (counts, wrong) = kvcore::base::broken::with(Build::TruncateOnAnyBadCrc, broken);
    assert!(counts.misjudged > counts.corrupt / 2, "{counts:?}");
    println!("caught: {}", wrong[0]);
}
