use super::*;
use crate::base::revision::Revision;

fn record(key: &[u8], value: &[u8], revision: u64) -> Record {
    let mut record = Record::new(key, value, 0, 0);
    record.stamp(Revision(revision), Revision(revision), 1);
    record
}

#[test]
fn a_record_gives_back_what_it_was_made_of() {
    for (deadline, lease) in [(0, 0), (7, 0), (0, 9), (7, 9)] {
        let mut record = Record::new(b"key", b"value", deadline, lease);
        record.stamp(Revision(5), Revision(3), 2);
        assert_eq!((record.key(), record.value()), (&b"key"[..], &b"value"[..]));
        assert_eq!((record.deadline_ms(), record.lease_id()), (deadline, lease));
        assert_eq!(
            (record.mod_revision(), record.create_revision()),
            (Revision(5), Revision(3))
        );
        assert_eq!(record.version(), 2);
    }
    let empty = Record::new(b"k", b"", 0, 0);
    assert!(empty.value().is_empty());
}

#[test]
#[should_panic(expected = "before it is shared")]
fn a_shared_record_cannot_be_stamped() {
    let mut record = Record::new(b"k", b"v", 0, 0);
    let _other = record.clone();
    record.stamp(Revision(1), Revision(1), 1);
}

#[test]
fn an_absent_key_reveals_the_last_delete_of_its_shard() {
    let shards = Shards::new(2, [1, 2, 3, 4]);
    let place = shards.place(b"k");
    let seen = || {
        shards.read(place, b"k", |found| {
            (found.record().is_some(), found.revealed())
        })
    };
    assert_eq!(seen(), (false, Revision::NONE));
    shards.write(place.shard, |shard| {
        assert!(shard.put(place, record(b"k", b"1", 2)).is_none());
        assert_eq!(
            shard.put(place, record(b"k", b"2", 3)).map(|r| r.version()),
            Some(1)
        );
    });
    assert_eq!((seen(), shards.keys()), ((true, Revision(3)), 1));
    shards.write(place.shard, |shard| {
        assert!(shard.remove(place, b"k", Revision(4)).is_some());
        assert!(shard.remove(place, b"k", Revision(5)).is_none());
    });
    assert_eq!((seen(), shards.keys()), ((false, Revision(5)), 0));
}

#[test]
fn several_keys_are_read_in_one_view_and_in_the_order_asked_for() {
    let shards = Shards::new(8, [1, 2, 3, 4]);
    let keys: Vec<Vec<u8>> = (0..50_u8).map(|i| vec![i]).collect();
    for key in &keys {
        let place = shards.place(key);
        shards.write(place.shard, |shard| shard.put(place, record(key, key, 9)));
    }
    let places: Vec<_> = keys
        .iter()
        .rev()
        .map(|key| (&key[..], shards.place(key)))
        .collect();
    shards.read_all(&places, |found| {
        for (found, (key, _)) in found.iter().zip(&places) {
            assert_eq!(found.record().map(Record::value), Some(*key));
        }
    });
    let mut order = Vec::new();
    shards.write_all(places.iter().map(|(_, place)| place.shard), |held| {
        order.extend(held.iter().map(Shard::index));
    });
    assert!(order.is_sorted() && order.len() == 8, "{order:?}");
}

#[test]
fn memory_counts_exactly_and_refuses_only_growth() {
    let memory = Memory::new(Some(100));
    assert_eq!(memory.exchange(0, 60), Ok(()));
    let full = memory.exchange(0, 41).expect_err("over the limit");
    assert_eq!((full.used, full.max, full.growth), (60, 100, 41));
    assert_eq!(memory.exchange(60, 100), Ok(()));
    memory.exchange_unlimited(0, 50);
    assert_eq!(
        memory.exchange(50, 20),
        Ok(()),
        "shrinking is always accepted"
    );
    assert_eq!(memory.exchange(120, 0), Ok(()));
    assert_eq!(memory.used(), 0);
}

#[test]
fn fetching_takes_each_shard_once_and_changes_nothing() {
    let shards = Shards::new(4, [1, 2, 3, 4]);
    let keys: Vec<String> = (0..100).map(|i| format!("key-{i}")).collect();
    let places: Vec<Place> = keys
        .iter()
        .map(|key| shards.place(key.as_bytes()))
        .collect();
    for (key, place) in keys.iter().zip(&places).step_by(2) {
        shards.write(place.shard, |shard| {
            shard.put(*place, record(key.as_bytes(), b"v", 2));
        });
    }
    // In no order, many of one shard, some twice, every other one absent; with a writer
    // waiting, a second lock of a shard by the same thread would never be given.
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for place in places.iter().cycle().take(20_000) {
                shards.write(place.shard, |_| ());
            }
        });
        for count in (0..=100).cycle().take(2_000) {
            let asked = keys[..count].iter().chain(&keys[..count / 3]);
            shards.fetch(asked.map(String::as_bytes));
        }
    });
    assert_eq!(shards.keys(), 50);
}
