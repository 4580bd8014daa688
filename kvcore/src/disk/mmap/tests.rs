use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use tempfile::{NamedTempFile, TempDir};

use super::*;
use crate::disk::{Disk, LogIo, OsDisk};

const SIZE: u64 = 64 << 10;

fn segment() -> (NamedTempFile, MmapSegment) {
    let path = NamedTempFile::new().unwrap();
    path.as_file().set_len(SIZE).unwrap();
    let segment = MmapSegment::new(path.reopen().unwrap(), SIZE).unwrap();
    (path, segment)
}

#[test]
fn a_store_into_a_truncated_file_is_a_fault_and_not_a_crash() {
    let (path, mut segment) = segment();
    let (_other_path, mut other) = self::segment();
    segment.write(0, &[1; 9000]);
    segment.sync().unwrap();
    path.as_file().set_len(4096).unwrap();
    assert!(!segment.faulted(), "nothing was stored since");
    segment.write(4000, &[2; 9000]);
    segment.write_last(SIZE - 8, [3; 8]);
    assert!(segment.faulted());
    assert!(
        segment.sync().is_err(),
        "the store is lost, whatever fdatasync says"
    );
    assert!(segment.faulted(), "a fault stays");
    assert_eq!(path.as_file().metadata().unwrap().len(), 4096);
    other.write(0, b"sound");
    other.sync().unwrap();
    assert!(!other.faulted(), "the other mapping has missed nothing");
}

#[test]
fn a_watch_that_was_given_back_starts_clean() {
    for _ in 0..2000 {
        let (path, mut segment) = segment();
        assert!(!segment.faulted());
        path.as_file().set_len(0).unwrap();
        segment.write(0, b"lost");
        assert!(segment.faulted());
    }
}

#[test]
#[should_panic(expected = "leave a file of 65536 bytes")]
fn a_write_across_the_end_panics() {
    segment().1.write(SIZE - 3, b"four");
}

#[test]
#[should_panic(expected = "leave a file of 65536 bytes")]
fn a_write_whose_end_overflows_panics() {
    segment().1.write(u64::MAX - 1, b"four");
}

#[test]
#[should_panic(expected = "not aligned")]
fn an_end_mark_must_be_aligned() {
    segment().1.write_last(12, [0; 8]);
}

#[test]
fn a_small_commit_does_not_write_a_large_piece_of_the_file() {
    let dir = TempDir::new().unwrap();
    let disk = OsDisk::open(dir.path()).unwrap();
    let mut segment = disk
        .create_segment("segment", 4 << 20, LogIo::Mmap)
        .unwrap();
    let file = File::open(dir.path().join("segment")).unwrap();
    match cachestat::cachestat(&file) {
        Ok(stat) if stat.cached > 0 && stat.dirty == 0 => {}
        other => {
            println!("skipped: no dirty pages to be counted here ({other:?})");
            return;
        }
    }
    segment.write(1 << 20, &[1; 200]);
    let dirty = cachestat::cachestat(&file).unwrap().dirty;
    if dirty == 0 {
        println!("skipped: this file system does not account for dirty pages");
        return;
    }
    assert!(dirty <= 2, "a store of 200 bytes dirtied {dirty} pages");
    segment.sync().unwrap();
    assert_eq!(cachestat::cachestat(&file).unwrap().dirty, 0);
}

/// Set in the child that is to die; names the way.
const DIE: &str = "KVCORE_TEST_SIGBUS";

/// Runs this test again in a process of its own, which must end by SIGBUS.
fn dies(test: &str, way: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIE, way)
        .output()
        .unwrap();
    assert_eq!(
        child.status.signal(),
        Some(libc::SIGBUS),
        "{way}: {}",
        String::from_utf8_lossy(&child.stdout)
    );
}

#[test]
fn a_sigbus_from_elsewhere_still_ends_the_process() {
    let Ok(way) = std::env::var(DIE) else {
        let test = "disk::mmap::tests::a_sigbus_from_elsewhere_still_ends_the_process";
        dies(test, "access");
        dies(test, "kill");
        return;
    };
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, no_core).unwrap();
    let (_path, mut watched) = segment();
    watched.write(0, b"the handler is in place");
    if way == "access" {
        let unwatched = NamedTempFile::new().unwrap();
        unwatched.as_file().set_len(4096).unwrap();
        let map = MmapRaw::map_raw(unwatched.as_file()).unwrap();
        unwatched.as_file().set_len(0).unwrap();
        // SAFETY: a byte of a live mapping; that it has no page is the point.
        unsafe { map.as_mut_ptr().write_volatile(1) };
    } else {
        kill_process(getpid(), Signal::BUS).unwrap();
    }
    println!("still alive");
}
