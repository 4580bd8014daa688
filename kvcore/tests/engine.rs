//! The engine as a program uses it, on a real directory.

use std::time::Duration;

use kvcore::{Condition, Durability, Engine, Error, Mutation, Options, Revision, SyncPolicy};

fn options(dir: &tempfile::TempDir) -> Options {
    let mut options = Options::new(dir.path());
    options.allow_volatile = true;
    options.segment_bytes = 1 << 20;
    options.limits.value_bytes = 64 << 10;
    options.limits.unit_bytes = 128 << 10;
    options.limits.in_flight_bytes = 8 << 20;
    options.shards = 64;
    options
}

fn open(options: Options) -> Engine {
    Engine::open(options, &|_| ()).expect("opens")
}

fn value(store: &Engine, key: &[u8]) -> Option<Vec<u8>> {
    store
        .get(key)
        .expect("a valid key")
        .value
        .map(|record| record.value().to_vec())
}

#[test]
fn what_was_written_is_there_after_close_and_after_abandonment() {
    let dir = tempfile::tempdir().unwrap();
    for close in [true, false] {
        let store = open(options(&dir));
        let key = format!("key-{close}");
        let outcome = store
            .write(Mutation::set(key.as_bytes(), b"value"), Durability::Synced)
            .unwrap();
        assert!(outcome.applied);
        assert!(store.watermark().durable() >= outcome.revision);
        if close {
            assert!(store.close(Duration::from_secs(10)).unwrap().clean);
        }
    }
    let store = open(options(&dir));
    assert_eq!(value(&store, b"key-true").as_deref(), Some(&b"value"[..]));
    assert_eq!(value(&store, b"key-false").as_deref(), Some(&b"value"[..]));
    assert!(!store.status().recovery.clean_start);
    assert_eq!(store.status().gaps.len(), 1, "one unclean start, one gap");
}

#[test]
fn a_new_store_is_at_revision_1_and_its_first_change_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    assert_eq!(store.store_revision(), Revision(1));
    let outcome = store
        .write(Mutation::set(b"a", b""), Durability::None)
        .unwrap();
    assert_eq!(outcome.revision, Revision(2));
    let record = outcome.record.unwrap();
    assert_eq!(
        (record.create_revision(), record.version()),
        (Revision(2), 1)
    );
}

#[test]
fn numbering_is_dense_over_a_clean_restart_and_jumps_over_an_unclean_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    store
        .write(Mutation::set(b"a", b"1"), Durability::Synced)
        .unwrap();
    store.close(Duration::from_secs(10)).unwrap();
    drop(store);
    let store = open(options(&dir));
    assert_eq!(store.store_revision(), Revision(2));
    let second = store
        .write(Mutation::set(b"a", b"2"), Durability::Synced)
        .unwrap();
    assert_eq!(second.revision, Revision(3));
    drop(store);
    let store = open(options(&dir));
    assert_eq!(
        store.store_revision(),
        Revision(3),
        "what names nothing is not reported"
    );
    let status = store.status();
    assert_eq!((status.logged, status.durable), (Revision(3), Revision(3)));
    assert_eq!(
        store.named(store.watermark().durable()),
        Revision(3),
        "no gap is shown"
    );
    assert!(matches!(
        store.check_revision(Revision(4)),
        Err(Error::RevisionLost { .. })
    ));
    let third = store
        .write(Mutation::set(b"a", b"3"), Durability::Synced)
        .unwrap();
    assert_eq!(third.revision, Revision(3 + (1 << 24)));
    assert_eq!(third.record.unwrap().version(), 3);
    assert!(matches!(
        store.check_revision(third.revision.next()),
        Err(Error::FutureRevision { .. })
    ));
}

