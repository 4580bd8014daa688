//! Barriers, tears and the counting of operations.

use super::*;

fn fill(segment: &mut dyn SegmentFile, page: u64, byte: u8) {
    segment.write(page * PAGE as u64, &[byte; PAGE]);
}

/// What is in the page if it is all the same, else `None`.
fn uniform(bytes: &[u8], page: usize) -> Option<u8> {
    let page = &bytes[page * PAGE..][..PAGE];
    page.iter().all(|&byte| byte == page[0]).then_some(page[0])
}

#[test]
fn what_was_synced_survives_and_the_rest_is_any_version() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    fill(&mut *segment, 0, 1);
    fill(&mut *segment, 1, 1);
    segment.sync().unwrap();
    for byte in 2..=4 {
        fill(&mut *segment, 1, byte);
    }
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let bytes = disk.crash(seed).file_bytes("s").unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        assert_eq!(uniform(&bytes, 0), Some(1));
        assert_eq!(uniform(&bytes, 2), Some(0));
        seen.insert(uniform(&bytes, 1));
    }
    assert_eq!(
        seen,
        BTreeSet::from([None, Some(1), Some(2), Some(3), Some(4)])
    );
}

#[test]
fn pages_reach_the_device_in_any_order() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    fill(&mut *segment, 0, 1);
    fill(&mut *segment, 1, 2);
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let bytes = disk.crash(seed).file_bytes("s").unwrap();
        seen.insert((uniform(&bytes, 0), uniform(&bytes, 1)));
    }
    for pair in [(0, 0), (0, 2), (1, 0), (1, 2)] {
        assert!(
            seen.contains(&(Some(pair.0), Some(pair.1))),
            "{pair:?} of {seen:?}"
        );
    }
}

#[test]
fn torn_pages_mix_sectors_lines_and_halves_of_a_copy() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    fill(&mut *segment, 0, 1);
    segment.sync().unwrap();
    fill(&mut *segment, 0, 2);
    // Where the byte changes: multiples of what, and how often.
    let (mut sectors, mut lines, mut halves) = (0, 0, 0);
    for seed in 0..1000 {
        let bytes = disk.crash(seed).file_bytes("s").unwrap();
        let page = &bytes[..PAGE];
        assert!(page.iter().all(|byte| [1, 2].contains(byte)));
        let edges: Vec<usize> = (1..PAGE).filter(|&i| page[i] != page[i - 1]).collect();
        assert!(edges.iter().all(|edge| edge % 8 == 0), "copies go by words");
        match edges[..] {
            [] => {}
            [_] if page[0] == 2 => halves += 1,
            _ if edges.iter().all(|edge| edge % 512 == 0) => sectors += 1,
            _ if edges.iter().all(|edge| edge % 64 == 0) => lines += 1,
            _ => panic!("seed {seed}: {edges:?}"),
        }
    }
    let all = (sectors, lines, halves);
    assert!(sectors > 10 && lines > 10 && halves > 10, "{all:?}");
}

#[test]
fn a_rename_is_whole_and_waits_for_the_sync_of_the_directory() {
    let disk = SimDisk::new(0);
    drop(create(&disk, "spare"));
    disk.rename("spare", "segment").unwrap();
    let outcomes = |disk: &SimDisk| -> BTreeSet<Vec<String>> {
        (0..60).map(|seed| names(&disk.crash(seed))).collect()
    };
    let both = BTreeSet::from([vec!["segment".to_owned()], vec!["spare".to_owned()]]);
    let pending = disk.kill();
    assert_eq!(outcomes(&disk), both);
    assert_eq!(outcomes(&pending), both, "a killed process syncs nothing");
    let disk = pending.kill();
    assert!(pending.power_is_cut());
    assert_eq!(names(&disk), ["segment"]);
    disk.sync_dir().unwrap();
    assert_eq!(
        outcomes(&disk),
        BTreeSet::from([vec!["segment".to_owned()]])
    );
}

#[test]
fn a_removed_file_may_come_back_until_the_directory_is_synced() {
    let disk = SimDisk::new(0);
    disk.replace("m", b"whole").unwrap();
    disk.remove("m").unwrap();
    let found: BTreeSet<_> = (0..60)
        .map(|seed| disk.crash(seed).file_bytes("m"))
        .collect();
    assert_eq!(found, BTreeSet::from([None, Some(b"whole".to_vec())]));
}

#[test]
fn changes_built_on_a_lost_change_are_lost() {
    let disk = SimDisk::new(0);
    drop(create(&disk, "a"));
    disk.rename("a", "b").unwrap();
    disk.rename("b", "c").unwrap();
    let found: BTreeSet<_> = (0..100)
        .map(|seed| names(&disk.crash(seed)).join(" "))
        .collect();
    assert_eq!(found, ["a", "b", "c"].map(str::to_owned).into());
}

