//! Small stories cut at every operation of the disk, with every outcome that a cut can have;
//! and starts that are cut at every operation, and the start after it, and so on.
//!
//! `KVD_DEEP=3` cuts three starts in a row (default 2; a minute instead of a second).

use std::collections::BTreeMap;
use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::disk::{SimDisk, SimRng};
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{Engine, Revision, SyncPolicy};

use crate::story::{commit, environment, options};

/// Most outcomes of one cut that are looked at; a cut that has more is cut elsewhere too.
const OUTCOMES: usize = 4096;

type Content = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

fn content(engine: &Engine) -> Content {
    let mut all = Content::new();
    engine.for_each(|record| {
        let value = (record.value().to_vec(), record.mod_revision().0);
        all.insert(record.key().to_vec(), value);
    });
    all
}

/// What a short story has done so far.
#[derive(Default)]
struct Told {
    /// After each unit, its revision and what the store holds.
    states: Vec<(Revision, Content)>,
    durable: Revision,
}

impl Told {
    fn write(&mut self, engine: &Engine, number: u64) {
        let key = format!("key{}", number % 3).into_bytes();
        let value =
            (number % 5 != 4).then(|| vec![b'a'; 1500 + usize::try_from(number).expect("small")]);
        let Some(revision) = commit(engine, &vec![(key.clone(), value.clone())]) else {
            return;
        };
        let mut next = self
            .states
            .last()
            .map_or_else(Content::new, |(_, state)| state.clone());
        match value {
            Some(value) => drop(next.insert(key, (value, revision.0))),
            None => drop(next.remove(&key)),
        }
        self.states.push((revision, next));
    }

    /// Units from the first on, and all that anybody was told is durable.
    fn allows(&self, found: &Content) -> bool {
        let nothing = self.durable <= Revision::START && found.is_empty();
        let told =
            |(revision, state): &&(Revision, Content)| *revision >= self.durable && state == found;
        nothing || self.states.iter().any(|state| told(&state))
    }
}

fn turns(engine: &Engine, writer: &mut LogWriter, told: &mut Told) {
    while writer.turn() == Turn::Worked {}
    told.durable = engine.watermark().durable();
}

/// Writes over two segments, with a snapshot published on the way. The power may go at any
/// moment; then all that follows fails.
fn story(disk: &SimDisk, clock: &Arc<ManualClock>) -> Told {
    let mut told = Told::default();
    let environment = environment(disk, clock, 7);
    let Ok((engine, mut writer)) = Engine::open_manual(options(SyncPolicy::Always), &environment)
    else {
        return told;
    };
    for number in 0..14 {
        told.write(&engine, number);
        // Two units in one group now and then.
        if number % 3 != 1 {
            turns(&engine, &mut writer, &mut told);
        }
        engine.fill_spares();
        if number == 8
            && let Ok(draft) = engine.draft_snapshot(&mut || ())
        {
            engine.watermark().want_sync(draft.end());
            turns(&engine, &mut writer, &mut told);
            if draft.end() <= engine.watermark().durable() {
                let _published = engine.publish_snapshot(draft);
            }
        }
    }
    turns(&engine, &mut writer, &mut told);
    told
}

#[test]
fn every_outcome_of_every_cut_of_a_short_story_is_a_prefix_with_all_that_was_told() {
    let clock = Arc::new(ManualClock::default());
    let whole = SimDisk::new(3);
    let all = story(&whole, &clock);
    let operations = whole.op_count();
    assert!(all.states.len() >= 12, "{}", all.states.len());
    let (mut outcomes, mut cuts) = (0, 0);
    for cut in 0..=operations {
        let clock = Arc::new(ManualClock::default());
        let disk = SimDisk::new(3);
        disk.cut_power_after(cut);
        let told = story(&disk, &clock);
        cuts += 1;
        outcomes += disk.crash_in_every_way(OUTCOMES, |after| {
            let environment = environment(&after, &clock, 11);
            let (engine, _writer) = Engine::open_manual(options(SyncPolicy::Always), &environment)
                .expect("a power cut is no damage");
            let found = content(&engine);
            assert!(
                told.allows(&found),
                "cut {cut}: revision {} was durable, and this came back: {:?}",
                told.durable,
                found
                    .iter()
                    .map(|(key, (_, at))| (key, at))
                    .collect::<Vec<_>>()
            );
        });
    }
    println!("{cuts} cuts, {outcomes} outcomes");
    assert!(outcomes > 2 * cuts, "{outcomes} outcomes of {cuts} cuts");
}

/// Starts on `disk`, cut after each operation in turn, and on what that leaves, so many deep.
fn cut_in_recovery(
    disk: &SimDisk,
    clock: &Arc<ManualClock>,
    reference: &Content,
    depth: u64,
    rng: &mut SimRng,
) -> u64 {
    let mut starts = 0;
    let mut cut = 0;
    loop {
        let attempt = disk.kill();
        attempt.cut_power_after(cut);
        let environment = environment(&attempt, clock, cut);
        let opened = Engine::open_manual(options(SyncPolicy::Always), &environment);
        starts += 1;
        if let Ok((engine, _writer)) = &opened {
            assert_eq!(&content(engine), reference, "depth {depth}, cut {cut}");
        }
        let done = opened.is_ok() && !attempt.power_is_cut();
        drop(opened);
        if done {
            return starts;
        }
        let left = attempt.crash(rng.next_u64());
        if depth > 1 {
            starts += cut_in_recovery(&left, clock, reference, depth - 1, rng);
        } else {
            let environment = environment_of(&left, clock);
            let (engine, _writer) = Engine::open_manual(options(SyncPolicy::Always), &environment)
                .expect("it opens after all");
            starts += 1;
            assert_eq!(&content(&engine), reference, "after cut {cut}");
        }
        // Every operation above the deepest level, every third there.
        cut += if depth > 1 { 1 } else { 3 };
    }
}

fn environment_of(disk: &SimDisk, clock: &Arc<ManualClock>) -> kvcore::Environment {
    environment(disk, clock, 99)
}

#[test]
fn a_start_that_is_cut_anywhere_and_the_next_one_too_ends_with_the_same_store() {
    let depth = crate::from_env("KVD_DEEP").unwrap_or(2);
    let mut starts = 0;
    for seed in 1..=2 {
        let clock = Arc::new(ManualClock::default());
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new(seed);
        disk.cut_power_after(60 + rng.below(120));
        let _told = story(&disk, &clock);
        let disk = disk.crash(rng.next_u64());
        let whole = disk.kill();
        let (engine, writer) =
            Engine::open_manual(options(SyncPolicy::Always), &environment_of(&whole, &clock))
                .expect("a power cut is no damage");
        let reference = content(&engine);
        drop((engine, writer));
        starts += cut_in_recovery(&disk, &clock, &reference, depth, &mut rng);
    }
    println!("{starts} starts");
    assert!(starts > 500, "{starts}");
}
