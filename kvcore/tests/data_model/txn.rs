//! Transactions: which branch runs, what its operations see, and that all of it happens or
//! nothing.

use kvcore::{
    Compare, Expire, ExpireCondition, Expiry, Increment, KeyRange, Operator, Revision, Target, Txn,
    TxnOp, TxnResult,
};

use Operator::{Equal, Greater, Less, NotEqual};

use crate::support::Store;

pub(crate) fn set<'a>(key: &'a str, value: &'a str) -> TxnOp<'a> {
    TxnOp::Set {
        key: key.as_bytes(),
        value: value.as_bytes(),
        expiry: Expiry::Never,
        return_previous: false,
    }
}

pub(crate) fn get(key: &str) -> TxnOp<'_> {
    TxnOp::Get {
        key: key.as_bytes(),
    }
}

pub(crate) fn delete(key: &str) -> TxnOp<'_> {
    TxnOp::Delete {
        key: key.as_bytes(),
        return_previous: false,
    }
}

pub(crate) fn increment(key: &str) -> TxnOp<'_> {
    TxnOp::Increment {
        key: key.as_bytes(),
        increment: Increment::default(),
    }
}

pub(crate) fn range_get(range: KeyRange, limit: usize, reverse: bool) -> TxnOp<'static> {
    TxnOp::RangeGet {
        range,
        limit,
        reverse,
    }
}

pub(crate) fn range_delete(range: KeyRange) -> TxnOp<'static> {
    TxnOp::RangeDelete { range, limit: 0 }
}

