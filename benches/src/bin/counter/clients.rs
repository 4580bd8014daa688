//! Clients that count: each asks for one increment after the other and repeats every
//! request until it has an answer.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use kvbench::rng::Rng;
use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// Before it asks again after an error.
const PAUSE: Duration = Duration::from_millis(2);
/// Refusals of which the next attempt may know nothing.
const PASSING: [&str; 4] = ["LOADING", "DRAINING", "OVERLOADED", "UNKNOWN_OUTCOME"];

/// What the clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) values: Vec<i64>,
    pub(crate) revisions: Vec<i64>,
    pub(crate) retries: u64,
    pub(crate) replayed: u64,
}

/// What all clients of a count share.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: Bytes,
    pub(crate) with_ids: bool,
    /// Increments that nobody has taken on yet.
    pub(crate) left: Rc<Cell<u64>>,
    pub(crate) told: Rc<RefCell<Told>>,
}

impl Job {
    pub(crate) fn new(key: &str, with_ids: bool, count: u64) -> Self {
        Self {
            key: Bytes::from(key.to_owned()),
            with_ids,
            left: Rc::new(Cell::new(count)),
            told: Rc::default(),
        }
    }

    /// Works until all increments are done.
    pub(crate) async fn work(self, proxy: SocketAddr, mut rng: Rng) -> Result<(), String> {
        let endpoint = Endpoint::from_shared(format!("http://{proxy}"));
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let mut client = KvServiceClient::new(endpoint.connect_lazy());
        while self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            let mut request_id = rng.bits().to_le_bytes().to_vec();
            request_id.extend_from_slice(&rng.bits().to_le_bytes());
            if !self.with_ids {
                request_id.clear();
            }
            let request = v1::IncrementRequest {
                key: self.key.clone(),
                options: Some(v1::WriteOptions {
                    request_id: request_id.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let reply = self.until_answered(&mut client, &request).await?;
            let mut told = self.told.borrow_mut();
            told.values.push(reply.value);
            told.revisions.push(reply.revision);
            told.replayed += u64::from(reply.replayed);
        }
        Ok(())
    }

    async fn until_answered(
        &self,
        client: &mut KvServiceClient<Channel>,
        request: &v1::IncrementRequest,
    ) -> Result<v1::IncrementResponse, String> {
        loop {
            match tokio::time::timeout(PATIENCE, client.increment(request.clone())).await {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) => {
                    if let Some(reason) = refused_for_good(&status) {
                        return Err(format!("refused with {reason}: {}", status.message()));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => (),
            }
            self.told.borrow_mut().retries += 1;
        }
    }
}

fn refused_for_good(status: &Status) -> Option<String> {
    let Some(info) = status.get_details_error_info() else {
        return (status.code() == Code::Unimplemented).then(|| "UNIMPLEMENTED".into());
    };
    let passing = PASSING.contains(&info.reason.as_str());
    (info.domain == "kvd" && !passing).then_some(info.reason)
}