#[test]
fn conditions_show_the_loser_the_current_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    let absent = Condition::Exists(false);
    let first = store
        .write(Mutation::set(b"k", b"1").only_if(absent), Durability::None)
        .unwrap();
    assert!(first.applied);
    let lost = store
        .write(Mutation::set(b"k", b"2").only_if(absent), Durability::None)
        .unwrap();
    assert!(!lost.applied);
    assert_eq!(lost.record.unwrap().value(), b"1");
    assert_eq!(lost.revealed, first.revision);
    let stale = Condition::ModRevision(Revision::NONE);
    assert!(
        !store
            .write(Mutation::delete(b"k").only_if(stale), Durability::None)
            .unwrap()
            .applied
    );
    let right = Condition::ModRevision(first.revision);
    let gone = store
        .write(Mutation::delete(b"k").only_if(right), Durability::None)
        .unwrap();
    assert_eq!(gone.previous.unwrap().value(), b"1");
    assert_eq!(
        store.get(b"k").unwrap().revealed,
        gone.revision,
        "a miss reveals the delete"
    );
    let nothing = store
        .write(Mutation::delete(b"k"), Durability::None)
        .unwrap();
    assert!(!nothing.applied && nothing.revision == Revision::NONE);
}

#[test]
fn a_unit_of_several_keys_is_all_or_nothing_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    store
        .write(Mutation::set(b"b", b"old"), Durability::None)
        .unwrap();
    let unit = [
        Mutation::set(b"a", b"1"),
        Mutation::set(b"b", b"2").only_if(Condition::Exists(false)),
    ];
    let refused = store.write_all(&unit, Durability::None).unwrap();
    assert_eq!(refused.unmet.unwrap().index, 1);
    assert_eq!(value(&store, b"a"), None);
    let unit = [
        Mutation::set(b"a", b"1"),
        Mutation::delete(b"b"),
        Mutation::set(b"c", b"3"),
    ];
    let applied = store.write_all(&unit, Durability::Synced).unwrap();
    assert!(applied.unmet.is_none());
    drop(store);
    let store = open(options(&dir));
    let view = store.batch_get(&[b"a", b"b", b"c"]).unwrap();
    let values: Vec<_> = view
        .value
        .iter()
        .map(|r| r.as_ref().map(kvcore::Record::value))
        .collect();
    assert_eq!(values, [Some(&b"1"[..]), None, Some(&b"3"[..])]);
    assert_eq!(
        view.value[0].as_ref().unwrap().mod_revision(),
        applied.revision
    );
}

#[test]
fn segments_rotate_and_every_value_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    options.policy = SyncPolicy::Never;
    let store = open(options.clone());
    for i in 0..500_u32 {
        let value = i.to_le_bytes().repeat(2500);
        store
            .write(Mutation::set(&i.to_le_bytes(), &value), Durability::Logged)
            .unwrap();
    }
    let memory = store.status().memory_bytes;
    assert!(store.status().counters.rotations >= 4);
    drop(store);
    let store = open(options);
    assert_eq!(store.status().keys, 500);
    assert_eq!(
        store.status().memory_bytes,
        memory,
        "accounting is exact over a restart"
    );
    for i in 0..500_u32 {
        assert_eq!(
            value(&store, &i.to_le_bytes()),
            Some(i.to_le_bytes().repeat(2500))
        );
    }
    assert!(store.close(Duration::from_secs(10)).unwrap().clean);
    drop(store);
    let report = kvcore::check(dir.path()).unwrap();
    assert_eq!(report.verdict(), kvcore::Verdict::Clean, "{report}");
}

#[test]
fn the_memory_limit_refuses_growth_and_takes_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    options.memory_max_bytes = Some(1000);
    let store = open(options);
    let mut taken = 0;
    let refused = loop {
        match store.write(Mutation::set(&[taken], &[0; 100]), Durability::None) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::MemoryLimit { .. }), "{refused}");
    assert!(taken >= 3);
    assert!(
        store
            .write(Mutation::set(&[0], &[1; 100]), Durability::None)
            .unwrap()
            .applied
    );
    store
        .write(Mutation::delete(&[0]), Durability::None)
        .unwrap();
    store
        .write(Mutation::set(&[77], &[0; 100]), Durability::None)
        .unwrap();
    for key in (1..taken).chain([77]) {
        store
            .write(Mutation::delete(&[key]), Durability::None)
            .unwrap();
    }
    assert_eq!(
        store.status().memory_bytes,
        0,
        "accounting returns to exactly nothing"
    );
}

#[test]
fn a_second_opener_is_refused_and_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(&dir));
    let refused = Engine::open(options(&dir), &|_| ()).unwrap_err();
    assert_eq!(refused.kind(), kvcore::OpenErrorKind::Locked, "{refused}");
    drop(store);
    open(options(&dir));
}
