//! Requests with an id: applied once, however often they come.

use kvcore::{ErrorKind, Expiry, KeyRange, Mutation, RequestId, TxnOp, TxnResult};

use crate::support::{Store, options, request};

#[test]
fn a_repeat_is_answered_as_the_first_and_not_applied() {
    let mut store = Store::new();
    let once = || store.write_as(Mutation::increment(b"n", 5), request("id", 1));
    let first = once().expect("writable");
    let again = once().expect("writable");
    assert!(!first.replayed && again.replayed);
    assert_eq!((again.value, again.revision), (Some(5), first.revision));
    assert_eq!(again.revealed, first.revision, "it waits like the first");
    assert!(again.record.is_none() && again.previous.is_none());
    assert_eq!(store.get("n").as_deref(), Some("5"));
    store.turn();
    assert!(
        !store
            .write_as(Mutation::increment(b"n", 5), request("other", 1))
            .unwrap()
            .replayed
    );
}

#[test]
fn an_id_that_was_used_for_another_request_is_refused() {
    let store = Store::new();
    let first = store
        .write_as(Mutation::set(b"k", b"1"), request("id", 1))
        .expect("writable");
    let refused = store
        .write_as(Mutation::set(b"k", b"2"), request("id", 2))
        .expect_err("another body");
    assert_eq!(refused.kind(), ErrorKind::RequestIdReused);
    assert_eq!(refused.revealed(), first.revision);
    assert_eq!(store.get("k").as_deref(), Some("1"));
}

#[test]
fn what_was_not_applied_is_not_remembered() {
    let store = Store::new();
    let delete = || {
        store
            .write_as(Mutation::delete(b"k"), request("id", 1))
            .expect("writable")
    };
    assert!(!delete().applied);
    store.set("k", "v");
    let second = delete();
    assert!(
        second.applied && !second.replayed,
        "the first changed nothing"
    );
    assert!(delete().replayed);
}

#[test]
fn what_is_remembered_survives_a_restart_exactly_if_the_change_does() {
    let mut store = Store::new();
    store
        .write_as(Mutation::increment(b"a", 1), request("durable", 1))
        .expect("writable");
    store.turn();
    store
        .write_as(Mutation::increment(b"b", 1), request("lost", 1))
        .expect("writable");
    let store = store.crash();
    let repeat = |key, id| {
        let outcome = store.write_as(Mutation::increment(key, 1), request(id, 1));
        let outcome = outcome.expect("writable");
        (outcome.replayed, outcome.value)
    };
    assert_eq!(repeat(b"a", "durable"), (true, Some(1)));
    assert_eq!(repeat(b"b", "lost"), (false, Some(1)));
}

#[test]
fn items_of_a_request_are_remembered_one_by_one() {
    let store = Store::new();
    let item = |item| RequestId {
        id: b"batch",
        fingerprint: 9,
        item,
    };
    for i in 0..3 {
        let outcome = store
            .write_as(Mutation::increment(b"n", 1), item(i))
            .expect("writable");
        assert!(!outcome.replayed);
    }
    assert!(
        store
            .write_as(Mutation::increment(b"n", 1), item(1))
            .unwrap()
            .replayed
    );
    assert_eq!(store.get("n").as_deref(), Some("3"));
}

#[test]
fn a_transaction_is_remembered_with_its_branch_and_its_counters() {
    let store = Store::new();
    let txn = kvcore::Txn {
        success: vec![
            TxnOp::Get { key: b"k" },
            TxnOp::Increment {
                key: b"n",
                increment: kvcore::Increment::default(),
            },
            TxnOp::Delete {
                key: b"gone",
                return_previous: true,
            },
        ],
        ..kvcore::Txn::default()
    };
    store.set("gone", "v");
    let first = store.txn_as(&txn, request("t", 1)).expect("writable");
    let store = store.restart();
    let again = store.txn_as(&txn, request("t", 1)).expect("writable");
    assert!(again.replayed && again.branch.succeeded);
    assert_eq!(again.revision, first.revision);
    let [
        TxnResult::Get(None),
        TxnResult::Increment { value: 1, .. },
        deleted,
    ] = &again.branch.results[..]
    else {
        panic!("{again:?}")
    };
    assert!(matches!(
        deleted,
        TxnResult::Delete {
            deleted: true,
            previous: None
        }
    ));
    assert_eq!(store.get("n").as_deref(), Some("1"));
}

#[test]
fn a_range_delete_is_remembered_with_its_count() {
    let store = Store::new();
    for key in ["a", "b", "c"] {
        store.set(key, "v");
    }
    let once = || {
        let prepared =
            store
                .engine
                .prepare_range_delete(&KeyRange::all(), 2, Some(request("r", 1)));
        store.commit(
            prepared.expect("valid"),
            kvcore::Engine::commit_range_delete,
        )
    };
    let first = once().expect("writable");
    assert_eq!(
        (first.deleted, first.more, first.replayed),
        (2, true, false)
    );
    let again = once().expect("writable");
    assert_eq!((again.deleted, again.more, again.replayed), (2, true, true));
    assert_eq!(store.keys(&KeyRange::all(), false, 10), ["c"]);
}

#[test]
fn a_chunk_that_emptied_its_range_is_remembered_too() {
    let store = Store::new();
    store.set("a", "v");
    let once = || {
        let prepared = store
            .engine
            .prepare_chunk(&KeyRange::all(), 0, Some(request("c", 1)))
            .expect("valid")
            .expect("a request may have been answered before");
        store
            .commit(prepared, kvcore::Engine::commit_range_delete)
            .expect("writable")
    };
    assert_eq!((once().deleted, once().deleted), (1, 1));
    assert!(once().replayed);
    let nothing = store.engine.prepare_chunk(&KeyRange::all(), 0, None);
    assert!(nothing.expect("valid").is_none());
}

#[test]
fn the_window_forgets_what_is_too_old() {
    let mut options = options();
    options.limits.request_id_ms = 1_000;
    let store = Store::with(options);
    store
        .write_as(Mutation::increment(b"n", 1), request("id", 1))
        .expect("writable");
    store.clock.advance(1_000);
    assert!(
        store
            .write_as(Mutation::increment(b"n", 1), request("id", 1))
            .unwrap()
            .replayed
    );
    store.clock.advance(1_000);
    // A window is swept when a request comes to the same place.
    for i in 0..1_000 {
        let id = format!("other {i}");
        store
            .write_as(Mutation::increment(b"m", 1), request(&id, 1))
            .expect("writable");
    }
    let late = store
        .write_as(Mutation::increment(b"n", 1), request("id", 1))
        .expect("writable");
    assert!(!late.replayed);
}

#[test]
fn ids_are_bounded() {
    let store = Store::new();
    for len in [0, 65] {
        let id = "x".repeat(len);
        let refused = store.write_as(Mutation::delete(b"k"), request(&id, 1));
        assert_eq!(
            refused.expect_err("refused").kind(),
            ErrorKind::BadRequestId
        );
    }
}

#[test]
fn a_repeat_of_an_expiry_is_answered_too() {
    let store = Store::new();
    store.set("k", "v");
    let expire = || store.write_as(Mutation::expire(b"k", Expiry::After(100)), request("e", 1));
    let first = expire().expect("writable");
    store.clock.advance(50);
    assert!(expire().expect("writable").replayed);
    let deadline = store.record("k").expect("there").deadline_ms();
    assert_eq!(
        first.record.expect("there").deadline_ms(),
        deadline,
        "it was not extended"
    );
}
