//! A mirror of a range, kept by a callback, and the same changes as an iterator.
//!
//! ```text
//! cargo run -p kvcore --example watch
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvcore::watch::{EventKind, Filter, Level, Message, OnCompacted, Want};
use kvcore::{Durability, Engine, KeyRange, Mutation, Options, WatchFrom};

type Mirror = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let mut options = Options::new(dir.path());
    options.allow_volatile = true;
    let store = Engine::open(options, &|_| ())?;
    store.write(Mutation::set(b"colour/sky", b"grey"), Durability::Synced)?;

    let want = Want {
        range: KeyRange::prefix(b"colour/"),
        filter: Filter::default(),
        level: Level::Durable,
        on_compacted: OnCompacted::Resync,
    };
    let mirror = Mirror::default();
    let copy = mirror.clone();
    let from = WatchFrom::CurrentState;
    let thread = store.watch_each(want.clone(), from, move |message| match message {
        Ok(message) => {
            keep(&copy, message);
            ControlFlow::Continue(())
        }
        Err(end) => {
            println!("the watch ended: {end}");
            ControlFlow::Break(())
        }
    })?;

    let changes = store.watch(want, WatchFrom::Now)?;
    store.write(Mutation::set(b"colour/sky", b"blue"), Durability::Synced)?;
    store.write(Mutation::set(b"colour/sea", b"green"), Durability::Synced)?;
    store.write(Mutation::delete(b"colour/sky"), Durability::Synced)?;
    let told = changes.filter_map(|message| match message {
        Ok(Message::Events(batch)) => Some(batch.events),
        _ => None,
    });
    for event in told.flatten().take(3) {
        let key = String::from_utf8_lossy(event.record.key()).into_owned();
        println!("{} {:?} {key}", event.revision, event.cause);
    }

    while mirror.lock().expect("no panic").len() != 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("the mirror: {:?}", mirror.lock().expect("no panic"));
    drop(thread);
    store.close(Duration::from_secs(10))?;
    Ok(())
}

/// What a mirror does with each message; see docs/watch.md.
fn keep(mirror: &Mirror, message: Message) {
    let mut mirror = mirror.lock().expect("no panic");
    let set = |mirror: &mut BTreeMap<_, _>, record: &kvcore::Record| {
        mirror.insert(record.key().to_vec(), record.value().to_vec());
    };
    match message {
        Message::ResyncBegin { .. } => mirror.clear(),
        Message::State(records) => records.iter().for_each(|r| set(&mut mirror, r)),
        Message::ResyncEnd { .. } => {}
        Message::Events(batch) => {
            for event in batch.events {
                match event.kind {
                    // The value is the one that the mirror has.
                    EventKind::Set if event.value_unavailable => {}
                    EventKind::Set => set(&mut mirror, &event.record),
                    EventKind::Delete => {
                        mirror.remove(event.record.key());
                    }
                }
            }
        }
    }
}
