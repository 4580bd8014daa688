//! A full disk: what is given up, in which order, and that nothing is lost by it.

#[path = "small/on_disk.rs"]
mod small;

use std::sync::Arc;

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::{Disk as _, SimDisk};
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{Engine, EngineState, Environment, KeyRange, Mutation, OpenError, Options};

struct Rig {
    store: Engine,
    writer: LogWriter,
    number: u32,
}

fn options() -> Options {
    let mut options = small::options("/simulated");
    options.shards = 4;
    options.replay_threads = 1;
    options.snapshots.rate = None;
    options.retain.bytes = 64 << 20;
    options
}

impl Rig {
    fn open(disk: &SimDisk) -> Self {
        Self::open_at(disk, &Arc::default())
    }

    fn open_at(disk: &SimDisk, clock: &Arc<ManualClock>) -> Self {
        let environment = Environment {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        let (store, writer) = Engine::open_manual(options(), &environment).expect("opens");
        Self {
            store,
            writer,
            number: 0,
        }
    }

    fn turn(&mut self) {
        while self.writer.turn() == Turn::Worked {}
    }

    /// False if the log does not take it.
    fn write(&mut self, mutation: &Mutation<'_>) -> bool {
        let prepared = self.store.prepare(mutation, None);
        let Ok(admitted) = self.store.try_admit(prepared.expect("within the limits")) else {
            return false;
        };
        self.store.commit(admitted).expect("committed");
        self.turn();
        true
    }

    /// Writes half a segment's worth; false if the log does not take it.
    fn fill(&mut self) -> bool {
        for _ in 0..9 {
            self.number += 1;
            let key = format!("key-{}", self.number % 7);
            let value = vec![7; 14 << 10];
            let set = Mutation::set(key.as_bytes(), &value);
            if !self.write(&set) {
                return false;
            }
        }
        true
    }

    fn fill_up(&mut self) {
        for _ in 0..100 {
            while self.fill() {}
            self.store.fill_spares();
            if matches!(self.store.state(), EngineState::NoSpace { .. }) {
                return;
            }
        }
        unreachable!("the disk is not full after a hundred segments")
    }

    fn snapshot(&mut self) {
        let draft = self.store.draft_snapshot(&mut || ()).expect("drafted");
        self.store.watermark().want_sync(draft.end());
        self.turn();
        self.store.publish_snapshot(draft).expect("published");
    }

    /// So many snapshots, each after a segment and a half.
    fn snapshots(&mut self, count: u32) {
        for _ in 0..count {
            for _ in 0..3 {
                self.store.fill_spares();
                assert!(self.fill());
            }
            self.snapshot();
        }
    }

    /// Something was given up, and writes are taken again.
    fn goes_on(&mut self) {
        assert!(self.store.make_room());
        self.store.fill_spares();
        assert_eq!(self.store.state(), EngineState::Writable, "by itself");
        assert!(self.fill());
    }
}

#[test]
fn log_for_late_readers_goes_first_and_then_the_older_snapshot() {
    let disk = SimDisk::new(3);
    let mut rig = Rig::open(&disk);
    rig.snapshots(4);
    let before = rig.store.status();
    assert_eq!(before.snapshots.len(), 2);
    assert_eq!(
        before.segments,
        before.counters.rotations + 1,
        "all is kept"
    );

    disk.set_capacity(Some(disk.allocated()));
    rig.fill_up();
    rig.goes_on();
    let status = rig.store.status();
    assert_eq!(status.snapshots.len(), 2, "only log");
    assert!(status.segments < before.segments, "{status:?}");

    rig.fill_up();
    rig.goes_on();
    assert_eq!(rig.store.status().snapshots.len(), 1);

    rig.fill_up();
    assert!(!rig.store.make_room(), "a start needs the rest");
    let newest = rig.store.store_revision();
    rig.store.watermark().want_sync(newest);
    rig.turn();
    let there = rig.store.hash(&KeyRange::all()).expect("read").value;
    drop(rig);
    let disk = disk.kill();
    disk.set_capacity(None);
    let rig = Rig::open(&disk);
    let back = rig.store.hash(&KeyRange::all()).expect("read").value;
    assert_eq!(back, there);
    assert!(rig.store.status().recovery.snapshot.is_some());
}

#[test]
fn room_is_not_promised_twice_however_often_the_log_rotates() {
    let mut rig = Rig::open(&SimDisk::new(4));
    for _ in 0..800 {
        // To the last unit that the log takes, with a spare that is late each time.
        while rig.fill() {}
        let failure = rig.store.watermark().failure().cloned();
        assert_eq!(failure, None, "{:?}", rig.store.status().counters);
        rig.store.fill_spares();
    }
    assert!(rig.store.status().counters.rotations > 700);
}

/// What somebody else on the disk does: take every free block.
fn take_all(disk: &SimDisk) {
    disk.set_capacity(Some(disk.allocated()));
}

#[test]
fn the_log_rotates_and_ends_in_order_while_somebody_else_takes_every_block() {
    let disk = SimDisk::new(5);
    let mut rig = Rig::open(&disk);
    rig.store.fill_spares();
    let long = |at: u32| format!("{at:-<4000}");
    for at in 0..120 {
        let key = long(at);
        let set = Mutation::set(key.as_bytes(), b"v");
        while !rig.write(&set) {
            rig.store.fill_spares();
        }
    }
    rig.store.fill_spares();
    take_all(&disk);
    // Whatever the store gives back is gone as well.
    while rig.fill() {
        take_all(&disk);
    }
    let rotated = rig.store.status().counters.rotations;
    let mut deleted = 0;
    for at in 0..120 {
        let key = long(at);
        if !rig.write(&Mutation::delete(key.as_bytes())) {
            break;
        }
        deleted += 1;
        take_all(&disk);
        let failure = rig.store.watermark().failure().cloned();
        assert_eq!(failure, None, "after {deleted} deletes");
        rig.store.fill_spares();
    }
    let status = rig.store.status();
    assert!(matches!(rig.store.state(), EngineState::NoSpace { .. }));
    assert!(
        status.counters.rotations > rotated,
        "no delete needed a segment"
    );

    let there = rig.store.hash(&KeyRange::all()).expect("read").value;
    let Rig {
        store, mut writer, ..
    } = rig;
    store.close_manual(&mut writer);
    drop((store, writer));
    let disk = disk.kill();
    disk.set_capacity(None);
    let rig = Rig::open(&disk);
    assert!(
        rig.store.status().recovery.clean_start,
        "not ended in order"
    );
    let back = rig.store.hash(&KeyRange::all()).expect("read").value;
    assert_eq!(back, there);
}

/// Takes every block, and the segments that lie ready.
fn fill_by_others(disk: &SimDisk) {
    let spares = disk.list().expect("listed").into_iter();
    for spare in spares.filter(|file| file.name.ends_with(".kvspare")) {
        disk.remove(&spare.name).expect("removed");
    }
    disk.sync_dir().expect("synced");
    take_all(disk);
}

#[test]
fn a_store_that_filled_the_disk_starts_again_and_again_and_can_be_read() {
    let disk = SimDisk::new(5);
    let mut rig = Rig::open(&disk);
    assert!(rig.fill());
    disk.set_capacity(Some(disk.allocated() + (600 << 10)));
    rig.fill_up();
    let mut there = rig.store.hash(&KeyRange::all()).expect("read").value;
    let mut disk = disk;
    for start in 0..6 {
        let newest = rig.store.store_revision();
        rig.store.watermark().want_sync(newest);
        rig.turn();
        drop(rig);
        disk = disk.kill();
        rig = Rig::open(&disk);
        let back = rig.store.hash(&KeyRange::all()).expect("read").value;
        assert_eq!(back, there, "start {start}");
        let state = rig.store.state();
        assert!(matches!(state, EngineState::NoSpace { .. }), "{state:?}");
        assert!(!rig.fill(), "start {start}");
        if start % 2 == 0 {
            let key = format!("key-{start}");
            assert!(
                rig.write(&Mutation::delete(key.as_bytes())),
                "start {start}"
            );
            there = rig.store.hash(&KeyRange::all()).expect("read").value;
        }
    }
    disk.set_capacity(None);
    rig.store.fill_spares();
    assert_eq!(rig.store.state(), EngineState::Writable, "by itself");
    assert!(rig.fill());
}

/// A store with more log and one more snapshot than a start needs, all of it durable.
fn with_log_and_snapshots(disk: &SimDisk) -> Rig {
    let mut rig = Rig::open(disk);
    rig.snapshots(3);
    rig.store.fill_spares();
    assert!(rig.fill());
    let newest = rig.store.store_revision();
    rig.store.watermark().want_sync(newest);
    rig.turn();
    rig
}

#[test]
fn a_start_on_a_full_disk_gives_up_what_it_does_not_need() {
    let disk = SimDisk::new(6);
    let rig = with_log_and_snapshots(&disk);
    let before = rig.store.status();
    assert_eq!(before.snapshots.len(), 2);
    let there = rig.store.hash(&KeyRange::all()).expect("read").value;
    drop(rig);
    let disk = disk.kill();
    fill_by_others(&disk);
    let rig = Rig::open(&disk);
    let back = rig.store.hash(&KeyRange::all()).expect("read").value;
    assert_eq!(back, there);
    let after = rig.store.status();
    assert_eq!(after.snapshots.len(), 1);
    assert!(after.segments < before.segments, "{after:?}");
    drop(rig);
    // What is named is there.
    let disk = disk.kill();
    disk.set_capacity(None);
    let rig = Rig::open(&disk);
    let back = rig.store.hash(&KeyRange::all()).expect("read").value;
    assert_eq!(back, there);
}

fn try_open(disk: &SimDisk, seed: u64) -> Result<(Engine, LogWriter), OpenError> {
    let environment = Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::<ManualClock>::default(),
        entropy: Arc::new(SeededEntropy::new(seed)),
    };
    Engine::open_manual(options(), &environment)
}

