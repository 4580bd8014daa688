//! A server of one runtime over a store whose log the test moves, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, ErrorReason as Reason};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::accept::accept;
use crate::backend::fake::Fake;
use crate::config::Config;
use crate::server::Server;
use crate::service::core::Shared;
use crate::socket::Listener;
use crate::telemetry::health::reporter;

pub(super) struct Rig {
    pub(super) server: Server<Fake>,
    pub(super) address: SocketAddr,
    pub(super) client: KvServiceClient<Channel>,
}

/// A server on one runtime, still loading.
pub(super) async fn loading() -> Rig {
    let mut config = Config::default();
    let flag = crate::config::Origin::Default;
    config.set("server.runtimes", "1", flag.clone()).unwrap();
    config.set("limits.admission_wait", "50ms", flag).unwrap();
    let shared = Arc::new(Shared::new(config));
    let server = Server::start(&shared, reporter().await).unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap().tcp().unwrap();
    tokio::spawn(accept(
        listener,
        server.cores.dealer(),
        Arc::clone(&server.figures.caps),
    ));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = KvServiceClient::new(endpoint.connect().await.unwrap());
    Rig {
        server,
        address,
        client,
    }
}

pub(super) async fn rig(store: &Fake) -> Rig {
    let rig = loading().await;
    rig.server.opened(store.clone());
    rig
}

pub(super) fn reason(status: &Status) -> Reason {
    let info = status.get_error_details();
    let info = info
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "kvd");
    Reason::from_wire_name(&info.reason).unwrap()
}

pub(super) fn set(key: &str, durability: v1::Durability) -> v1::SetRequest {
    v1::SetRequest {
        key: key.to_owned().into(),
        value: "v".into(),
        options: Some(v1::WriteOptions {
            durability: durability.into(),
            ..v1::WriteOptions::default()
        }),
        ..v1::SetRequest::default()
    }
}

pub(super) fn get(key: &str) -> v1::GetRequest {
    v1::GetRequest {
        key: key.to_owned().into(),
        options: None,
    }
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.expect("answered")
}

/// Not answered for as long as it takes to be sure that it waits.
pub(super) async fn pending<T>(task: &tokio::task::JoinHandle<T>) {
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!task.is_finished());
}
