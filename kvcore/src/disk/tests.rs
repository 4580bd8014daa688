use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

const SIZE: u64 = 256 << 10;

fn disk() -> (TempDir, OsDisk) {
    let dir = TempDir::new().unwrap();
    let disk = OsDisk::open(dir.path().join("data")).unwrap();
    (dir, disk)
}

fn names(disk: &OsDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().map(|e| e.name).collect()
}

fn path(disk: &OsDisk, name: &str) -> std::path::PathBuf {
    Path::new(&disk.describe()).join(name)
}

#[test]
fn a_missing_directory_is_created_for_the_owner_alone() {
    let dir = TempDir::new().unwrap();
    let deep = dir.path().join("a/b/c");
    OsDisk::open(&deep).unwrap();
    OsDisk::open(&deep).unwrap();
    for made in [&deep, deep.parent().unwrap()] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for (wrong, kind) in [
        (file.clone(), ErrorKind::NotADirectory),
        (file.join("below"), ErrorKind::NotADirectory),
    ] {
        let error = OsDisk::open(&wrong).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(wrong.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn both_kinds_of_segment_write_the_same_file() {
    let (_dir, disk) = disk();
    for io in [LogIo::Mmap, LogIo::Pwrite] {
        let name = format!("{io:?}");
        let mut segment = disk.create_segment(&name, SIZE, io).unwrap();
        assert_eq!(segment.size(), SIZE);
        for (i, offset) in (0..SIZE - 5000).step_by(5003).enumerate() {
            let fill = u8::try_from(i + 1).unwrap();
            segment.write(offset, &vec![fill; 100 * i]);
            segment.write_last(offset.next_multiple_of(8), [fill, 2, 3, 4, 5, 6, 7, 8]);
        }
        segment.sync().unwrap();
        segment.write(SIZE, b"");
        segment.write(SIZE - 1, b"!");
        segment.sync().unwrap();
        assert!(!segment.faulted());
    }
    let mapped = fs::read(path(&disk, "Mmap")).unwrap();
    assert_eq!(mapped.len() as u64, SIZE);
    assert_eq!(&mapped[5008..5016], [2, 2, 3, 4, 5, 6, 7, 8]);
    assert!(mapped == fs::read(path(&disk, "Pwrite")).unwrap());
}

#[test]
fn a_new_segment_is_zeros_that_are_allocated_and_private() {
    let (_dir, disk) = disk();
    for (name, len) in [("whole", SIZE), ("odd", 10_001), ("tiny", 1)] {
        // Leftovers of a crash must not stand in the way.
        fs::write(path(&disk, &format!("{name}.tmp")), "stale").unwrap();
        drop(disk.create_segment(name, len, LogIo::Mmap).unwrap());
        let bytes = fs::read(path(&disk, name)).unwrap();
        assert_eq!(bytes.len() as u64, len);
        assert!(bytes.iter().all(|&byte| byte == 0));
        let mode = fs::metadata(path(&disk, name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(names(&disk), ["odd", "tiny", "whole"]);
    for entry in disk.list().unwrap() {
        assert!(entry.is_file && entry.allocated >= entry.len, "{entry:?}");
    }
}

#[test]
fn a_segment_can_be_opened_again_by_either_kind() {
    let (_dir, disk) = disk();
    drop(disk.create_segment("s", SIZE, LogIo::Pwrite).unwrap());
    for (io, offset) in [(LogIo::Mmap, 100), (LogIo::Pwrite, 5000)] {
        let mut segment = disk.open_segment("s", io).unwrap();
        assert_eq!(segment.size(), SIZE);
        segment.write(offset, b"here");
        segment.sync().unwrap();
    }
    let read = disk.open_read("s").unwrap();
    read.settle().unwrap();
    for offset in [100, 5000] {
        let mut buf = [0; 4];
        read.read_exact_at(offset, &mut buf).unwrap();
        assert_eq!(&buf, b"here");
    }
    assert_eq!(read.size(), SIZE);
}

#[test]
fn a_segment_follows_its_file_through_a_rename() {
    let (_dir, disk) = disk();
    let mut segment = disk.create_segment("spare", SIZE, LogIo::Mmap).unwrap();
    disk.rename("spare", "segment").unwrap();
    disk.sync_dir().unwrap();
    segment.write(0, b"late");
    segment.sync().unwrap();
    assert_eq!(&fs::read(path(&disk, "segment")).unwrap()[..4], b"late");
}

#[test]
fn a_segment_that_cannot_be_created_leaves_nothing() {
    let (_dir, disk) = disk();
    disk.replace("taken", b"x").unwrap();
    let error = disk.create_segment("taken", SIZE, LogIo::Mmap).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(path(&disk, "taken")).unwrap(), b"x");
    // More than any file system here has: refused by the allocation, not by a signal later.
    let error = disk
        .create_segment("huge", 1 << 60, LogIo::Pwrite)
        .unwrap_err();
    assert!(
        error.to_string().contains("cannot create the segment"),
        "{error}"
    );
    assert!(disk.create_segment("none", 0, LogIo::Mmap).is_err());
    assert_eq!(names(&disk), ["taken"]);
}

#[test]
fn one_holder_of_the_lock_at_a_time() {
    let (_dir, disk) = disk();
    let again = OsDisk::open(disk.describe()).unwrap();
    let held = disk.lock().unwrap();
    let error = again.lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains(&disk.describe()), "{text}");
    drop(held);
    drop(again.lock().unwrap());
    fs::write(path(&disk, "LOCK"), "no number, and far too long to be one").unwrap();
    let _held = again.lock().unwrap();
}

#[test]
fn replace_goes_over_old_files_and_stale_temporaries() {
    let (_dir, disk) = disk();
    fs::write(path(&disk, "m.tmp"), "a much longer leftover").unwrap();
    for bytes in [&b"first"[..], b"2", b""] {
        disk.replace("m", bytes).unwrap();
        assert_eq!(fs::read(path(&disk, "m")).unwrap(), bytes);
        assert_eq!(names(&disk), ["m"]);
    }
    fs::create_dir(path(&disk, "d")).unwrap();
    assert!(disk.replace("d", b"x").is_err());
    assert_eq!(
        names(&disk),
        ["d", "m"],
        "the temporary is gone after a failure"
    );
}

#[test]
fn a_room_becomes_the_file_and_its_blocks_stay() {
    let (_dir, disk) = disk();
    disk.replace("m", b"old").unwrap();
    disk.reserve("room", 8192).unwrap();
    let entries = disk.list().unwrap();
    let room = entries.iter().find(|entry| entry.name == "room").unwrap();
    assert_eq!(room.len, 8192);
    assert!(room.allocated >= 8192, "{room:?}");
    let long = disk.replace_with("room", "m", &[1; 8193]).unwrap_err();
    assert!(long.to_string().contains("cannot hold 8193"), "{long}");
    disk.replace_with("room", "m", b"new").unwrap();
    assert_eq!(fs::read(path(&disk, "m")).unwrap(), b"new");
    assert_eq!(names(&disk), ["m"]);
    let used = disk.replace_with("room", "m", b"x").unwrap_err();
    assert_eq!(used.kind(), ErrorKind::NotFound);
}

#[test]
fn punching_a_tail_keeps_length_and_head() {
    let (_dir, disk) = disk();
    let mut segment = disk.create_segment("s", SIZE, LogIo::Pwrite).unwrap();
    segment.write(0, &[7; 10_000]);
    segment.sync().unwrap();
    disk.punch_tail("s", 5000).unwrap();
    disk.punch_tail("s", SIZE).unwrap();
    disk.punch_tail("s", u64::MAX).unwrap();
    let entry = disk.list().unwrap().remove(0);
    assert_eq!(entry.len, SIZE);
    assert!(entry.allocated <= 8192, "{entry:?}");
    let bytes = fs::read(path(&disk, "s")).unwrap();
    assert_eq!(bytes[..5000], [7; 5000]);
    assert!(bytes[5000..].iter().all(|&byte| byte == 0));
}

#[test]
fn errors_keep_their_kind_and_name_the_file() {
    let (_dir, disk) = disk();
    let missing = [
        disk.open_read("no").map(drop),
        disk.open_segment("no", LogIo::Mmap).map(drop),
        disk.remove("no"),
        disk.rename("no", "other"),
        disk.punch_tail("no", 0),
    ];
    for result in missing {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("data/no: "), "{error}");
    }
}

#[test]
fn names_with_a_path_in_them_are_refused() {
    let (_dir, disk) = disk();
    for name in ["", ".", "..", "a/b", "/etc/passwd", "a\0b"] {
        for result in [
            disk.replace(name, b""),
            disk.remove(name),
            disk.rename(name, "x"),
            disk.rename("x", name),
            disk.open_read(name).map(drop),
            disk.open_segment(name, LogIo::Mmap).map(drop),
            disk.create_segment(name, SIZE, LogIo::Mmap).map(drop),
            disk.punch_tail(name, 0),
        ] {
            assert_eq!(
                result.unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{name:?}"
            );
        }
    }
}

#[test]
fn what_is_no_file_is_listed_and_not_opened() {
    let (_dir, disk) = disk();
    fs::create_dir(path(&disk, "directory")).unwrap();
    symlink("nowhere", path(&disk, "link")).unwrap();
    let pipe = path(&disk, "pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let entries = disk.list().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert!(!entry.is_file, "{entry:?}");
        assert!(disk.open_read(&entry.name).is_err(), "{entry:?}");
        assert!(
            disk.open_segment(&entry.name, LogIo::Mmap).is_err(),
            "{entry:?}"
        );
    }
}

#[test]
fn the_file_system_is_named() {
    let (_dir, disk) = disk();
    let (FsKind::Local(name) | FsKind::Volatile(name) | FsKind::Remote(name)) =
        disk.fs_kind().unwrap();
    assert!(!name.is_empty());
}
