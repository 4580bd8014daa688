//! The gRPC side over a Unix-domain socket, alone and beside TCP.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::support::{Process, command, get, serve_arguments, set, start_in};
use hyper_util::rt::TokioIo;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

async fn connect(path: &Path) -> Result<KvServiceClient<Channel>, tonic::transport::Error> {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok(KvServiceClient::new(channel))
}

/// Arguments that listen at `path` besides what `serve_arguments` has.
fn arguments(root: &Path, path: &Path) -> Vec<String> {
    let mut arguments = serve_arguments(root);
    arguments.push("--listen".to_owned());
    arguments.push(format!("unix:{}", path.display()));
    arguments
}

#[tokio::test]
async fn calls_come_over_both_and_the_file_goes_with_the_daemon() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("kvd.sock");
    let process = Process::spawn(command(&[]).args(arguments(&root.path().join("data"), &path)));
    let listen = process.field("listen").to_owned();
    let (tcp, unix) = listen.split_once(',').expect("two places");
    assert_eq!(unix, format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let mut over_unix = connect(&path).await.unwrap();
    over_unix.set(set("k", "v")).await.unwrap();
    let channel = super::support::channel(tcp.parse().unwrap()).await;
    let reply = KvServiceClient::new(channel).get(get("k")).await.unwrap();
    assert_eq!(reply.into_inner().record.unwrap().value, "v");

    assert_eq!(process.stop().code, Some(0));
    assert!(!path.exists(), "the file stays");
}

#[tokio::test]
async fn a_killed_daemon_leaves_no_obstacle_and_a_live_one_keeps_its_place() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("kvd.sock");
    let data = root.path().join("data");
    let process = Process::spawn(command(&[]).args(arguments(&data, &path)));
    connect(&path)
        .await
        .unwrap()
        .set(set("k", "v"))
        .await
        .unwrap();
    drop(process);
    assert!(path.exists(), "nobody could remove it");

    let second = Process::spawn(command(&[]).args(arguments(&data, &path)));
    let other = arguments(&root.path().join("other"), &path);
    let refused = super::support::run(command(&[]).args(&other));
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("kvd.sock"), "{refused:?}");
    let mut kv = connect(&path).await.expect("still the second's");
    let reply = kv.get(get("k")).await.unwrap();
    assert_eq!(reply.into_inner().record.unwrap().value, "v");
    assert_eq!(second.stop().code, Some(0));
}

#[tokio::test]
async fn one_user_has_so_many_connections_and_no_more() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("kvd.sock");
    let listen = format!("unix:{}", path.display());
    let settings = [
        ("server.listen", listen.as_str()),
        ("server.max_connections_per_ip", "2"),
    ];
    let daemon = start_in(&root.path().join("data"), &settings).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut kv = connect(&path).await.unwrap();
        kv.get(get("k")).await.unwrap();
        kept.push(kv);
    }
    // It is accepted and closed, so the client may or may not see itself connected.
    if let Ok(mut kv) = connect(&path).await {
        kv.get(get("k")).await.expect_err("a third connection");
    }
    // A place comes back when a connection ends.
    kept.pop();
    for _ in 0..500 {
        if let Ok(mut kv) = connect(&path).await
            && kv.get(get("k")).await.is_ok()
        {
            daemon.stop().await.unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place did not come back");
}
