//! Backups taken while the store is in use, and what comes back of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvcore::{
    BackupError, Durability, Engine, Expiry, Mutation, OpenError, OpenErrorKind, Options,
    RestoreOptions, Restored, Revision, restore,
};
use tempfile::TempDir;

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.allow_volatile = true;
    options.segment_bytes = 1 << 20;
    options.limits.value_bytes = 16 << 10;
    options.limits.unit_bytes = 17 << 10;
    options.limits.unit_operations = 64;
    options.limits.in_flight_bytes = 1 << 20;
    options.shards = 64;
    options.snapshots.rate = None;
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
        let outcome = store.write(mutation, Durability::None).expect("accepted");
        if outcome.applied && outcome.revision != Revision::NONE {
            let mut done = done.lock().expect("sound");
            done.insert(outcome.revision.0, (key, value));
        }
    }
}

#[test]
fn every_moment_that_the_files_hold_comes_back_exactly() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);
    let store = open(&file("store"));
    let done = Done::default();
    let stop = AtomicBool::new(false);
    let pause = || std::thread::sleep(Duration::from_millis(150));
    let (full, last) = std::thread::scope(|scope| {
        for seed in [1, 2] {
            let (store, done, stop) = (&store, &done, &stop);
            scope.spawn(move || write_until(store, done, stop, seed));
        }
        pause();
        let full = save(&store, None, &file("full"));
        // Snapshots take the log away behind it.
        pause();
        let one = save(&store, Some(full.end), &file("one"));
        for _ in 0..3 {
            pause();
            store.snapshot().expect("a snapshot");
        }
        let gone = store.backup(Some(Revision(2)), &mut |_| Ok(()));
        assert!(
            matches!(gone, Err(BackupError::Compacted { .. })),
            "{gone:?}"
        );
        let other = save(&store, None, &file("other"));
        pause();
        let last = save(&store, Some(other.end), &file("last"));
        stop.store(true, Ordering::Relaxed);
        assert!(full.records > 0 && one.records == 0 && one.units > 0);
        ((full, one), (other, last))
    });
    for ((base, after), names) in [(full, ["one", "full"]), (last, ["last", "other"])] {
        assert!(base.exact_from < after.end, "{base:?} {after:?}");
        // In any order.
        let files = names.map(file);
        let (from, to) = (base.exact_from.0, after.end.0);
        let step = (to - from) / 7 + 1;
        for revision in (from..=to)
            .step_by(usize::try_from(step).unwrap())
            .chain([to])
        {
            let (told, there) = restored(&files, &at(revision)).expect("restored");
            assert_eq!(told.revision, Revision(revision));
            assert!(there == fold(&done, revision), "at revision {revision}");
        }
        let only = RestoreOptions {
            prefix: Some(b"key-00".to_vec()),
            ..RestoreOptions::default()
        };
        let (_, there) = restored(&files, &only).expect("restored");
        let mut wanted = fold(&done, to);
        wanted.retain(|key, _| key.starts_with(b"key-00"));
        assert!(!wanted.is_empty() && there == wanted);
        let outside = restored(&files, &at(from - 1)).expect_err("before");
        assert!(
            outside
                .to_string()
                .contains(&format!("revisions {from} to {to}")),
            "{outside}"
        );
    }
    let hole = [file("full"), file("last")];
    let missing = restored(&hole, &RestoreOptions::default()).expect_err("a hole");
    assert!(missing.to_string().contains("one is missing"), "{missing}");
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
