use proptest::prelude::*;

use super::*;

/// The name that spells this, if it has one.
fn spell(name: FileName) -> Option<String> {
    match name {
        FileName::Segment(n) => Some(segment_name(n)),
        FileName::Spare(n) => Some(spare_name(n)),
        FileName::Room(n) => Some(room_name(n)),
        FileName::Quarantine { sequence, offset } => Some(quarantine_name(sequence, offset)),
        FileName::Snapshot { start, end } => Some(snapshot_name(start, end)),
        FileName::Manifest => Some(MANIFEST.to_owned()),
        FileName::Lock => Some(LOCK.to_owned()),
        FileName::Temporary | FileName::Unknown => None,
    }
}

proptest! {
    #[test]
    fn names_round_trip(a: u64, b: u64) {
        for name in [
            FileName::Segment(a),
            FileName::Spare(a),
            FileName::Room(a),
            FileName::Quarantine { sequence: a, offset: b },
            FileName::Snapshot { start: Revision(a), end: Revision(b) },
        ] {
            let spelled = spell(name).unwrap();
            prop_assert_eq!(FileName::parse(&spelled), name);
            prop_assert_eq!(FileName::parse(&format!("{spelled}.tmp")), FileName::Temporary);
        }
    }

    #[test]
    fn names_sort_like_their_numbers(a: u64, b: u64) {
        prop_assert_eq!(a.cmp(&b), segment_name(a).cmp(&segment_name(b)));
    }

    #[test]
    fn nothing_has_a_second_spelling(
        name in "(seg|spare|torn|snap|SEG)-[+ 0-9]{19,21}(-[0-9]{20})?\\.kv(log|spare|torn|snap)",
    ) {
        if let Some(spelled) = spell(FileName::parse(&name)) {
            prop_assert_eq!(spelled, name);
        }
    }

    #[test]
    fn any_text_can_be_asked(name in "\\PC{0,60}") {
        if let Some(spelled) = spell(FileName::parse(&name)) {
            prop_assert_eq!(spelled, name);
        }
    }
}

#[test]
fn the_files_without_a_number() {
    assert_eq!(FileName::parse("MANIFEST"), FileName::Manifest);
    assert_eq!(FileName::parse("LOCK"), FileName::Lock);
    assert_eq!(FileName::parse("MANIFEST.tmp"), FileName::Temporary);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for name in [
        "",
        "manifest",
        "MANIFEST.tmp.tmp",
        "LOCK.tmp",
        "notes.tmp",
        ".tmp",
        "seg-1.kvlog",
        "seg-+0000000000000000001.kvlog",
        "seg-000000000000000000001.kvlog",
        "seg-99999999999999999999.kvlog",
        "seg-00000000000000000001.kvlog.bak",
        "seg-00000000000000000001.kvspare",
        "seg-00000000000000000001-00000000000000000001.kvlog",
        "spare-00000000000000000001.kvlog",
        "snap-00000000000000000001.kvsnap",
        "torn-00000000000000000001-0000000000000000000１.kvtorn",
    ] {
        assert_eq!(FileName::parse(name), FileName::Unknown, "{name}");
    }
}
