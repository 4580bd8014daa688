//! What the threads do, and what must hold however they are woven together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kvcore::watch::{
    Budget, Dispatcher, Filter, Hits, Level, Message, OnCompacted, Turn as Told, Want,
};
use kvcore::{
    Compare, Expiry, Increment, KeyRange, Mutation, Operator, Revision, Target, Txn, TxnOp,
    WatchFrom,
};

use crate::support::{Store, store};

type Body = Box<dyn FnOnce(Store) + Send>;

fn set(key: &'static [u8], value: &'static [u8]) -> TxnOp<'static> {
    TxnOp::Set {
        key,
        value,
        expiry: Expiry::Never,
        return_previous: false,
    }
}

/// Everything at once on a few keys; afterwards log, memory and index must agree.
pub(crate) fn mixed() {
    let (store, rest) = store();
    store.write(Mutation::set(b"p1", b"0"));
    store.write(Mutation::set_until(b"p2", b"0", Expiry::After(10)));
    let sweeper: Body = Box::new(|store| {
        store.clock.advance(10);
        store.engine.sweep_turn();
        store.keys(&KeyRange::all(), 2);
    });
    let single: Body = Box::new(|store| {
        store.write(Mutation::increment(b"p1", 1));
        store.write(Mutation::delete(b"p1"));
        store.write(Mutation::set_until(b"p3", b"v", Expiry::After(5)));
        store.write(Mutation::expire(b"p3", Expiry::Never));
        store.write_as(Mutation::increment(b"n", 1), b"id");
    });
    let several: Body = Box::new(|store| {
        store.txn(&Txn {
            success: vec![
                TxnOp::Increment {
                    key: b"p1",
                    increment: Increment::default(),
                },
                set(b"p2", b"t"),
                TxnOp::RangeDelete {
                    range: KeyRange::key(b"p3"),
                    limit: 0,
                },
            ],
            ..Txn::default()
        });
        store.delete_range(&KeyRange::prefix(b"p"));
        store.write(Mutation::set(b"p1", b"7"));
        store.write_as(Mutation::increment(b"n", 1), b"id");
    });
    store.run(vec![sweeper, single, several]);
    assert_eq!(store.get(b"n").0.expect("counted").value(), b"1");
    rest.check(store);
}

/// Two clients each enter a range if nobody is in it.
pub(crate) fn write_skew() {
    let (store, rest) = store();
    let entered = Arc::new(AtomicU64::new(0));
    let enter = |key: &'static [u8]| -> Body {
        let entered = entered.clone();
        Box::new(move |store| {
            let outcome = store.txn(&Txn {
                compares: vec![Compare {
                    range: KeyRange::prefix(b"room/"),
                    operator: Operator::Equal,
                    target: Target::Exists(false),
                }],
                success: vec![set(key, b"here")],
                failure: vec![],
            });
            entered.fetch_add(outcome.branch.succeeded.into(), Ordering::SeqCst);
        })
    };
    store.run(vec![enter(b"room/a"), enter(b"room/b"), enter(b"room/c")]);
    assert_eq!(entered.load(Ordering::SeqCst), 1, "one may enter");
    rest.check(store);
}

/// Two keys always change together; whoever reads both in one view sees them equal.
pub(crate) fn half_seen() {
    let (store, rest) = store();
    let both = |value: &'static [u8]| Txn {
        success: vec![set(b"left", value), set(b"right", value)],
        ..Txn::default()
    };
    store.txn(&both(b"0"));
    let writer: Body = Box::new(move |store| {
        store.txn(&both(b"1"));
        store.txn(&both(b"2"));
    });
    let reader: Body = Box::new(|store| {
        for _ in 0..2 {
            let seen = store.engine.look_all(&[b"left", b"right"]).expect("valid");
            let [Some(left), Some(right)] = &seen.value[..] else {
                panic!("both are always there")
            };
            assert_eq!(left.value(), right.value(), "half a transaction");
            assert_eq!(left.mod_revision(), right.mod_revision());
        }
    });
    store.run(vec![writer, reader]);
    rest.check(store);
}

/// A client repeats a request before the first has been answered.
pub(crate) fn one_request() {
    let (store, rest) = store();
    let replayed = Arc::new(AtomicU64::new(0));
    let ask = || -> Body {
        let replayed = replayed.clone();
        Box::new(move |store| {
            let outcome = store.write_as(Mutation::increment(b"n", 1), b"one");
            assert_eq!(outcome.value, Some(1));
            replayed.fetch_add(outcome.replayed.into(), Ordering::SeqCst);
        })
    };
    store.run(vec![ask(), ask(), ask()]);
    assert_eq!(replayed.load(Ordering::SeqCst), 2);
    rest.check(store);
}

