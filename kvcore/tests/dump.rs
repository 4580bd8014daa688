//! What `dump` shows of a store's files.

#[path = "small/on_disk.rs"]
mod small;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvcore::{
    Cause, DumpOptions, DumpSummary, Durability, Engine, Expiry, KeyRange, Mutation, OpCode,
    OpenErrorKind, Options, Revision, dump,
};
use tempfile::TempDir;

fn options(dir: &Path) -> Options {
    let mut options = small::options(dir);
    options.segment_bytes = 1 << 20;
    options.snapshots.log_bytes = None;
    options
}

/// One change without what is borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    revision: u64,
    code: OpCode,
    cause: Cause,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    in_snapshot: bool,
}

fn shown(dir: &Path, options: &DumpOptions) -> (Vec<Seen>, DumpSummary) {
    let mut all = Vec::new();
    let summary = dump(dir, options, &mut |change| {
        all.push(Seen {
            revision: change.revision.0,
            code: change.op.code,
            cause: change.op.cause,
            key: change.op.key.to_vec(),
            value: change.op.value.map(<[u8]>::to_vec),
            in_snapshot: change.file.starts_with("snap-"),
        });
        Ok(())
    });
    (all, summary.expect("a store"))
}

fn close(store: Engine) {
    store.close(Duration::from_secs(10)).expect("closed");
    // It holds the lock to its end.
    drop(store);
}

/// `count` values of a KiB, so that some segments are filled.
fn fill(store: &Engine, count: u32) {
    for at in 0..count {
        let key = format!("key-{at:05}");
        let value = vec![b'a' + u8::try_from(at % 26).expect("small"); 1024];
        let set = Mutation::set(key.as_bytes(), &value);
        store.write(set, Durability::None).expect("written");
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("a directory");
    let mut all: Vec<PathBuf> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "kvlog"))
        .collect();
    all.sort();
    all
}

#[test]
fn every_change_is_there_in_order_with_what_it_was() {
    let dir = TempDir::new().expect("a directory");
    let store = Engine::open(options(dir.path()), &|_| ()).expect("opens");
    let set = Mutation::set_until(b"a", b"1", Expiry::After(60_000));
    let first = store.write(set, Durability::Synced).expect("written");
    store
        .write(Mutation::delete(b"a"), Durability::Synced)
        .expect("deleted");
    fill(&store, 3000);
    close(store);
    assert!(segments(dir.path()).len() > 2, "no rotation was shown");

    let mut of_a = Vec::new();
    let only = DumpOptions {
        keys: KeyRange::key(b"a"),
        ..DumpOptions::default()
    };
    dump(dir.path(), &only, &mut |change| {
        let lives = change.expires_at_ms.saturating_sub(change.written_at_ms);
        of_a.push((change.op.code, lives.div_ceil(60_000)));
        Ok(())
    })
    .expect("shown");
    let expected = [(OpCode::Set, 1), (OpCode::Delete, 0)];
    assert_eq!(of_a, expected);

    let (all, summary) = shown(dir.path(), &DumpOptions::default());
    assert_eq!(all.len(), 3002);
    assert_eq!((summary.changes, summary.damage), (3002, None));
    let first = first.revision.0;
    let revisions: Vec<u64> = all.iter().map(|seen| seen.revision).collect();
    assert_eq!(revisions, (first..first + 3002).collect::<Vec<_>>());

    let some = DumpOptions {
        revisions: (Revision(first + 2500), Revision(first + 2509)),
        ..DumpOptions::default()
    };
    let (some, _) = shown(dir.path(), &some);
    assert_eq!(some, all[2500..2510]);
}

#[test]
fn the_snapshot_comes_first_when_it_is_asked_for() {
    let dir = TempDir::new().expect("a directory");
    let store = Engine::open(options(dir.path()), &|_| ()).expect("opens");
    fill(&store, 10);
    store.snapshot().expect("a snapshot");
    fill(&store, 5);
    close(store);
    let asked = DumpOptions {
        snapshot: true,
        keys: KeyRange::prefix(b"key-0000"),
        ..DumpOptions::default()
    };
    let (all, summary) = shown(dir.path(), &asked);
    assert_eq!(summary.records, 10);
    assert!(all[..10].iter().all(|seen| seen.in_snapshot));
    assert!(all[10..].iter().all(|seen| !seen.in_snapshot));
    let (log, summary) = shown(dir.path(), &DumpOptions::default());
    assert_eq!(summary.records, 0);
    assert_eq!(log, all[10..]);
}

#[test]
fn damage_hides_the_rest_of_its_file_and_no_more() {
    let dir = TempDir::new().expect("a directory");
    let store = Engine::open(options(dir.path()), &|_| ()).expect("opens");
    fill(&store, 3000);
    close(store);
    let (whole, _) = shown(dir.path(), &DumpOptions::default());
    let second = &segments(dir.path())[1];
    let mut bytes = fs::read(second).expect("a segment");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(second, bytes).expect("damaged");

    let (rest, summary) = shown(dir.path(), &DumpOptions::default());
    let damage = summary.damage.expect("noticed");
    let name = second.file_name().and_then(|name| name.to_str());
    assert!(damage.contains(name.expect("a name")), "{damage}");
    assert!(rest.len() < whole.len());
    assert!(rest.iter().all(|seen| whole.contains(seen)), "invented");
    assert_eq!(rest.last(), whole.last(), "the segments behind it");
}

#[test]
fn a_store_in_use_and_a_place_without_one_are_refused_or_empty() {
    let dir = TempDir::new().expect("a directory");
    let nowhere = dir.path().join("nowhere");
    let refused = dump(&nowhere, &DumpOptions::default(), &mut |_| Ok(()));
    assert_eq!(
        refused.expect_err("no directory").kind(),
        OpenErrorKind::Options
    );
    assert_eq!(shown(dir.path(), &DumpOptions::default()).0, []);
    let store = Engine::open(options(&dir.path().join("s")), &|_| ()).expect("opens");
    let refused = dump(&dir.path().join("s"), &DumpOptions::default(), &mut |_| {
        Ok(())
    });
    assert_eq!(refused.expect_err("in use").kind(), OpenErrorKind::Locked);
    close(store);
}
