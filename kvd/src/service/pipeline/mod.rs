//! Pipeline: operations in stream order, answered in stream order.
//!
//! The stream is one state machine polled by its connection; nothing is spawned.
//! An operation runs as soon as it is read and its answer joins a queue, where it
//! may have to wait for the log while later operations run. Whatever has become
//! ready at the front of the queue leaves together in one message.
//!
//! A message is read in place and answers are written once (`request`, `reply`): between them
//! an operation is a few numbers and the record that it found or made.
//!
//! * Reading stops while 4,096 operations or 4 MiB are unanswered.
//! * After 64 operations without a pause the runtime gets a turn.
//! * The end (half-close, a bad message, a drain) comes after all earlier answers.

mod answers;
mod execute;
mod reply;
mod request;
mod wire;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream as _, StreamExt as _};
use kvproto::v1::ErrorReason as Reason;
use tonic::{Code, Request, Status, Streaming};

use self::answers::Answers;
use self::execute::keys;
pub(super) use self::reply::Reply;
pub(super) use self::request::Message;
pub(super) use self::wire::Codec;
use super::convert;
use super::core::Core;
use super::limits::{PIPELINE_BYTES, PIPELINE_OPERATIONS};
use super::status::Refusal;
use crate::backend::Store;
use crate::connection::Peer;
use crate::intake::Hold;
use crate::telemetry::stats::Rpc;
use crate::telemetry::trace::Span;
use crate::waiter::{Entry, Unreached};

/// Operations without a pause after which the runtime gets a turn.
const TURN: u32 = 64;
/// Results that are worth sending without looking for more.
const ENOUGH: usize = 512;

/// Serves one stream.
pub(crate) fn serve<S: Store>(
    core: Arc<Core<S>>,
    store: S,
    request: Request<Streaming<Message>>,
) -> BoxStream<'static, Result<Reply, Status>> {
    core.stats.enter(Rpc::Pipeline);
    let span = core.span(Rpc::Pipeline, &request);
    let mut draining = core.shared.draining.subscribe();
    let pipe = Box::new(Pipe {
        owed: Owed::new(request.extensions().get::<Peer>().cloned()),
        hold: core.intake.hold(),
        core,
        store,
        input: request.into_inner(),
        draining: Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        }),
        message: Message::default(),
        next: 0,
        answers: Answers::default(),
        since_turn: 0,
        entry: None,
        front_ended: None,
        end: None,
        code: Code::Cancelled,
        span,
        operations: 0,
    });
    stream::unfold(pipe, |mut pipe| async move {
        let item = pipe.next().await?;
        Some((item, pipe))
    })
    .boxed()
}

struct Pipe<S: Store> {
    core: Arc<Core<S>>,
    store: S,
    owed: Owed,
    input: Streaming<Message>,
    /// Ready once the server stops.
    draining: BoxFuture<'static, ()>,
    /// The message read last, and which of its operations is next.
    message: Message,
    next: usize,
    /// Its bytes.
    hold: Hold,
    answers: Answers,
    since_turn: u32,
    /// The front answer's place among the waiters.
    entry: Option<Entry>,
    /// Why the front answer's wait ended early.
    front_ended: Option<Unreached>,
    /// Set once nothing more is read: how the stream ends.
    end: Option<Result<(), Status>>,
    code: Code,
    span: Span,
    /// Run since the stream began.
    operations: u64,
}

/// What a stream tells its peer of what there is to read.
struct Owed {
    peer: Option<Peer>,
    /// Of answers that wait: about so many bytes.
    told: usize,
}

impl Owed {
    fn new(peer: Option<Peer>) -> Self {
        Self { peer, told: 0 }
    }

    fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// What it does not know yet, if answers of so many bytes wait.
    fn beyond(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.told)
    }

    /// Answers of so many bytes wait.
    fn are(&mut self, bytes: usize) {
        if let Some(peer) = &self.peer {
            match bytes.checked_sub(self.told) {
                Some(0) => {}
                Some(more) => peer.owes(more),
                None => peer.forgives(self.told - bytes),
            }
        }
        self.told = bytes;
    }

    /// So many bytes are on their way.
    fn sends(&self, bytes: usize) {
        if let Some(peer) = &self.peer {
            peer.owes(bytes);
        }
    }
}

/// What ended a pause.
enum Event {
    Message(Option<Result<Message, Status>>),
    Front(Result<(), Unreached>),
    Drain,
}

