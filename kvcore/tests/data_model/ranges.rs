//! The ordered index: pages, counts, range deletes, and the digest.

use kvcore::{ErrorKind, Expiry, KeyRange, Mutation, PageLimit, Revision};

use crate::support::{Store, options};

fn filled(count: usize) -> Store {
    let store = Store::new();
    for i in 0..count {
        store.set(&format!("k{i:05}"), "value");
    }
    store
}

#[test]
fn pages_give_every_key_once_in_order_in_both_directions() {
    let store = filled(257);
    store.set("a", "before");
    store.set("z", "behind");
    let prefix = KeyRange::prefix(b"k");
    let all: Vec<String> = (0..257).map(|i| format!("k{i:05}")).collect();
    for page in [1, 7, 256, 257, 1000] {
        assert_eq!(store.keys(&prefix, false, page), all);
        let mut back = store.keys(&prefix, true, page);
        back.reverse();
        assert_eq!(back, all);
    }
    assert_eq!(
        store
            .keys(&KeyRange::span(b"k00010", b"k00013"), false, 2)
            .len(),
        3
    );
    assert_eq!(store.keys(&KeyRange::key(b"k00010"), false, 10), ["k00010"]);
    assert_eq!(store.keys(&KeyRange::all(), false, 1000).len(), 259);
}

#[test]
fn a_chunk_is_no_larger_than_a_unit_may_be() {
    let mut options = options();
    options.limits.unit_bytes = 100;
    let store = Store::with(options);
    for i in 0..30 {
        store.set(&format!("k{i:09}"), "v");
    }
    let (mut chunks, mut deleted) = (0, 0);
    loop {
        let prepared = store.engine.prepare_chunk(&KeyRange::all(), 0, None);
        let Some(prepared) = prepared.expect("a range") else {
            break;
        };
        let chunk = store
            .commit(prepared, kvcore::Engine::commit_range_delete)
            .expect("writable");
        (chunks, deleted) = (chunks + 1, deleted + chunk.deleted);
        assert_eq!(chunk.more, deleted < 30);
    }
    assert_eq!((chunks, deleted), (3, 30));
}

#[test]
fn a_page_is_bounded_in_bytes_and_holds_one_record_at_least() {
    let store = Store::new();
    for i in 0..10_u8 {
        store
            .write(Mutation::set(&[i], &[0; 1000]))
            .expect("writable");
    }
    for (bytes, records) in [(1, 1), (1001, 1), (1002, 2), (5000, 5)] {
        let limit = PageLimit {
            records: 100,
            bytes,
        };
        let page = store.engine.look_page(&KeyRange::all(), None, false, limit);
        let page = page.expect("a range").value;
        assert_eq!(page.records.len(), records, "{bytes}");
        assert!(page.next.is_some());
    }
    let limit = PageLimit {
        records: 100,
        bytes: 10 * 1001,
    };
    let page = store.engine.look_page(&KeyRange::all(), None, false, limit);
    let page = page.expect("a range").value;
    assert_eq!(page.records.len(), 10);
    assert!(
        page.next.is_none(),
        "the last record ended both page and range"
    );
}

#[test]
fn a_scan_reveals_the_newest_delete_even_if_it_finds_nothing() {
    let mut store = filled(3);
    store.turn();
    let gone = store
        .write(Mutation::delete(b"k00001"))
        .expect("writable")
        .revision;
    let limit = PageLimit {
        records: 10,
        bytes: 1000,
    };
    for range in [KeyRange::prefix(b"k"), KeyRange::prefix(b"nothing")] {
        let page = store
            .engine
            .look_page(&range, None, false, limit)
            .expect("a range");
        assert_eq!(page.revealed, gone);
        let count = store.engine.look_count(&range, None, 10).expect("a range");
        assert_eq!(count.revealed, gone);
    }
}

#[test]
fn a_count_and_a_digest_reveal_what_their_first_page_showed() {
    let mut store = filled(1_500);
    store.turn();
    let newest = store.set("k00000", "new").revision;
    let count = store.engine.count(&KeyRange::all()).expect("a range");
    assert_eq!((count.value, count.revealed), (1_500, newest));
    let digest = store.engine.hash(&KeyRange::all()).expect("a range");
    assert_eq!(digest.revealed, newest);
}

