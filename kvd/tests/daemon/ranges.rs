//! Scans, counts, digests and deletes of ranges, over the embedded engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::model::{self, all, fill, prefix, span};
use super::support::{Running, get, set};
use kvproto::v1;

fn scan(range: v1::KeyRange) -> v1::ScanRequest {
    v1::ScanRequest {
        range: Some(range),
        ..v1::ScanRequest::default()
    }
}

async fn pages(kv: &mut model::Kv, request: v1::ScanRequest) -> Vec<v1::ScanResponse> {
    let mut stream = kv.scan(request).await.unwrap().into_inner();
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        let header = page.header.as_ref().unwrap();
        assert!(header.durable && !header.position.is_empty());
        pages.push(page);
    }
    pages
}

fn keys(pages: &[v1::ScanResponse]) -> Vec<String> {
    let records = pages.iter().flat_map(|page| &page.records);
    records
        .map(|record| String::from_utf8(record.key.to_vec()).unwrap())
        .collect()
}

async fn count(kv: &mut model::Kv, range: v1::KeyRange) -> i64 {
    let request = v1::CountRequest {
        range: Some(range),
        options: None,
    };
    kv.count(request).await.unwrap().into_inner().count
}

#[tokio::test]
async fn pages_come_in_order_of_keys_and_hold_no_more_than_asked() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    fill(&mut kv, "k/", 2500).await;
    kv.set(set("j", "before")).await.unwrap();
    kv.set(set("l", "behind")).await.unwrap();
    let expected: Vec<_> = (0..2500).map(|i| format!("k/{i:05}")).collect();
    let read = pages(&mut kv, scan(prefix("k/"))).await;
    let sizes: Vec<_> = read.iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    assert_eq!(keys(&read), expected);
    assert!(read[2].token.is_empty() && !read[1].token.is_empty());
    let record = &read[0].records[7];
    assert_eq!((&record.value[..], record.version), (&b"k/00007"[..], 1));
    let reverse = v1::ScanRequest {
        reverse: true,
        keys_only: true,
        page_size: 700,
        ..scan(prefix("k/"))
    };
    let read = pages(&mut kv, reverse).await;
    let sizes: Vec<_> = read.iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes, [700, 700, 700, 400]);
    let mut backwards = keys(&read);
    backwards.reverse();
    assert_eq!(backwards, expected);
    assert!(read[0].records.iter().all(|record| record.value.is_empty()));
    assert!(read[0].records[0].mod_revision > 0);
    let limited = v1::ScanRequest {
        limit: 1500,
        ..scan(span("k/00100", "k/02000"))
    };
    assert_eq!(keys(&pages(&mut kv, limited).await), expected[100..1600]);
    let none = pages(&mut kv, scan(prefix("none/"))).await;
    assert!(none.len() == 1 && none[0].records.is_empty() && none[0].token.is_empty());
    assert_eq!(count(&mut kv, all()).await, 2502);
    assert_eq!(count(&mut kv, span("k/00100", "k/02000")).await, 1900);
}

#[tokio::test]
async fn a_scan_that_broke_off_goes_on_where_it_was() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    fill(&mut kv, "k/", 100).await;
    let expected: Vec<_> = (0..100).map(|i| format!("k/{i:05}")).collect();
    for reverse in [false, true] {
        let mut request = v1::ScanRequest {
            limit: 50,
            page_size: 8,
            reverse,
            ..scan(prefix("k/"))
        };
        let mut read = Vec::new();
        // One page from each of several streams.
        for _ in 0..7 {
            let mut stream = kv.scan(request.clone()).await.unwrap().into_inner();
            let page = stream.message().await.unwrap().unwrap();
            request.token = page.token.clone();
            read.push(page);
        }
        let mut got = keys(&read);
        assert_eq!(got.len(), 50, "the limit is that of the whole scan");
        // The limit is used up: the next fifty may be asked for.
        got.extend(keys(&pages(&mut kv, request).await));
        if reverse {
            got.reverse();
        }
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn a_page_of_large_values_is_short() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    for i in 0..6 {
        kv.set(set(&format!("k{i}"), vec![0; 400 << 10]))
            .await
            .unwrap();
    }
    kv.set(set("k9", vec![0; 1 << 20])).await.unwrap();
    let read = pages(&mut kv, scan(all())).await;
    let sizes: Vec<_> = read.iter().map(|page| page.records.len()).collect();
    assert_eq!(sizes[..4], [2, 2, 2, 1]);
    let only_keys = v1::ScanRequest {
        keys_only: true,
        ..scan(all())
    };
    assert_eq!(pages(&mut kv, only_keys).await.len(), 1);
}

