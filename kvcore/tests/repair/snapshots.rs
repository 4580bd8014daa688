//! Damaged snapshots, with and without another one to begin with.

use std::fs;

use kvcore::{Class, Revision, Way};

use super::support::{Known, change, damaged, repaired, segment, snapshots_in};

fn with_two_snapshots() -> Known {
    Known::make(6000, &[2500, 4500])
}

#[test]
fn an_older_snapshot_and_the_log_behind_it_are_all_there_is() {
    let known = with_two_snapshots();
    let dir = known.copy("damaged");
    let names = snapshots_in(&dir);
    let path = dir.join(&names[1]);
    let whole = fs::read(&path).unwrap();
    for turn in 0..40_usize {
        let at = if turn < 16 {
            turn * 8
        } else {
            turn * 7919 * 31 % whole.len()
        };
        change(&path, |bytes| bytes[at] ^= 1 << (turn % 8));
        let report = damaged(&dir);
        let file = report.files.iter().find(|file| file.name == names[1]);
        assert_eq!(
            file.map(|file| file.class),
            Some(Class::Corrupt),
            "{report}"
        );
        fs::write(&path, &whole).unwrap();
        if (8..10).contains(&at) {
            continue;
        }
        change(&path, |bytes| bytes[at] ^= 1 << (turn % 8));
        if turn % 8 == 0 {
            for way in [Way::FromOlderSnapshot, Way::Salvage] {
                let (told, there) = repaired(&dir, way).expect("repaired");
                assert!(there == known.at(known.last()), "byte {at}: {told}");
                assert_eq!((told.lost, told.keys.len()), (0, 0), "{told}");
                assert_eq!(told.snapshot.as_ref(), Some(&names[0]));
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let report = damaged(&dir);
    let file = report.files.iter().find(|file| file.name == names[1]);
    assert_eq!(
        file.map(|file| file.class),
        Some(Class::Missing),
        "{report}"
    );
    let (told, there) = repaired(&dir, Way::FromOlderSnapshot).expect("repaired");
    assert!(there == known.at(known.last()), "{told}");
}

#[test]
fn of_damaged_snapshots_what_is_left_is_taken() {
    let known = with_two_snapshots();
    let dir = known.copy("damaged");
    assert!(
        !dir.join(segment(1)).exists(),
        "the log's beginning is gone"
    );
    for name in snapshots_in(&dir) {
        change(&dir.join(name), |bytes| bytes[2000] ^= 1);
    }
    damaged(&dir);
    let older = repaired(&dir, Way::FromOlderSnapshot).expect_err("there is none");
    assert!(older.to_string().contains("no older snapshot"), "{older}");
    let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
    known.hold_against(&there, &told);
    assert!(!told.keys.is_empty() && !there.is_empty(), "{told}");
    for name in snapshots_in(&dir) {
        fs::remove_file(dir.join(name)).unwrap();
    }
    damaged(&dir);
    let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
    assert!(
        told.notes.iter().any(|note| note.contains("no snapshot")),
        "{told}"
    );
    assert!(!there.is_empty());
}

/// Damage in the log that a whole snapshot covers costs nothing.
#[test]
fn a_snapshot_makes_up_for_the_log_before_it() {
    let known = with_two_snapshots();
    let dir = known.copy("damaged");
    let first = (1..99)
        .find(|n| dir.join(segment(*n)).exists())
        .expect("a log");
    change(&dir.join(segment(first)), |bytes| bytes[50_000] ^= 1);
    let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
    assert!(there == known.at(known.last()), "{told}");
    assert_eq!((told.lost, told.keys.len()), (0, 0), "{told}");
}

#[test]
fn only_what_a_snapshot_and_its_log_hold_can_be_cut_out() {
    let known = with_two_snapshots();
    let dir = known.copy("store-copy");
    let early = repaired(&dir, Way::TruncateAt(Revision(100))).expect_err("it is not kept");
    assert!(early.to_string().contains("oldest state"), "{early}");
    for at in [known.last() - 1, known.last() - 700] {
        let (told, there) = repaired(&dir, Way::TruncateAt(Revision(at))).expect("repaired");
        assert!(there == known.at(at), "{told}");
    }
}
