//! Backups taken while the store is in use, and what comes back of them.

#[path = "small/on_disk.rs"]
mod small;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvcore::{
    BackupError, Durability, Engine, ErrorKind, Expiry, Mutation, OpenError, OpenErrorKind,
    Options, RestoreOptions, Restored, Revision, restore,
};
use tempfile::TempDir;

fn options(dir: &Path) -> Options {
    let mut options = small::options(dir);
    options.segment_bytes = 1 << 20;
    options.snapshots.rate = None;
    options.retain.bytes = 0;
    options.snapshots.log_bytes = None;
    options
}

fn open(dir: &Path) -> Engine {
    Engine::open(options(dir), &|_| ()).expect("opens")
}

fn save(store: &Engine, after: Option<Revision>, path: &Path) -> kvcore::BackupInfo {
    let mut bytes = Vec::new();
    let info = store.backup(after, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    let info = info.expect("a backup");
    assert_eq!(info.bytes, bytes.len() as u64);
    fs::write(path, bytes).expect("written");
    info
}

type Content = BTreeMap<Vec<u8>, (Vec<u8>, u64, u64)>;

fn content(store: &Engine) -> Content {
    let mut all = Content::new();
    store.for_each(|record| {
        let value = record.value().to_vec();
        let fields = (value, record.mod_revision().0, record.version());
        all.insert(record.key().to_vec(), fields);
    });
    all
}

fn restored(files: &[PathBuf], options: &RestoreOptions) -> Result<(Restored, Content), OpenError> {
    let dir = TempDir::new().expect("a directory");
    let into = dir.path().join("new");
    let options = RestoreOptions {
        segment_bytes: Some(256 << 10),
        ..options.clone()
    };
    let told = restore(files, &options, &into, &|_| ())?;
    let report = kvcore::check(&into).expect("it can be read");
    assert_eq!(report.verdict(), kvcore::Verdict::Clean, "{report}");
    let store = open(&into);
    assert_eq!(store.store_revision(), told.revision);
    let there = content(&store);
    assert_eq!(there.len() as u64, told.records);
    let next = store.write(Mutation::set(b"next", b""), Durability::Synced);
    assert!(next.expect("accepted").revision >= told.next_revision);
    store.close(Duration::from_secs(10)).expect("closes");
    Ok((told, there))
}

fn at(revision: u64) -> RestoreOptions {
    RestoreOptions {
        at_revision: Some(Revision(revision)),
        ..RestoreOptions::default()
    }
}

/// What was done, by revision: a value, or none.
type Done = Mutex<BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>>;

/// What the store held at a revision.
fn fold(done: &Done, upto: u64) -> Content {
    let mut all = Content::new();
    for (revision, (key, value)) in done.lock().expect("sound").range(..=upto) {
        match value {
            None => drop(all.remove(key)),
            Some(value) => {
                let version = all.get(key).map_or(1, |(_, _, version)| version + 1);
                all.insert(key.clone(), (value.clone(), *revision, version));
            }
        }
    }
    all
}

fn write_until(store: &Engine, done: &Done, stop: &AtomicBool, seed: u32) {
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = format!("key-{:04}", (n >> 8) % 6000).into_bytes();
        let value = (n >> 28 != 0).then(|| format!("{n:0100}").into_bytes());
        let mutation = match &value {
            Some(value) => Mutation::set(&key, value),
            None => Mutation::delete(&key),
        };
        let outcome = match store.write(mutation, Durability::None) {
            Ok(outcome) => outcome,
            // The thread that prepares segments may be late on a busy machine.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
                continue;
            }
        };
        if outcome.applied && outcome.revision != Revision::NONE {
            let mut done = done.lock().expect("sound");
            done.insert(outcome.revision.0, (key, value));
        }
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// A full backup and the increment after it.
struct Pair {
    full: kvcore::BackupInfo,
    increment: kvcore::BackupInfo,
    files: [PathBuf; 2],
}

/// Takes pairs while two writers write, and snapshots that take the log away behind them.
fn take_pairs(store: &Engine, dir: &Path, done: &Done, count: u64) -> Vec<Pair> {
    let stop = AtomicBool::new(false);
    let pause = || std::thread::sleep(Duration::from_millis(100));
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            let stop = &stop;
            scope.spawn(move || write_until(store, done, stop, seed));
        }
        let mut pairs = Vec::new();
        for number in 0..count {
            pause();
            let [full, increment] =
                ["full", "increment"].map(|kind| dir.join(format!("{kind}-{number}")));
            let taken = save(store, None, &full);
            pause();
            let after = save(store, Some(taken.end), &increment);
            assert!(taken.records > 0 && after.records == 0 && after.units > 0);
            pairs.push(Pair {
                full: taken,
                increment: after,
                // In any order.
                files: [increment, full],
            });
            store.snapshot().expect("a snapshot");
        }
        stop.store(true, Ordering::Relaxed);
        pairs
    })
}

