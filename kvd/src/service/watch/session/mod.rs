//! One stream of watches: a state machine polled by its connection.
//!
//! ```text
//!  next: a message that is ready? ─► send it
//!        a request? ─► create, cancel, progress
//!        a watch that has something? ─► its turn: a message, or a read, or a wait
//!        else wait for any of these, the read, the log, a timer, a drain
//! ```
//! * Requests are read while nothing waits to be sent: a client that does not read is not
//!   read from either.
//! * Watches take turns; after 64 turns the runtime gets one.
//! * What ends a watch is told as its `canceled`; only a drain, a broken request stream or
//!   the client ends the stream.
//!
//! Here is the loop; [`requests`] is what clients ask, [`queue`] whose turn it is, [`ends`]
//! how watches and the stream end.

mod ends;
mod queue;
mod requests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream as _, StreamExt as _};
use kvproto::v1;
use tokio::time::Sleep;
use tonic::{Code, Request, Status, Streaming};

use super::encode::Encoder;
use super::entry::{Entry, Timers};
use super::link::Link;
use super::wire::Reply;
use crate::backend::Store;
use crate::backend::watch::{Budget, End, Turn};
use crate::connection::Peer;
use crate::service::core::Core;
use crate::service::limits::{WATCH_BYTES, WATCH_EVENTS};
use crate::telemetry::stats::Rpc;
use crate::telemetry::trace::Span;
use crate::waiter::Unreached;
use ends::draining;

/// Turns after which the runtime gets one.
const TURN: u32 = 64;
/// Turns after which a request is looked for, however much there is to tell. Looking takes the
/// connection's lock; with nothing to tell it is done anyway.
const ASK: u32 = 16;
/// How long a client that is behind with reading is left alone.
const REST: Duration = Duration::from_millis(10);
/// What one message holds: header, id, position and lengths take the rest of a MiB.
const BUDGET: Budget = Budget {
    events: WATCH_EVENTS,
    bytes: WATCH_BYTES - 1024,
};

type Read<W> = BoxFuture<'static, Option<(i64, W, Result<Turn, End>)>>;

/// Serves one stream.
pub(super) fn serve<S: Store>(
    core: Arc<Core<S>>,
    store: S,
    request: Request<Streaming<v1::WatchRequest>>,
) -> BoxStream<'static, Result<Reply, Status>> {
    core.stats.enter(Rpc::Watch);
    let span = core.span(Rpc::Watch, &request);
    let mut draining = core.shared.draining.subscribe();
    let session = Box::new(Session {
        peer: request.extensions().get::<Peer>().cloned(),
        core,
        store,
        input: Some(request.into_inner()),
        draining: Some(Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        })),
        link: Arc::default(),
        watches: HashMap::new(),
        next_id: 1,
        out: VecDeque::new(),
        ready: VecDeque::new(),
        to_read: VecDeque::new(),
        reading: None,
        waiting: Vec::new(),
        timers: Timers::default(),
        timer: None,
        all_asked: None,
        since_turn: 0,
        since_request: 0,
        end: None,
        code: Code::Cancelled,
        span,
    });
    stream::unfold(session, |mut session| async move {
        let item = session.next().await?;
        Some((item, session))
    })
    .boxed()
}

struct Session<S: Store> {
    core: Arc<Core<S>>,
    store: S,
    peer: Option<Peer>,
    /// `None` once the client has said all it wants to say.
    input: Option<Streaming<v1::WatchRequest>>,
    /// `None` once the server stops.
    draining: Option<BoxFuture<'static, ()>>,
    link: Arc<Link>,
    watches: HashMap<i64, Entry<S>>,
    next_id: i64,
    /// Made, and not sent.
    out: VecDeque<Reply>,
    /// Watches that may have something to tell.
    ready: VecDeque<i64>,
    to_read: VecDeque<i64>,
    reading: Option<Read<S::Watch>>,
    /// Watches that wait for the log.
    waiting: Vec<i64>,
    timers: Timers,
    timer: Option<Pin<Box<Sleep>>>,
    /// Progress of the whole stream was asked for: those that are not there yet.
    all_asked: Option<HashSet<i64>>,
    since_turn: u32,
    since_request: u32,
    end: Option<Result<(), Status>>,
    code: Code,
    span: Span,
}

