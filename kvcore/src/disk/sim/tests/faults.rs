//! Failing syncs and their ghosts, full disks, bad sectors, missed stores.

use std::thread;

use super::*;
use crate::disk::FsKind;

fn head(disk: &SimDisk, name: &str) -> (u8, u8) {
    let (cached, device) = (
        disk.file_bytes(name).unwrap(),
        disk.device_bytes(name).unwrap(),
    );
    (cached[0], device[0])
}

#[test]
fn a_failed_sync_leaves_ghosts_that_later_syncs_do_not_mend() {
    let disk = SimDisk::new(0);
    disk.set_ghosts(1, 1);
    let mut segment = create(&disk, "s");
    segment.write(0, &[1]);
    disk.fail_sync_at(0);
    assert!(segment.sync().is_err());
    segment.sync().unwrap();
    segment.sync().unwrap();
    assert_eq!(head(&disk, "s"), (1, 0));
    let read = disk.open_read("s").unwrap();
    let mut byte = [0];
    read.read_exact_at(0, &mut byte).unwrap();
    assert_eq!(byte, [1], "a reader sees the ghost");

    let cut = disk.crash(7);
    assert_eq!(head(&cut, "s"), (0, 0), "it was never on the device");
}

#[test]
fn a_ghost_outlives_the_process_until_the_cache_is_dropped() {
    let disk = SimDisk::new(0);
    disk.set_ghosts(1, 1);
    let mut segment = create(&disk, "s");
    segment.write(0, &[1]);
    disk.fail_next_sync_of("s");
    assert!(segment.sync().is_err());
    let next = disk.kill();
    assert_eq!(head(&next, "s"), (1, 0));
    next.open_read("s").unwrap().sync().unwrap();
    assert_eq!(head(&next, "s"), (1, 0), "a sync alone shows nothing");
    next.open_read("s").unwrap().settle().unwrap();
    assert_eq!(head(&next, "s"), (0, 0));
}

#[test]
fn settling_keeps_what_a_killed_process_had_written() {
    let disk = SimDisk::new(0);
    create(&disk, "s").write(0, &[1]);
    let next = disk.kill();
    next.open_read("s").unwrap().settle().unwrap();
    assert_eq!(head(&next, "s"), (1, 1));
    assert_eq!(head(&next.crash(3), "s"), (1, 1));
}

#[test]
fn a_failed_sync_loses_some_pages_and_not_others() {
    let disk = SimDisk::new(3);
    let mut segment = create(&disk, "s");
    for page in 0..16 {
        segment.write(page * PAGE as u64, &[1]);
    }
    disk.fail_sync_at(0);
    assert!(segment.sync().is_err());
    let device = disk.device_bytes("s").unwrap();
    let arrived = (0..16).filter(|page| device[page * PAGE] == 1).count();
    assert!((2..15).contains(&arrived), "{arrived}");
    assert_eq!(
        disk.crash(1).file_bytes("s").unwrap(),
        device,
        "all pages count as clean"
    );
}

#[test]
fn writing_to_a_ghost_brings_its_bytes_along() {
    let disk = SimDisk::new(0);
    disk.set_ghosts(1, 1);
    let mut segment = create(&disk, "s");
    segment.write(0, &[1]);
    disk.fail_sync_at(0);
    assert!(segment.sync().is_err());
    segment.write(100, &[2]);
    let mut heads = BTreeSet::new();
    for seed in 0..100 {
        let bytes = disk.crash(seed).file_bytes("s").unwrap();
        heads.insert((bytes[0], bytes[100]));
    }
    assert!(
        heads.contains(&(0, 0)) && heads.contains(&(1, 2)),
        "{heads:?}"
    );
    let next = disk.kill();
    next.open_read("s").unwrap().sync().unwrap();
    assert_eq!(head(&next, "s"), (1, 1));
}

#[test]
fn a_failed_sync_of_the_directory_loses_names_for_good() {
    let disk = SimDisk::new(0);
    drop(create(&disk, "spare"));
    disk.rename("spare", "s").unwrap();
    disk.set_ghosts(1, 1);
    disk.fail_sync_at(0);
    assert!(disk.sync_dir().is_err());
    disk.sync_dir().unwrap();
    assert_eq!(names(&disk), ["s"]);
    assert_eq!(names(&disk.crash(0)), ["spare"]);
}

#[test]
fn failing_syncs_inside_the_durable_steps_leave_no_temporary() {
    for n in 0..2 {
        let disk = SimDisk::new(0);
        disk.fail_sync_at(n);
        assert!(disk.create_segment("s", SIZE, LogIo::Mmap).is_err());
        disk.fail_sync_at(n);
        assert!(disk.replace("m", b"x").is_err());
        assert!(names(&disk).iter().all(|name| !name.contains("tmp")));
    }
    let disk = SimDisk::new(0);
    disk.fail_syncs(1, 3);
    let failed = (0..300).filter(|_| disk.sync_dir().is_err()).count();
    assert!((70..130).contains(&failed), "{failed}");
}

