//! Snapshots as a program sees them: what comes back, what is removed, what is refused.

#[path = "small/on_disk.rs"]
mod small;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::{Disk as _, SimDisk};
use kvcore::engine::open::LogWriter;
use kvcore::log::writer::Turn;
use kvcore::{
    DamagedSnapshot, Digest, Durability, Engine, Environment, ErrorKind, Expiry, KeyRange,
    Mutation, OpenError, OpenErrorKind, Options, RequestId, Verdict,
};

fn options(dir: &std::path::Path) -> Options {
    let mut options = small::options(dir);
    options.snapshots.rate = None;
    options.retain.bytes = 0;
    options
}

fn open(options: Options) -> Engine {
    Engine::open(options, &|_| ()).expect("opens")
}

fn digest(store: &Engine) -> Digest {
    store.hash(&KeyRange::all()).expect("it can be read").value
}

fn set(store: &Engine, key: u32, value: &str) {
    let key = format!("key-{key:05}");
    let set = Mutation::set(key.as_bytes(), value.as_bytes());
    // The thread that prepares segments may be late on a busy machine.
    while let Err(error) = store.write(set, Durability::None) {
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    }
}

fn sync(store: &Engine) {
    let revision = store.store_revision();
    let synced = store
        .watermark()
        .wait(revision, true, Duration::from_secs(30));
    synced.expect("durable");
}

#[test]
fn what_a_snapshot_holds_comes_back_without_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(dir.path()));
    let id = RequestId {
        id: b"request-1",
        fingerprint: 77,
        item: 3,
    };
    let add = Mutation::increment(b"counter", 5);
    store.write_once(add, id, Durability::Synced).unwrap();
    let hour = Expiry::After(3_600_000);
    let mortal = Mutation::set_until(b"mortal", b"for an hour", hour);
    store.write(mortal, Durability::Synced).unwrap();
    let before = store.get(b"mortal").unwrap().value.unwrap();
    for round in 0..3 {
        for key in 0..4000 {
            set(&store, key, &format!("{round:060}"));
        }
        let info = store.snapshot().unwrap();
        assert_eq!(info.records, 4002);
        assert!(info.start <= info.end && info.end <= store.watermark().durable());
    }
    let status = store.status();
    assert_eq!(status.snapshots.len(), 2, "two are kept");
    assert_eq!(status.counters.snapshots, 3);
    assert!(
        status.segments < status.counters.rotations + 1,
        "what nobody needs is gone: {status:?}"
    );
    let files = || {
        let names = std::fs::read_dir(dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<String>>()
    };
    let count = |suffix| files().iter().filter(|name| name.ends_with(suffix)).count();
    assert_eq!(count(".kvlog") as u64, status.segments, "{:?}", files());
    assert_eq!((count(".kvsnap"), count(".tmp")), (2, 0));
    set(&store, 9, "after the last snapshot");
    let there = digest(&store);
    store.close(Duration::from_secs(10)).unwrap();
    drop(store);

    let report = kvcore::check(dir.path()).unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    assert!(report.to_string().contains("4002 records"), "{report}");
    let store = open(options(dir.path()));
    assert_eq!(digest(&store), there);
    let recovery = store.status().recovery;
    assert_eq!(recovery.snapshot_records, 4002);
    assert!(recovery.snapshot.is_some());
    let after = store.get(b"mortal").unwrap().value.unwrap();
    assert_eq!(after, before, "metadata and all");
    let again = store.write_once(add, id, Durability::Synced).unwrap();
    assert!(again.replayed, "the request is remembered");
    assert_eq!(again.value, Some(5));
    store.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn writers_go_on_while_snapshots_are_made_and_nothing_is_lost_or_invented() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4_u32 {
        let store = open(options(dir.path()));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..3_u32 {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || {
                    let mut n = round * 1000;
                    while !stop.load(Ordering::Relaxed) {
                        n = n.wrapping_add(1);
                        let key = n.wrapping_mul(2_654_435_761) % 3000;
                        match n % 7 {
                            0 => {
                                let name = format!("key-{key:05}");
                                let delete = Mutation::delete(name.as_bytes());
                                drop(store.write(delete, Durability::None));
                            }
                            1 => {
                                let name = format!("key-{key:05}");
                                let expire = Expiry::After(3_600_000 + u64::from(n));
                                let expire = Mutation::expire(name.as_bytes(), expire);
                                drop(store.write(expire, Durability::None));
                            }
                            _ => set(store, key, &format!("{writer} {n}")),
                        }
                    }
                });
            }
            for _ in 0..3 {
                store.snapshot().expect("a snapshot");
            }
            stop.store(true, Ordering::Relaxed);
        });
        sync(&store);
        let mut there = Vec::new();
        store.for_each(|record| there.push(record.clone()));
        drop(store);
        let store = open(options(dir.path()));
        assert!(store.status().recovery.snapshot.is_some());
        let mut back = Vec::new();
        store.for_each(|record| back.push(record.clone()));
        assert_eq!(back.len(), there.len());
        assert!(back == there, "every record with its metadata");
        store.close(Duration::from_secs(10)).unwrap();
    }
}

