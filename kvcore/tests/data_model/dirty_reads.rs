//! No answer at level DURABLE shows what a power cut can take back; at LATEST each of these
//! answers does, which shows that the cuts bite.

use kvcore::{Condition, Expiry, KeyRange, Mutation, PageLimit, Revision, TxnLimits, TxnOp};

use crate::support::Store;

/// A question whose answer depends on what is stored: the answer, and what it reveals.
type Question = fn(&Store) -> (String, Revision);

/// What is durable, what is changed and not synced, and what is asked then.
struct Row {
    name: &'static str,
    before: fn(&Store),
    change: fn(&Store),
    ask: Question,
}

fn page(store: &Store, range: &KeyRange) -> (String, Revision) {
    let limit = PageLimit {
        records: 10,
        bytes: 1000,
    };
    let page = store.engine.look_page(range, None, false, limit);
    let page = page.expect("a range");
    let revealed = page.revealed.max(store.remove(&page.due));
    (format!("{:?}", page.value.records), revealed)
}

fn get(store: &Store) -> (String, Revision) {
    let answer = store.engine.look(b"k").expect("a key");
    let revealed = answer.revealed.max(store.remove(&answer.due));
    (format!("{:?}", answer.value), revealed)
}

fn set(store: &Store) {
    store.set("k", "1");
}

fn delete(store: &Store) {
    store.write(Mutation::delete(b"k")).expect("writable");
}

fn text(store: &Store) {
    store.set("k", "text");
}

fn nothing(_: &Store) {}

fn mortal(store: &Store) {
    let mutation = Mutation::set_until(b"k", b"1", Expiry::After(1_000));
    store.write(mutation).expect("writable");
}

/// Time passes. After the cut the wall clock is behind, so only what was logged holds.
fn time(store: &Store) {
    store.clock.advance(1_000);
}

fn outcome(store: &Store, mutation: Mutation<'_>) -> (String, Revision) {
    let outcome = store.write(mutation).expect("writable");
    // After a cut the same question may find the way free, and change something.
    let shown = (outcome.revision > Revision::NONE, outcome.record);
    (format!("{shown:?}"), outcome.revealed)
}

fn refusal(store: &Store) -> (String, Revision) {
    match store.write(Mutation::increment(b"k", 1).only_if(Condition::Exists(true))) {
        Err(error) => (error.to_string(), error.revealed()),
        Ok(outcome) => (format!("{:?}", outcome.value), Revision(u64::MAX)),
    }
}

fn txn(store: &Store) -> (String, Revision) {
    let txn = kvcore::Txn {
        success: vec![
            TxnOp::Get { key: b"k" },
            TxnOp::RangeGet {
                range: KeyRange::all(),
                limit: 0,
                reverse: false,
            },
        ],
        ..kvcore::Txn::default()
    };
    let prepared = store.engine.prepare_txn(&txn, TxnLimits::default(), None);
    let outcome = store
        .commit(prepared.expect("valid"), kvcore::Engine::commit_txn)
        .expect("writable");
    (format!("{:?}", outcome.branch), outcome.revealed)
}

const ROWS: &[Row] = &[
    Row {
        name: "hit",
        before: nothing,
        change: set,
        ask: get,
    },
    Row {
        name: "miss after a delete",
        before: set,
        change: delete,
        ask: get,
    },
    Row {
        name: "expired and not swept",
        before: mortal,
        change: time,
        ask: get,
    },
    Row {
        name: "batch",
        before: set,
        change: delete,
        ask: |store| {
            let answer = store.engine.look_all(&[b"k", b"other"]).expect("keys");
            (format!("{:?}", answer.value), answer.revealed)
        },
    },
    Row {
        name: "scan row",
        before: nothing,
        change: set,
        ask: |store| page(store, &KeyRange::all()),
    },
    Row {
        name: "empty scan after a delete",
        before: set,
        change: delete,
        ask: |store| page(store, &KeyRange::prefix(b"k")),
    },
    Row {
        name: "scan past an expired key",
        before: mortal,
        change: time,
        ask: |store| page(store, &KeyRange::prefix(b"k")),
    },
    Row {
        name: "count",
        before: set,
        change: delete,
        ask: |store| {
            let answer = store.engine.look_count(&KeyRange::all(), None, 10);
            let answer = answer.expect("a range");
            (answer.value.count.to_string(), answer.revealed)
        },
    },
    Row {
        name: "failed condition on a present key",
        before: nothing,
        change: set,
        ask: |store| {
            outcome(
                store,
                Mutation::set(b"k", b"2").only_if(Condition::Exists(false)),
            )
        },
    },
    Row {
        name: "failed condition on an absent key",
        before: set,
        change: delete,
        ask: |store| {
            outcome(
                store,
                Mutation::set(b"k", b"2").only_if(Condition::Exists(true)),
            )
        },
    },
    Row {
        name: "delete of nothing",
        before: set,
        change: delete,
        ask: |store| outcome(store, Mutation::delete(b"k")),
    },
    Row {
        name: "expire of nothing",
        before: set,
        change: delete,
        ask: |store| outcome(store, Mutation::expire(b"k", Expiry::Never)),
    },
    Row {
        name: "error that depends on data",
        before: set,
        change: text,
        ask: refusal,
    },
    Row {
        name: "transaction that reads",
        before: nothing,
        change: set,
        ask: txn,
    },
    Row {
        name: "transaction that finds nothing",
        before: set,
        change: delete,
        ask: txn,
    },
];

#[test]
fn what_a_durable_answer_shows_a_power_cut_cannot_take_back() {
    let mut dirty_at_latest = 0;
    for row in ROWS {
        let mut store = Store::new();
        (row.before)(&store);
        store.turn();
        (row.change)(&store);
        let (shown, revealed) = (row.ask)(&store);
        let durable = store.engine.watermark().durable();
        assert!(
            revealed > durable,
            "{}: at DURABLE {shown} would be told at once",
            row.name
        );
        // At LATEST it is told; then the power goes before the sync.
        store.clock.jump_wall(-3_600_000);
        let store = store.crash();
        let (after, _) = (row.ask)(&store);
        dirty_at_latest += u32::from(after != shown);
    }
    assert_eq!(dirty_at_latest as usize, ROWS.len(), "every cut must bite");
}

#[test]
fn what_was_shown_after_its_sync_is_still_there_after_a_power_cut() {
    for row in ROWS {
        let mut store = Store::new();
        (row.before)(&store);
        store.turn();
        (row.change)(&store);
        let (shown, revealed) = (row.ask)(&store);
        store.turn();
        assert!(
            store.engine.watermark().durable() >= revealed,
            "{}",
            row.name
        );
        store.clock.jump_wall(-3_600_000);
        let store = store.crash();
        assert_eq!((row.ask)(&store).0, shown, "{}", row.name);
    }
}
