//! Keys that end.

use kvcore::{
    Condition, ErrorKind, Expire, ExpireCondition as If, Expiry, KeyRange, Mutation, Revision,
};

use crate::support::Store;

fn until(key: &str, expiry: Expiry) -> Mutation<'_> {
    Mutation::set_until(key.as_bytes(), b"v", expiry)
}

fn wall(store: &Store) -> u64 {
    use kvcore::base::clock::Clock as _;
    store.clock.wall_ms()
}

#[test]
fn a_key_is_gone_at_its_deadline_to_the_millisecond_for_every_reader() {
    let store = Store::new();
    store
        .write(until("k", Expiry::After(100)))
        .expect("writable");
    store.set("other", "v");
    store.clock.advance(99);
    assert!(store.get("k").is_some());
    store.clock.advance(1);
    let range = KeyRange::all();
    let count = store.engine.look_count(&range, None, 100).expect("a range");
    assert_eq!((count.value.count, count.due.len()), (1, 1));
    let page = store
        .engine
        .look_page(&range, None, false, page_limit())
        .expect("a range");
    assert_eq!((page.value.records.len(), page.due.len()), (1, 1));
    let both = store.engine.look_all(&[b"k", b"other"]).expect("keys");
    assert!(both.value[0].is_none() && both.value[1].is_some());
    assert_eq!(store.get("k"), None);
    assert_eq!(
        store.engine.status().keys,
        1,
        "a reader's removal takes it away"
    );
}

fn page_limit() -> kvcore::PageLimit {
    kvcore::PageLimit {
        records: 100,
        bytes: 1 << 20,
    }
}

#[test]
fn what_a_reader_was_shown_as_expired_reveals_its_removal() {
    let mut store = Store::new();
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.turn();
    store.clock.advance(10);
    let answer = store.engine.look(b"k").expect("a key");
    assert!(answer.value.is_none());
    let revealed = store.remove(&answer.due);
    assert!(
        revealed > answer.revealed,
        "the absence is that of the removal"
    );
    assert!(
        store.engine.watermark().durable() < revealed,
        "and is not durable yet"
    );
    store.turn();
    assert!(store.engine.watermark().durable() >= revealed);
}

#[test]
fn what_was_shown_as_expired_stays_expired_when_the_clock_is_behind_after_a_restart() {
    let mut store = Store::new();
    store
        .write(until("shown", Expiry::After(5_000)))
        .expect("writable");
    store
        .write(until("kept", Expiry::After(5_000)))
        .expect("writable");
    store.turn();
    store.clock.advance(5_000);
    assert_eq!(store.get("shown"), None);
    // The wall clock says that it is an hour before; nobody was shown that "kept" ended.
    store.turn();
    store.clock.jump_wall(-3_600_000);
    let store = store.crash();
    assert_eq!(store.get("shown"), None);
}

#[test]
fn a_deadline_counts_on_while_the_store_is_away() {
    let mut store = Store::new();
    store
        .write(until("short", Expiry::After(1_000)))
        .expect("writable");
    store
        .write(until("long", Expiry::After(10_000)))
        .expect("writable");
    store.turn();
    store.clock.advance(400);
    let clock = store.clock.clone();
    let store = store.restart();
    clock.advance(500);
    assert!(store.get("short").is_some(), "900 of 1,000 ms");
    let store = store.restart();
    clock.advance(100);
    assert!(store.get("short").is_none() && store.get("long").is_some());
}

#[test]
fn a_jump_of_the_wall_clock_moves_no_deadline() {
    for jump in [365 * 86_400_000_i64, -86_400_000] {
        let mut store = Store::new();
        store
            .write(until("k", Expiry::After(60_000)))
            .expect("writable");
        store.turn();
        store.clock.jump_wall(jump);
        store.clock.advance(2_000);
        store.turn();
        assert!(store.get("k").is_some(), "after a jump of {jump}");
        let mut store = store.restart();
        assert!(store.get("k").is_some(), "and a restart");
        store.clock.advance(57_000);
        store.turn();
        assert!(store.get("k").is_some());
        store.clock.advance(1_000);
        assert!(store.get("k").is_none(), "60 s have passed");
    }
}

