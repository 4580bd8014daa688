//! Asking the server one thing, and asking again where that is safe.

mod pages;
mod patience;

use std::time::Duration;

use kvproto::v1::{
    admin_service_client::AdminServiceClient, kv_service_client::KvServiceClient,
    watch_service_client::WatchServiceClient,
};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, transport::Channel};

pub(crate) use self::{
    pages::Pages,
    patience::{Patience, Repeat, Trouble, Way},
};
use crate::{
    command::{Answer, Ask, Identity, Prepared},
    connect::{self, Lifeline},
    endpoint::Endpoint,
    failure::Failure,
};

/// The largest reply that is taken: a record of the largest size a server can be
/// configured to, and room beside it.
const MAX_REPLY: usize = 32 * 1024 * 1024;

/// One connection to a server.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) kv: KvServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
    pub(crate) watch: WatchServiceClient<Channel>,
    pub(crate) lifeline: Lifeline,
    pub(crate) endpoint: Endpoint,
    timeout: Duration,
}

impl Caller {
    pub(crate) fn new(
        channel: Channel,
        lifeline: Lifeline,
        endpoint: Endpoint,
        timeout: Duration,
    ) -> Self {
        Self {
            kv: KvServiceClient::new(channel.clone()).max_decoding_message_size(MAX_REPLY),
            admin: AdminServiceClient::new(channel.clone()).max_decoding_message_size(MAX_REPLY),
            watch: WatchServiceClient::new(channel).max_decoding_message_size(MAX_REPLY),
            lifeline,
            endpoint,
            timeout,
        }
    }

    /// Asks until there is an answer, no time left, or a refusal that asking
    /// again cannot change.
    pub(crate) async fn call(&mut self, prepared: &Prepared) -> Result<Answer, Failure> {
        let mut ask = prepared.ask.clone();
        let mut identity = prepared.identity;
        let mut patience = Patience::new(self.timeout, Repeat::of(identity));
        loop {
            let attempt = self.attempt(&ask, patience.left());
            let trouble = match timeout_at(patience.deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => Trouble::from_status(&status),
                Err(_) => Trouble::Late,
            };
            if identity == Identity::Drawn && !patience.doubts() && trouble.refuses_ids() {
                // An older server: as before there were ids, once and no more.
                ask.forget_id();
                identity = Identity::Absent;
                patience.repeat = Repeat::Never;
                continue;
            }
            if patience.again(trouble).await? == Way::NewConnection {
                self.reconnect(&mut patience).await?;
            }
        }
    }

    /// Connects again, to the same place: another one would not know the ids
    /// and tokens of this one.
    pub(crate) async fn reconnect(&mut self, patience: &mut Patience) -> Result<(), Failure> {
        loop {
            match connect::open(&self.endpoint, patience.left()).await {
                Ok((channel, lifeline)) => {
                    *self = Self::new(channel, lifeline, self.endpoint.clone(), self.timeout);
                    return Ok(());
                }
                Err(error) => {
                    let error = format!("{}: {error}", self.endpoint);
                    patience.again(Trouble::NoConnection(error)).await?;
                }
            }
        }
    }

    async fn attempt(&mut self, ask: &Ask, left: Duration) -> Result<Answer, Status> {
        let kv = &mut self.kv;
        Ok(match ask {
            Ask::Get(r) => Answer::Get(body(kv.get(within(r, left)).await)?),
            Ask::Set(r) => Answer::Set(body(kv.set(within(r, left)).await)?),
            Ask::Delete(r) => Answer::Delete(body(kv.delete(within(r, left)).await)?),
            Ask::Increment(r) => Answer::Increment(body(kv.increment(within(r, left)).await)?),
            Ask::Expire(r) => Answer::Expire(body(kv.expire(within(r, left)).await)?),
            Ask::BatchGet(r) => Answer::BatchGet(body(kv.batch_get(within(r, left)).await)?),
            Ask::BatchWrite(r) => Answer::BatchWrite(body(kv.batch_write(within(r, left)).await)?),
            Ask::Txn(r) => Answer::Txn(body(kv.txn(within(r, left)).await)?),
            Ask::Count(r) => Answer::Count(body(kv.count(within(r, left)).await)?),
            Ask::DeleteRange(r) => {
                Answer::DeleteRange(body(kv.delete_range(within(r, left)).await)?)
            }
            Ask::Hash(r) => Answer::Hash(body(self.admin.hash(within(r, left)).await)?),
            Ask::Status(r) => Answer::Status(Box::new(body(
                self.admin.get_status(within(r, left)).await,
            )?)),
            Ask::Config(r) => Answer::Config(body(self.admin.get_config(within(r, left)).await)?),
            Ask::Reload(r) => Answer::Reload(body(self.admin.reload(within(r, left)).await)?),
            Ask::Snapshot(r) => {
                Answer::Snapshot(body(self.admin.create_snapshot(within(r, left)).await)?)
            }
            Ask::Scan(_) => return Err(Status::internal("a scan is answered in pages")),
        })
    }
}

/// The request with the deadline that the server is told.
fn within<T: Clone>(request: &T, left: Duration) -> Request<T> {
    let mut request = Request::new(request.clone());
    request.set_timeout(left);
    request
}

fn body<T>(response: Result<Response<T>, Status>) -> Result<T, Status> {
    response.map(Response::into_inner)
}

/// Of a request that stayed here because the connection was known to be gone.
pub(crate) fn connection_lost() -> Failure {
    Failure::Unreachable("the connection was lost before this".to_owned())
}

pub(crate) fn no_answer(limit: Duration) -> Failure {
    Failure::Undecided(format!(
        "no answer within {limit:?} (hint: --timeout waits longer)"
    ))
}

/// What is left until then.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
