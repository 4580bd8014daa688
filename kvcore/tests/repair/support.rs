//! A store whose every change is known, and what may be left of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvcore::{
    CheckReport, Durability, Engine, Mutation, Options, Place, RepairReport, Revision, Verdict, Way,
};
use tempfile::TempDir;

use crate::small;

pub(crate) const SEGMENT: u64 = 256 << 10;

pub(crate) fn options(dir: &Path) -> Options {
    let mut options = small::options(dir);
    options.segment_bytes = SEGMENT;
    options.limits.value_bytes = 8 << 10;
    options.limits.unit_bytes = 9 << 10;
    options.limits.in_flight_bytes = 256 << 10;
    options.snapshots.rate = None;
    options.retain.bytes = 0;
    options.snapshots.log_bytes = None;
    options
}

pub(crate) fn open(dir: &Path) -> Engine {
    Engine::open(options(dir), &|_| ()).expect("opens")
}

/// Every change by its revision: the key, and its value or none.
pub(crate) type Done = BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>;
/// Value and revision of every key.
pub(crate) type Content = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

pub(crate) struct Known {
    pub(crate) root: TempDir,
    pub(crate) done: Done,
}

impl Known {
    /// A store with `count` changes in it, closed in order. Snapshots are made where `at`
    /// says.
    pub(crate) fn make(count: u64, snapshots: &[u64]) -> Self {
        let root = TempDir::new().expect("a directory");
        let store = open(&root.path().join("store"));
        let mut done = Done::new();
        let mut n = 7_u32;
        for number in 0..count {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = format!("key-{:04}", (n >> 8) % 900).into_bytes();
            let value = (n >> 28 != 0).then(|| format!("{n:0200}").into_bytes());
            let mutation = match &value {
                Some(value) => Mutation::set(&key, value),
                None => Mutation::delete(&key),
            };
            let durability = if number % 50 == 49 {
                Durability::Synced
            } else {
                Durability::None
            };
            let outcome = loop {
                match store.write(mutation, durability) {
                    Ok(outcome) => break outcome,
                    // The thread that prepares segments may be late on a busy machine.
                    Err(error) => {
                        assert_eq!(error.kind(), kvcore::ErrorKind::Overloaded, "{error}");
                    }
                }
            };
            if outcome.applied && outcome.revision != Revision::NONE {
                done.insert(outcome.revision.0, (key, value));
            }
            if snapshots.contains(&number) {
                store.snapshot().expect("a snapshot");
            }
        }
        store.close(Duration::from_secs(20)).expect("closes");
        Self { root, done }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A copy that may be damaged.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        if to.exists() {
            fs::remove_dir_all(&to).unwrap();
        }
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(self.path("store")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if !name.to_string_lossy().ends_with(".kvspare") {
                fs::copy(entry.path(), to.join(name)).unwrap();
            }
        }
        to
    }

    /// What the store held at a revision.
    pub(crate) fn at(&self, upto: u64) -> Content {
        let mut all = Content::new();
        for (revision, (key, value)) in self.done.range(..=upto) {
            match value {
                None => drop(all.remove(key)),
                Some(value) => {
                    all.insert(key.clone(), (value.clone(), *revision));
                }
            }
        }
        all
    }

    pub(crate) fn last(&self) -> u64 {
        *self.done.keys().next_back().expect("changes")
    }

    /// Nothing in it that was not written, and nothing missing that is not told.
    pub(crate) fn hold_against(&self, there: &Content, report: &RepairReport) {
        for (key, (value, revision)) in there {
            let written = self.done.get(revision);
            let written = written.is_some_and(|(k, v)| k == key && v.as_ref() == Some(value));
            assert!(written, "{key:?} of {revision} was never written\n{report}");
        }
        let places: Vec<&Place> = report.files.iter().flat_map(|file| &file.places).collect();
        let told = |revision: u64| {
            let revision = Revision(revision);
            places.iter().any(|place| {
                let within = place.lost.is_some_and(|lost| lost.contains(revision));
                within || place.open || place.records > 0
            })
        };
        let mut last = BTreeMap::new();
        for (revision, (key, value)) in &self.done {
            last.insert(key, (*revision, value));
        }
        for (key, (revision, value)) in last {
            let found = there.get(key).map(|(value, at)| (value, *at));
            let wanted = value.as_ref().map(|value| (value, revision));
            assert!(
                found == wanted || told(revision),
                "{key:?} of {revision} is not as it was, and that is not told\n{report}"
            );
        }
    }
}

pub(crate) fn content(store: &Engine) -> Content {
    let mut all = Content::new();
    store.for_each(|record| {
        let value = record.value().to_vec();
        all.insert(record.key().to_vec(), (value, record.mod_revision().0));
    });
    all
}

/// Repairs `dir`, opens what came of it, and holds it against what was told.
pub(crate) fn repaired(dir: &Path, way: Way) -> Result<(RepairReport, Content), kvcore::OpenError> {
    let before = bytes_of(dir);
    let planned = kvcore::repair(dir, way, None, false, &|_| ())?;
    assert!(planned.created.is_none());
    let into = dir.with_extension("repaired");
    let report = kvcore::repair(dir, way, Some(&into), true, &|_| ())?;
    assert!(bytes_of(dir) == before, "the damaged store was changed");
    let (id, next) = report.created.clone().expect("made");
    assert_eq!(
        planned.to_string(),
        report.to_string(),
        "the plan was another"
    );
    let check = kvcore::check(&into).expect("it can be read");
    assert_eq!(check.verdict(), Verdict::Clean, "{check}");
    let store = open(&into);
    let status = store.status();
    assert_eq!(status.store_id, id);
    assert_ne!(status.store_id, report.store_id, "it is another store");
    let told = status
        .repaired
        .expect("the status says that it was repaired");
    assert_eq!(told.lost, report.lost);
    assert_eq!(status.store_revision, report.revision);
    let there = content(&store);
    assert_eq!(there.len() as u64, report.records);
    let written = store.write(Mutation::set(b"next", b""), Durability::Synced);
    assert!(written.expect("accepted").revision >= next);
    store.acknowledge_repair().expect("acknowledged");
    store.acknowledge_repair().expect("twice changes nothing");
    assert!(store.status().repaired.is_none());
    store.close(Duration::from_secs(20)).expect("closes");
    drop(store);
    let again = open(&into);
    assert!(again.status().repaired.is_none(), "it stays acknowledged");
    drop(again);
    fs::remove_dir_all(&into).unwrap();
    Ok((report, there))
}

/// Every file with its bytes.
pub(crate) fn bytes_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("a file"))
    });
    entries.collect()
}

/// A check that finds damage, and a start that refuses.
pub(crate) fn damaged(dir: &Path) -> CheckReport {
    let before = bytes_of(dir);
    let report = kvcore::check(dir).expect("it can be read");
    assert_eq!(report.verdict(), Verdict::Corrupt, "{report}");
    assert!(bytes_of(dir) == before, "a check changed something");
    Engine::open(options(dir), &|_| ()).expect_err("a start refuses it");
    report
}

pub(crate) fn segment(number: u64) -> String {
    format!("seg-{number:020}.kvlog")
}

pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("there");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// Names of the snapshots, the oldest first.
pub(crate) fn snapshots_in(dir: &Path) -> Vec<String> {
    let names = bytes_of(dir).into_keys();
    names.filter(|name| name.ends_with(".kvsnap")).collect()
}