#[tokio::test]
async fn what_stays_is_seen_once_while_everything_around_it_changes() {
    let running = Running::start(&[("log.sync", "never")]).await;
    let mut kv = running.kv().await;
    fill(&mut kv, "k/", 1000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writer, stopped) = (running.kv().await, Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut round = 0_usize;
        while !stopped.load(Ordering::Relaxed) {
            round += 1;
            let name = format!("k/{:05}x", round * 37 % 1000);
            writer.set(set(&name, "passing")).await.unwrap();
            let stays = format!("k/{:05}", round * 91 % 1000);
            writer.set(set(&stays, "changed")).await.unwrap();
            if round.is_multiple_of(2) {
                writer.delete(model::delete(&name)).await.unwrap();
            }
        }
        round
    });
    for reverse in [false, true, false, true] {
        let request = v1::ScanRequest {
            page_size: 13,
            reverse,
            ..scan(prefix("k/"))
        };
        let mut stream = kv.scan(request).await.unwrap().into_inner();
        let mut seen = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            seen.extend(keys(&[page]));
        }
        if reverse {
            seen.reverse();
        }
        assert!(
            seen.is_sorted_by(|a, b| a < b),
            "in order, and no key twice"
        );
        seen.retain(|key| !key.ends_with('x'));
        let expected: Vec<_> = (0..1000).map(|i| format!("k/{i:05}")).collect();
        assert_eq!(seen, expected);
        assert!(count(&mut kv, prefix("k/")).await >= 1000);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
}

#[tokio::test]
async fn a_range_goes_in_one_step_or_in_pieces() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    fill(&mut kv, "a/", 3000).await;
    fill(&mut kv, "b/", 2500).await;
    let request = |prefix_name| v1::DeleteRangeRequest {
        range: Some(prefix(prefix_name)),
        ..v1::DeleteRangeRequest::default()
    };
    let dry = v1::DeleteRangeRequest {
        dry_run: true,
        limit: 2999,
        ..request("a/")
    };
    let reply = kv.delete_range(dry).await.unwrap().into_inner();
    assert_eq!(
        (reply.deleted, reply.more, reply.last_revision),
        (2999, true, 0)
    );
    let limited = v1::DeleteRangeRequest {
        limit: 10,
        ..request("a/")
    };
    let reply = kv.delete_range(limited).await.unwrap().into_inner();
    assert_eq!((reply.deleted, reply.more), (10, true));
    assert!(!kv.get(get("a/00009")).await.unwrap().into_inner().found);
    assert!(kv.get(get("a/00010")).await.unwrap().into_inner().found);
    let reply = kv.delete_range(request("a/")).await.unwrap().into_inner();
    assert_eq!((reply.deleted, reply.more), (2990, false));
    assert_eq!(reply.first_revision, reply.last_revision);
    assert!(reply.header.unwrap().durable);
    let pieces = |limit| v1::DeleteRangeRequest {
        atomic: Some(false),
        limit,
        ..request("b/")
    };
    let reply = kv.delete_range(pieces(1200)).await.unwrap().into_inner();
    assert_eq!((reply.deleted, reply.more), (1200, true));
    assert_eq!(reply.last_revision - reply.first_revision, 1);
    let reply = kv.delete_range(pieces(0)).await.unwrap().into_inner();
    assert_eq!((reply.deleted, reply.more), (1300, false));
    let reply = kv.delete_range(pieces(0)).await.unwrap().into_inner();
    assert_eq!(
        (reply.deleted, reply.first_revision, reply.more),
        (0, 0, false)
    );
    assert_eq!(count(&mut kv, all()).await, 0);
}

#[tokio::test]
async fn equal_contents_have_equal_digests() {
    let stores = [Running::start(&[]).await, Running::start(&[]).await];
    let mut digests = Vec::new();
    for (i, store) in stores.iter().enumerate() {
        let mut kv = store.kv().await;
        if i == 1 {
            kv.set(set("gone", "v")).await.unwrap();
            kv.delete(model::delete("gone")).await.unwrap();
        }
        fill(&mut kv, "k/", 1500).await;
        for change in ["", "x"] {
            if !change.is_empty() {
                kv.set(set("k/00700", change)).await.unwrap();
            }
            let request = v1::HashRequest {
                range: Some(prefix("k/")),
                options: None,
            };
            let reply = store
                .admin()
                .await
                .hash(request)
                .await
                .unwrap()
                .into_inner();
            assert_eq!((reply.count, reply.hash.len()), (1500, 16));
            assert!(reply.header.unwrap().durable);
            digests.push(reply.hash);
        }
    }
    assert_eq!((&digests[0], &digests[1]), (&digests[2], &digests[3]));
    assert_ne!(digests[0], digests[1]);
}
