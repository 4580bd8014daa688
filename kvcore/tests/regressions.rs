//! Failures that stores of this kind are known for. Each test is named for the event.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvcore::base::broken::{self, Build};
use kvcore::base::clock::SystemClock;
use kvcore::base::entropy::SystemEntropy;
use kvcore::disk::SimDisk;
use kvcore::{
    Durability, Engine, Environment, Error, ErrorKind, LogIo, Mutation, Options, Revision,
    SyncPolicy,
};

fn small(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.allow_volatile = true;
    options.segment_bytes = 1 << 20;
    options.limits.value_bytes = 64 << 10;
    options.limits.unit_bytes = 128 << 10;
    options.limits.in_flight_bytes = 8 << 20;
    options.shards = 16;
    options
}

fn open(options: Options) -> Engine {
    Engine::open(options, &|_| ()).expect("opens")
}

fn on(disk: &SimDisk) -> Environment {
    Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
    }
}

fn value(store: &Engine, key: &[u8]) -> Option<Vec<u8>> {
    store
        .get(key)
        .expect("a valid key")
        .value
        .map(|record| record.value().to_vec())
}

/// Polls until it holds; the limit only ends a test that would hang.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within a minute"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_write_is_not_acknowledged_as_synced_while_the_sync_has_not_returned() {
    let disk = SimDisk::new(1);
    let store = Engine::open_in(small(Path::new("/simulated")), &on(&disk)).unwrap();
    disk.hold_syncs();
    let prepared = store.prepare(&Mutation::set(b"k", b"v"), None).unwrap();
    let admitted = store.try_admit(prepared).expect("there is room");
    let outcome = store.commit(admitted).unwrap().done().unwrap();
    eventually("the write is logged", || {
        store.watermark().logged() >= outcome.revision
    });
    eventually("the sync is held", || disk.held_syncs() > 0);
    let early = store.wait(
        outcome.revision,
        Durability::Synced,
        Duration::from_millis(50),
    );
    assert!(matches!(early, Err(Error::TimedOut(_))), "{early:?}");
    assert!(store.get(b"k").unwrap().revealed > store.watermark().durable());
    disk.release_syncs();
    store
        .wait(
            outcome.revision,
            Durability::Synced,
            Duration::from_secs(60),
        )
        .unwrap();
}

/// Several threads write one key at once; what memory holds last must be what the log
/// holds last.
fn race(rounds: u64, writes: u8, broken: Option<Build>) -> Result<(), String> {
    let mut options = small(Path::new("/simulated"));
    options.policy = SyncPolicy::Never;
    for round in 0..rounds {
        let disk = SimDisk::new(round);
        let store = Engine::open_in(options.clone(), &on(&disk)).expect("a new store");
        let start = std::sync::Barrier::new(3);
        let hammer = |thread: u8| {
            start.wait();
            for i in 0..writes {
                let value = [thread, i];
                store
                    .write(Mutation::set(b"one key", &value), Durability::None)
                    .expect("accepted");
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let hammer = &hammer;
                scope.spawn(move || match broken {
                    Some(build) => broken::with(build, || hammer(thread)),
                    None => hammer(thread),
                });
            }
        });
        let in_memory = value(&store, b"one key");
        store.close(Duration::from_secs(60)).expect("closes");
        drop(store);
        let store = Engine::open_in(options.clone(), &on(&disk.crash(1))).expect("opens");
        let in_log = value(&store, b"one key");
        if in_memory != in_log {
            return Err(format!(
                "round {round}: memory had {in_memory:?}, the log {in_log:?}"
            ));
        }
    }
    Ok(())
}

#[test]
fn two_writers_of_one_key_are_logged_in_the_order_in_which_they_were_applied() {
    race(30, 100, None).unwrap();
}

#[test]
fn sending_after_unlock_is_caught() {
    let caught = race(1000, 1, Some(Build::SendAfterUnlock));
    println!("SendAfterUnlock: {caught:?}");
    caught.expect_err("the broken build logs in another order than it applies");
}

#[test]
fn a_large_value_before_a_thousand_small_keys_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.allow_volatile = true;
    let large = vec![0xAB; 1 << 20];
    let store = open(options.clone());
    store
        .write(Mutation::set(b"large", &large), Durability::None)
        .unwrap();
    for i in 0..1000_u32 {
        store
            .write(Mutation::set(&i.to_le_bytes(), b"small"), Durability::None)
            .unwrap();
    }
    store
        .wait(
            store.store_revision(),
            Durability::Synced,
            Duration::from_secs(60),
        )
        .unwrap();
    drop(store);
    let store = open(options);
    assert_eq!(store.status().keys, 1001);
    assert_eq!(value(&store, b"large"), Some(large));
}

