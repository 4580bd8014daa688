//! Damaged stores, one row each: the check and the start refuse them by the name of the
//! file, and change nothing.

use std::fs;
use std::path::Path;

use super::support::process::{expect, fill, refused, writes};
use super::support::{Process, command, run};
use tempfile::TempDir;

/// Copies the files of a store.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segment(number: u64) -> String {
    format!("seg-{number:020}.kvlog")
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn replace(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

type Damage = fn(dir: &Path, other: &Path);

/// What is done to a store of three segments, and what must be said of it.
const DAMAGES: [(&str, Damage, &str); 10] = [
    (
        "middle segment missing",
        |dir, _| fs::remove_file(dir.join(segment(2))).unwrap(),
        "2.kvlog",
    ),
    (
        "newest segment missing",
        |dir, _| fs::remove_file(dir.join(segment(3))).unwrap(),
        "3.kvlog",
    ),
    (
        "first segment missing",
        |dir, _| fs::remove_file(dir.join(segment(1))).unwrap(),
        "1.kvlog",
    ),
    (
        "segment renamed",
        |dir, _| fs::rename(dir.join(segment(2)), dir.join(segment(9))).unwrap(),
        "2.kvlog",
    ),
    (
        "segment duplicated",
        |dir, _| replace(&dir.join(segment(1)), &dir.join(segment(4))),
        "4.kvlog",
    ),
    (
        "segment of another store",
        |dir, other| replace(&other.join(segment(2)), &dir.join(segment(2))),
        "2.kvlog",
    ),
    (
        "MANIFEST of another store",
        |dir, other| replace(&other.join("MANIFEST"), &dir.join("MANIFEST")),
        "1.kvlog",
    ),
    (
        "MANIFEST missing",
        |dir, _| fs::remove_file(dir.join("MANIFEST")).unwrap(),
        "MANIFEST",
    ),
    (
        "MANIFEST damaged",
        |dir, _| flip(&dir.join("MANIFEST"), 40),
        "MANIFEST",
    ),
    (
        "a flipped bit",
        |dir, _| flip(&dir.join(segment(2)), 300_000),
        "2.kvlog",
    ),
];

#[tokio::test]
async fn damaged_files_are_refused_by_name() {
    let root = TempDir::new().unwrap();
    let (good, other) = (root.path().join("good"), root.path().join("other"));
    for (dir, count) in [(&good, 150), (&other, 150)] {
        let process = Process::serve(dir);
        fill(&process, 0, count).await;
        assert_eq!(process.stop().code, Some(0));
    }
    let check = |dir: &Path| run(&mut command(&["check", &dir.display().to_string()]));
    assert_eq!(check(&good).code, Some(0));
    for (at, (name, damage, text)) in DAMAGES.into_iter().enumerate() {
        let dir = root.path().join(format!("damaged-{at}"));
        copy(&good, &dir);
        damage(&dir, &other);
        let before = listing(&dir);
        let checked = check(&dir);
        assert_eq!(checked.code, Some(65), "{name}: {checked:?}");
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(told.contains(text), "{name}: {text:?} is not in {told}");
        expect(name, &refused(&dir, &[]), 65, &[text]);
        assert_eq!(
            listing(&dir),
            before,
            "{name}: a refused start changed the directory"
        );
    }
    writes(&good).await;
    expect(
        "nothing there",
        &check(&root.path().join("nothing")),
        74,
        &["not a directory"],
    );
}

/// Names and sizes, without the lock.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.metadata().unwrap().len(),
            )
        })
        .filter(|(name, _)| name != "LOCK")
        .collect();
    files.sort();
    files
}
