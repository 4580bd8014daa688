//! The door: limits, permits and the queue in front of it.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::SimDisk;
use kvcore::engine::open::LogWriter;
use kvcore::{
    AdmitFailure, Condition, Engine, Environment, Error, ErrorKind, Mutation, Options, Prepared,
};

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (woken.clone(), Waker::from(woken))
}

/// A store that admits two units at a time; the test turns its writer.
fn narrow() -> (Engine, LogWriter) {
    let mut options = Options::new(Path::new("/simulated"));
    options.shards = 2;
    options.limits.in_flight_units = 2;
    let environment = Environment {
        disk: Arc::new(SimDisk::new(1)),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    Engine::open_manual(options, &environment).expect("a new store")
}

fn prepared(engine: &Engine, key: &[u8]) -> Prepared {
    engine
        .prepare(&Mutation::set(key, b"v"), None)
        .expect("within the limits")
}

#[test]
fn a_permit_comes_back_when_the_unit_is_logged_or_given_up() {
    let (engine, mut writer) = narrow();
    let first = engine
        .try_admit(prepared(&engine, b"a"))
        .expect("room for one");
    let second = engine
        .try_admit(prepared(&engine, b"b"))
        .expect("room for two");
    assert!(matches!(
        engine.try_admit(prepared(&engine, b"c")),
        Err(AdmitFailure::Busy(_))
    ));
    drop(second);
    let second = engine
        .try_admit(prepared(&engine, b"c"))
        .expect("given up is given back");
    assert!(
        engine
            .commit(first)
            .expect("writable")
            .done()
            .expect("nothing expires")
            .applied
    );
    assert!(
        engine
            .commit(second)
            .expect("writable")
            .done()
            .expect("nothing expires")
            .applied
    );
    assert_eq!(engine.status().in_flight_units, 2);
    writer.turn();
    let status = engine.status();
    assert_eq!((status.in_flight_units, status.in_flight_bytes), (0, 0));
}

#[test]
fn a_refused_condition_gives_everything_back() {
    let (engine, _writer) = narrow();
    let room = engine.status().spares;
    for _ in 0..10 {
        let mutation = Mutation::set(b"k", b"v").only_if(Condition::Exists(true));
        let admitted = engine
            .try_admit(engine.prepare(&mutation, None).expect("valid"))
            .expect("nothing leaked");
        assert!(
            !engine
                .commit(admitted)
                .expect("writable")
                .done()
                .expect("nothing expires")
                .applied
        );
    }
    assert_eq!(engine.status().in_flight_units, 0);
    assert_eq!(engine.status().spares, room);
}

#[test]
fn waiting_is_first_come_first_served_and_a_dropped_waiter_makes_way() {
    let (engine, mut writer) = narrow();
    for key in [b"a", b"b"] {
        let admitted = engine.try_admit(prepared(&engine, key)).expect("room");
        engine.commit(admitted).expect("writable");
    }
    let (first_woken, first_waker) = waker();
    let (second_woken, second_waker) = waker();
    let mut first = Box::pin(engine.admit(prepared(&engine, b"c")));
    let mut second = pin!(engine.admit(prepared(&engine, b"d")));
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&first_waker))
            .is_pending()
    );
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&second_waker))
            .is_pending()
    );
    writer.turn();
    assert!(
        first_woken.0.load(Ordering::SeqCst) > 0,
        "permits came back: the first is woken"
    );
    assert!(
        matches!(
            engine.try_admit(prepared(&engine, b"e")),
            Err(AdmitFailure::Busy(_))
        ),
        "nobody overtakes those who wait"
    );
    drop(first);
    assert!(
        second_woken.0.load(Ordering::SeqCst) > 0,
        "the next in line is woken"
    );
    let ready = second
        .as_mut()
        .poll(&mut Context::from_waker(&second_waker));
    assert!(matches!(ready, Poll::Ready(Ok(_))));
    engine
        .try_admit(prepared(&engine, b"e"))
        .expect("the queue is empty again");
}

#[test]
fn a_permit_that_was_waited_for_comes_back_too() {
    let (engine, mut writer) = narrow();
    for key in [b"a", b"b"] {
        let admitted = engine.try_admit(prepared(&engine, key)).expect("room");
        engine.commit(admitted).expect("writable");
    }
    let (_, waker) = waker();
    let context = &mut Context::from_waker(&waker);
    let mut waiting = pin!(engine.admit(prepared(&engine, b"c")));
    assert!(waiting.as_mut().poll(context).is_pending());
    writer.turn();
    let Poll::Ready(Ok(admitted)) = waiting.as_mut().poll(context) else {
        panic!("both permits have come back")
    };
    assert_eq!(engine.status().in_flight_units, 1);
    drop(admitted);
    let status = engine.status();
    assert_eq!((status.in_flight_units, status.in_flight_bytes), (0, 0));
}

#[test]
fn draining_refuses_those_who_wait_too() {
    let (engine, _writer) = narrow();
    for key in [b"a", b"b"] {
        let admitted = engine.try_admit(prepared(&engine, key)).expect("room");
        engine.commit(admitted).expect("writable");
    }
    let (woken, waker) = waker();
    let mut waiting = pin!(engine.admit(prepared(&engine, b"c")));
    assert!(
        waiting
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    engine.start_drain();
    assert!(woken.0.load(Ordering::SeqCst) > 0);
    let refused = waiting.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(refused, Poll::Ready(Err(Error::Draining))));
}

#[test]
fn limits_are_checked_before_anything_is_taken() {
    let (engine, _writer) = narrow();
    let refuse =
        |mutation: Mutation<'_>| engine.prepare(&mutation, None).expect_err("refused").kind();
    assert_eq!(refuse(Mutation::set(b"", b"v")), ErrorKind::EmptyKey);
    assert_eq!(refuse(Mutation::delete(&[0; 4097])), ErrorKind::KeyTooLarge);
    let large = vec![0; (1 << 20) + 1];
    assert_eq!(
        refuse(Mutation::set(b"k", &large)),
        ErrorKind::ValueTooLarge
    );
    assert!(
        engine
            .prepare(&Mutation::set(&[0; 4096], &large[1..]), None)
            .is_ok(),
        "at the limit"
    );

    let refuse =
        |unit: &[Mutation<'_>]| engine.prepare_all(unit, None).expect_err("refused").kind();
    assert_eq!(refuse(&[]), ErrorKind::TooManyOperations);
    assert_eq!(
        refuse(&vec![Mutation::delete(b"k"); 1025]),
        ErrorKind::TooManyOperations
    );
    let same = [
        Mutation::set(b"k", b"1"),
        Mutation::set(b"l", b"1"),
        Mutation::delete(b"k"),
    ];
    assert_eq!(refuse(&same), ErrorKind::DuplicateKey);
    let keys: Vec<[u8; 1]> = (0..9).map(|i| [i]).collect();
    let huge: Vec<_> = keys
        .iter()
        .map(|key| Mutation::set(key, &large[1..]))
        .collect();
    assert_eq!(refuse(&huge), ErrorKind::UnitTooLarge);
}