#[test]
fn a_named_moment_comes_back_as_it_was_named() {
    let store = Store::new();
    let named = wall(&store) + 12_345;
    store
        .write(until("k", Expiry::At(named)))
        .expect("writable");
    let shown = |store: &Store| {
        store
            .engine
            .expires_at_ms(&store.record("k").expect("there"))
    };
    assert_eq!(shown(&store), named);
    let store = store.restart();
    assert_eq!(shown(&store), named);
}

#[test]
fn a_moment_that_has_passed_removes_the_key() {
    let store = Store::new();
    let past = wall(&store) - 1;
    let outcome = store
        .write(until("new", Expiry::At(past)))
        .expect("writable");
    assert_eq!((outcome.applied, outcome.revision), (true, Revision::NONE));
    store.set("k", "v");
    let outcome = store.write(until("k", Expiry::At(past))).expect("writable");
    assert!(outcome.applied && outcome.revision > Revision::START && outcome.record.is_none());
    assert_eq!(store.get("k"), None);
    store.set("k", "v");
    let outcome = store
        .write(Mutation::expire(b"k", Expiry::At(0)))
        .expect("writable");
    assert!(outcome.applied && outcome.previous.is_some());
    assert_eq!(store.get("k"), None);
}

#[test]
fn set_replaces_an_expiry_unless_it_is_kept() {
    let store = Store::new();
    let deadline = |store: &Store| store.record("k").expect("there").deadline_ms();
    store
        .write(until("k", Expiry::After(1000)))
        .expect("writable");
    let first = deadline(&store);
    store.write(until("k", Expiry::Keep)).expect("writable");
    assert_eq!(deadline(&store), first);
    store.write(until("k", Expiry::Never)).expect("writable");
    assert_eq!(deadline(&store), 0);
    store.write(until("fresh", Expiry::Keep)).expect("writable");
    assert_eq!(store.record("fresh").expect("there").deadline_ms(), 0);
}

#[test]
fn expire_obeys_its_condition_and_moves_revision_and_version() {
    let store = Store::new();
    let now = wall(&store);
    let apply = |to, condition| {
        let mut mutation = Mutation::expire(b"k", to);
        mutation.action = kvcore::Action::Expire(Expire { to, condition });
        store.write(mutation).expect("writable")
    };
    assert!(!apply(Expiry::After(1), If::Always).applied, "no such key");
    store.set("k", "v");
    for (to, condition, applied) in [
        (Expiry::Never, If::Always, false),
        (Expiry::At(now + 100), If::IfSome, false),
        (Expiry::At(now + 100), If::IfLater, false),
        (Expiry::At(now + 100), If::IfNone, true),
        (Expiry::At(now + 200), If::IfNone, false),
        (Expiry::At(now + 50), If::IfLater, false),
        (Expiry::At(now + 100), If::IfLater, false),
        (Expiry::At(now + 200), If::IfLater, true),
        (Expiry::At(now + 300), If::IfEarlier, false),
        (Expiry::At(now + 150), If::IfEarlier, true),
        (Expiry::Never, If::IfEarlier, false),
        (Expiry::Never, If::IfLater, true),
        (Expiry::At(now + 10), If::IfEarlier, true),
        (Expiry::At(now + 20), If::IfSome, true),
    ] {
        let before = store.record("k").expect("there");
        let outcome = apply(to, condition);
        let after = store.record("k").expect("there");
        assert_eq!(outcome.applied, applied, "{to:?} {condition:?}");
        assert_eq!(after.version(), before.version() + u64::from(applied));
        assert_eq!(after.mod_revision() > before.mod_revision(), applied);
        assert_eq!(after.value(), b"v");
        assert_eq!(after.create_revision(), before.create_revision());
    }
}

#[test]
fn a_write_that_meets_an_expired_key_finds_it_gone_and_leaves_its_end_in_the_log() {
    let store = Store::new();
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.clock.advance(10);
    let before = store.engine.store_revision();
    let outcome = store
        .write(Mutation::set(b"k", b"new").only_if(Condition::Exists(false)))
        .expect("writable");
    assert!(outcome.applied && outcome.previous.is_none());
    let record = store.record("k").expect("there");
    assert_eq!(
        (record.version(), record.create_revision()),
        (1, outcome.revision)
    );
    assert_eq!(
        outcome.revision,
        before.plus(2),
        "its end has a revision of its own"
    );
    let store = store.restart();
    assert_eq!(store.get("k").as_deref(), Some("new"));
}

