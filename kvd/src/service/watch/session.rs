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

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream as _, StreamExt as _};
use kvproto::v1::{
    self, ErrorReason as Reason, watch_request::Request as Ask, watch_response::Response,
};
use tokio::time::{Instant, Sleep};
use tonic::{Code, Request, Status, Streaming};

use super::super::convert::{bad_number, conflict, signed, unsupported};
use super::super::core::{Core, Headed};
use super::super::limits::{STREAM_WATCHES, WATCH_BYTES, WATCH_EVENTS, WATCHES};
use super::super::status::Refusal;
use super::create::Asked;
use super::encode::{Encoder, ended};
use super::entry::{Entry, Timers, Wait};
use super::link::Link;
use crate::backend::Store;
use crate::backend::watch::{Budget, End, Level, Message, Turn, Watch as _};
use crate::connection::Peer;
use crate::telemetry::stats::Rpc;
use crate::waiter::{self, Unreached};

/// Turns after which the runtime gets one.
const TURN: u32 = 64;
/// How long a client that is behind with reading is left alone.
const REST: Duration = Duration::from_millis(10);
/// What one message holds: header, id, position and lengths take the rest of a MiB.
const BUDGET: Budget = Budget {
    events: WATCH_EVENTS,
    bytes: WATCH_BYTES - 1024,
};

type Reply = v1::WatchResponse;
type Read<W> = BoxFuture<'static, Option<(i64, W, Result<Turn, End>)>>;

impl Headed for v1::WatchResponse {
    fn set_header(&mut self, header: v1::ResponseHeader) {
        self.header = Some(header);
    }
}

