//! Damage of other shapes, and files that are missing or belong elsewhere.

use std::fs;
use std::path::Path;

use kvcore::{Class, Way};

use super::support::{Known, change, damaged, repaired, segment};

type Damage = fn(dir: &Path, other: &Path);

/// What is done, to which file, and what that file is called then.
const DAMAGES: [(&str, Damage, u64, Class); 13] = [
    (
        "a sector of zeros",
        |dir, _| {
            change(&dir.join(segment(2)), |b| b[40_960..41_472].fill(0));
        },
        2,
        Class::Corrupt,
    ),
    (
        "a page of zeros",
        |dir, _| {
            change(&dir.join(segment(2)), |b| b[81_920..86_016].fill(0));
        },
        2,
        Class::Corrupt,
    ),
    (
        "two sectors swapped",
        |dir, _| {
            change(&dir.join(segment(2)), |b| {
                let (front, back) = b.split_at_mut(60_000 / 512 * 512);
                front[30_720..31_232].swap_with_slice(&mut back[5120..5632]);
            });
        },
        2,
        Class::Corrupt,
    ),
    (
        "noise",
        |dir, _| {
            change(&dir.join(segment(2)), |b| {
                for (at, byte) in b[50_000..50_300].iter_mut().enumerate() {
                    *byte = (at * 131 % 251).to_le_bytes()[0];
                }
            });
        },
        2,
        Class::Corrupt,
    ),
    (
        "cut short",
        |dir, _| {
            change(&dir.join(segment(2)), |b| b.truncate(100_000));
        },
        2,
        Class::Corrupt,
    ),
    (
        "empty",
        |dir, _| fs::write(dir.join(segment(2)), b"").unwrap(),
        2,
        Class::Corrupt,
    ),
    (
        "a header of noise",
        |dir, _| {
            change(&dir.join(segment(2)), |b| b[8..300].fill(0x55));
        },
        2,
        Class::Corrupt,
    ),
    (
        "missing",
        |dir, _| fs::remove_file(dir.join(segment(2))).unwrap(),
        2,
        Class::Missing,
    ),
    (
        "the first missing",
        |dir, _| {
            fs::remove_file(dir.join(segment(1))).unwrap();
        },
        1,
        Class::Missing,
    ),
    (
        "the newest missing",
        |dir, _| {
            fs::remove_file(dir.join(segment(4))).unwrap();
        },
        4,
        Class::Missing,
    ),
    (
        "of another store",
        |dir, other| {
            let _bytes = fs::copy(other.join(segment(2)), dir.join(segment(2))).unwrap();
        },
        2,
        Class::Foreign,
    ),
    (
        "a copy of another",
        |dir, _| {
            let _bytes = fs::copy(dir.join(segment(1)), dir.join(segment(2))).unwrap();
        },
        2,
        Class::Duplicate,
    ),
    (
        "renamed",
        |dir, _| {
            fs::rename(dir.join(segment(2)), dir.join(segment(9))).unwrap();
        },
        9,
        Class::Duplicate,
    ),
];

#[test]
fn whatever_was_done_nothing_is_invented_and_what_is_lost_is_told() {
    let known = Known::make(4000, &[]);
    let other = Known::make(4000, &[]);
    for (what, damage, number, class) in DAMAGES {
        let dir = known.copy("damaged");
        damage(&dir, &other.path("store"));
        let report = damaged(&dir);
        let named = report
            .files
            .iter()
            .find(|file| file.name == segment(number));
        let named = named.unwrap_or_else(|| panic!("{what}: not named in {report}"));
        assert_eq!(named.class, class, "{what}: {report}");
        let (told, there) = repaired(&dir, Way::Salvage).expect(what);
        known.hold_against(&there, &told);
        let all = known.at(known.last());
        let kept = there
            .iter()
            .filter(|(key, found)| all.get(*key) == Some(found));
        let kept = kept.count();
        println!(
            "{what}: {kept} of {} records as they were, {} revisions lost",
            all.len(),
            told.lost
        );
        assert!(told.lost > 0 || what == "renamed", "{what}: {told}");
        if what == "renamed" {
            assert!(there == all, "{told}");
        }
        if what.contains("sector") {
            assert!(told.lost < 1000, "{what}: one frame or two: {told}");
        }
    }
}

/// The end of a log that is gone says nothing of what was in it: numbering goes on above all
/// that may have been.
#[test]
fn a_missing_newest_segment_takes_its_numbers_with_it() {
    let known = Known::make(4000, &[]);
    let dir = known.copy("damaged");
    fs::remove_file(dir.join(segment(4))).unwrap();
    fs::remove_file(dir.join("MANIFEST")).unwrap();
    damaged(&dir);
    let (told, _) = repaired(&dir, Way::Salvage).expect("repaired");
    let (_, next) = told.created.clone().expect("made");
    assert!(next.0 > known.last(), "{told}");
}

#[test]
fn without_manifest_the_files_say_what_they_are() {
    let known = Known::make(4000, &[]);
    let other = Known::make(500, &[]);
    let damages: [(&str, Damage); 4] = [
        ("missing", |dir, _| {
            fs::remove_file(dir.join("MANIFEST")).unwrap();
        }),
        ("of another store", |dir, other| {
            let _bytes = fs::copy(other.join("MANIFEST"), dir.join("MANIFEST")).unwrap();
        }),
        ("cut", |dir, _| {
            change(&dir.join("MANIFEST"), |b| b.truncate(40));
        }),
        ("empty", |dir, _| {
            fs::write(dir.join("MANIFEST"), b"").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = known.copy("damaged");
        damage(&dir, &other.path("store"));
        let report = damaged(&dir);
        assert!(
            report.files.iter().any(|file| file.name == "MANIFEST"),
            "{what}: {report}"
        );
        let (told, there) = repaired(&dir, Way::Salvage).expect(what);
        assert!(there == known.at(known.last()), "{what}: {told}");
        assert_eq!(told.lost, 0, "{what}: {told}");
    }
    let dir = known.copy("damaged");
    let len = fs::read(dir.join("MANIFEST")).unwrap().len();
    for at in 0..len {
        change(&dir.join("MANIFEST"), |b| b[at] ^= 1 << (at % 8));
        damaged(&dir);
        if at % 16 == 0 && !(8..12).contains(&at) {
            let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
            assert!(there == known.at(known.last()), "byte {at}: {told}");
        }
        change(&dir.join("MANIFEST"), |b| b[at] ^= 1 << (at % 8));
    }
}
