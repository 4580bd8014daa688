//! Asking the server one thing, and asking again while it is loading.

use std::time::Duration;

use kvproto::v1::{
    ErrorReason, admin_service_client::AdminServiceClient, kv_service_client::KvServiceClient,
};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    command::{Answer, Ask},
    connect::was_lost_before,
    failure::{Failure, Refusal},
};

/// The largest reply that is taken: a record of the largest size a server can be
/// configured to, and room beside it.
const MAX_REPLY: usize = 32 * 1024 * 1024;

/// One connection to a server.
pub(crate) struct Caller {
    pub(crate) kv: KvServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
    timeout: Duration,
}

impl Caller {
    pub(crate) fn new(channel: Channel, timeout: Duration) -> Self {
        Self {
            kv: KvServiceClient::new(channel.clone()).max_decoding_message_size(MAX_REPLY),
            admin: AdminServiceClient::new(channel).max_decoding_message_size(MAX_REPLY),
            timeout,
        }
    }

    /// Asks until there is an answer other than LOADING, or no time left.
    pub(crate) async fn call(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        let mut patience = Patience::new(self.timeout);
        loop {
            let attempt = self.attempt(ask, patience.left());
            let Ok(answer) = timeout_at(patience.deadline, attempt).await else {
                return Err(no_answer(self.timeout));
            };
            let refusal = match answer {
                Ok(answer) => return Ok(answer),
                Err(status) if was_lost_before(&status) => return Err(connection_lost()),
                Err(status) => Refusal::from_status(&status),
            };
            if refusal.reason.is_none() && patience.left().is_zero() {
                // The channel keeps the same deadline, and may be the first to see it.
                return Err(no_answer(self.timeout));
            }
            if !patience.again(&refusal).await {
                return Err(Failure::from_refusal(refusal));
            }
        }
    }

    async fn attempt(&mut self, ask: &Ask, left: Duration) -> Result<Answer, Status> {
        Ok(match ask {
            Ask::Get(r) => Answer::Get(body(self.kv.get(within(r, left)).await)?),
            Ask::Set(r) => Answer::Set(body(self.kv.set(within(r, left)).await)?),
            Ask::Delete(r) => Answer::Delete(body(self.kv.delete(within(r, left)).await)?),
            Ask::BatchGet(r) => Answer::BatchGet(body(self.kv.batch_get(within(r, left)).await)?),
            Ask::BatchWrite(r) => {
                Answer::BatchWrite(body(self.kv.batch_write(within(r, left)).await)?)
            }
            Ask::Status(r) => Answer::Status(Box::new(body(
                self.admin.get_status(within(r, left)).await,
            )?)),
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

/// How long to go on asking a server that is loading.
pub(crate) struct Patience {
    pub(crate) deadline: Instant,
    pause: Duration,
}

impl Patience {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            deadline: Instant::now() + limit,
            pause: Self::FIRST_PAUSE,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits before another attempt. False: there is none, the refusal stands.
    pub(crate) async fn again(&mut self, refusal: &Refusal) -> bool {
        if !refusal.is(ErrorReason::Loading) {
            return false;
        }
        let wished = refusal.retry_after.unwrap_or_default();
        let pause = wished.clamp(self.pause, Self::LONGEST_PAUSE.max(self.pause));
        if self.left() <= pause {
            return false;
        }
        sleep(pause).await;
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        true
    }
}