pub(crate) fn when(range: KeyRange, operator: Operator, target: Target<'_>) -> Compare<'_> {
    Compare {
        range,
        operator,
        target,
    }
}

pub(crate) fn doing(success: Vec<TxnOp<'_>>) -> Txn<'_> {
    Txn {
        success,
        ..Txn::default()
    }
}

fn value(result: &TxnResult) -> Option<String> {
    match result {
        TxnResult::Get(record) => record
            .as_ref()
            .map(|record| String::from_utf8_lossy(record.value()).into_owned()),
        other => panic!("not a get: {other:?}"),
    }
}

#[test]
fn the_branch_that_runs_is_that_of_the_compares() {
    let store = Store::new();
    store.set("k", "m");
    let record = store.record("k").expect("set");
    let (created, modified) = (record.create_revision(), record.mod_revision());
    let present = [
        (Equal, Target::Version(1), true),
        (Greater, Target::Version(0), true),
        (Less, Target::Version(1), false),
        (NotEqual, Target::CreateRevision(created), false),
        (Equal, Target::ModRevision(modified), true),
        (Greater, Target::ModRevision(modified), false),
        (Equal, Target::Value(b"m"), true),
        (Less, Target::Value(b"n"), true),
        (Greater, Target::Value(b"n"), false),
        (NotEqual, Target::Value(b"m"), false),
        (Equal, Target::Lease(0), true),
        (Equal, Target::Exists(true), true),
        (NotEqual, Target::Exists(true), false),
    ];
    let absent = [
        (Equal, Target::Version(0), true),
        (Equal, Target::CreateRevision(Revision::NONE), true),
        (Less, Target::ModRevision(Revision(1)), true),
        (Equal, Target::Value(b""), false),
        (NotEqual, Target::Value(b"x"), false),
        (Equal, Target::Exists(false), true),
    ];
    let rows = present.map(|row| ("k", row)).into_iter();
    for (key, (operator, target, holds)) in rows.chain(absent.map(|row| ("none", row))) {
        let txn = Txn {
            compares: vec![when(KeyRange::key(key.as_bytes()), operator, target)],
            success: vec![get("k")],
            failure: vec![],
        };
        let outcome = store.txn(&txn).expect("valid");
        assert_eq!(
            outcome.branch.succeeded, holds,
            "{key} {operator:?} {target:?}"
        );
        assert_eq!(outcome.branch.results.len(), usize::from(holds));
        assert_eq!(outcome.revision, Revision::NONE, "a read takes no revision");
    }
}

#[test]
fn a_compare_of_a_range_holds_for_every_key_and_of_none_as_of_one_absent() {
    let store = Store::new();
    store.set("p1", "a");
    store.set("p2", "b");
    store.set("p2", "b");
    for (prefix, operator, target, holds) in [
        ("p", Greater, Target::Version(0), true),
        ("p", Equal, Target::Version(1), false),
        ("p", Equal, Target::Exists(true), true),
        ("p", Equal, Target::Exists(false), false),
        ("none", Equal, Target::Exists(false), true),
        ("none", Equal, Target::Version(0), true),
        ("none", Equal, Target::Value(b""), false),
    ] {
        let txn = Txn {
            compares: vec![when(KeyRange::prefix(prefix.as_bytes()), operator, target)],
            ..Txn::default()
        };
        let succeeded = store.txn(&txn).expect("valid").branch.succeeded;
        assert_eq!(succeeded, holds, "{prefix} {target:?}");
    }
}

#[test]
fn reads_see_what_earlier_operations_have_written() {
    let store = Store::new();
    store.set("a", "old");
    store.set("b", "old");
    let all = KeyRange::all();
    let txn = doing(vec![
        get("a"),
        set("a", "new"),
        get("a"),
        delete("b"),
        get("b"),
        set("c", "made"),
        range_get(all.clone(), 0, false),
        range_get(all.clone(), 1, true),
        increment("n"),
        get("n"),
    ]);
    let outcome = store.txn(&txn).expect("valid");
    let results = &outcome.branch.results;
    assert_eq!(value(&results[0]).as_deref(), Some("old"));
    assert_eq!(value(&results[2]).as_deref(), Some("new"));
    assert_eq!(value(&results[4]), None);
    assert_eq!(value(&results[9]).as_deref(), Some("1"));
    let TxnResult::Get(Some(own)) = &results[2] else {
        panic!("{results:?}")
    };
    assert_eq!((own.mod_revision(), own.version()), (outcome.revision, 2));
    let keys = |result: &TxnResult| match result {
        TxnResult::RangeGet { records, more } => {
            let keys = records
                .iter()
                .map(|r| String::from_utf8_lossy(r.key()).into_owned());
            (keys.collect::<Vec<_>>(), *more)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        keys(&results[6]),
        (vec!["a".to_owned(), "c".to_owned()], false)
    );
    assert_eq!(keys(&results[7]), (vec!["c".to_owned()], true));
}

#[test]
fn a_range_delete_sees_earlier_writes_and_is_seen_by_later_reads() {
    let store = Store::new();
    for key in ["p1", "p2", "q"] {
        store.set(key, "v");
    }
    let prefix = KeyRange::prefix(b"p");
    let txn = doing(vec![
        range_delete(KeyRange::span(b"p1", b"p2")),
        range_delete(prefix.clone()),
        range_get(KeyRange::all(), 0, false),
    ]);
    let outcome = store.txn(&txn).expect("valid");
    let counts: Vec<u64> = outcome.branch.results[..2]
        .iter()
        .map(|result| match result {
            TxnResult::RangeDelete { deleted, .. } => *deleted,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [1, 1]);
    let store = store.restart();
    assert_eq!(store.keys(&KeyRange::all(), false, 10), ["q"]);
}

#[test]
fn a_transaction_is_one_revision_and_all_or_nothing_across_a_restart() {
    let mut store = Store::new();
    store.turn();
    let txn = doing((0..100).map(|_| ()).map(|()| get("x")).collect());
    store.txn(&txn).expect("reads only");
    let keys: Vec<String> = (0..50).map(|i| format!("k{i}")).collect();
    let txn = doing(keys.iter().map(|key| set(key, "v")).collect());
    let before = store.engine.store_revision();
    let outcome = store.txn(&txn).expect("valid");
    assert_eq!(outcome.revision, before.next());
    for key in &keys {
        assert_eq!(
            store.record(key).expect("set").mod_revision(),
            outcome.revision
        );
    }
    let store = store.restart();
    assert_eq!(store.engine.status().keys, 50);
}

#[test]
fn nested_compares_are_judged_on_the_state_before() {
    let store = Store::new();
    let inner = Txn {
        compares: vec![when(KeyRange::key(b"k"), Equal, Target::Exists(true))],
        success: vec![set("was", "there")],
        failure: vec![set("was", "absent")],
    };
    let txn = doing(vec![set("k", "v"), TxnOp::Txn(inner)]);
    let outcome = store.txn(&txn).expect("valid");
    let TxnResult::Txn(branch) = &outcome.branch.results[1] else {
        panic!("{outcome:?}")
    };
    assert!(!branch.succeeded);
    assert_eq!(store.get("was").as_deref(), Some("absent"));
}

#[test]
fn an_expired_key_counts_as_absent_and_ends_first() {
    let store = Store::new();
    let mortal = kvcore::Mutation::set_until(b"k", b"v", Expiry::After(10));
    store.write(mortal).expect("writable");
    store.clock.advance(10);
    let txn = Txn {
        compares: vec![when(KeyRange::key(b"k"), Equal, Target::Exists(false))],
        success: vec![increment("k"), range_get(KeyRange::all(), 0, false)],
        failure: vec![],
    };
    let before = store.engine.store_revision();
    let outcome = store.txn(&txn).expect("valid");
    assert!(outcome.branch.succeeded);
    assert_eq!(outcome.revision, before.plus(2));
    assert_eq!(store.record("k").expect("made").version(), 1);
}

#[test]
fn expire_inside_a_transaction_works_on_the_time_of_its_locks() {
    let store = Store::new();
    store.set("k", "v");
    let expire = TxnOp::Expire {
        key: b"k",
        expire: Expire {
            to: Expiry::After(100),
            condition: ExpireCondition::IfNone,
        },
    };
    let outcome = store
        .txn(&doing(vec![expire.clone(), get("k")]))
        .expect("valid");
    assert!(matches!(
        outcome.branch.results[0],
        TxnResult::Expire {
            applied: true,
            found: true,
            ..
        }
    ));
    let again = store.txn(&doing(vec![expire])).expect("valid");
    assert!(matches!(
        again.branch.results[0],
        TxnResult::Expire {
            applied: false,
            found: true,
            ..
        }
    ));
    store.clock.advance(100);
    assert_eq!(store.get("k"), None);
}
