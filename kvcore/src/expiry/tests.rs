use super::*;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::store::{Change, apply, prepare};

const LIMIT: UnitLimit = UnitLimit {
    records: UNIT_RECORDS,
    bytes: UNIT_BYTES,
};

fn filled(count: u64) -> Shards {
    let shards = Shards::new(4, [1, 2, 3, 4]);
    for i in 0..count {
        let key = i.to_le_bytes();
        let mut record = Record::new(&key, b"value", 100 + i, 0);
        record.stamp(Revision(i + 2), Revision(i + 2), 1);
        let place = shards.place(&key);
        shards.write(place.shard, |shard| {
            prepare(shard, place, &record, None);
            apply(shard, place, &key, Change::Put(record), Revision(i + 2));
        });
    }
    shards
}

#[test]
fn what_is_due_is_proposed_once_and_nothing_else() {
    let shards = filled(1000);
    let mut seen = Vec::new();
    let count = sweep(&shards, 599, LIMIT, |unit| {
        assert!(unit.len() <= UNIT_RECORDS);
        let shard = shards.place(unit[0].key()).shard;
        assert!(unit.iter().all(|r| shards.place(r.key()).shard == shard));
        seen.extend(unit.iter().map(Record::deadline_ms));
        true
    });
    seen.sort_unstable();
    assert_eq!(count, 500);
    assert_eq!(seen, (100..600).collect::<Vec<_>>());
}

#[test]
fn a_sweep_stops_when_it_is_told_to() {
    let shards = filled(1000);
    let mut units = 0;
    sweep(&shards, 2000, LIMIT, |_| {
        units += 1;
        units < 3
    });
    assert_eq!(units, 3);
}

#[test]
fn large_records_make_units_of_their_own() {
    let large: Vec<_> = (0..3_u8)
        .map(|i| Record::new(&[i], &vec![0; 200 << 10], 1, 0))
        .collect();
    assert_eq!(units(large, LIMIT).len(), 3);
    let small: Vec<_> = (0..200_u8).map(|i| Record::new(&[i], b"", 1, 0)).collect();
    assert_eq!(
        units(small, LIMIT).iter().map(Vec::len).collect::<Vec<_>>(),
        [64, 64, 64, 8]
    );
}

#[test]
fn units_are_no_larger_than_those_of_callers() {
    let records: Vec<_> = (0..20_u8)
        .map(|i| Record::new(&[i], &[0; 100], 1, 0))
        .collect();
    let bytes = usize::try_from(records[0].accounted_bytes()).unwrap();
    let lens = |limit| -> Vec<usize> {
        let units = units(records.clone(), limit);
        units.iter().map(Vec::len).collect()
    };
    assert_eq!(
        lens(UnitLimit::within(1024, 3 * bytes)),
        [3, 3, 3, 3, 3, 3, 2]
    );
    assert_eq!(lens(UnitLimit::within(8, 1 << 20)), [8, 8, 4]);
    assert_eq!(lens(UnitLimit::within(1024, 1)), [1; 20]);
}

fn walked(shards: &Shards) -> usize {
    let mut keys = 0;
    shards.walk(&KeyRange::all(), None, false, |_| {
        keys += 1;
        true
    });
    keys
}

#[test]
fn keys_leave_the_index_at_the_end_of_a_turn_unless_they_are_there_again() {
    let shards = filled(300);
    let again = 7_u64.to_le_bytes();
    let mut removed = 0;
    sweep(&shards, 199, LIMIT, |unit| {
        for record in &unit {
            let place = shards.place(record.key());
            shards.write(place.shard, |shard| {
                shard.keys_leave_later();
                apply(shard, place, record.key(), Change::Remove, Revision(1000));
                if record.key() == again {
                    let mut record = Record::new(&again, b"new", 0, 0);
                    record.stamp(Revision(1001), Revision(1001), 1);
                    prepare(shard, place, &record, None);
                    apply(shard, place, &again, Change::Put(record), Revision(1001));
                }
            });
        }
        removed += unit.len();
        assert_eq!(
            walked(&shards),
            300,
            "no key has left before the end of the turn"
        );
        true
    });
    assert_eq!((removed, shards.keys()), (100, 201));
    assert_eq!(walked(&shards), 201);
    let mut found = false;
    shards.walk(&KeyRange::key(&again), None, false, |_| {
        found = true;
        true
    });
    assert!(found, "a key that has a record again stays");
}

#[test]
fn keys_of_proposals_that_were_refused_stay_in_the_index() {
    let shards = filled(300);
    assert!(sweep(&shards, 1000, LIMIT, |_| false) > 0);
    assert_eq!((walked(&shards), shards.keys()), (300, 300));
}
