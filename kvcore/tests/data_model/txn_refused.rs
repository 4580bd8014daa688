//! Transactions that are refused or fail: what is named, and that nothing is applied.

use kvcore::Operator::{Equal, Less};
use kvcore::{ErrorKind, Expiry, KeyRange, Target, Txn, TxnLimits, TxnOp};

use crate::support::Store;
use crate::txn::{delete, doing, get, increment, range_delete, range_get, set, when};

#[test]
fn an_operation_that_fails_fails_all_and_is_named() {
    let store = Store::new();
    store.set("text", "abc");
    let txn = doing(vec![
        set("k", "v"),
        TxnOp::Txn(doing(vec![get("k"), increment("text")])),
    ]);
    let before = store.engine.store_revision();
    let refused = store.txn(&txn).expect_err("text is no number");
    assert_eq!(refused.kind(), ErrorKind::NotAnInteger);
    assert_eq!(refused.operation_index(), Some(1));
    assert_eq!(refused.place(), "success[1].txn.success[1]");
    assert_eq!(refused.revealed(), before);
    assert_eq!(store.engine.store_revision(), before);
    assert_eq!(store.get("k"), None);
    assert_eq!(
        store.engine.status().in_flight_units,
        1,
        "the set of text alone"
    );
}

#[test]
fn a_failing_operation_reveals_what_the_compares_saw() {
    let mut store = Store::new();
    store.set("n", "text");
    store.turn();
    let newest = store.set("k", "x").revision;
    let txn = Txn {
        compares: vec![when(KeyRange::key(b"k"), Equal, Target::Value(b"x"))],
        success: vec![increment("n")],
        failure: vec![],
    };
    let refused = store.txn(&txn).expect_err("text is no number");
    assert!(refused.revealed() >= newest, "which list ran tells of k");
}

#[test]
fn duplicates_are_refused_within_a_list_and_not_across_lists() {
    let store = Store::new();
    let nested = |ops| TxnOp::Txn(doing(ops));
    let refused = [
        vec![set("k", "1"), set("k", "2")],
        vec![set("k", "1"), delete("k")],
        vec![set("k", "1"), range_delete(KeyRange::prefix(b"k"))],
        vec![range_delete(KeyRange::all()), increment("k")],
        vec![set("k", "1"), nested(vec![get("a"), set("k", "2")])],
        vec![nested(vec![set("k", "1")]), nested(vec![delete("k")])],
    ];
    for ops in refused {
        let error = store.txn(&doing(ops.clone())).expect_err("a duplicate");
        assert_eq!(error.kind(), ErrorKind::DuplicateKey, "{ops:?}");
        assert_eq!(error.operation_index(), Some(1), "{ops:?}");
    }
    let both = Txn {
        compares: vec![],
        success: vec![set("k", "1")],
        failure: vec![set("k", "2")],
    };
    let allowed = [
        doing(vec![TxnOp::Txn(both.clone())]),
        both,
        doing(vec![get("k"), set("k", "1"), get("k")]),
        doing(vec![
            range_delete(KeyRange::prefix(b"a")),
            range_delete(KeyRange::all()),
        ]),
    ];
    for txn in allowed {
        store.txn(&txn).expect("no duplicate");
    }
}

#[test]
fn limits_hold_for_all_lists_together() {
    let store = Store::new();
    let many = |n: usize| (0..n).map(|_| get("k")).collect::<Vec<_>>();
    let txn = Txn {
        compares: vec![],
        success: many(600),
        failure: vec![TxnOp::Txn(doing(many(424)))],
    };
    let refused = store.txn(&txn).expect_err("1,025 operations");
    assert_eq!(refused.kind(), ErrorKind::TooManyOperations);
    let mut deep = doing(vec![get("k")]);
    for _ in 0..8 {
        deep = doing(vec![TxnOp::Txn(deep)]);
    }
    store.txn(&deep).expect("as deep as may be");
    deep = doing(vec![TxnOp::Txn(deep)]);
    assert_eq!(
        store.txn(&deep).expect_err("too deep").kind(),
        ErrorKind::NestedTooDeep
    );
    let large = "x".repeat(60 << 10);
    let keys: Vec<String> = (0..5).map(|i| format!("k{i}")).collect();
    let txn = doing(keys.iter().map(|key| set(key, &large)).collect());
    assert_eq!(
        store.txn(&txn).expect_err("too large").kind(),
        ErrorKind::UnitTooLarge
    );
    let order = when(KeyRange::key(b"k"), Less, Target::Exists(true));
    let txn = Txn {
        compares: vec![order],
        ..Txn::default()
    };
    assert_eq!(
        store.txn(&txn).expect_err("no order").kind(),
        ErrorKind::BadNumber
    );
}

#[test]
fn a_reply_over_the_limit_is_refused_before_anything_is_applied() {
    let store = Store::new();
    for key in ["a", "b"] {
        store.set(key, &"x".repeat(1000));
    }
    let limits = TxnLimits { reply_bytes: 1500 };
    let attempt = |ops: Vec<TxnOp<'_>>| {
        let prepared = store
            .engine
            .prepare_txn(&doing(ops), limits, None)
            .expect("valid");
        store.commit(prepared, kvcore::Engine::commit_txn)
    };
    let refused = attempt(vec![set("c", "v"), range_get(KeyRange::all(), 0, false)]);
    assert_eq!(
        refused.expect_err("too large").kind(),
        ErrorKind::ReplyTooLarge
    );
    assert_eq!(store.get("c"), None);
    attempt(vec![get("a")]).expect("one record may be of any size");
    let with_previous = |key| TxnOp::Set {
        key,
        value: b"v",
        expiry: Expiry::Never,
        return_previous: true,
    };
    let refused = attempt(vec![with_previous(b"a"), with_previous(b"b")]);
    assert_eq!(
        refused.expect_err("too large").kind(),
        ErrorKind::ReplyTooLarge
    );
}