#[test]
fn the_index_follows_creates_deletes_restarts_and_expiry() {
    let store = filled(50);
    store.write(Mutation::delete(b"k00007")).expect("writable");
    store.set("k00008", "again");
    let mortal = Mutation::set_until(b"k00009", b"v", Expiry::After(5));
    store.write(mortal).expect("writable");
    store.clock.advance(5);
    let check = |store: &Store| {
        let keys = store.keys(&KeyRange::all(), false, 9);
        assert_eq!(keys.len(), 48);
        assert!(!keys.contains(&"k00007".to_owned()) && !keys.contains(&"k00009".to_owned()));
        assert_eq!(store.engine.status().keys, 48);
    };
    check(&store);
    check(&store.restart());
}

#[test]
fn a_range_is_deleted_in_one_revision_or_not_at_all() {
    let mut store = filled(1500);
    store.set("other", "v");
    store.turn();
    let before = store.engine.store_revision();
    let deleted = store
        .delete_range(&KeyRange::prefix(b"k"), 0)
        .expect("few enough");
    assert_eq!(
        (deleted.deleted, deleted.revision, deleted.more),
        (1500, before.next(), false)
    );
    assert_eq!(store.keys(&KeyRange::all(), false, 100), ["other"]);
    let nothing = store
        .delete_range(&KeyRange::prefix(b"k"), 0)
        .expect("none");
    assert_eq!((nothing.deleted, nothing.revision), (0, Revision::NONE));
    assert_eq!(
        nothing.revealed, deleted.revision,
        "its absence tells of the delete"
    );
    let store = store.restart();
    assert_eq!(store.keys(&KeyRange::all(), false, 100), ["other"]);
}

#[test]
fn more_keys_than_one_step_may_touch_are_refused_with_nothing_changed() {
    let mut store = Store::with({
        let mut options = options();
        options.segment_bytes = 16 << 20;
        options
    });
    for i in 0..4_100 {
        store.set(&format!("k{i:05}"), "v");
        if i % 1000 == 0 {
            store.turn();
        }
    }
    store.turn();
    let refused = store
        .delete_range(&KeyRange::all(), 0)
        .expect_err("too many");
    assert_eq!(refused.kind(), ErrorKind::RangeTooLarge);
    assert_eq!(
        refused.place(),
        "",
        "a range delete is no transaction to its caller"
    );
    assert!(
        refused.revealed() > Revision(4_000),
        "it tells that there are many keys"
    );
    let some = store
        .delete_range(&KeyRange::all(), 4_096)
        .expect("as many as may be");
    assert_eq!((some.deleted, some.more), (4_096, true));
    assert_eq!(store.keys(&KeyRange::all(), false, 100).len(), 4);
    let status = store.engine.status();
    store.turn();
    assert!(status.in_flight_bytes > 0);
    let after = store.engine.status();
    assert_eq!(
        (after.in_flight_units, after.in_flight_bytes),
        (0, 0),
        "all is given back"
    );
}

#[test]
fn chunks_go_on_until_the_range_is_empty() {
    let mut store = filled(2_500);
    store.turn();
    let range = KeyRange::prefix(b"k");
    let (mut deleted, mut chunks) = (0, 0);
    while let Some(prepared) = store
        .engine
        .prepare_chunk(&range, 0, None)
        .expect("a range")
    {
        let chunk = store
            .commit(prepared, kvcore::Engine::commit_range_delete)
            .expect("writable");
        deleted += chunk.deleted;
        chunks += 1;
        store.turn();
        if !chunk.more {
            break;
        }
    }
    assert_eq!((deleted, chunks), (2_500, 3));
}

#[test]
fn the_digest_tells_contents_apart_and_not_histories() {
    let (one, other) = (filled(100), filled(100));
    let digest = |store: &Store| store.engine.hash(&KeyRange::all()).expect("a range").value;
    assert_eq!(digest(&one), digest(&other));
    other.set("k00050", "changed");
    assert_ne!(digest(&one), digest(&other));
    other.set("k00050", "value");
    assert_eq!(digest(&one), digest(&other), "revisions do not count");
    assert_eq!(digest(&one).keys, 100);
    // Key and value do not run into one another.
    let (a, b) = (Store::new(), Store::new());
    a.set("ab", "c");
    b.set("a", "bc");
    assert_ne!(digest(&a), digest(&b));
}