#[test]
fn replace_is_old_or_new_at_every_cut_inside_it() {
    let mut seen = BTreeSet::new();
    for cut in 0..=5 {
        let disk = SimDisk::new(0);
        disk.replace("m", b"old").unwrap();
        disk.cut_power_after(cut);
        assert_eq!(disk.replace("m", b"the new one").is_ok(), cut == 5);
        for seed in 0..60 {
            let after = disk.crash(seed);
            let found = after.file_bytes("m").unwrap();
            assert!(found == b"old" || found == b"the new one", "{found:?}");
            assert!(cut < 5 || found == b"the new one");
            assert!(cut > 3 || found == b"old");
            after.replace("m", b"again").unwrap();
            assert_eq!(names(&after), ["m"], "the stale temporary is gone");
            seen.insert((cut, found));
        }
    }
    assert_eq!(
        seen.len(),
        7,
        "both outcomes between rename and sync of the directory"
    );
}

#[test]
fn a_segment_is_absent_or_whole_at_every_cut_inside_its_creation() {
    let mut temporary_sizes = BTreeSet::new();
    for cut in 0..=5 {
        let disk = SimDisk::new(0);
        disk.cut_power_after(cut);
        let created = disk.create_segment("s", SIZE, LogIo::Mmap);
        assert_eq!(created.is_ok(), cut == 5);
        for seed in 0..60 {
            let after = disk.crash(seed);
            for entry in after.list().unwrap() {
                match entry.name.as_str() {
                    "s" => assert_eq!((entry.len, cut > 3), (SIZE, true)),
                    "s.tmp" => drop(temporary_sizes.insert(entry.len)),
                    other => panic!("{other}"),
                }
            }
            assert!(cut < 5 || names(&after) == ["s"]);
        }
    }
    assert!(temporary_sizes.contains(&0) && temporary_sizes.contains(&SIZE));
    assert!(
        temporary_sizes.len() > 2,
        "short files too: {temporary_sizes:?}"
    );
}

#[test]
fn without_power_every_call_fails_and_stores_are_void() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    let lock = disk.lock().unwrap();
    let read = disk.open_read("s").unwrap();
    let operations = disk.op_count();
    disk.cut_power_after(2);
    segment.write(0, b"one");
    segment.write(0, b"two");
    assert!(!disk.power_is_cut());
    segment.write(0, b"void");
    assert!(disk.power_is_cut());
    assert_eq!(disk.op_count(), operations + 2);
    let calls = [
        segment.sync(),
        read.settle(),
        read.read_exact_at(0, &mut [0]),
        disk.sync_dir(),
        disk.replace("m", b""),
        disk.rename("s", "t"),
        disk.remove("s"),
        disk.punch_tail("s", 0),
        disk.open_read("s").map(drop),
        disk.open_segment("s", LogIo::Mmap).map(drop),
        disk.create_segment("t", SIZE, LogIo::Mmap).map(drop),
        disk.list().map(drop),
        disk.lock().map(drop),
        disk.fs_kind().map(drop),
    ];
    for (index, call) in calls.into_iter().enumerate() {
        let error = call.expect_err(&format!("call {index}"));
        assert!(
            error.to_string().contains("power is cut"),
            "call {index}: {error}"
        );
    }
    let after = disk.crash(1);
    drop(after.lock().unwrap());
    assert_eq!(names(&after), ["LOCK", "s"]);
    let found = after.file_bytes("s").unwrap();
    assert!([b"one\0", b"two\0", b"\0\0\0\0"].contains(&found[..4].try_into().unwrap()));
    segment.write(0, b"late");
    drop(lock);
    assert_eq!(
        after.file_bytes("s").unwrap(),
        found,
        "old handles reach only the old disk"
    );
}

#[test]
fn every_outcome_of_a_small_crash_is_visited_once() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    segment.write(0, b"a");
    segment.write(1, b"b");
    segment.write(PAGE as u64, b"c");
    disk.rename("s", "t").unwrap();
    let mut outcomes = BTreeSet::new();
    let count = disk.crash_in_every_way(100, |after| {
        let name = names(&after).join(" ");
        let bytes = after.file_bytes(&name).unwrap();
        let text = [bytes[0], bytes[1], bytes[PAGE]].map(char::from);
        outcomes.insert((name, text.iter().collect::<String>().replace('\0', "-")));
    });
    let expected = ["s", "t"].iter().flat_map(|name| {
        let pages = ["---", "a--", "ab-", "--c", "a-c", "abc"];
        pages.map(|page| ((*name).to_owned(), page.to_owned()))
    });
    assert_eq!(outcomes, expected.collect());
    assert_eq!(count, 12);
}

#[test]
#[should_panic(expected = "more than 11 outcomes")]
fn an_enumeration_that_is_too_long_does_not_pass() {
    let disk = SimDisk::new(0);
    let mut segment = create(&disk, "s");
    for _ in 0..11 {
        segment.write(0, b"a");
    }
    disk.crash_in_every_way(11, drop);
}