#[test]
fn a_snapshot_is_made_when_the_log_has_grown() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.snapshots.log_bytes = Some(1 << 20);
    let store = open(options);
    let begun = Instant::now();
    let mut n = 0;
    while store.status().counters.snapshots < 3 {
        for _ in 0..500 {
            n += 1;
            set(&store, n % 50, &format!("{n:01000}"));
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "none was made");
    }
    let manifest_segments = store.status().segments;
    let all = store.status().counters.rotations + 1;
    assert!(manifest_segments < all, "{manifest_segments} of {all}");
    store.close(Duration::from_secs(10)).unwrap();
}

/// A store on a simulated disk with two snapshots and a little log behind them.
struct Small {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    options: Options,
    there: Digest,
    names: Vec<String>,
}

impl Small {
    fn new() -> Self {
        let mut options = options(std::path::Path::new("/simulated"));
        options.replay_threads = 1;
        options.shards = 4;
        let mut small = Self {
            disk: SimDisk::new(1),
            clock: Arc::default(),
            options,
            there: Digest {
                hash: [0; 16],
                keys: 0,
            },
            names: Vec::new(),
        };
        let (store, mut writer) = small.open(&small.disk).expect("opens");
        store.fill_spares();
        for key in 0..12 {
            set_manual(&store, key);
            if key % 4 == 2 {
                let draft = store.draft_snapshot(&mut || ()).expect("drafted");
                store.watermark().want_sync(draft.end());
                turn(&mut writer);
                store.publish_snapshot(draft).expect("published");
            }
        }
        store.watermark().want_sync(store.store_revision());
        turn(&mut writer);
        small.there = digest(&store);
        let snapshots = store.status().snapshots;
        small.names = snapshots.into_iter().map(|s| s.name).collect();
        drop((store, writer));
        small.disk = small.disk.kill();
        small
    }

    fn open(&self, disk: &SimDisk) -> Result<(Engine, LogWriter), OpenError> {
        let environment = Environment {
            disk: Arc::new(disk.clone()),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
        };
        Engine::open_manual(self.options.clone(), &environment)
    }

    /// The newest snapshot's file.
    fn newest(&self) -> &str {
        self.names.last().expect("there are two")
    }
}

fn set_manual(store: &Engine, key: u32) {
    let name = format!("key-{key}");
    let prepared = store
        .prepare(&Mutation::set(name.as_bytes(), b"a value"), None)
        .expect("within the limits");
    let Ok(admitted) = store.try_admit(prepared) else {
        unreachable!("there is room")
    };
    store
        .commit(admitted)
        .expect("committed")
        .done()
        .expect("applied");
}

fn turn(writer: &mut LogWriter) {
    while writer.turn() == Turn::Worked {}
}

#[test]
fn damage_anywhere_in_a_snapshot_is_refused_by_name_or_the_older_one_is_used() {
    let mut small = Small::new();
    let name = small.newest().to_owned();
    let len = small.disk.file_bytes(&name).unwrap().len() as u64;
    for offset in 0..len {
        small.options.snapshots.damaged = DamagedSnapshot::Refuse;
        let disk = small.disk.kill();
        disk.corrupt(&name, offset, 1 << (offset % 8));
        let refused = small.open(&disk).expect_err("damage at this byte");
        assert_eq!(refused.kind(), OpenErrorKind::Damaged, "byte {offset}");
        assert!(refused.to_string().contains(&name), "{refused}");
        small.disk = disk.kill();

        small.options.snapshots.damaged = DamagedSnapshot::UseOlder;
        let (store, writer) = small
            .open(&small.disk.clone())
            .expect("the older one is whole");
        assert_eq!(digest(&store), small.there, "byte {offset}");
        let used = store.status().recovery.snapshot;
        assert_eq!(used.as_deref(), Some(&small.names[0][..]));
        drop((store, writer));
        small = Small::new();
    }
}

#[test]
fn a_snapshot_that_is_cut_missing_or_of_another_moment_is_refused() {
    let small = Small::new();
    let [older, newest] = &small.names[..] else {
        unreachable!("two are kept")
    };
    let refused = |change: &dyn Fn(&SimDisk)| {
        let disk = Small::new().disk;
        change(&disk);
        let error = small.open(&disk).expect_err("refused");
        assert_eq!(error.kind(), OpenErrorKind::Damaged);
        error.to_string()
    };
    let missing = refused(&|disk| disk.remove(newest).unwrap());
    assert!(missing.contains("the file is missing"), "{missing}");
    let whole = small.disk.file_bytes(newest).unwrap();
    for len in [0, 1, 127, 128, whole.len() - 1] {
        let cut = refused(&|disk| disk.replace(newest, &whole[..len]).unwrap());
        assert!(cut.contains("MANIFEST says"), "{cut}");
    }
    let other = small.disk.file_bytes(older).unwrap();
    let swapped = refused(&|disk| disk.replace(newest, &other).unwrap());
    assert!(swapped.contains(newest.as_str()), "{swapped}");
}

