//! The scrub of a store in use.

use std::fs;
use std::io;

use kvcore::{Durability, Mutation, VerifyError, VerifyInfo, VerifyStep};

use super::support::{Known, change, content, open, segment, snapshots_in};

/// All that was told, and what was found by file.
fn verify(
    store: &kvcore::Engine,
    rate: Option<u64>,
) -> (VerifyInfo, Vec<VerifyStep>, Vec<(String, kvcore::Place)>) {
    let mut steps = Vec::new();
    let info = store.verify(rate, &mut |step| {
        steps.push(step);
        Ok(())
    });
    let found = steps.iter().flat_map(|step: &VerifyStep| {
        step.found
            .iter()
            .map(|place| (step.file.clone(), place.clone()))
    });
    let found = found.collect();
    (info.expect("it comes to its end"), steps, found)
}

#[test]
fn a_flipped_bit_is_found_while_the_store_goes_on() {
    let known = Known::make(4000, &[]);
    let dir = known.copy("damaged");
    let store = open(&dir);
    let (info, steps, found) = verify(&store, None);
    assert_eq!((info.damages, found.len()), (0, 0), "{found:?}");
    assert_eq!(info.files, 4, "the sealed ones");
    let total = steps[0].bytes_total;
    assert_eq!(
        (info.bytes, steps[steps.len() - 1].bytes_done),
        (total, total)
    );
    let done: Vec<u64> = steps.iter().map(|step| step.bytes_done).collect();
    assert!(done.is_sorted(), "{done:?}");

    let before = content(&store);
    change(&dir.join(segment(2)), |bytes| bytes[70_001] ^= 0x10);
    let (info, _, found) = verify(&store, None);
    assert_eq!((info.damages, info.files), (1, 4));
    let (file, place) = &found[0];
    assert_eq!((file, place.offset), (&segment(2), 70_001));
    let lost = place.lost.expect("a change");
    assert_eq!(lost.first, lost.last);
    let (key, _) = &known.done[&lost.first.0];
    assert_eq!((&place.keys[0].key, place.keys.len()), (key, 1));
    // Memory was filled before, and is right.
    assert!(content(&store) == before);
    store
        .write(Mutation::set(b"still", b"writable"), Durability::Synced)
        .expect("accepted");
}

#[test]
fn snapshots_and_missing_files_are_looked_at_too() {
    let known = Known::make(6000, &[2500, 4500]);
    let dir = known.copy("damaged");
    let store = open(&dir);
    let (info, _, found) = verify(&store, None);
    assert_eq!(info.damages, 0, "{found:?}");
    let names = snapshots_in(&dir);
    change(&dir.join(&names[0]), |bytes| bytes[5000] ^= 1);
    let sealed = (1..99).find(|n| dir.join(segment(*n)).exists());
    let sealed = segment(sealed.expect("a log"));
    fs::remove_file(dir.join(&sealed)).unwrap();
    let (_, _, found) = verify(&store, None);
    let files: Vec<&String> = found.iter().map(|(file, _)| file).collect();
    assert_eq!(files, [&names[0], &sealed], "{found:?}");
    assert!(found[0].1.records > 0, "{found:?}");
}

#[test]
fn it_keeps_to_its_rate_and_ends_when_it_is_told_to() {
    let known = Known::make(4000, &[]);
    let store = open(&known.copy("store-copy"));
    let begun = std::time::Instant::now();
    let (info, ..) = verify(&store, Some(4 << 20));
    let due = std::time::Duration::from_millis(info.bytes * 1000 / (4 << 20));
    assert!(begun.elapsed() >= due, "{info:?} in {:?}", begun.elapsed());
    // At this rate it would take hours.
    let mut heard = 0;
    let ended = store.verify(Some(1000), &mut |_| {
        heard += 1;
        if heard < 5 {
            return Ok(());
        }
        Err(io::Error::other("no more"))
    });
    assert!(matches!(ended, Err(VerifyError::Io(error)) if error.to_string() == "no more"));
    let slow = store.clone();
    let waiting = std::thread::Builder::new()
        .name("verify".into())
        .spawn(move || slow.verify(Some(1000), &mut |_| Ok(())))
        .expect("started");
    std::thread::sleep(std::time::Duration::from_millis(100));
    store.start_drain();
    let ended = waiting.join().expect("it does not panic");
    assert!(matches!(ended, Err(VerifyError::Draining)), "{ended:?}");
}

/// What a scrub reads stays until it was read, and no longer.
#[test]
fn a_segment_is_kept_while_it_is_read() {
    let known = Known::make(4000, &[]);
    let dir = known.copy("store-copy");
    let store = open(&dir);
    let mut kept = false;
    let info = store.verify(None, &mut |step| {
        if step.file == segment(1) && !kept {
            store.snapshot().expect("a snapshot");
            store
                .write(Mutation::set(b"more", b""), Durability::Synced)
                .expect("accepted");
            store.snapshot().expect("another");
            kept = dir.join(segment(1)).exists();
        }
        Ok(())
    });
    assert!(kept, "it was removed under the reader");
    assert_eq!(info.expect("to its end").damages, 0);
    store
        .write(Mutation::set(b"more", b"2"), Durability::Synced)
        .expect("accepted");
    store.snapshot().expect("a third");
    assert!(!dir.join(segment(1)).exists(), "nobody reads it any more");
}