#[test]
fn stale_temporary_files_stop_nothing_and_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(small(dir.path())));
    let stale = ["MANIFEST.tmp", "spare-00000000000000000003.kvspare.tmp"];
    for name in stale {
        std::fs::write(dir.path().join(name), b"half a file").unwrap();
    }
    std::fs::write(dir.path().join("README.txt"), b"not ours").unwrap();
    let store = open(small(dir.path()));
    store
        .write(Mutation::set(b"k", b"v"), Durability::Synced)
        .unwrap();
    drop(store);
    assert!(stale.iter().all(|name| !dir.path().join(name).exists()));
    assert!(
        dir.path().join("README.txt").exists(),
        "what is not the store's is left alone"
    );
}

/// Bytes that the directory's files occupy, and how many there are.
fn footprint(dir: &Path) -> (u64, usize) {
    let files: Vec<_> = std::fs::read_dir(dir).expect("lists").collect();
    let blocks = files
        .iter()
        .map(|entry| {
            entry
                .as_ref()
                .expect("entry")
                .metadata()
                .expect("metadata")
                .blocks()
        })
        .sum::<u64>();
    (blocks * 512, files.len())
}

#[test]
fn five_hundred_restarts_do_not_grow_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = small(dir.path());
    options.segment_bytes = 256 << 10;
    options.limits.unit_operations = 16;
    options.limits.value_bytes = 4096;
    options.limits.unit_bytes = 16 << 10;
    let store = open(options.clone());
    store
        .write(Mutation::set(b"k", b"v"), Durability::Synced)
        .unwrap();
    eventually("the spares are ready", || store.status().spares == 2);
    drop(store);
    let restart = |i: u32| {
        let store = open(options.clone());
        assert_eq!(value(&store, b"k").as_deref(), Some(&b"v"[..]));
        eventually("the spares are ready", || store.status().spares == 2);
        if i.is_multiple_of(2) {
            assert!(store.close(Duration::from_secs(60)).unwrap().clean);
        }
    };
    restart(0);
    restart(1);
    let before = footprint(dir.path());
    for i in 0..500 {
        restart(i);
    }
    assert_eq!(footprint(dir.path()), before, "bytes and files");
}

#[test]
fn an_idle_interval_store_syncs_its_last_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = small(dir.path());
    options.policy = SyncPolicy::Interval(Duration::from_millis(20));
    let store = open(options);
    let last = store
        .write(Mutation::set(b"k", b"v"), Durability::None)
        .unwrap()
        .revision;
    eventually("the idle store syncs", || {
        store.watermark().durable() >= last
    });
    assert_eq!(store.status().counters.groups, 1, "nobody wrote again");
}

#[test]
fn under_never_somebody_who_waits_gets_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = small(dir.path());
    options.policy = SyncPolicy::Never;
    let store = open(options);
    let last = store
        .write(Mutation::set(b"k", b"v"), Durability::Logged)
        .unwrap()
        .revision;
    assert!(store.watermark().durable() < last);
    store
        .wait(last, Durability::Synced, Duration::from_secs(60))
        .unwrap();
}

/// The thread of the log answers whoever watches it: a restart would mend nothing.
fn alive(store: &Engine) {
    let turns = store.writer_turns();
    eventually("a turn of the log's thread", || {
        store.writer_turns() > turns
    });
}

#[test]
fn a_full_log_never_leaves_an_applied_unit_unlogged() {
    let segment = 128 << 20;
    let disk = SimDisk::new(3);
    // Room for the first segment and two spares, and not one more.
    disk.set_capacity(Some(3 * segment + (1 << 20)));
    let mut options = Options::new("/simulated");
    options.policy = SyncPolicy::Never;
    options.segment_bytes = segment;
    options.limits.value_bytes = 16 << 20;
    options.limits.in_flight_bytes = 96 << 20;
    let store = Engine::open_in(options.clone(), &on(&disk)).unwrap();
    eventually("the spares are ready", || store.status().spares == 2);

    let large = vec![0x5A; 16 << 20];
    let mut accepted = Vec::new();
    let refused = loop {
        let number = accepted.len();
        let key = format!("key {number}");
        let value = if number.is_multiple_of(3) {
            &large[..]
        } else {
            b"small"
        };
        match store.write(Mutation::set(key.as_bytes(), value), Durability::Logged) {
            Ok(outcome) => accepted.push(outcome.revision),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::NoLogSpace | ErrorKind::Overloaded
        ),
        "{refused}"
    );
    assert!(
        accepted.len() > 10,
        "{} units before the log was full",
        accepted.len()
    );
    assert!(
        store.watermark().failure().is_none(),
        "the log has not failed, it is full"
    );
    assert_eq!(
        store.store_revision(),
        store.watermark().logged(),
        "applied and not logged"
    );
    alive(&store);

    // A store that is full can be emptied.
    let gone = store
        .write(Mutation::delete(b"key 0"), Durability::Logged)
        .unwrap();
    assert!(gone.applied);
    let last = store.store_revision();
    store
        .wait(last, Durability::Synced, Duration::from_secs(60))
        .unwrap();
    drop(store);

    let disk = disk.crash(7);
    disk.set_capacity(None);
    let store = Engine::open_in(options, &on(&disk)).unwrap();
    assert_eq!(store.store_revision(), last);
    assert_eq!(store.status().keys, accepted.len() as u64 - 1);
}