#[test]
fn an_expired_key_that_is_met_twice_is_removed_once() {
    let store = Store::new();
    store.set("other", "v");
    let baseline = store.engine.status().memory_bytes;
    store.write(until("k", Expiry::After(5))).expect("writable");
    store.clock.advance(5);
    let before = store.engine.store_revision();
    let answer = store.engine.look_all(&[b"k", b"k"]).expect("keys");
    assert_eq!(store.remove(&answer.due), before.next());
    assert_eq!(store.engine.status().memory_bytes, baseline);
    assert_eq!(store.restart().engine.status().memory_bytes, baseline);
}

#[test]
fn an_older_value_never_comes_back() {
    let store = Store::new();
    store.set("k", "old");
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.clock.advance(10);
    assert_eq!(store.get("k"), None);
    let store = store.restart();
    assert_eq!(store.get("k"), None);
    assert_eq!(store.engine.status().keys, 0);
}

#[test]
fn the_sweeper_takes_away_what_nobody_asks_for_and_the_memory_with_it() {
    let mut store = Store::new();
    let baseline = store.engine.status().memory_bytes;
    for i in 0..5_000 {
        let key = format!("k{i}");
        store
            .write(until(&key, Expiry::After(1_000)))
            .expect("writable");
        if i % 500 == 0 {
            store.turn();
        }
    }
    store.turn();
    assert_eq!(store.engine.sweep_turn(), 0, "nothing is due");
    store.clock.advance(1_000);
    let mut removed = 0;
    while let more @ 1.. = store.engine.sweep_turn() {
        removed += more;
        store.turn();
    }
    let status = store.engine.status();
    assert_eq!(
        (removed, status.keys, status.memory_bytes),
        (5_000, 0, baseline)
    );
    let store = store.restart();
    assert_eq!(store.engine.status().keys, 0);
}

#[test]
fn the_sweeper_has_permits_of_its_own() {
    let mut options = crate::support::options();
    options.limits.in_flight_units = 1;
    let mut store = Store::with(options);
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.turn();
    store.clock.advance(10);
    let waiting = store.engine.prepare(&Mutation::set(b"x", b"v"), None);
    let admitted = store.engine.try_admit(waiting.expect("valid"));
    assert_eq!(store.engine.sweep_turn(), 1, "callers hold all of theirs");
    drop(admitted);
    assert_eq!(store.engine.status().counters.expired, 1);
}

#[test]
fn the_sweeper_stops_when_the_log_has_failed() {
    let mut store = Store::new();
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.turn();
    store
        .disk
        .fail_next_sync_of("seg-00000000000000000001.kvlog");
    store.set("lost", "v");
    store.turn();
    assert!(store.engine.watermark().failure().is_some());
    store.clock.advance(10);
    assert_eq!(store.engine.sweep_turn(), 0);
    let answer = store.engine.look(b"k").expect("a key");
    assert!(answer.value.is_none(), "nobody sees it all the same");
    assert_eq!(answer.due.len(), 1, "and its removal is still owed");
}

#[test]
fn a_sweeper_that_comes_late_removes_nothing_that_was_written_since() {
    let store = Store::new();
    store
        .write(until("k", Expiry::After(10)))
        .expect("writable");
    store.clock.advance(10);
    let due = store.engine.look(b"k").expect("a key").due;
    store.write(Mutation::set(b"k", b"new")).expect("writable");
    store.remove(&due);
    assert_eq!(store.get("k").as_deref(), Some("new"));
}

#[test]
fn times_to_live_that_make_no_sense_are_refused() {
    let store = Store::new();
    for ms in [0, u64::MAX, 101 * 366 * 86_400_000] {
        let refused = store
            .write(until("k", Expiry::After(ms)))
            .expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::BadTtl);
        let refused = store.write(Mutation::expire(b"k", Expiry::After(ms)));
        assert_eq!(refused.expect_err("refused").kind(), ErrorKind::BadTtl);
    }
}
