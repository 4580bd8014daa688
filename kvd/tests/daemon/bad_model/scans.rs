//! Scans and their tokens.

use bytes::Bytes;
use kvproto::v1::{self, ErrorReason as Reason};
use tonic::Code;

use super::super::support::model::{all, prefix};
use super::super::support::{Running, reason, set};
use super::field;

fn scan(range: v1::KeyRange) -> v1::ScanRequest {
    v1::ScanRequest {
        range: Some(range),
        page_size: 1,
        ..v1::ScanRequest::default()
    }
}

fn resumed(range: v1::KeyRange, token: &Bytes) -> v1::ScanRequest {
    v1::ScanRequest {
        token: token.clone(),
        ..scan(range)
    }
}

/// The token of the first page of `a/`.
async fn token(running: &Running) -> Bytes {
    let mut kv = running.kv().await;
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        kv.set(set(name, "v")).await.unwrap();
    }
    let mut pages = kv.scan(scan(prefix("a/"))).await.unwrap().into_inner();
    pages.message().await.unwrap().unwrap().token
}

async fn refused_scan(running: &Running, name: &str, request: v1::ScanRequest) -> (Reason, String) {
    let mut kv = running.kv().await;
    let status = kv.scan(request).await.expect_err(name);
    assert_eq!(status.code(), Code::InvalidArgument, "{name}");
    kv.set(set("after", name.to_owned())).await.unwrap();
    (reason(&status).unwrap(), field(&status))
}

#[tokio::test]
async fn bad_scans_are_refused_before_they_begin() {
    let running = Running::start(&[]).await;
    let limit = v1::ScanRequest {
        limit: -1,
        ..scan(all())
    };
    let page = v1::ScanRequest {
        page_size: -1,
        ..scan(all())
    };
    let rows = [
        ("negative limit", limit, Reason::BadNumber, "limit"),
        ("negative page", page, Reason::BadNumber, "page_size"),
        (
            "no range",
            v1::ScanRequest::default(),
            Reason::BadRange,
            "range",
        ),
    ];
    for (name, request, expected, field) in rows {
        let refused = refused_scan(&running, name, request).await;
        assert_eq!(refused, (expected, field.to_owned()), "{name}");
    }
    let mut admin = running.admin().await;
    let hash = admin.hash(v1::HashRequest::default()).await.unwrap_err();
    assert_eq!(reason(&hash), Some(Reason::BadRange));
}

#[tokio::test]
async fn a_token_goes_with_its_store_its_range_and_its_direction() {
    let running = Running::start(&[]).await;
    let other = Running::start(&[]).await;
    let (mine, foreign) = (token(&running).await, token(&other).await);
    let garbled: Bytes = mine.iter().map(|byte| byte ^ 1).collect::<Vec<_>>().into();
    let reversed = v1::ScanRequest {
        reverse: true,
        ..resumed(prefix("a/"), &mine)
    };
    let rows = [
        ("another range", resumed(prefix("a"), &mine)),
        ("another direction", reversed),
        ("another store", resumed(prefix("a/"), &foreign)),
        ("garbled", resumed(prefix("a/"), &garbled)),
        ("cut", resumed(prefix("a/"), &mine.slice(..9))),
        ("text", resumed(prefix("a/"), &"next".into())),
    ];
    for (name, request) in rows {
        let refused = refused_scan(&running, name, request).await;
        assert_eq!(refused, (Reason::BadToken, "token".to_owned()), "{name}");
    }
    let mut kv = running.kv().await;
    let rest = kv.scan(resumed(prefix("a/"), &mine)).await.unwrap();
    let page = rest.into_inner().message().await.unwrap().unwrap();
    assert_eq!(page.records[0].key, "a/2");
}
