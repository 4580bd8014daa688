//! Histories of one key made by hand: every way to be wrong next to one that is right.

use super::super::Kind;
use super::make::*;
use crate::op::*;

#[test]
fn stale_read() {
    let writes = [
        set((10, 11), 0, 1, (2, 2, 1)),
        set((12, 13), 0, 2, (2, 3, 2)),
    ];
    let read = |times| [&writes[..], &[get(times, 0, Some(record(1, (2, 2, 1))))]].concat();
    bad(&read((14, 15)), &[Kind::Stale, Kind::Cycle, Kind::Key]);
    good(&read((12, 15)));
}

#[test]
fn reads_that_go_back() {
    let (old, new) = (record(1, (2, 2, 1)), record(2, (2, 3, 2)));
    let history = |first: &Record, second: &Record| {
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            set((12, 30), 0, 2, (2, 3, 2)),
            get((13, 14), 0, Some(first.clone())),
            get((15, 16), 0, Some(second.clone())),
        ]
    };
    good(&history(&old, &new));
    bad(&history(&new, &old), &[Kind::Stale, Kind::Cycle, Kind::Key]);
}

#[test]
fn lost_update() {
    let history = |seen| {
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            cas((12, 20), 0, 2, 2, (2, 3, 2)),
            cas((13, 21), 0, 3, seen, (2, 4, 3)),
        ]
    };
    good(&history(3));
    bad(&history(2), &[Kind::Snapshot, Kind::Cycle, Kind::Key]);
}

#[test]
fn lost_increment() {
    let history = |value| {
        vec![
            increment((10, 20), 5, 5, (2, 2, 1)),
            increment((11, 21), 7, value, (2, 3, 2)),
        ]
    };
    good(&history(12));
    bad(&history(7), &[Kind::Key]);
}

#[test]
fn lost_acknowledged_write() {
    let written = set((10, 11), 0, 1, (2, 2, 1));
    let kinds = [Kind::Stale, Kind::Cycle, Kind::Key];
    bad(&[written.clone(), get((12, 13), 0, None)], &kinds);
    good(&[written, get((10, 13), 0, None)]);
    // A write of which nobody was told may be lost.
    good(&[lost((10, 11), put(1)), get((12, 13), 0, None)]);
}

#[test]
fn dirty_read() {
    let seen = get((12, 13), 0, Some(record(1, (2, 2, 1))));
    let refused = Outcome::Refused("OVERLOADED".into());
    let refused = op((10, 11), one(0, put(1), None), refused);
    bad(&[refused.clone(), seen.clone()], &[Kind::Dirty, Kind::Key]);
    good(&[refused, get((12, 13), 0, None)]);
    let condition = Some(Target::Exists(true));
    let not_met = Reply::One(Answer::Set(None, Beside::Absent));
    let not_met = answered((10, 11), one(0, put(1), condition), not_met);
    bad(&[not_met.clone(), seen.clone()], &[Kind::Dirty, Kind::Key]);
    good(&[not_met]);
    bad(std::slice::from_ref(&seen), &[Kind::Dirty, Kind::Key]);
    good(&[lost((10, 11), put(1)), seen]);
}

#[test]
fn read_of_a_future_write() {
    let written = set((20, 21), 0, 1, (2, 2, 1));
    let read = |times| vec![get(times, 0, Some(record(1, (2, 2, 1)))), written.clone()];
    bad(
        &read((10, 11)),
        &[Kind::Dirty, Kind::RealTime, Kind::Cycle, Kind::Key],
    );
    good(&read((10, 25)));
}

#[test]
fn revisions_that_go_back() {
    let history = |first: i64, second: i64| {
        vec![
            set((10, 11), 0, 1, (first, first, 1)),
            set((12, 13), 0, 2, (first.min(second), second, 2)),
        ]
    };
    good(&history(2, 3));
    bad(&history(3, 2), &[Kind::RealTime, Kind::Cycle, Kind::Key]);
}

#[test]
fn undecided_write_applied_twice() {
    let mut history = vec![
        lost((10, 11), put(1)),
        get((12, 13), 0, Some(record(1, (2, 2, 1)))),
        set((14, 15), 0, 2, (2, 3, 2)),
    ];
    good(&history);
    history.push(get((16, 17), 0, Some(record(1, (2, 4, 3)))));
    bad(&history, &[Kind::Revision, Kind::Key]);
}

#[test]
fn undecided_increment_applied_twice() {
    let history = |value: i64, version: i64| {
        vec![
            increment((10, 11), 5, 5, (2, 2, 1)),
            lost((12, 13), Step::Increment(7)),
            increment((14, 15), 1, value, (2, 9, version)),
        ]
    };
    good(&history(6, 2));
    good(&history(13, 3));
    bad(&history(20, 4), &[Kind::Key]);
}

#[test]
fn undecided_write_after_the_death_of_its_daemon() {
    let history = |death| {
        vec![
            lost((10, death), put(1)),
            get((20, 21), 0, None),
            get((30, 31), 0, Some(record(1, (2, 2, 1)))),
        ]
    };
    good(&history(25));
    bad(&history(15), &[Kind::Key]);
}

#[test]
fn delete_that_comes_back() {
    let removed = |times| {
        let reply = Reply::One(Answer::Delete(Some(3), Beside::NotAsked));
        answered(times, one(0, Step::Delete, None), reply)
    };
    let history = |times| {
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            removed(times),
            get((20, 21), 0, Some(record(1, (2, 2, 1)))),
        ]
    };
    good(&history((12, 25)));
    bad(&history((12, 13)), &[Kind::Stale, Kind::Cycle, Kind::Key]);
}

#[test]
fn record_that_changes_without_a_revision() {
    let history = |expires: [i64; 2]| {
        let written = lost((10, 11), put(1));
        let reads = [(12, 13), (14, 15)].into_iter().zip(expires);
        let reads = reads.map(|(times, expires)| {
            let mut record = record(1, (2, 2, 1));
            record.meta.expires = expires;
            get(times, 0, Some(record))
        });
        std::iter::once(written).chain(reads).collect::<Vec<Op>>()
    };
    good(&history([0, 0]));
    bad(&history([0, 1]), &[Kind::Revision, Kind::Key]);
}