/// `KVD_BACKUPS` and `KVD_MOMENTS` say how many there are; 2 and 16 unless set.
#[test]
fn every_moment_that_the_files_hold_comes_back_exactly() {
    let (backups, moments) = (from_env("KVD_BACKUPS", 2), from_env("KVD_MOMENTS", 16));
    let dir = TempDir::new().unwrap();
    let store = open(&dir.path().join("store"));
    let done = Done::default();
    let pairs = take_pairs(&store, dir.path(), &done, backups);
    let mut tried = 0;
    for pair in &pairs {
        let full = &pair.files[1..];
        let (told, there) = restored(full, &RestoreOptions::default()).expect("restored");
        assert_eq!(told.revision, pair.full.end);
        assert!(there == fold(&done, told.revision.0), "the backup alone");
        let (from, to) = (pair.full.exact_from.0, pair.increment.end.0);
        assert!(from < to, "{from} {to}");
        let each = moments.div_ceil(backups);
        for n in 0..each {
            let revision = from + (to - from) * n / (each - 1).max(1);
            let (told, there) = restored(&pair.files, &at(revision)).expect("restored");
            assert_eq!(told.revision, Revision(revision));
            assert!(there == fold(&done, revision), "at revision {revision}");
            tried += 1;
        }
    }
    println!(
        "{} writes by two writers, {backups} backups restored, {tried} moments brought back, \
         all as they were",
        done.lock().expect("sound").len()
    );
    let (first, last) = (&pairs[0], &pairs[pairs.len() - 1]);
    let only = RestoreOptions {
        prefix: Some(b"key-00".to_vec()),
        ..RestoreOptions::default()
    };
    let (_, there) = restored(&last.files, &only).expect("restored");
    let mut wanted = fold(&done, last.increment.end.0);
    wanted.retain(|key, _| key.starts_with(b"key-00"));
    assert!(!wanted.is_empty() && there == wanted);
    let from = first.full.exact_from.0;
    let outside = restored(&first.files, &at(from - 1)).expect_err("before");
    let to = first.increment.end.0;
    let told = format!("revisions {from} to {to}");
    assert!(outside.to_string().contains(&told), "{outside}");
    let hole = [first.files[1].clone(), last.files[0].clone()];
    let missing = restored(&hole, &RestoreOptions::default()).expect_err("a hole");
    assert!(missing.to_string().contains("one is missing"), "{missing}");
    for _ in 0..2 {
        store.snapshot().expect("a snapshot");
    }
    let gone = store.backup(Some(Revision(2)), &mut |_| Ok(()));
    assert!(
        matches!(gone, Err(BackupError::Compacted { .. })),
        "{gone:?}"
    );
    store.close(Duration::from_secs(10)).unwrap();
}

fn small(dir: &Path) -> (Engine, PathBuf) {
    let store = open(&dir.join("store"));
    for key in 0..20 {
        let key = format!("key-{key}");
        let hour = Expiry::After(3_600_000);
        let set = Mutation::set_until(key.as_bytes(), b"value", hour);
        store.write(set, Durability::Synced).expect("accepted");
    }
    let path = dir.join("full");
    save(&store, None, &path);
    (store, path)
}

