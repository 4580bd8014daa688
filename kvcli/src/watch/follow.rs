//! One watch across connections and restarts of the server.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason, watch_request::Request, watch_response::Response as Message,
    watch_start::Start,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    call::Caller,
    connect,
    failure::{Failure, Refusal, complain},
    settings::Settings,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Follow<'a> {
    settings: &'a Settings,
    create: v1::WatchCreate,
    begun: Option<Begun>,
    /// The last revision that was passed.
    revision: i64,
    /// Behind what was passed.
    position: Bytes,
    pause: Duration,
    /// Whether the watch was ever begun: before that nothing is tried twice.
    was_begun: bool,
}

struct Begun {
    messages: Streaming<v1::WatchResponse>,
    /// Held so that the stream stays open in this direction.
    _requests: mpsc::Sender<v1::WatchRequest>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(settings: &'a Settings, create: v1::WatchCreate) -> Self {
        Self {
            settings,
            create,
            begun: None,
            revision: 0,
            position: Bytes::new(),
            pause: FIRST_PAUSE,
            was_begun: false,
        }
    }

    /// The next message; None when it comes from a new connection, and what was not whole
    /// before comes again.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            let Some(begun) = &mut self.begun else {
                self.begin().await?;
                return Ok(None);
            };
            match begun.messages.message().await {
                Ok(Some(response)) => match response.response {
                    Some(Message::Canceled(canceled)) if is_drain(&canceled) => {
                        if !canceled.position.is_empty() {
                            self.position = canceled.position;
                        }
                        self.lost("the server is stopping").await;
                    }
                    Some(message) => {
                        self.created(&message);
                        return Ok(Some(message));
                    }
                    None => {}
                },
                Ok(None) => self.lost("the server ended the stream").await,
                Err(status) => {
                    let refusal = Refusal::from_status(&status);
                    if !refusal.may_pass() {
                        return Err(Failure::from_refusal(refusal));
                    }
                    self.lost(&refusal.to_string()).await;
                }
            }
        }
    }

    /// What a watch that begins now begins with is known from the first answer on, so that
    /// nothing is left out by a connection that breaks before the first event.
    fn created(&mut self, message: &Message) {
        let begins_now = |create: &v1::WatchCreate| {
            let start = create.start.as_ref().and_then(|start| start.start.as_ref());
            matches!(start, Some(Start::Now(_)))
        };
        if let Message::Created(created) = message
            && created.start_revision > 0
            && begins_now(&self.create)
        {
            self.start_at(Start::Revision(created.start_revision));
        }
    }

    fn start_at(&mut self, start: Start) {
        self.create.start = Some(v1::WatchStart { start: Some(start) });
    }

    pub(super) fn passed(&mut self, revision: i64, position: Bytes) {
        self.revision = self.revision.max(revision);
        if !position.is_empty() {
            self.start_at(Start::Position(position.clone()));
            self.position = position;
        }
    }

    /// Within a resync nothing is whole until its end.
    pub(super) fn lose_position(&mut self) {
        self.position = Bytes::new();
        self.start_at(Start::CurrentState(v1::StartCurrentState {}));
    }

    /// What to add when the watch ends.
    pub(super) fn how_to_go_on(&self) -> String {
        if self.position.is_empty() {
            let start = self.create.start.as_ref();
            return match start.and_then(|start| start.start.as_ref()) {
                Some(Start::Revision(first)) => format!(": go on with --from {first}"),
                _ => String::new(),
            };
        }
        format!(
            ": revision {} was the last; go on with --position {}",
            self.revision,
            BASE64.encode(&self.position)
        )
    }

    async fn lost(&mut self, why: &str) {
        self.begun = None;
        let on = if self.revision > 0 {
            format!("; going on behind revision {}", self.revision)
        } else {
            String::new()
        };
        complain(&format!("{why}{on}"));
        self.rest().await;
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Begins the watch, as often as it takes once it was begun before.
    async fn begin(&mut self) -> Result<(), Failure> {
        loop {
            match self.attempt().await {
                Ok(begun) => {
                    self.begun = Some(begun);
                    self.was_begun = true;
                    self.pause = FIRST_PAUSE;
                    return Ok(());
                }
                Err(failure) if self.was_begun && may_pass(&failure) => self.rest().await,
                Err(Failure::Refused(refusal)) if refusal.is(ErrorReason::Loading) => {
                    self.rest().await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Begun, Failure> {
        let limit = self.settings.timeout;
        let mut caller: Caller = connect::connect(self.settings).await?;
        let (requests, receiver) = mpsc::channel(4);
        let create = v1::WatchRequest {
            request: Some(Request::Create(self.create.clone())),
        };
        // There is room for four, and the receiver lives.
        let _sent = requests.try_send(create);
        let opened = timeout(limit, caller.watch.watch(ReceiverStream::new(receiver))).await;
        let opened = opened
            .map_err(|_| Failure::Undecided(format!("no answer to the watch within {limit:?}")))?;
        let refused = |status: Status| Failure::from_refusal(Refusal::from_status(&status));
        Ok(Begun {
            messages: opened.map_err(refused)?.into_inner(),
            _requests: requests,
        })
    }
}

fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) | Failure::Undecided(_) => true,
        Failure::Refused(refusal) => refusal.may_pass(),
        _ => false,
    }
}

fn is_drain(canceled: &v1::WatchCanceled) -> bool {
    let error = canceled.error.as_ref();
    error.is_some_and(|error| Refusal::from_item(error).is(ErrorReason::Draining))
}
