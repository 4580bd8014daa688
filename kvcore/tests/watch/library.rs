//! Watches as a program sees them: an iterator that blocks, a callback on a thread.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvcore::base::op::Cause;
use kvcore::watch::{End, Event, EventKind, Filter, Level, Message, OnCompacted, Previous, Want};
use kvcore::{Durability, Engine, ErrorKind, Expiry, KeyRange, Mutation, Revision, WatchFrom};

use crate::on_disk;

fn open(dir: &std::path::Path) -> Engine {
    Engine::open(on_disk::options(dir), &|_| ()).expect("opens")
}

fn want(range: KeyRange) -> Want {
    Want {
        range,
        filter: Filter::default(),
        level: Level::Durable,
        on_compacted: OnCompacted::Cancel,
    }
}

fn events(watcher: &mut kvcore::Watcher, count: usize) -> Vec<Event> {
    let mut all = Vec::new();
    let limit = Instant::now() + Duration::from_secs(60);
    while all.len() < count && Instant::now() < limit {
        if let Some(Message::Events(batch)) = watcher.wait(Duration::from_secs(1)).expect("goes on")
        {
            all.extend(batch.events);
        }
    }
    assert_eq!(all.len(), count);
    all
}

/// Revision 1 is that of the new store, and no change has it: nothing is missing in its log.
#[test]
fn a_watch_from_before_the_first_change_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let from = WatchFrom::Revision(Revision::START);
    let mut watcher = store.watch(want(KeyRange::all()), from).unwrap();
    let nothing = watcher.wait(Duration::from_millis(50)).expect("goes on");
    assert!(!matches!(nothing, Some(Message::Events(_))), "{nothing:?}");
    let set = Mutation::set(b"a", b"1");
    store.write(set, Durability::Synced).unwrap();
    let first = events(&mut watcher, 1);
    assert_eq!(first[0].revision, Revision(2));
    store.close(Duration::from_secs(30)).unwrap();
}

#[test]
fn an_iterator_tells_each_change_and_ends_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let watcher = store
        .watch(want(KeyRange::prefix(b"w/")), WatchFrom::Now)
        .unwrap();
    let reader = std::thread::Builder::new()
        .spawn(move || {
            let batches = watcher.map(|message| match message {
                Ok(Message::Events(batch)) => batch.events,
                other => panic!("{other:?}"),
            });
            batches.flatten().map(|e| e.revision.0).collect::<Vec<_>>()
        })
        .unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            std::thread::Builder::new()
                .spawn(move || {
                    for n in 0..200 {
                        let key = format!("w/{writer}/{n}");
                        let set = Mutation::set(key.as_bytes(), b"v");
                        store.write(set, Durability::Synced).unwrap();
                        let other = Mutation::set(b"elsewhere", b"v");
                        store.write(other, Durability::None).unwrap();
                    }
                })
                .unwrap()
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    store.close(Duration::from_secs(30)).unwrap();
    let told = reader.join().unwrap();
    assert_eq!(told.len(), 800, "everything before the close is told");
    assert!(told.is_sorted_by(|a, b| a < b), "in order, once");
}