#[test]
fn a_failed_sync_poisons_writes_and_leaves_durable_reads() {
    let disk = SimDisk::new(4);
    // Under `always` the idle log syncs a MARK, which may meet the failure before the write does.
    let mut options = small(Path::new("/simulated"));
    options.policy = SyncPolicy::Never;
    let store = Engine::open_in(options, &on(&disk)).unwrap();
    store
        .write(Mutation::set(b"k", b"durable"), Durability::Synced)
        .unwrap();
    // Preparing segments syncs as well, and must be over before syncs are counted.
    eventually("both spares are ready", || store.status().spares >= 2);
    let syncs = disk.sync_count();
    disk.fail_next_sync_of("seg-00000000000000000001.kvlog");
    let undecided = store
        .write(Mutation::set(b"k", b"lost"), Durability::Synced)
        .unwrap_err();
    assert_eq!(undecided.kind(), ErrorKind::UnknownOutcome, "{undecided}");
    let refused = store
        .write(Mutation::set(b"x", b"y"), Durability::None)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LogFailed, "{refused}");
    let answer = store.get(b"k").unwrap();
    assert!(
        answer.revealed > store.watermark().durable(),
        "not shown at level DURABLE"
    );
    assert!(
        disk.sync_count() <= syncs + 2,
        "a file is never synced again after a failure"
    );
    alive(&store);
    assert!(
        store.close(Duration::from_secs(60)).is_err(),
        "no clean MANIFEST after a failure"
    );
    drop(store);
    let store = Engine::open_in(small(Path::new("/simulated")), &on(&disk.crash(1))).unwrap();
    assert_eq!(value(&store, b"k").as_deref(), Some(&b"durable"[..]));
    assert!(!store.status().recovery.clean_start);
}

#[test]
fn a_fault_in_the_mapping_counts_as_a_failed_sync() {
    let disk = SimDisk::new(5);
    let store = Engine::open_in(small(Path::new("/simulated")), &on(&disk)).unwrap();
    disk.fault_stores("seg-00000000000000000001.kvlog");
    let undecided = store
        .write(Mutation::set(b"k", b"v"), Durability::Synced)
        .unwrap_err();
    assert_eq!(undecided.kind(), ErrorKind::UnknownOutcome, "{undecided}");
    assert_eq!(store.watermark().durable(), Revision::START);
}

#[test]
fn both_ways_to_write_the_log_recover_each_others_files() {
    let dir = tempfile::tempdir().unwrap();
    for (i, io) in [LogIo::Mmap, LogIo::Pwrite, LogIo::Mmap]
        .into_iter()
        .enumerate()
    {
        let mut options = small(dir.path());
        options.io = io;
        let store = open(options);
        assert_eq!(store.status().keys, i as u64);
        store
            .write(
                Mutation::set(&[i.to_le_bytes()[0]], b"v"),
                Durability::Synced,
            )
            .unwrap();
    }
}

#[test]
fn a_read_error_in_recovery_is_a_fault_of_the_device_and_not_a_torn_tail() {
    let disk = SimDisk::new(6);
    let store = Engine::open_in(small(Path::new("/simulated")), &on(&disk)).unwrap();
    store
        .write(Mutation::set(b"k", b"v"), Durability::Synced)
        .unwrap();
    drop(store);
    let disk = disk.crash(2);
    disk.fail_reads_at("seg-00000000000000000001.kvlog", 8192);
    let refused = Engine::open_in(small(Path::new("/simulated")), &on(&disk)).unwrap_err();
    assert_eq!(refused.kind(), kvcore::OpenErrorKind::Io, "{refused}");
}
