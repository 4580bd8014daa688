//! Streams that a thread feeds, as Backup and Verify are.
//!
//! ```text
//! thread: reads the store ── [`Feed::send`] ──► few items under way ──► stream ──► client
//! ```
//! A thread of its own works; the stream is polled by its connection when its client has
//! room. A client that is slow costs a few items, and one that takes none for a minute ends
//! the work, as one that went away does.
//!
//! Invariants:
//! - A call is counted once: well only if its last message was taken, and as cancelled if it
//!   was dropped before.
//! - It has its place among those at one time from before its thread begins until its
//!   stream is gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use kvproto::v1::{self, ErrorReason as Reason};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Code, Response, Status};

use super::core::{Core, Shared};
use super::status::Refusal;
use crate::backend::{self, Store};
use crate::telemetry::stats::Rpc;
use crate::telemetry::trace::Span;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What work is done, as far as that is the same for each call.
#[derive(Debug)]
pub(super) struct Kind<S: Store> {
    pub(super) rpc: Rpc,
    pub(super) thread: &'static str,
    /// What it is called: one, and several.
    pub(super) names: [&'static str; 2],
    /// What a client takes, as in "no piece of the backup".
    pub(super) item: &'static str,
    /// Calls at one time, and where they are counted.
    pub(super) at_once: usize,
    pub(super) running: fn(&Shared<S>) -> &AtomicUsize,
    /// Items under way.
    pub(super) ahead: usize,
}

/// What follows an item.
pub(super) enum Next<R> {
    On(R),
    Last(R),
    /// The thread ended and should not have: the stream ends without its last message.
    Cut,
}

type Item<T> = Result<T, backend::Error>;
type Replies<R> = BoxStream<'static, Result<R, Status>>;

/// Begins a stream. `work` is what the request came to; it runs on the thread. `reply`
/// makes messages of items, and of their end.
pub(super) fn begin<S: Store, T: Send + 'static, R: Send + 'static>(
    core: &Arc<Core<S>>,
    kind: Kind<S>,
    span: Span,
    work: Result<impl FnOnce(&S, Feed<T>) + Send + 'static, Refusal>,
    reply: impl Fn(v1::ResponseHeader, Option<T>) -> Next<R> + Send + 'static,
) -> Result<Response<Replies<R>>, Status> {
    core.stats.enter(kind.rpc);
    let mut counted = Counted {
        core: Arc::clone(core),
        kind,
        begun: Instant::now(),
        code: Code::Cancelled,
        span,
        running: false,
    };
    match work.and_then(|work| counted.start(work)) {
        Ok(items) => Ok(Response::new(stream_of(counted, items, reply))),
        Err(refusal) => {
            counted.refused(&refusal);
            Err(refusal.into_status())
        }
    }
}

fn stream_of<S: Store, T: Send + 'static, R: Send + 'static>(
    counted: Counted<S>,
    items: mpsc::Receiver<Item<T>>,
    reply: impl Fn(v1::ResponseHeader, Option<T>) -> Next<R> + Send + 'static,
) -> Replies<R> {
    let state = Some((counted, items, reply));
    stream::unfold(state, |state| async move {
        let (mut counted, mut items, reply) = state?;
        let item = match items.recv().await.transpose() {
            Ok(item) => item,
            Err(error) => {
                let refusal = Refusal::from(error);
                counted.refused(&refusal);
                return Some((Err(refusal.into_status()), None));
            }
        };
        match reply(counted.core.state_header(), item) {
            Next::On(message) => Some((Ok(message), Some((counted, items, reply)))),
            Next::Last(message) => {
                counted.code = Code::Ok;
                Some((Ok(message), None))
            }
            Next::Cut => None,
        }
    })
    .boxed()
}

/// A call, counted when it ends. Dropped before, its caller went away.
struct Counted<S: Store> {
    core: Arc<Core<S>>,
    kind: Kind<S>,
    begun: Instant,
    code: Code,
    span: Span,
    /// It has a place among those at one time.
    running: bool,
}

impl<S: Store> Drop for Counted<S> {
    fn drop(&mut self) {
        if self.running {
            let running = (self.kind.running)(&self.core.shared);
            running.fetch_sub(1, Ordering::Relaxed);
        }
        let took = self.begun.elapsed();
        self.span.end(self.code, Some(took));
        self.core.stats.exit(self.kind.rpc, self.code, Some(took));
    }
}

impl<S: Store> Counted<S> {
    fn refused(&mut self, refusal: &Refusal) {
        self.code = refusal.code();
        self.span.refused(refusal.reason());
    }

