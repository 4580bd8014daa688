//! What lies behind a hole in the log must not be laid on what lies before it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kvcore::{Durability, Expiry, Mutation, Revision, Way};
use tempfile::TempDir;

use super::support::{bytes_of, change, damaged, open, options, repaired, segment, snapshots_in};

/// Overwrites the one place in the log where these bytes are: more than a bit, so that it
/// cannot be mended.
fn damage(dir: &Path, bytes: &[u8]) {
    let files = bytes_of(dir).into_iter();
    let mut found = files
        .filter(|(name, _)| name.starts_with("seg-"))
        .filter_map(|(name, all)| {
            let at = all
                .windows(bytes.len())
                .position(|window| window == bytes)?;
            Some((name, at))
        });
    let (name, at) = found.next().expect("it is in the log");
    change(&dir.join(name), |all| all[at..at + bytes.len()].fill(b'?'));
}

fn set(store: &kvcore::Engine, key: &str, value: &[u8], durability: Durability) -> Revision {
    loop {
        match store.write(Mutation::set(key.as_bytes(), value), durability) {
            Ok(outcome) => return outcome.revision,
            // The thread that prepares segments may be late on a busy machine.
            Err(error) => assert_eq!(error.kind(), kvcore::ErrorKind::Overloaded, "{error}"),
        }
    }
}

#[test]
fn a_deadline_is_not_given_to_the_value_before_the_one_that_is_lost() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let before = set(&store, "key", b"the value before", Durability::Synced);
    set(&store, "key", b"the value that is lost", Durability::Synced);
    let expire = Mutation::expire(b"key", Expiry::After(3_600_000));
    let deadline = store.write(expire, Durability::Synced).unwrap().revision;
    set(&store, "other", b"whole", Durability::Synced);
    store.close(Duration::from_secs(20)).unwrap();
    drop(store);
    damage(&dir, b"the value that is lost");
    damaged(&dir);
    let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
    let value = (b"the value before".to_vec(), before.0);
    assert_eq!(there.get(&b"key"[..]), Some(&value), "{told}");
    assert_eq!(there.len(), 2, "{told}");
    let lost = told.keys.iter().filter(|lost| lost.key == b"key");
    assert!(lost.clone().any(|lost| lost.revision == deadline), "{told}");
}

#[test]
fn a_key_of_a_damaged_snapshot_does_not_go_back_to_what_the_log_still_has() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("store");
    let mut keep = options(&dir);
    keep.retain.bytes = 64 << 20;
    let store = kvcore::Engine::open(keep, &|_| ()).expect("opens");
    let fill = |round: u8| {
        for n in 0..400 {
            set(
                &store,
                &format!("fill-{n:03}"),
                &[round; 2000],
                Durability::None,
            );
        }
    };
    fill(1);
    set(&store, "key", b"the value before", Durability::Synced);
    let newest = set(
        &store,
        "key",
        b"the value that is lost in the log",
        Durability::Synced,
    );
    fill(2);
    store.snapshot().expect("a snapshot");
    store.close(Duration::from_secs(20)).unwrap();
    drop(store);
    fs::remove_file(dir.join(segment(1))).unwrap();
    damage(&dir, b"the value that is lost in the log");
    // The first block has the keys that come first in order.
    let snapshot = dir.join(&snapshots_in(&dir)[0]);
    change(&snapshot, |bytes| bytes[5000..5016].fill(b'?'));
    damaged(&dir);
    let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
    let value = (b"the value that is lost in the log".to_vec(), newest.0);
    assert_eq!(there.get(&b"key"[..]), Some(&value), "{told}");
}
