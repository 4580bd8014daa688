//! Damage at or below the durable watermark is refused by name; it is never taken for a
//! torn tail.

use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::disk::{SimDisk, SimRng};
use kvcore::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use kvcore::log::reader::walk;
use kvcore::log::writer::Turn;
use kvcore::{Engine, OpenErrorKind, SyncPolicy};

use crate::story::{commit, environment, options};

/// Fills a store, ends it without a close, flips one bit in a frame that is known to be
/// durable, and opens it again.
pub(crate) fn flip_below(seed: u64) -> Result<(), String> {
    let mut rng = SimRng::new(seed);
    let clock = Arc::new(ManualClock::default());
    let disk = SimDisk::new(seed);
    fill(&disk, &clock, &mut rng);
    let disk = disk.crash(rng.next_u64());

    let (name, range) = durable_range(&disk, &mut rng);
    let offset = range.start + rng.below(range.end - range.start);
    let bit = 1 << rng.below(8);
    disk.corrupt(&name, offset, bit);
    let opened = Engine::open_manual(
        options(SyncPolicy::Always),
        &environment(&disk, &clock, seed),
    );
    match opened {
        Ok(_) => Err(format!(
            "{name}, byte {offset}, bit {bit}: the store opened all the same"
        )),
        Err(error) if error.kind() != OpenErrorKind::Damaged => {
            Err(format!("{name}, byte {offset}: not called damage: {error}"))
        }
        Err(error) if !error.to_string().contains(&name) => Err(format!(
            "{name}, byte {offset}: another file is blamed: {error}"
        )),
        Err(_) => Ok(()),
    }
}

fn fill(disk: &SimDisk, clock: &Arc<ManualClock>, rng: &mut SimRng) {
    let environment = environment(disk, clock, rng.next_u64());
    let (engine, mut writer) =
        Engine::open_manual(options(SyncPolicy::Always), &environment).expect("a new store");
    for i in 0..20 + rng.below(60) {
        let key = format!("key{}", rng.below(8)).into_bytes();
        let value = vec![7; usize::try_from(rng.below(400)).expect("small")];
        commit(&engine, &vec![(key, Some(value))]);
        while writer.turn() == Turn::Worked {}
        if i % 8 == 0 {
            engine.fill_spares();
        }
    }
    // The idle log certifies its last group with a MARK.
    clock.advance(10);
    while writer.turn() == Turn::Worked {}
}

/// A segment and the bytes of it that hold frames which some watermark certifies.
fn durable_range(disk: &SimDisk, rng: &mut SimRng) -> (String, std::ops::Range<u64>) {
    let mut ranges = Vec::new();
    for entry in kvcore::disk::Disk::list(disk).expect("lists") {
        if !entry.name.starts_with("seg-") {
            continue;
        }
        let bytes = disk.file_bytes(&entry.name).expect("is there");
        let header = SegmentHeader::decode(&bytes).expect("a whole header");
        let walked = walk(&bytes, &header, None);
        let certified = walked.frames.iter().filter(|frame| {
            frame.first_revision.0 + u64::from(frame.units) - 1 <= walked.durable.0
        });
        for frame in certified {
            ranges.push((
                entry.name.clone(),
                frame.payload.start as u64..frame.payload.end as u64,
            ));
        }
    }
    assert!(!ranges.is_empty(), "no frame is certified");
    assert!(
        ranges
            .iter()
            .all(|(_, range)| range.start > SEGMENT_HEADER_BYTES as u64)
    );
    let at = usize::try_from(rng.below(ranges.len() as u64)).expect("small");
    ranges.swap_remove(at)
}

#[test]
fn a_flipped_bit_at_or_below_the_watermark_is_refused_with_file_and_offset() {
    for seed in 1..400 {
        if let Err(violation) = flip_below(seed) {
            panic!("seed {seed}: {violation}");
        }
    }
}