/// A start on a full disk whose power goes after `cut` operations: whether it came to its end
/// before, and what the cut leaves on a disk that is as full.
fn cut_start(disk: &SimDisk, cut: u64, seed: u64) -> (bool, SimDisk) {
    let disk = disk.kill();
    fill_by_others(&disk);
    let capacity = disk.allocated();
    disk.cut_power_after(cut);
    let opened = try_open(&disk, seed);
    let whole = opened.is_ok() && !disk.power_is_cut();
    drop(opened);
    let left = disk.crash(seed);
    left.set_capacity(Some(capacity));
    (whole, left)
}

#[test]
fn a_start_that_gives_something_up_may_be_cut_anywhere() {
    let content = |store: &Engine| store.hash(&KeyRange::all()).expect("read").value;
    let disk = SimDisk::new(8);
    let rig = with_log_and_snapshots(&disk);
    let there = content(&rig.store);
    drop(rig);
    let (mut cut, mut refused) = (0, 0);
    loop {
        let mut whole = false;
        for seed in 1..=4 {
            let (came_to_its_end, left) = cut_start(&disk, cut, seed * 1000 + cut);
            whole = came_to_its_end;
            let case = format!("cut {cut}, seed {seed}");
            let (store, _) = try_open(&left.kill(), seed).expect(&case);
            assert_eq!(content(&store), there, "{case}");
            // Somebody else has taken what the start before gave up.
            let taken = left.kill();
            take_all(&taken);
            match try_open(&taken, seed) {
                Ok((store, _)) => assert_eq!(content(&store), there, "{case}, taken"),
                Err(OpenError::Io { what, .. }) if what.contains("prepare the log segment") => {
                    refused += 1;
                }
                Err(error) => panic!("{case}, taken: {error}"),
            }
            let back = taken.kill();
            back.set_capacity(None);
            let (store, _) = try_open(&back, seed).expect(&case);
            assert_eq!(content(&store), there, "{case}, with room again");
        }
        if whole {
            break;
        }
        cut += 1;
    }
    assert!(cut > 20, "{cut} operations make no start");
    assert!(
        refused > 0,
        "no cut fell between what was given up and its use"
    );
}

/// The pair of clocks that a jump is noted with is worth no poisoned log: a full disk has no
/// room for the MANIFEST that would hold it.
#[test]
fn a_wall_clock_that_is_set_while_the_disk_is_full_does_not_fail_the_log() {
    let disk = SimDisk::new(9);
    let clock = Arc::new(ManualClock::default());
    let mut rig = Rig::open_at(&disk, &clock);
    assert!(rig.write(&Mutation::set(b"here", b"v")));
    rig.store.fill_spares();
    take_all(&disk);
    while rig.fill() {
        take_all(&disk);
    }
    for jump in 1..40 {
        clock.advance(3000);
        clock.jump_wall(3_600_000);
        rig.turn();
        take_all(&disk);
        let status = rig.store.status();
        assert_eq!(status.counters.clock_jumps, jump, "it is noticed");
        let failure = rig.store.watermark().failure().cloned();
        assert_eq!(failure, None, "after {jump} jumps");
    }
    assert!(rig.write(&Mutation::delete(b"here")), "deletes go on");
    assert_eq!(rig.store.watermark().failure(), None);
}