#[test]
fn a_callback_is_told_until_it_breaks_or_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let told = Arc::new(Mutex::new(BTreeMap::new()));
    let copy = told.clone();
    let thread = store
        .watch_each(want(KeyRange::all()), WatchFrom::Now, move |message| {
            let Ok(Message::Events(batch)) = message else {
                panic!("{message:?}")
            };
            let mut told = copy.lock().unwrap();
            for event in batch.events {
                told.insert(event.revision, event.record.key().to_vec());
            }
            if told.len() < 3 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .unwrap();
    for key in [b"a", b"b", b"c"] {
        store
            .write(Mutation::set(key, b"v"), Durability::Synced)
            .unwrap();
    }
    let limit = Instant::now() + Duration::from_secs(60);
    while told.lock().unwrap().len() < 3 {
        assert!(Instant::now() < limit, "{told:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(thread);
    let before = store.watches().watches();
    assert_eq!(before, 0, "nobody watches any more");
    assert_eq!(
        store.watches().ring_bytes(),
        0,
        "and nothing is kept for it"
    );
    store.close(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_start_that_cannot_be_is_refused_by_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let set = |store: &Engine| {
        let set = Mutation::set(b"k", b"v");
        store.write(set, Durability::Synced).unwrap().revision
    };
    let last = set(&store);
    let all = || want(KeyRange::all());
    let refused = |store: &Engine, from| store.watch(all(), from).map(drop).unwrap_err().kind();
    let future = WatchFrom::Revision(last.plus(2));
    assert_eq!(refused(&store, future), ErrorKind::FutureRevision);
    let future = WatchFrom::After(last.next());
    assert_eq!(refused(&store, future), ErrorKind::FutureRevision);
    store
        .watch(all(), WatchFrom::Revision(last.next()))
        .expect("the next one is to come");
    drop(store);

    // Not closed: numbering jumps, and what lies between was lost.
    let store = open(dir.path());
    assert_eq!(
        refused(&store, WatchFrom::Revision(last.next())),
        ErrorKind::RevisionLost
    );
    assert_eq!(
        refused(&store, WatchFrom::After(last.plus(100))),
        ErrorKind::RevisionLost
    );
    let mut watcher = store.watch(all(), WatchFrom::After(last)).unwrap();
    assert!(watcher.wait(Duration::ZERO).unwrap().is_none());
    assert_eq!(
        watcher.position(),
        Some(last),
        "no number of the gap is told"
    );
    let next = set(&store);
    assert_eq!(events(&mut watcher, 1)[0].revision, next);
    let mut old = store
        .watch(all(), WatchFrom::Revision(Revision(2)))
        .unwrap();
    let told: Vec<_> = events(&mut old, 2).iter().map(|e| e.revision).collect();
    assert_eq!(told, [last, next], "over the gap");
    drop((watcher, old));
    store.close(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_thousand_keys_that_ended_while_nobody_looked_are_told_with_their_last_values() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let before = store.store_revision();
    for n in 0..1000 {
        let (key, value) = (format!("mortal/{n:04}"), format!("last words {n}"));
        let set = Mutation::set_until(key.as_bytes(), value.as_bytes(), Expiry::After(1500));
        store.write(set, Durability::Logged).unwrap();
    }
    store.close(Duration::from_secs(30)).unwrap();
    drop(store);
    let store = open(dir.path());
    // A slow machine may end some while others are still being set: only ends are wanted,
    // from the beginning.
    let mut ends = want(KeyRange::prefix(b"mortal/"));
    ends.filter = ends.filter.without_kind(EventKind::Set);
    let mut watcher = store.watch(ends, WatchFrom::After(before)).unwrap();
    let told = events(&mut watcher, 1000);
    assert!(told.is_sorted_by_key(|event| event.revision));
    let mut values: Vec<_> = told
        .iter()
        .map(|event| {
            assert_eq!(event.cause, Cause::Expired);
            let Previous::Known(last) = &event.previous else {
                panic!("{event:?}")
            };
            assert_eq!(last.key(), event.record.key());
            (last.key().to_vec(), last.value().to_vec())
        })
        .collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 1000, "each once");
    for (n, (key, value)) in values.iter().enumerate() {
        assert_eq!(key, format!("mortal/{n:04}").as_bytes());
        assert_eq!(value, format!("last words {n}").as_bytes());
    }
    drop(watcher);
    store.close(Duration::from_secs(30)).unwrap();
}

#[test]
fn whoever_asks_for_what_is_gone_is_told_so_or_gets_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = on_disk::options(dir.path());
    small.retain.bytes = 0;
    small.snapshots.rate = None;
    let store = Engine::open(small, &|_| ()).unwrap();
    let value = vec![7; 4000];
    for round in 0..3 {
        for n in 0..300 {
            let key = format!("key-{:02}", n % 20);
            let mutation = if round == 2 && n % 20 == 3 {
                Mutation::delete(key.as_bytes())
            } else {
                Mutation::set(key.as_bytes(), &value)
            };
            store.write(mutation, Durability::Logged).unwrap();
        }
        store.snapshot().unwrap();
    }
    let mut watcher = store
        .watch(want(KeyRange::all()), WatchFrom::Revision(Revision(2)))
        .unwrap();
    let end = loop {
        match watcher.wait(Duration::from_secs(5)) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    let End::Compacted { oldest } = end else {
        panic!("{end:?}")
    };
    assert!(oldest > Revision(2) && oldest <= store.store_revision());

    let mut watcher = store
        .watch(
            Want {
                on_compacted: OnCompacted::Resync,
                ..want(KeyRange::all())
            },
            WatchFrom::Revision(Revision(2)),
        )
        .unwrap();
    let (mut keys, mut begun) = (0, false);
    let end = loop {
        match watcher.wait(Duration::from_secs(30)).unwrap() {
            Some(Message::ResyncBegin { .. }) => begun = true,
            Some(Message::State(records)) => keys += records.len(),
            Some(Message::ResyncEnd { revision }) => break revision,
            other => panic!("{other:?}"),
        }
    };
    assert!(begun);
    assert_eq!((keys, end), (19, store.store_revision()));
    drop(watcher);
    store.close(Duration::from_secs(30)).unwrap();
}