#[test]
fn a_full_disk_refuses_segments_until_something_is_removed() {
    let disk = SimDisk::new(0);
    disk.set_capacity(Some(2 * SIZE));
    drop(create(&disk, "a"));
    drop(create(&disk, "b"));
    let full = || disk.create_segment("c", SIZE, LogIo::Mmap).map(drop);
    assert_eq!(full().unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(names(&disk), ["a", "b"]);
    let small = disk.replace("m", b"small files need a page");
    assert_eq!(small.unwrap_err().kind(), ErrorKind::StorageFull);
    disk.punch_tail("a", 5000).unwrap();
    assert_eq!(disk.punched(), SIZE - 8192);
    assert_eq!(disk.allocated(), SIZE + 8192);
    assert_eq!(full().unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove("b").unwrap();
    full().unwrap();
    let crashed = disk.crash(0);
    assert!(
        crashed.create_segment("d", SIZE, LogIo::Mmap).is_err(),
        "the limit stays"
    );
}

#[test]
fn bad_sectors_and_flipped_bits_stay_where_they_are() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    segment.write(0, b"abcdef");
    segment.sync().unwrap();
    disk.fail_reads_at("s", 5);
    disk.corrupt("s", 2, 1);
    disk.corrupt("s", 9000, 0x80);
    let disk = disk.crash(0);
    disk.rename("s", "t").unwrap();
    let read = disk.open_read("t").unwrap();
    read.settle().unwrap();
    let mut head = [0; 5];
    read.read_exact_at(0, &mut head).unwrap();
    assert_eq!(&head, b"abbde");
    assert_eq!(disk.file_bytes("t").unwrap()[9000], 0x80);
    let error = read.read_exact_at(1, &mut head).unwrap_err().to_string();
    assert!(error.contains("byte 5 of t"), "{error}");
    let beyond = read.read_exact_at(SIZE - 1, &mut head).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
    assert!(read.read_exact_at(u64::MAX, &mut head).is_err());
}

#[test]
fn missed_stores_show_only_in_faulted() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    assert!(!segment.faulted());
    disk.fault_stores("s");
    segment.write(0, &[1]);
    assert!(segment.faulted());
    segment.sync().unwrap();
    assert_eq!(head(&disk, "s"), (0, 0));
    let next = disk.kill();
    assert!(!next.open_segment("s", LogIo::Mmap).unwrap().faulted());
}

#[test]
fn syncs_can_be_held_back_and_a_power_cut_frees_them() {
    for release in [true, false] {
        let disk = SimDisk::new(0);
        let mut segment = create(&disk, "s");
        segment.write(0, &[1]);
        disk.hold_syncs();
        thread::scope(|scope| {
            let sync = scope.spawn(move || segment.sync());
            while disk.held_syncs() == 0 {
                thread::yield_now();
            }
            assert_eq!(head(&disk, "s"), (1, 0), "not durable yet");
            if release {
                disk.release_syncs();
            } else {
                disk.cut_power_after(0);
            }
            assert_eq!(sync.join().unwrap().is_ok(), release);
        });
        assert_eq!(disk.held_syncs(), 0);
    }
}

#[test]
fn the_kind_of_file_system_can_be_set() {
    let disk = SimDisk::new(0);
    assert!(matches!(disk.fs_kind().unwrap(), FsKind::Local(_)));
    disk.set_fs_kind(FsKind::Volatile("tmpfs"));
    assert_eq!(disk.crash(0).fs_kind().unwrap(), FsKind::Volatile("tmpfs"));
}

#[test]
#[should_panic(expected = "no file nowhere")]
fn a_fault_aimed_at_nothing_is_a_mistake_of_the_test() {
    SimDisk::new(0).corrupt("nowhere", 0, 1);
}

#[test]
fn a_room_takes_a_small_file_when_the_disk_is_full() {
    let disk = SimDisk::new(0);
    disk.set_capacity(Some(3 * 4096));
    disk.replace("m", b"old").unwrap();
    disk.reserve("room", 8192).unwrap();
    let refused = disk.reserve("more", 4096).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(disk.replace("m", b"new").is_err());
    let long = disk.replace_with("room", "m", &[1; 8193]).unwrap_err();
    assert_eq!(long.kind(), ErrorKind::InvalidInput);
    disk.replace_with("room", "m", b"new").unwrap();
    assert_eq!(names(&disk), ["m"]);
    for after in 0..20 {
        let crashed = disk.crash(after);
        assert_eq!(crashed.file_bytes("m").unwrap(), b"new");
    }
}