/// Whoever has seen a key finds it in a scan as well.
pub(crate) fn seen_key_is_scanned() {
    let (store, rest) = store();
    store.write(Mutation::set(b"before", b"v"));
    let writer: Body = Box::new(|store| {
        store.write(Mutation::set(b"key", b"v"));
        store.write(Mutation::set(b"key", b"w"));
        store.write(Mutation::delete(b"before"));
        store.write(Mutation::set(b"before", b"v"));
    });
    let reader: Body = Box::new(|store| {
        for _ in 0..3 {
            if store.get(b"key").0.is_some() {
                let keys = store.keys(&KeyRange::all(), 1);
                assert!(
                    keys.contains(&b"key".to_vec()),
                    "it was there before the scan"
                );
            }
        }
    });
    store.run(vec![writer, reader]);
    assert_eq!(store.keys(&KeyRange::all(), 9).len(), 2);
    rest.check(store);
}

/// Two keys end at one moment. Once the end of one has a place in the order, whatever comes
/// later in the order must find the other gone as well.
pub(crate) fn one_deadline() {
    let (store, rest) = store();
    for key in [b"one", b"two"] {
        store.write(Mutation::set_until(key, b"41", Expiry::After(10)));
    }
    let ended = Arc::new(AtomicU64::new(u64::MAX));
    let counted = Arc::new(AtomicU64::new(0));
    let watcher: Body = {
        let ended = ended.clone();
        Box::new(move |store| {
            store.clock.advance(10);
            let (record, revealed) = store.get(b"one");
            assert!(record.is_none());
            ended.store(revealed.0, Ordering::SeqCst);
        })
    };
    let counter: Body = {
        let counted = counted.clone();
        Box::new(move |store| {
            let outcome = store.write(Mutation::increment(b"two", 1));
            if outcome.value == Some(42) {
                counted.store(outcome.revision.0, Ordering::SeqCst);
            }
        })
    };
    store.run(vec![watcher, counter]);
    let (ended, counted) = (ended.load(Ordering::SeqCst), counted.load(Ordering::SeqCst));
    assert!(
        counted < ended,
        "{counted} met a value that had ended by {ended}"
    );
    rest.check(store);
}

/// A watch is entered while changes are made, logged and dispatched. From the first revision
/// that it says it can tell of, it tells each one once.
pub(crate) fn registration() {
    let (store, rest) = store();
    store.write(Mutation::set(b"key", b"before"));
    let rest = Arc::new(Mutex::new(Some(rest)));
    let dispatcher: Arc<Dispatcher<Arc<Hits>>> = Arc::new(store.engine.dispatcher(Level::Latest));
    let want = || Want {
        range: KeyRange::prefix(b"k"),
        filter: Filter::default(),
        level: Level::Latest,
        on_compacted: OnCompacted::Cancel,
    };
    let watch = Arc::new(Mutex::new(None));
    let writer: Body = {
        let (rest, dispatcher) = (rest.clone(), dispatcher.clone());
        Box::new(move |store| {
            let mut taken = rest.lock().expect("alone").take().expect("put back");
            for value in [b"1", b"2", b"3", b"4"] {
                store.write(Mutation::set(b"key", value));
                taken.turn();
                while dispatcher.dispatch() {}
            }
            *rest.lock().expect("alone") = Some(taken);
        })
    };
    let watcher: Body = {
        let (watch, dispatcher) = (watch.clone(), dispatcher.clone());
        Box::new(move |store| {
            // One that ends at once, so that publishing begins, stops and begins again.
            drop(store.engine.open_watch(want(), WatchFrom::Now));
            let mut one = store
                .engine
                .open_watch(want(), WatchFrom::Now)
                .expect("now is always possible");
            let (hits, _) = dispatcher.enter(&KeyRange::prefix(b"k"), |hits| hits);
            one.follow(hits);
            *watch.lock().expect("alone") = Some(one);
        })
    };
    store.run(vec![writer, watcher]);
    let mut rest = rest.lock().expect("alone").take().expect("put back");
    rest.turn();
    while dispatcher.dispatch() {}
    let mut watch = watch.lock().expect("alone").take().expect("entered");
    let first = watch.start().expect("it begins with a revision");
    let mut told: Vec<Revision> = Vec::new();
    let budget = Budget {
        events: 2,
        bytes: 1 << 10,
    };
    loop {
        let turn = match watch.poll(budget) {
            Told::Read => watch.read(&store.engine, budget).expect("the log is there"),
            turn => turn,
        };
        match turn {
            Told::Message(Message::Events(batch)) => {
                told.extend(batch.events.iter().map(|event| event.revision));
            }
            Told::Idle(_) => break,
            Told::Again | Told::Read => {}
            other => panic!("{other:?}"),
        }
    }
    let all: Vec<Revision> = (first.0..=store.engine.store_revision().0)
        .map(Revision)
        .collect();
    assert_eq!(told, all, "each once, from {first} on");
    drop((watch, dispatcher));
    rest.check(store);
}
