//! How calls end when the log fails, the server is full, still loading, or stops.

use kvproto::v1::{self, ErrorReason as Reason};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::support::{Rig, get, loading, pending, reason, rig, set, soon};
use crate::backend::Store as _;
use crate::backend::fake::Fake;

#[tokio::test]
async fn a_failed_log_leaves_writes_undecided_and_later_ones_refused() {
    let store = Fake::manual();
    let Rig {
        client,
        server: _server,
        ..
    } = rig(&store).await;
    let (mut one, mut two, mut three) = (client.clone(), client.clone(), client.clone());
    let write = tokio::spawn(async move { one.set(set("a", v1::Durability::Synced)).await });
    pending(&write).await;
    let read = tokio::spawn(async move { two.get(get("a")).await });
    pending(&read).await;
    store.fail("disk gone");
    let status = soon(write).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, Reason::UnknownOutcome)
    );
    assert!(status.message().contains("disk gone"), "{status}");
    let status = soon(read).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::LogFailed)
    );
    let status = three.set(set("b", v1::Durability::None)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::LogFailed)
    );
    assert!(
        !soon(three.get(get("absent")))
            .await
            .unwrap()
            .into_inner()
            .found
    );
}

#[tokio::test]
async fn overload_and_loading_and_drain_are_refused_with_when_to_come_back() {
    let Rig {
        mut client, server, ..
    } = loading().await;
    let status = client.get(get("a")).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Loading)
    );
    let store = Fake::manual();
    server.opened(store.clone());
    store.fill(true);
    let status = client
        .set(set("a", v1::Durability::None))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Reason::Overloaded)
    );
    assert!(status.get_error_details().retry_info().is_some());
    store.fill(false);
    store.start_drain();
    let status = client
        .set(set("a", v1::Durability::None))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
    assert!(!client.get(get("a")).await.unwrap().into_inner().found);
}

#[tokio::test]
async fn what_a_stop_cuts_off_is_undecided() {
    let store = Fake::manual();
    let Rig { client, server, .. } = rig(&store).await;
    let (mut one, mut two) = (client.clone(), client);
    let write = tokio::spawn(async move { one.set(set("a", v1::Durability::Synced)).await });
    pending(&write).await;
    let read = tokio::spawn(async move { two.get(get("a")).await });
    pending(&read).await;
    server.cut_waits();
    let status = soon(write).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, Reason::UnknownOutcome)
    );
    let status = soon(read).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unavailable, Reason::Draining)
    );
}
