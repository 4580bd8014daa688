//! Conditions and counters.

use kvcore::{Condition, ErrorKind, Expiry, Increment, Mutation, Revision};

use crate::support::Store;

fn increment(change: Increment) -> Mutation<'static> {
    let mut mutation = Mutation::increment(b"n", 1);
    mutation.action = kvcore::Action::Increment(change);
    mutation
}

#[test]
fn every_condition_decides_on_what_the_key_holds_and_the_loser_sees_it() {
    let store = Store::new();
    let absent = [
        (Condition::Exists(false), true),
        (Condition::Exists(true), false),
        (Condition::ModRevision(Revision::NONE), true),
        (Condition::ModRevision(Revision(2)), false),
        (Condition::CreateRevision(Revision::NONE), true),
        (Condition::Version(0), true),
        (Condition::Version(1), false),
        (Condition::Value(b""), false),
    ];
    for (condition, holds) in absent {
        let key = format!("new {condition:?}");
        let mutation = Mutation::set(key.as_bytes(), b"v").only_if(condition);
        let outcome = store.write(mutation).expect("writable");
        assert_eq!(
            (outcome.applied, store.get(&key).is_some()),
            (holds, holds),
            "{key}"
        );
    }
    store.set("k", "one");
    let created = store.record("k").expect("set").create_revision();
    let modified = store.set("k", "two").revision;
    let refused = [
        Condition::Exists(false),
        Condition::ModRevision(created),
        Condition::CreateRevision(modified),
        Condition::Version(1),
        Condition::Value(b"one"),
    ];
    for condition in refused {
        let before = store.engine.store_revision();
        for mutation in [Mutation::delete(b"k"), Mutation::set(b"k", b"three")] {
            let outcome = store.write(mutation.only_if(condition)).expect("writable");
            let current = outcome.record.expect("the loser sees the current record");
            assert!(!outcome.applied, "{condition:?}");
            assert_eq!(
                (current.value(), current.mod_revision()),
                (&b"two"[..], modified)
            );
        }
        assert_eq!(
            store.engine.store_revision(),
            before,
            "nothing took a revision"
        );
    }
}

#[test]
fn conditions_that_hold_let_the_write_through() {
    let store = Store::new();
    let first = store.set("k", "1").revision;
    for (condition, value) in [
        (Condition::CreateRevision(first), "2"),
        (Condition::Version(2), "3"),
        (Condition::Value(b"3"), "4"),
        (Condition::Exists(true), "5"),
    ] {
        let mutation = Mutation::set(b"k", value.as_bytes()).only_if(condition);
        assert!(
            store.write(mutation).expect("writable").applied,
            "{condition:?}"
        );
        assert_eq!(store.get("k").as_deref(), Some(value));
    }
}

#[test]
fn a_counter_counts_and_keeps_its_numbers_and_its_expiry() {
    let store = Store::new();
    let outcome = store.write(Mutation::increment(b"n", 5)).expect("writable");
    assert_eq!(
        (outcome.value, store.get("n").as_deref()),
        (Some(5), Some("5"))
    );
    let ttl = Mutation::expire(b"n", Expiry::After(1000));
    assert!(store.write(ttl).expect("writable").applied);
    let deadline = store.record("n").expect("there").deadline_ms();
    let outcome = store
        .write(Mutation::increment(b"n", -7))
        .expect("writable");
    assert_eq!(outcome.value, Some(-2));
    let record = store.record("n").expect("there");
    assert_eq!((record.version(), record.deadline_ms()), (3, deadline));
    assert_eq!(outcome.previous.expect("it was there").value(), b"5");
}

#[test]
fn a_missing_counter_begins_at_its_initial_value_with_its_expiry() {
    let store = Store::new();
    let change = Increment {
        delta: 2,
        initial: 40,
        expiry: Expiry::After(500),
        ..Increment::default()
    };
    assert_eq!(
        store.write(increment(change)).expect("writable").value,
        Some(42)
    );
    assert_ne!(store.record("n").expect("there").deadline_ms(), 0);
    store.clock.advance(500);
    assert_eq!(
        store.write(increment(change)).expect("writable").value,
        Some(42)
    );
}

#[test]
fn overflow_and_bounds_are_refused_without_a_change_or_saturate() {
    let store = Store::new();
    store.set("n", &i64::MAX.to_string());
    let before = store.engine.store_revision();
    let refused = store
        .write(Mutation::increment(b"n", 1))
        .expect_err("overflow");
    assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    assert_eq!(
        refused.revealed(),
        before,
        "the refusal tells what is stored"
    );
    assert_eq!(store.engine.store_revision(), before);

    store.set("n", "9");
    let bounded = Increment {
        delta: 5,
        min: 0,
        max: 10,
        ..Increment::default()
    };
    let refused = store.write(increment(bounded)).expect_err("a bound");
    assert!(refused.to_string().contains("0 to 10"), "{refused}");
    let capped = Increment {
        saturate: true,
        ..bounded
    };
    assert_eq!(
        store.write(increment(capped)).expect("writable").value,
        Some(10)
    );
    let down = Increment {
        delta: i64::MIN,
        ..capped
    };
    assert_eq!(
        store.write(increment(down)).expect("writable").value,
        Some(0)
    );
}

#[test]
fn what_is_no_integer_is_not_counted() {
    let store = Store::new();
    for text in [
        "",
        "x",
        "1.5",
        " 1",
        "1 ",
        "+1",
        "01",
        "-0",
        "-",
        "9223372036854775808",
    ] {
        store.set("n", text);
        let refused = store.write(Mutation::increment(b"n", 1)).expect_err(text);
        assert_eq!(refused.kind(), ErrorKind::NotAnInteger, "{text}");
        assert_eq!(store.get("n").as_deref(), Some(text));
    }
    for (text, after) in [("0", 1), ("-1", 0), ("-9223372036854775808", i64::MIN + 1)] {
        store.set("n", text);
        let outcome = store.write(Mutation::increment(b"n", 1)).expect(text);
        assert_eq!(outcome.value, Some(after));
    }
}

#[test]
fn increments_that_make_no_sense_are_refused_before_anything() {
    let store = Store::new();
    let zero = Increment {
        delta: 0,
        ..Increment::default()
    };
    let crossed = Increment {
        min: 1,
        max: 0,
        ..Increment::default()
    };
    let no_time = Increment {
        expiry: Expiry::After(0),
        ..Increment::default()
    };
    for (change, kind) in [
        (zero, ErrorKind::BadNumber),
        (crossed, ErrorKind::BadNumber),
        (no_time, ErrorKind::BadTtl),
    ] {
        assert_eq!(
            store.write(increment(change)).expect_err("refused").kind(),
            kind
        );
    }
}