impl<S: Store> Pipe<S> {
    async fn next(&mut self) -> Option<Result<Reply, Status>> {
        loop {
            self.run_what_is_there().await;
            let ended = self.front_ended.take();
            if let Some(message) = self.answers.take_ready(&self.core, &self.store, ended) {
                // The place among the waiters was the old front's.
                self.leave();
                // What was only about so many bytes is now exactly so many.
                self.owed.are(self.answers.reply_bytes());
                self.owed.sends(message.weight());
                return Some(Ok(message));
            }
            if self.answers.is_empty()
                && self.message.operations.len() == self.next
                && let Some(end) = self.end.take()
            {
                return self.finish(end);
            }
            let event = poll_fn(|cx| {
                let event = self.poll_event(cx);
                if event.is_pending() {
                    self.since_turn = 0;
                }
                event
            });
            match event.await {
                Event::Message(message) => self.take_message(message),
                Event::Front(ended) => self.front_ended = ended.err(),
                Event::Drain => self.refuse(draining()),
            }
        }
    }

    /// The end of the stream; an error is its last item.
    fn finish(&mut self, end: Result<(), Status>) -> Option<Result<Reply, Status>> {
        self.end = Some(Ok(()));
        match end {
            Ok(()) if self.code == Code::Cancelled => self.code = Code::Ok,
            Ok(()) => {}
            Err(status) => {
                self.code = status.code();
                return Some(Err(status));
            }
        }
        None
    }

    fn has_room(&self) -> bool {
        self.answers.len() < PIPELINE_OPERATIONS && self.answers.bytes() < PIPELINE_BYTES
    }

    /// Runs operations until none is at hand, the queue is full, or enough are done.
    async fn run_what_is_there(&mut self) {
        loop {
            self.run_message().await;
            if self.end.is_some() || !self.has_room() || self.answers.len() >= ENOUGH {
                return;
            }
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut self.input).poll_next(cx))).await {
                Poll::Ready(message) => self.take_message(message),
                Poll::Pending => return,
            }
        }
    }

    /// Runs what the message at hand has, as far as there is room.
    async fn run_message(&mut self) {
        // One look at the clock for all that came together.
        let mut now = Instant::now();
        while self.has_room()
            && let Some(operation) = self.message.operations.get(self.next)
        {
            if self.since_turn == TURN {
                self.since_turn = 0;
                self.owed.are(self.answers.reply_bytes());
                tokio::task::yield_now().await;
                now = Instant::now();
            }
            self.next += 1;
            self.since_turn += 1;
            self.operations += 1;
            let replies = self.answers.reply_bytes();
            let keeps_up = self
                .core
                .keeps_up(self.owed.peer(), self.owed.beyond(replies));
            let (store, message) = (&self.store, &self.message.bytes);
            let mut run = pin!(self.core.execute(store, message, operation, keeps_up, now));
            let owed = &mut self.owed;
            let answer = poll_fn(|cx| {
                let polled = run.as_mut().poll(cx);
                // Others run now, who should know.
                if polled.is_pending() {
                    owed.are(replies);
                }
                polled
            });
            self.answers.push(answer.await);
        }
        self.owed.are(self.answers.reply_bytes());
    }

    fn take_message(&mut self, message: Option<Result<Message, Status>>) {
        match message {
            None => self.stop_reading(Ok(())),
            Some(Err(status)) => self.stop_reading(Err(status)),
            Some(Ok(message)) => match self.check(&message) {
                Ok(()) => {
                    self.store.expect(keys(&message.bytes, &message.operations));
                    (self.message, self.next) = (message, 0);
                }
                Err(refusal) => self.refuse(refusal),
            },
        }
    }

    fn check(&mut self, message: &Message) -> Result<(), Refusal> {
        convert::require(&message.require)?;
        let bytes = message.weight();
        let limits = &self.core.shared.limits;
        convert::batch("operations", message.operations.len(), bytes, limits)?;
        self.hold.set(bytes)
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.end.is_none() {
            self.span.refused(refusal.reason());
        }
        self.stop_reading(Err(refusal.into_status()));
    }

    fn stop_reading(&mut self, end: Result<(), Status>) {
        self.end.get_or_insert(end);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some((level, revision)) = self.answers.front_wait() {
            let waiters = &self.core.waiters;
            let polled = waiters.poll_reached(&self.store, revision, level, &mut self.entry, cx);
            if let Poll::Ready(ended) = polled {
                self.leave();
                return Poll::Ready(Event::Front(ended));
            }
        }
        if self.end.is_some() {
            return Poll::Pending;
        }
        if self.has_room()
            && let Poll::Ready(message) = Pin::new(&mut self.input).poll_next(cx)
        {
            return Poll::Ready(Event::Message(message));
        }
        self.draining.as_mut().poll(cx).map(|()| Event::Drain)
    }

    fn leave(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.core.waiters.leave(&entry);
        }
    }
}

impl<S: Store> Drop for Pipe<S> {
    fn drop(&mut self) {
        self.leave();
        self.owed.are(0);
        self.span.operations(self.operations);
        self.span.end(self.code, None);
        self.core.stats.exit(Rpc::Pipeline, self.code, None);
    }
}

fn draining() -> Refusal {
    Refusal::new(
        Reason::Draining,
        "the server is stopping: everything sent before this was answered, open a new stream",
    )
}
