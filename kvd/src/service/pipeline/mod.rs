//! Pipeline: operations in stream order, answered in stream order.
//!
//! The stream is one state machine polled by its connection; nothing is spawned.
//! An operation runs as soon as it is read and its answer joins a queue, where it
//! may have to wait for the log while later operations run. Whatever has become
//! ready at the front of the queue leaves together in one message.
//!
//! * Reading stops while 4,096 operations or 4 MiB are unanswered.
//! * After 64 operations the runtime gets a turn.
//! * The end (half-close, a bad message, a drain) comes after all earlier answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream as _, StreamExt as _};
use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};
use tonic::{Code, Request, Status, Streaming};

use super::answers::{Answers, weight};
use super::convert;
use super::core::{Core, Headed as _};
use super::limits::{PIPELINE_BYTES, PIPELINE_OPERATIONS};
use super::status::Refusal;
use crate::backend::Store;
use crate::connection::Peer;
use crate::intake::Hold;
use crate::telemetry::stats::Rpc;
use crate::telemetry::trace::Span;
use crate::waiter::{Entry, Unreached};

/// Operations after which the runtime gets a turn.
const TURN: u32 = 64;
/// Results that are worth sending without looking for more.
const ENOUGH: usize = 512;

/// Serves one stream.
pub(crate) fn serve<S: Store>(
    core: Arc<Core<S>>,
    store: S,
    request: Request<Streaming<v1::PipelineRequest>>,
) -> BoxStream<'static, Result<v1::PipelineResponse, Status>> {
    core.stats.enter(Rpc::Pipeline);
    let span = core.span(Rpc::Pipeline, &request);
    let mut draining = core.shared.draining.subscribe();
    let pipe = Box::new(Pipe {
        peer: request.extensions().get::<Peer>().cloned(),
        hold: core.intake.hold(),
        core,
        store,
        input: request.into_inner(),
        draining: Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        }),
        message: Vec::new().into_iter(),
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
    peer: Option<Peer>,
    input: Streaming<v1::PipelineRequest>,
    /// Ready once the server stops.
    draining: BoxFuture<'static, ()>,
    /// What is left to run of the message read last.
    message: std::vec::IntoIter<v1::Operation>,
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

/// What ended a pause.
enum Event {
    Message(Option<Result<v1::PipelineRequest, Status>>),
    Front(Result<(), Unreached>),
    Drain,
}

impl<S: Store> Pipe<S> {
    async fn next(&mut self) -> Option<Result<v1::PipelineResponse, Status>> {
        loop {
            self.run_what_is_there().await;
            let ended = self.front_ended.take();
            let queued = self.answers.reply_bytes();
            if let Some(message) = self.answers.take_ready(&self.core, &self.store, ended) {
                // The place among the waiters was the old front's.
                self.leave();
                if let Some(peer) = &self.peer {
                    // What was only about so many bytes is now exactly so many.
                    peer.forgives(queued - self.answers.reply_bytes());
                    peer.owes(message.weight());
                }
                return Some(Ok(message));
            }
            if self.answers.is_empty()
                && self.message.as_slice().is_empty()
                && let Some(end) = self.end.take()
            {
                return self.finish(end);
            }
            match poll_fn(|cx| self.poll_event(cx)).await {
                Event::Message(message) => self.take_message(message),
                Event::Front(ended) => self.front_ended = ended.err(),
                Event::Drain => self.refuse(draining()),
            }
        }
    }

    /// The end of the stream; an error is its last item.
    fn finish(&mut self, end: Result<(), Status>) -> Option<Result<v1::PipelineResponse, Status>> {
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
            // One look at the clock for all that came together.
            let mut now = Instant::now();
            while self.has_room() {
                let Some(operation) = self.message.next() else {
                    break;
                };
                self.since_turn += 1;
                self.operations += 1;
                if self.since_turn == TURN {
                    self.since_turn = 0;
                    tokio::task::yield_now().await;
                    now = Instant::now();
                }
                let keeps_up = self.core.keeps_up(self.peer.as_ref());
                let answer = self
                    .core
                    .execute(&self.store, operation, keeps_up, now)
                    .await;
                if let Some(peer) = &self.peer {
                    peer.owes(answer.reply_bytes());
                }
                self.answers.push(answer);
            }
            if self.end.is_some() || !self.has_room() || self.answers.len() >= ENOUGH {
                return;
            }
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut self.input).poll_next(cx))).await {
                Poll::Ready(message) => self.take_message(message),
                Poll::Pending => return,
            }
        }
    }

    fn take_message(&mut self, message: Option<Result<v1::PipelineRequest, Status>>) {
        match message {
            None => self.stop_reading(Ok(())),
            Some(Err(status)) => self.stop_reading(Err(status)),
            Some(Ok(message)) => match self.check(&message) {
                Ok(()) => {
                    self.store.expect(keys(&message.operations));
                    self.message = message.operations.into_iter();
                }
                Err(refusal) => self.refuse(refusal),
            },
        }
    }

    fn check(&mut self, message: &v1::PipelineRequest) -> Result<(), Refusal> {
        convert::require(&message.require)?;
        let bytes = message.operations.iter().map(weight).sum();
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
        if let Some(peer) = &self.peer {
            peer.forgives(self.answers.reply_bytes());
        }
        self.span.operations(self.operations);
        self.span.end(self.code, None);
        self.core.stats.exit(Rpc::Pipeline, self.code, None);
    }
}

/// The keys of operations that have one; a single one is as quickly looked up as expected.
fn keys(operations: &[v1::Operation]) -> impl Iterator<Item = &[u8]> {
    let several = if operations.len() > 1 {
        operations
    } else {
        &[]
    };
    several
        .iter()
        .filter_map(|operation| match operation.operation.as_ref()? {
            Op::Get(get) => Some(&get.key[..]),
            Op::Set(set) => Some(&set.key[..]),
            Op::Delete(delete) => Some(&delete.key[..]),
            Op::Increment(increment) => Some(&increment.key[..]),
            Op::Expire(expire) => Some(&expire.key[..]),
            _ => None,
        })
}

fn draining() -> Refusal {
    Refusal::new(
        Reason::Draining,
        "the server is stopping: everything sent before this was answered, open a new stream",
    )
}