#[test]
fn a_file_that_is_cut_or_changed_is_refused_and_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let (_store, path) = small(dir.path());
    let whole = fs::read(&path).unwrap();
    let bad = dir.path().join("bad");
    let into = dir.path().join("new");
    let refused = |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        let files = std::slice::from_ref(&bad);
        let error = restore(files, &RestoreOptions::default(), &into, &|_| ());
        let error = error.expect_err("it is not whole");
        assert_eq!(error.kind(), OpenErrorKind::Damaged, "{error}");
        assert!(
            error.to_string().contains("nothing was restored"),
            "{error}"
        );
        assert!(!into.exists());
    };
    for len in 0..whole.len() {
        refused(&whole[..len]);
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed);
    }
    let mut longer = whole.clone();
    longer.push(0);
    refused(&longer);
    restore(&[path], &RestoreOptions::default(), &into, &|_| ()).expect("whole");
}

#[test]
fn a_full_directory_and_files_that_do_not_belong_together_are_refused() {
    let dir = TempDir::new().unwrap();
    let (store, path) = small(dir.path());
    let options = RestoreOptions::default();
    let refused = |files: &[PathBuf], options: &RestoreOptions, into: &Path, part: &str| {
        let error = restore(files, options, into, &|_| ()).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    };
    let new = dir.path().join("new");
    refused(
        std::slice::from_ref(&path),
        &options,
        dir.path(),
        "is not empty",
    );
    refused(
        &[path.clone(), path.clone()],
        &options,
        &new,
        "both full backups",
    );
    let increment = dir.path().join("increment");
    save(&store, Some(store.store_revision()), &increment);
    refused(
        std::slice::from_ref(&increment),
        &options,
        &new,
        "none of the files is a full backup",
    );
    refused(&[dir.path().join("absent")], &options, &new, "cannot open");
    refused(
        &[dir.path().join("store")],
        &options,
        &new,
        "not a regular file",
    );
    let other = TempDir::new().unwrap();
    let (_other_store, foreign) = small(other.path());
    refused(&[foreign, increment], &options, &new, "of another store");
    let both = RestoreOptions {
        at_revision: Some(Revision(3)),
        at_time_ms: Some(1),
        ..RestoreOptions::default()
    };
    refused(
        std::slice::from_ref(&path),
        &both,
        &new,
        "exclude one another",
    );
    let early = RestoreOptions {
        at_time_ms: Some(1),
        ..RestoreOptions::default()
    };
    refused(&[path], &early, &new, "lies before them");
    assert!(!new.exists());
    let future = store.backup(Some(Revision(1 << 40)), &mut |_| Ok(()));
    assert!(
        matches!(future, Err(BackupError::Revision(_))),
        "{future:?}"
    );
}

#[test]
fn a_moment_of_the_wall_clock_comes_back() {
    let dir = TempDir::new().unwrap();
    let (store, full) = small(dir.path());
    let base = store.store_revision();
    let mut moments = Vec::new();
    for n in 0..3 {
        let value = format!("{n}");
        let set = Mutation::set(b"when", value.as_bytes());
        store.write(set, Durability::Synced).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        moments.push(u64::try_from(since.as_millis()).unwrap());
        std::thread::sleep(Duration::from_millis(30));
    }
    let increment = dir.path().join("increment");
    save(&store, Some(base), &increment);
    let files = [full, increment];
    for (n, moment) in moments.into_iter().enumerate() {
        let options = RestoreOptions {
            at_time_ms: Some(moment),
            ..RestoreOptions::default()
        };
        let (_, there) = restored(&files, &options).expect("restored");
        assert_eq!(there[&b"when"[..]].0, n.to_string().into_bytes());
    }
}

#[test]
fn whoever_takes_the_bytes_can_end_it() {
    let dir = TempDir::new().unwrap();
    let (store, _) = small(dir.path());
    let full = store.backup(None, &mut |_| Err(std::io::Error::other("no more")));
    assert!(full.expect_err("ended").to_string().contains("no more"));
}