/// Serves one stream.
pub(super) fn serve<S: Store>(
    core: Arc<Core<S>>,
    store: S,
    request: Request<Streaming<v1::WatchRequest>>,
) -> BoxStream<'static, Result<Reply, Status>> {
    core.stats.enter(Rpc::Watch);
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
        end: None,
        code: Code::Cancelled,
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
    end: Option<Result<(), Status>>,
    code: Code,
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
            if let Some(request) = self.request_at_hand().await {
                self.take_request(request);
                continue;
            }
            if self.core.keeps_up(self.peer.as_ref()).is_err() {
                tokio::time::sleep(REST).await;
                continue;
            }
            self.link.take(&mut self.ready, None);
            if let Some(id) = self.ready.pop_front() {
                self.turn(id);
                self.give_way().await;
                continue;
            }
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

    fn finish(&mut self, end: Result<(), Status>) -> Option<Result<Reply, Status>> {
        match end {
            Ok(()) => {
                self.code = Code::Ok;
                None
            }
            Err(status) => {
                self.code = status.code();
                self.end = Some(Ok(()));
                Some(Err(status))
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

    fn take_request(&mut self, request: Option<Result<v1::WatchRequest, Status>>) {
        match request {
            None => {
                self.input = None;
                if self.watches.is_empty() {
                    self.end = Some(Ok(()));
                }
            }
            Some(Err(status)) => self.end = Some(Err(status)),
            Some(Ok(v1::WatchRequest { request })) => match request {
                Some(Ask::Create(create)) => self.create(&create),
                Some(Ask::Cancel(v1::WatchCancel { watch_id })) => self.cancel(watch_id),
                Some(Ask::Progress(v1::WatchProgress { watch_id })) => self.ask(watch_id),
                None => self.refuse(0, unsupported("request", "the message asks for nothing")),
            },
        }
    }

    /// The answer to a request that leaves everything as it is.
    fn refuse(&mut self, id: i64, refusal: Refusal) {
        let reply = self.encoder(id).canceled(Some(refusal), None, 0);
        self.out.push_back(reply);
    }

    fn create(&mut self, create: &v1::WatchCreate) {
        let asked = create.watch_id;
        match self.begin(create) {
            Ok(id) => {
                let start = self.watches.get(&id).and_then(|entry| entry.watch.as_ref());
                let start = start.and_then(crate::backend::watch::Watch::start);
                let created = v1::WatchCreated {
                    start_revision: signed(start.unwrap_or(0)),
                };
                let reply = self.encoder(id).response(0, Response::Created(created));
                self.out.push_back(reply);
                self.ready.push_back(id);
            }
            Err(refusal) => {
                // The name of a watch that goes on must not be said to have ended.
                let taken = self.watches.contains_key(&asked);
                let id = if taken { 0 } else { asked.max(0) };
                self.refuse(id, refusal.inside("create"));
            }
        }
    }

    fn begin(&mut self, create: &v1::WatchCreate) -> Result<i64, Refusal> {
        let id = self.id_for(create.watch_id)?;
        if self.watches.len() >= STREAM_WATCHES {
            let what = format!("this stream has {STREAM_WATCHES} watches: use another one");
            return Err(Refusal::new(Reason::TooManyStreams, what).with("limit", STREAM_WATCHES));
        }
        let shared = &self.core.shared;
        let default = self.store.default_read_level();
        let asked = Asked::read(create, &shared.limits, default, shared.tag())?;
        if shared.watches.fetch_add(1, Ordering::Relaxed) >= WATCHES {
            shared.watches.fetch_sub(1, Ordering::Relaxed);
            let what = format!("there are {WATCHES} watches: end some");
            return Err(Refusal::new(Reason::TooManyStreams, what).with("limit", WATCHES));
        }
        let entered = self.enter(id, asked);
        if entered.is_err() {
            self.core.shared.watches.fetch_sub(1, Ordering::Relaxed);
        }
        entered.map(|()| id)
    }

    fn id_for(&mut self, asked: i64) -> Result<i64, Refusal> {
        if asked < 0 {
            return Err(bad_number("watch_id", "an id is not negative"));
        }
        if asked > 0 {
            if self.watches.contains_key(&asked) {
                let what = format!("watch {asked} is there already on this stream: it goes on");
                return Err(conflict("watch_id", &what));
            }
            return Ok(asked);
        }
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn enter(&mut self, id: i64, asked: Asked) -> Result<(), Refusal> {
        let keys_only = asked.want.filter.keys_only;
        let begun = self.store.watch(asked.want, asked.from);
        let mut watch = begun.map_err(|error| Refusal::from(error).inside("start"))?;
        let entered = self.core.watchers.enter(&mut watch, id, &self.link);
        let Some((ticket, heard)) = entered else {
            return Err(Refusal::new(Reason::Internal, "nobody dispatches changes"));
        };
        let now = Instant::now();
        if let Some(every) = asked.progress {
            self.timers.set(now + every, id);
        }
        let position = watch.position();
        heard.told(position.unwrap_or(0));
        let entry = Entry {
            position,
            watch: Some(watch),
            heard,
            ticket,
            keys_only,
            resync: None,
            wait: None,
            asked: None,
            every: asked.progress,
            last: now,
            due: false,
        };
        self.watches.insert(id, entry);
        Ok(())
    }

    fn unknown(id: i64) -> Refusal {
        let what = format!("no watch {id} is on this stream; it may have ended");
        bad_number("watch_id", &what)
    }

    fn cancel(&mut self, id: i64) {
        if self.watches.contains_key(&id) {
            self.end_watch(id, None);
        } else {
            self.refuse(id.max(0), Self::unknown(id).inside("cancel"));
        }
        if self.input.is_none() && self.watches.is_empty() {
            self.end = Some(Ok(()));
        }
    }

    /// The last message of a watch.
    fn end_watch(&mut self, id: i64, refusal: Option<Refusal>) {
        let Some(entry) = self.watches.get(&id) else {
            return;
        };
        let oldest = entry.watch.as_ref();
        let oldest = oldest.map_or(0, crate::backend::watch::Watch::oldest);
        let position = entry.position;
        let reply = self.encoder(id).canceled(refusal, position, oldest);
        self.out.push_back(reply);
        if let Some(entry) = self.watches.remove(&id) {
            self.leave(entry);
        }
        self.all_told(id);
        if self.input.is_none() && self.watches.is_empty() && self.end.is_none() {
            self.end = Some(Ok(()));
        }
    }

    fn leave(&self, entry: Entry<S>) {
        self.core.watchers.leave(&entry.ticket);
        self.core.shared.watches.fetch_sub(1, Ordering::Relaxed);
        if let Some(place) = entry.wait.and_then(|wait| wait.place) {
            self.core.waiters.leave(&place);
        }
    }

    /// A drain ends one watch after the other, then the stream.
    fn drain_one(&mut self) {
        match self.watches.keys().next().copied() {
            Some(id) => self.end_watch(id, Some(draining())),
            None => self.end = Some(Err(draining().into_status())),
        }
    }

    fn ask(&mut self, id: i64) {
        let target = self.store.store_revision();
        let asked: Vec<i64> = match id {
            0 => self.watches.keys().copied().collect(),
            id if self.watches.contains_key(&id) => vec![id],
            id => return self.refuse(id.max(0), Self::unknown(id).inside("progress")),
        };
        if id == 0 {
            if asked.is_empty() {
                let durable = self.store.positions().durable;
                let told = self.store.named(durable.min(target));
                let reply = self.encoder(0).progress(told);
                self.out.push_back(reply);
                return;
            }
            self.all_asked = Some(asked.iter().copied().collect());
        }
        for id in asked {
            if let Some(entry) = self.watches.get_mut(&id) {
                entry.asked = Some(target);
                self.ready.push_back(id);
            }
        }
    }

    /// A watch has its turn.
    fn turn(&mut self, id: i64) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        entry.heard.turn();
        // While it waits or is being read for, its turn comes by itself.
        if entry.wait.as_ref().is_some_and(|wait| wait.blocks) {
            return;
        }
        let Some(watch) = &mut entry.watch else {
            return;
        };
        let turn = watch.poll(BUDGET);
        self.went(id, turn);
    }

    fn went(&mut self, id: i64, turn: Turn) {
        match turn {
            Turn::Message(message) => self.message(id, message),
            Turn::Again => self.ready.push_back(id),
            Turn::Read => {
                self.to_read.push_back(id);
                self.start_read();
            }
            Turn::Wait(revision) => self.wait(id, revision.0, true),
            Turn::Idle(_) => self.idle(id),
        }
    }

    fn message(&mut self, id: i64, message: Message) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        if let Message::ResyncBegin { revision } = &message {
            entry.resync = Some(revision.0);
        }
        let state_of = entry.resync;
        if matches!(message, Message::ResyncEnd { .. }) {
            entry.resync = None;
        }
        if let Some(watch) = &entry.watch {
            entry.position = watch.position();
            entry.heard.told(entry.position.unwrap_or(0));
        }
        entry.last = Instant::now();
        if std::mem::take(&mut entry.due)
            && let Some(every) = entry.every
        {
            self.timers.set(entry.last + every, id);
        }
        let oldest = entry.watch.as_ref();
        let oldest = oldest.map_or(0, crate::backend::watch::Watch::oldest);
        let reply = self.encoder(id).message(message, state_of, oldest);
        self.out.push_back(reply);
        self.ready.push_back(id);
    }

    /// Everything there is was told.
    fn idle(&mut self, id: i64) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        let Some(watch) = &entry.watch else {
            return;
        };
        let level = watch.level();
        entry.position = watch.position();
        let told = entry.position.unwrap_or(0);
        entry.heard.told(told);
        if let Some(target) = entry.asked
            && told < target
        {
            let reached = level_of(level).of(self.store.positions()) >= target;
            if reached {
                // The dispatcher has yet to come there.
                self.since_turn = TURN;
                self.ready.push_back(id);
            } else {
                self.wait(id, target, false);
            }
            return;
        }
        let asked = entry.asked.take().is_some();
        let due = std::mem::take(&mut entry.due);
        if due && let Some(every) = entry.every {
            entry.last = Instant::now();
            self.timers.set(entry.last + every, id);
        }
        let for_all = asked && self.all_asked.as_ref().is_some_and(|all| all.contains(&id));
        if due || (asked && !for_all) {
            let reply = self.encoder(id).progress(told);
            self.out.push_back(reply);
        }
        if asked {
            self.all_told(id);
        }
    }

    /// A watch has told all that progress of the stream was asked for, or has ended.
    fn all_told(&mut self, id: i64) {
        let Some(all) = &mut self.all_asked else {
            return;
        };
        all.remove(&id);
        if !all.is_empty() {
            return;
        }
        self.all_asked = None;
        let told = self.watches.values().filter_map(|entry| entry.position);
        let store = self.store.positions().durable;
        let told = told.min().unwrap_or_else(|| self.store.named(store));
        let reply = self.encoder(0).progress(told);
        self.out.push_back(reply);
    }

    fn wait(&mut self, id: i64, revision: u64, blocks: bool) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        let level = entry.ticket.level;
        entry.wait = Some(Wait {
            revision,
            level: level_of(level),
            place: None,
            blocks,
        });
        self.waiting.push(id);
    }

    fn waited(&mut self, id: i64, ended: Result<(), Unreached>) {
        self.waiting.retain(|other| *other != id);
        let wait = self.watches.get_mut(&id).and_then(|e| e.wait.take());
        let Some(wait) = wait else {
            return;
        };
        if let Some(place) = &wait.place {
            self.core.waiters.leave(place);
        }
        match ended {
            Ok(()) => self.ready.push_back(id),
            // Nobody set this wait a time.
            Err(Unreached::Deadline) => self.wait(id, wait.revision, wait.blocks),
            Err(unreached) if wait.blocks => {
                let refusal = Refusal::read_unreached(&unreached, wait.revision);
                self.end_watch(id, Some(refusal));
            }
            // What was asked for will not come; the watch goes on.
            Err(_) => {
                if let Some(entry) = self.watches.get_mut(&id) {
                    entry.asked = None;
                }
                self.all_told(id);
            }
        }
    }

    fn start_read(&mut self) {
        while self.reading.is_none()
            && let Some(id) = self.to_read.pop_front()
        {
            let entry = self.watches.get_mut(&id);
            let Some(mut watch) = entry.and_then(|entry| entry.watch.take()) else {
                continue;
            };
            let permits = Arc::clone(&self.core.shared.watch_reads);
            self.reading = Some(Box::pin(async move {
                let permit = permits.acquire_owned().await.ok()?;
                let read = tokio::task::spawn_blocking(move || {
                    let turn = watch.read(BUDGET);
                    drop(permit);
                    (id, watch, turn)
                });
                read.await.ok()
            }));
        }
    }

    fn was_read(&mut self, id: i64, watch: S::Watch, turn: Result<Turn, End>) {
        // It may have been ended meanwhile, and another one given its id.
        if let Some(entry) = self.watches.get_mut(&id)
            && entry.watch.is_none()
        {
            entry.watch = Some(watch);
            match turn {
                Ok(turn) => self.went(id, turn),
                Err(end) => self.end_watch(id, Some(ended(&end))),
            }
        }
        self.start_read();
    }

    fn timer_fired(&mut self) {
        let (timers, watches) = (&mut self.timers, &mut self.watches);
        let ready = &mut self.ready;
        timers.due(Instant::now(), watches, |id| ready.push_back(id));
    }
}

impl<S: Store> Drop for Session<S> {
    fn drop(&mut self) {
        let watches = std::mem::take(&mut self.watches);
        for entry in watches.into_values() {
            self.leave(entry);
        }
        self.core.stats.exit(Rpc::Watch, self.code, None);
    }
}

const fn level_of(level: Level) -> waiter::Level {
    match level {
        Level::Durable => waiter::Level::Durable,
        Level::Latest => waiter::Level::Logged,
    }
}

fn draining() -> Refusal {
    Refusal::new(
        Reason::Draining,
        "the server is stopping: open a stream to its successor and go on from the position",
    )
}
