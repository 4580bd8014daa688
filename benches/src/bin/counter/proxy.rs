//! The bad line between clients and daemon: it loses replies.
//!
//! Every request is passed on. Of the replies a share is never delivered: half of them
//! end in an error like that of a broken connection, half in silence until the client
//! loses patience. What a reply said is remembered by its request id, so that a repeat
//! that says something else is noticed even if the client never heard the first.

use std::collections::HashMap;
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kvbench::rng::Rng;
use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::service::Increment;

/// What the line did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) dropped: u64,
    /// Requests that the daemon did not answer, or that found none.
    pub(crate) failed: u64,
    /// Answers that the daemon had remembered.
    pub(crate) replayed: u64,
    /// Answers that contradict an earlier one to the same id.
    pub(crate) contradictions: u64,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    counts: Counts,
    /// Value and revision by request id.
    told: HashMap<Bytes, (i64, i64)>,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    daemon: watch::Receiver<Option<KvServiceClient<Channel>>>,
    drop_percent: u64,
    state: Mutex<State>,
}

/// A client of the daemon that listens there.
pub(crate) fn client(endpoint: &str) -> Result<KvServiceClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?;
    Ok(KvServiceClient::new(endpoint.connect_lazy()))
}

impl Proxy {
    /// Passes requests on to whatever `daemon` holds.
    pub(crate) fn new(
        daemon: watch::Receiver<Option<KvServiceClient<Channel>>>,
        drop_percent: u64,
        seed: u64,
    ) -> Self {
        let state = State {
            rng: Rng::new(seed),
            counts: Counts::default(),
            told: HashMap::new(),
        };
        Self {
            daemon,
            drop_percent,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: Bytes, reply: &Result<Response<v1::IncrementResponse>, Status>) {
        let mut state = self.state();
        match reply {
            Ok(reply) => {
                let reply = reply.get_ref();
                state.counts.replayed += u64::from(reply.replayed);
                if !id.is_empty() {
                    let says = (reply.value, reply.revision);
                    let said = *state.told.entry(id).or_insert(says);
                    state.counts.contradictions += u64::from(said != says);
                }
            }
            Err(_) => state.counts.failed += 1,
        }
    }
}

#[tonic::async_trait]
impl Increment for Proxy {
    async fn increment(
        &self,
        request: v1::IncrementRequest,
    ) -> Result<Response<v1::IncrementResponse>, Status> {
        self.state().counts.requests += 1;
        let daemon = self.daemon.borrow().clone();
        let Some(mut daemon) = daemon else {
            self.state().counts.failed += 1;
            return Err(Status::unavailable("the line has nobody at its other end"));
        };
        let options = request.options.as_ref();
        let id = options.map(|options| options.request_id.clone());
        let reply = daemon.increment(request).await;
        self.note(id.unwrap_or_default(), &reply);
        let (drop, silent) = {
            let mut state = self.state();
            let drop = state.rng.below(100) < self.drop_percent;
            state.counts.dropped += u64::from(drop);
            (drop, state.rng.below(2) == 0)
        };
        if !drop {
            return reply;
        }
        if silent {
            // The client gives up and with it this call.
            future::pending::<()>().await;
        }
        Err(Status::unavailable("the line broke"))
    }
}