    fn start<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&S, Feed<T>) + Send + 'static,
    ) -> Result<mpsc::Receiver<Item<T>>, Refusal> {
        let store = self.core.store()?.clone();
        let (kind, running) = (&self.kind, (self.kind.running)(&self.core.shared));
        let [one, many] = kind.names;
        if running.fetch_add(1, Ordering::Relaxed) >= kind.at_once {
            running.fetch_sub(1, Ordering::Relaxed);
            let what = format!("{} {many} are under way: wait for one to end", kind.at_once);
            return Err(Refusal::new(Reason::Overloaded, what));
        }
        self.running = true;
        let (sender, receiver) = mpsc::channel(kind.ahead);
        let feed = Feed::new(sender, PATIENCE, kind.item);
        let thread = std::thread::Builder::new()
            .name(kind.thread.to_owned())
            .spawn(move || work(&store, feed));
        match thread {
            Ok(_) => Ok(receiver),
            Err(error) => {
                let what = format!("no thread for the {one}: {error}");
                Err(Refusal::new(Reason::Internal, what))
            }
        }
    }
}

/// Where the thread puts what it has for a client that may be slow, or gone.
#[derive(Debug)]
pub(super) struct Feed<T> {
    sender: mpsc::Sender<Item<T>>,
    patience: Duration,
    item: &'static str,
    /// Since when there was no room for [`Feed::offer`].
    full_since: Option<Instant>,
}

impl<T> Feed<T> {
    pub(super) fn new(
        sender: mpsc::Sender<Item<T>>,
        patience: Duration,
        item: &'static str,
    ) -> Self {
        Self {
            sender,
            patience,
            item,
            full_since: None,
        }
    }

    /// Waits for room, but not for ever. An error is the last thing that the stream hears.
    pub(super) fn send(&mut self, item: Item<T>) -> io::Result<()> {
        let until = Instant::now() + self.patience;
        let mut item = item;
        loop {
            item = match self.sender.try_send(item) {
                Ok(()) => {
                    self.full_since = None;
                    return Ok(());
                }
                Err(TrySendError::Closed(_)) => return Err(gone()),
                Err(TrySendError::Full(item)) => item,
            };
            if Instant::now() >= until {
                return Err(self.late());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Sends it if there is room. None is an error only when there was none for too long.
    pub(super) fn offer(&mut self, item: T) -> io::Result<()> {
        match self.sender.try_send(Ok(item)) {
            Ok(()) => self.full_since = None,
            Err(TrySendError::Closed(_)) => return Err(gone()),
            Err(TrySendError::Full(_)) => {
                let since = *self.full_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.patience {
                    return Err(self.late());
                }
            }
        }
        Ok(())
    }

    /// An error if the caller went away.
    pub(super) fn is_heard(&self) -> io::Result<()> {
        if self.sender.is_closed() {
            return Err(gone());
        }
        Ok(())
    }

    fn late(&self) -> io::Error {
        let what = format!("the caller took no {} for a minute", self.item);
        io::Error::new(io::ErrorKind::TimedOut, what)
    }
}

fn gone() -> io::Error {
    io::Error::other("the caller went away")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that went away, and one that takes nothing, end the work.
    #[test]
    fn nobody_is_waited_for_without_an_end() {
        let (sender, receiver) = mpsc::channel(1);
        let patience = Duration::from_millis(100);
        let mut feed = Feed::new(sender, patience, "piece of the test");
        feed.send(Ok(1)).expect("there is room");
        let late = feed.send(Ok(2)).expect_err("nobody takes it");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(late.to_string().contains("no piece of the test"), "{late}");
        feed.offer(3).expect("it may be left out");
        std::thread::sleep(patience);
        let late = feed.offer(4).expect_err("for too long");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        feed.is_heard().expect("it is there");
        drop(receiver);
        for gone in [feed.send(Ok(5)), feed.offer(6), feed.is_heard()] {
            let gone = gone.expect_err("it is gone");
            assert!(gone.to_string().contains("went away"), "{gone}");
        }
    }

    #[test]
    fn what_is_taken_makes_room_again() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut feed = Feed::new(sender, Duration::ZERO, "item");
        feed.send(Ok(1)).expect("there is room");
        feed.send(Ok(2)).expect_err("there is none");
        assert_eq!(receiver.try_recv().expect("one").expect("no error"), 1);
        feed.offer(3).expect("there is room again");
        assert_eq!(feed.full_since, None);
        assert_eq!(receiver.try_recv().expect("one").expect("no error"), 3);
    }
}