#[test]
fn what_no_manifest_names_is_removed_by_the_next_start() {
    let small = Small::new();
    let left = [
        "snap-00000000000000000003-00000000000000000003.kvsnap",
        "snap-00000000000000000003-00000000000000000003.kvsnap.tmp",
    ];
    for name in left {
        small.disk.replace(name, b"unfinished").unwrap();
    }
    let (store, _writer) = small.open(&small.disk).expect("opens");
    assert_eq!(digest(&store), small.there);
    for name in left {
        assert!(small.disk.file_bytes(name).is_none(), "{name}");
    }
    for name in &small.names {
        assert!(small.disk.file_bytes(name).is_some(), "{name}");
    }
}

#[test]
fn a_disk_that_fails_while_a_snapshot_is_written_costs_nothing_but_the_snapshot() {
    let small = Small::new();
    let (store, mut writer) = small.open(&small.disk).expect("opens");
    store.fill_spares();
    set_manual(&store, 99);
    turn(&mut writer);
    let names = || store.status().snapshots.len();
    small.disk.set_capacity(Some(small.disk.allocated()));
    let full = store.draft_snapshot(&mut || ()).expect_err("no space");
    assert!(full.to_string().contains("could not be written"), "{full}");
    small.disk.set_capacity(None);
    small.disk.fail_sync_at(0);
    store
        .draft_snapshot(&mut || ())
        .expect_err("the sync fails");
    assert_eq!(names(), 2);
    let names_now = small.disk.list().unwrap();
    assert!(names_now.iter().all(|file| !file.name.contains(".tmp")));
    let draft = store.draft_snapshot(&mut || ()).expect("it works again");
    store.publish_snapshot(draft).expect("it is published");
    set_manual(&store, 100);
    turn(&mut writer);
    assert!(
        store.watermark().failure().is_none(),
        "the log has not failed"
    );
}

#[test]
fn after_the_log_has_failed_a_backup_holds_what_memory_holds() {
    let small = Small::new();
    let (store, mut writer) = small.open(&small.disk).expect("opens");
    store.fill_spares();
    set_manual(&store, 99);
    small.disk.fail_sync_at(0);
    turn(&mut writer);
    assert!(store.watermark().failure().is_some());
    store.draft_snapshot(&mut || ()).expect_err("no snapshot");
    let mut bytes = Vec::new();
    let told = store.backup(None, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    let told = told.expect("a backup");
    assert!(told.beyond_log && told.records == 13, "{told:?}");
    let increment = store.backup(Some(told.end), &mut |_| Ok(()));
    increment.expect_err("no log, no increment");

    let dir = tempfile::tempdir().unwrap();
    let (file, into) = (dir.path().join("full"), dir.path().join("new"));
    std::fs::write(&file, bytes).unwrap();
    let restored = kvcore::restore(&[file], &kvcore::RestoreOptions::default(), &into, &|_| ());
    let restored = restored.expect("restored");
    assert_eq!(restored.records, 13);
    assert_ne!(
        restored.store_id,
        store.status().store_id,
        "a store of its own"
    );
}

fn closed_with(at_close: Duration) -> (tempfile::TempDir, Options) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    options.snapshots.at_close = at_close;
    let store = open(options.clone());
    for key in 0..2000 {
        set(&store, key, "v");
    }
    let closed = store.close(Duration::from_secs(30)).expect("closed");
    assert!(closed.clean);
    (dir, options)
}

#[test]
fn a_snapshot_at_the_close_leaves_the_next_start_no_log_to_replay() {
    let (_dir, options) = closed_with(Duration::from_secs(60));
    let store = open(options.clone());
    let status = store.status();
    assert_eq!(status.recovery.snapshot_records, 2000);
    assert_eq!(status.recovery.units, 0, "{:?}", status.recovery);
    assert_eq!(status.snapshots.len(), 1);
    // Nothing has changed: the one that is there is as good.
    assert!(store.close(Duration::from_secs(30)).unwrap().clean);
    drop(store);
    let store = open(options);
    assert_eq!(store.status().snapshots, status.snapshots);
    store.close(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_snapshot_that_a_close_has_no_time_for_is_given_up() {
    let (dir, options) = closed_with(Duration::from_nanos(1));
    let left = std::fs::read_dir(dir.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let is_log = |name: &std::ffi::OsString| !name.to_string_lossy().starts_with("snap");
    assert!(left.iter().all(is_log), "{left:?}");
    let store = open(options);
    let recovery = store.status().recovery;
    assert_eq!((recovery.snapshot, recovery.units), (None, 2000));
    store.close(Duration::from_secs(30)).unwrap();
}