/// What ended a pause.
enum Happened<W> {
    Request(Option<Result<v1::WatchRequest, Status>>),
    Ready,
    Read(Option<(i64, W, Result<Turn, End>)>),
    Waited(i64, Result<(), Unreached>),
    Timer,
    Drain,
}

impl<S: Store> Session<S> {
    async fn next(&mut self) -> Option<Result<Reply, Status>> {
        loop {
            if let Some(reply) = self.out.pop_front() {
                if let Some(peer) = &self.peer {
                    peer.owes(reply.weight());
                }
                return Some(Ok(reply));
            }
            if let Some(end) = self.end.take() {
                return self.finish(end);
            }
            if self.draining.is_none() {
                self.drain_one();
                continue;
            }
            if self.since_request >= ASK {
                self.since_request = 0;
                if let Some(request) = self.request_at_hand().await {
                    self.take_request(request);
                    continue;
                }
            }
            if self.core.keeps_up(self.peer.as_ref(), 0).is_err() {
                tokio::time::sleep(REST).await;
                self.since_request = ASK;
                continue;
            }
            self.link.take(&mut self.ready, None);
            if let Some(id) = self.ready.pop_front() {
                self.turn(id);
                self.since_request += 1;
                self.give_way().await;
                continue;
            }
            self.since_request = 0;
            match poll_fn(|cx| self.poll_happened(cx)).await {
                Happened::Request(request) => self.take_request(request),
                Happened::Ready => {}
                Happened::Read(Some((id, watch, turn))) => self.was_read(id, watch, turn),
                // The runtime ends.
                Happened::Read(None) => self.end = Some(Err(draining().into_status())),
                Happened::Waited(id, ended) => self.waited(id, ended),
                Happened::Timer => self.timer_fired(),
                Happened::Drain => self.draining = None,
            }
        }
    }

    async fn give_way(&mut self) {
        self.since_turn += 1;
        if self.since_turn >= TURN {
            self.since_turn = 0;
            tokio::task::yield_now().await;
        }
    }

    async fn request_at_hand(&mut self) -> Option<Option<Result<v1::WatchRequest, Status>>> {
        let input = self.input.as_mut()?;
        poll_fn(|cx| {
            Poll::Ready(match Pin::new(&mut *input).poll_next(cx) {
                Poll::Ready(request) => Some(request),
                Poll::Pending => None,
            })
        })
        .await
    }

    fn poll_happened(&mut self, cx: &mut Context<'_>) -> Poll<Happened<S::Watch>> {
        if let Some(draining) = &mut self.draining
            && draining.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Happened::Drain);
        }
        if let Some(input) = &mut self.input
            && let Poll::Ready(request) = Pin::new(input).poll_next(cx)
        {
            return Poll::Ready(Happened::Request(request));
        }
        if let Some(read) = &mut self.reading
            && let Poll::Ready(done) = read.as_mut().poll(cx)
        {
            self.reading = None;
            return Poll::Ready(Happened::Read(done));
        }
        for &id in &self.waiting {
            let Some(wait) = self.watches.get_mut(&id).and_then(|e| e.wait.as_mut()) else {
                continue;
            };
            let (revision, level) = (wait.revision, wait.level);
            let waiters = &self.core.waiters;
            let place = &mut wait.place;
            if let Poll::Ready(ended) =
                waiters.poll_reached(&self.store, revision, level, place, cx)
            {
                return Poll::Ready(Happened::Waited(id, ended));
            }
        }
        if let Some(at) = self.timers.next() {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Happened::Timer);
            }
        }
        self.link.take(&mut self.ready, Some(cx));
        if self.ready.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Happened::Ready)
        }
    }

    fn encoder(&self, id: i64) -> Encoder<'_, S> {
        let entry = self.watches.get(&id);
        Encoder {
            core: &self.core,
            store: &self.store,
            id,
            keys_only: entry.is_some_and(|entry| entry.keys_only),
        }
    }
}
