//! One flipped bit, anywhere.

use kvcore::{Fate, Revision, Way};

use super::support::{Known, change, damaged, repaired, segment};

/// Everywhere in a sealed segment: at most one change is lost, it is named, and the rest
/// is as it was.
#[test]
fn of_a_sealed_segment_one_flipped_bit_costs_one_change_at_most() {
    let known = Known::make(4000, &[]);
    let dir = known.copy("damaged");
    let path = dir.join(segment(2));
    let whole = std::fs::read(&path).expect("there");
    let used = whole.iter().rposition(|byte| *byte != 0).expect("frames") as u64;
    let mut lost_one = 0;
    for turn in 0..64_u64 {
        // The header, then places all over the frames.
        let at = if turn < 12 {
            turn * 7
        } else {
            4096 + (turn * 7919 * 31) % (used - 4096)
        };
        let at = usize::try_from(at).expect("fits");
        change(&path, |bytes| bytes[at] ^= 1 << (turn % 8));
        // A byte behind the end of a group is no part of the log, and checked all the same.
        let report = damaged(&dir);
        let file = report.files.iter().find(|file| file.name == segment(2));
        let file = file.expect("the damaged file is named");
        let place = file.places.first().expect("the damaged place is named");
        assert!(
            place.offset <= at as u64 && at as u64 <= place.end,
            "byte {at} is not in {place}"
        );
        let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
        assert!(told.lost <= 1, "byte {at}: {told}");
        assert!(told.keys.len() as u64 == told.lost, "byte {at}: {told}");
        let mut wanted = known.at(known.last());
        for lost in &told.keys {
            let (key, _) = &known.done[&lost.revision.0];
            assert_eq!(key, &lost.key, "{told}");
            assert!(
                place.offset == at as u64 && place.all_keys,
                "byte {at}: {place}"
            );
            lost_one += 1;
            match lost.fate {
                Fate::Later(now) => assert!(now > lost.revision),
                Fate::Older(now) => {
                    assert!(now < lost.revision && known.done[&now.0].0 == *key);
                    let before = known.at(lost.revision.0 - 1);
                    wanted.insert(key.clone(), before[key].clone());
                }
                Fate::Absent => drop(wanted.remove(key)),
            }
        }
        assert!(there == wanted, "byte {at}: {told}");
        std::fs::write(&path, &whole).expect("written");
    }
    assert!(lost_one > 30, "most of the file is changes: {lost_one}");
}

/// In the newest segment of a store that was closed in order all of it is certified.
#[test]
fn of_the_newest_segment_too() {
    let known = Known::make(2500, &[]);
    let dir = known.copy("damaged");
    let newest = (1..99)
        .take_while(|n| dir.join(segment(*n)).exists())
        .last();
    let path = dir.join(segment(newest.expect("a segment")));
    let whole = std::fs::read(&path).expect("there");
    let used = whole.iter().rposition(|byte| *byte != 0).expect("frames");
    for turn in 0..20_usize {
        let at = 4096 + (turn * 7919 * 31) % (used - 4096);
        change(&path, |bytes| bytes[at] ^= 1 << (turn % 8));
        damaged(&dir);
        let (told, there) = repaired(&dir, Way::Salvage).expect("repaired");
        assert!(told.lost <= 1, "byte {at}: {told}");
        known.hold_against(&there, &told);
        std::fs::write(&path, &whole).expect("written");
    }
}

#[test]
fn up_to_the_damage_every_revision_can_be_kept_and_none_behind_it() {
    let known = Known::make(4000, &[]);
    let dir = known.copy("damaged");
    change(&dir.join(segment(3)), |bytes| bytes[100_000] ^= 4);
    damaged(&dir);
    let plan = kvcore::repair(&dir, Way::Salvage, None, false, &|_| ()).expect("planned");
    let whole_to = plan.whole_to.0;
    assert!(whole_to > 1000 && whole_to < known.last(), "{plan}");
    for at in [2, 3, whole_to / 2, whole_to - 1, whole_to] {
        let (told, there) = repaired(&dir, Way::TruncateAt(Revision(at))).expect("repaired");
        assert!(there == known.at(at), "{told}");
        assert_eq!(told.lost, known.last() - at, "{told}");
    }
    let beyond = repaired(&dir, Way::TruncateAt(Revision(whole_to + 1)));
    let beyond = beyond.expect_err("it is lost").to_string();
    let told = format!("whole up to revision {whole_to}");
    assert!(beyond.contains(&told), "{beyond}");
    let older = repaired(&dir, Way::FromOlderSnapshot).expect_err("the log is not whole");
    assert!(older.to_string().contains(&told), "{older}");
}
