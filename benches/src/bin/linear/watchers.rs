//! Watchers: what each was told, in the order in which it came.
//!
//! A watcher opens a watch, is told, and opens another behind what it was told: when its
//! daemon was killed, when the stream broke, and by itself every [`PER_WATCH`] messages. All
//! ask for progress, so that at the end it is known that each has all there is. The
//! fragments of one revision are one message here: before the last of them nobody was told
//! that revision, and what a broken stream left of it is no part of the record.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use kvproto::v1;
use kvproto::v1::key_range::Range;
use kvproto::v1::watch_request::Request;
use kvproto::v1::watch_response::Response as Message;
use kvproto::v1::watch_service_client::WatchServiceClient;
use kvproto::v1::watch_start::Start;
use tokio::sync::watch;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::clients::Running;
use super::history::History;
use super::op::Key;

/// Messages after which a watcher begins anew.
const PER_WATCH: usize = 40;
const PROGRESS_MS: i64 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// What one watch asked for and was told.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) watcher: usize,
    /// One key, or all keys of the run.
    pub(crate) only: Option<Key>,
    /// The first revision that it has to be told of.
    pub(crate) from: i64,
    pub(crate) previous: bool,
    pub(crate) told: Vec<Told>,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: u64,
    pub(crate) revision: i64,
    /// None for mere progress.
    pub(crate) events: Option<Vec<v1::Event>>,
}

/// How a watcher begins after a watch that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resume {
    Position,
    Revision,
    /// Always from the first change: what others saw live comes from the log.
    Beginning,
}

/// What all watchers of a run have recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    watched: RefCell<Vec<Watched>>,
    /// Up to which revision each watcher was told, and what it cannot go on for.
    reached: RefCell<Vec<i64>>,
    broken: RefCell<Option<String>>,
}

impl Watches {
    /// Whether every watcher has all up to `revision`. The error is what one was refused with.
    pub(crate) fn all_reached(&self, revision: i64) -> Result<bool, String> {
        match &*self.0.broken.borrow() {
            Some(broken) => Err(broken.clone()),
            None => Ok(self
                .0
                .reached
                .borrow()
                .iter()
                .all(|reached| *reached >= revision)),
        }
    }

    pub(crate) fn finish(&self) -> Vec<Watched> {
        self.0.watched.borrow().clone()
    }
}

/// One watcher of a run.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: usize,
    only: Option<Key>,
    prefix: String,
    resume: Resume,
    previous: bool,
    history: History,
    running: watch::Receiver<Running>,
    stop: Rc<Cell<bool>>,
    watches: Watches,
    /// Behind what was told; 0 before anything was.
    revision: i64,
    position: bytes::Bytes,
    /// The revision behind what was told lies in the gap that a kill left, and names nothing.
    is_lost: bool,
}

impl Watcher {
    /// The kind follows from the number: with the first six there is one of each.
    pub(crate) fn new(
        number: usize,
        prefix: &str,
        keys: usize,
        history: &History,
        running: &watch::Receiver<Running>,
        watches: &Watches,
    ) -> Self {
        watches.0.reached.borrow_mut().push(0);
        Self {
            number,
            only: (number % 3 == 1).then_some(number / 3 % keys),
            prefix: prefix.to_owned(),
            resume: match number % 3 {
                0 => Resume::Position,
                1 => Resume::Revision,
                _ => Resume::Beginning,
            },
            previous: number.is_multiple_of(2),
            history: history.clone(),
            running: running.clone(),
            stop: Rc::default(),
            watches: watches.clone(),
            revision: 0,
            position: bytes::Bytes::new(),
            is_lost: false,
        }
    }

    pub(crate) fn stopper(&self) -> Rc<Cell<bool>> {
        self.stop.clone()
    }

    /// Watches until it is told to stop.
    pub(crate) async fn work(mut self) {
        while !self.stop.get() {
            let running = self.running.borrow_and_update().clone();
            // Who is killed meanwhile is tried again.
            if let Some((_, endpoint)) = running
                && let Ok(endpoint) = Endpoint::from_shared(endpoint)
                && let Ok(channel) = endpoint.connect().await
            {
                let client = WatchServiceClient::new(channel);
                if let Err(broken) = self.one(client).await {
                    let broken = format!("watcher {}: {broken}", self.number);
                    *self.watches.0.broken.borrow_mut() = Some(broken);
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn start(&self) -> Start {
        match self.resume {
            // Without a past, one begins with what comes now, and the others at the start.
            Resume::Position if self.position.is_empty() => Start::Now(v1::StartNow {}),
            Resume::Position => Start::Position(self.position.clone()),
            Resume::Revision if self.is_lost => Start::Position(self.position.clone()),
            Resume::Revision => Start::Revision(self.revision + 1),
            Resume::Beginning => Start::Revision(1),
        }
    }

    fn create(&self) -> v1::WatchCreate {
        let range = match self.only {
            Some(key) => Range::Key(format!("{}{key}", self.prefix).into()),
            None => Range::Prefix(self.prefix.clone().into()),
        };
        v1::WatchCreate {
            range: Some(v1::KeyRange { range: Some(range) }),
            start: Some(v1::WatchStart {
                start: Some(self.start()),
            }),
            previous_values: self.previous,
            progress_interval_ms: PROGRESS_MS,
            read_level: v1::ReadLevel::Durable.into(),
            ..v1::WatchCreate::default()
        }
    }

    /// One watch, until it breaks. The error is an answer that must not come.
    async fn one(
        &mut self,
        mut client: WatchServiceClient<tonic::transport::Channel>,
    ) -> Result<(), String> {
        let create = v1::WatchRequest {
            request: Some(Request::Create(self.create())),
        };
        // Open in this direction for as long as it is listened to.
        let requests = stream::iter([create]).chain(stream::pending());
        let Ok(stream) = client.watch(requests).await else {
            return Ok(());
        };
        let mut stream = stream.into_inner();
        let from = match next(&mut stream).await {
            Some(Message::Created(created)) => created.start_revision,
            Some(Message::Canceled(canceled)) if self.may_be_lost(&canceled) => {
                self.is_lost = true;
                return Ok(());
            }
            Some(Message::Canceled(canceled)) => return refused(&canceled),
            None => return Ok(()),
            Some(other) => return Err(format!("a watch begins with {other:?}")),
        };
        self.is_lost = false;
        if from < 1 {
            return Err(format!("a watch was created from revision {from}"));
        }
        let at = self.watches.0.watched.borrow().len();
        self.watches.0.watched.borrow_mut().push(Watched {
            watcher: self.number,
            only: self.only,
            from,
            previous: self.previous,
            told: Vec::new(),
        });
        self.told(&mut stream, at).await
    }

    /// Who goes on by a revision instead of a position is told so, and takes that.
    fn may_be_lost(&self, canceled: &v1::WatchCanceled) -> bool {
        let lost = i32::from(v1::ErrorReason::RevisionLost);
        self.resume == Resume::Revision
            && !self.position.is_empty()
            && !self.is_lost
            && canceled
                .error
                .as_ref()
                .is_some_and(|error| error.reason == lost)
    }

    async fn told(
        &mut self,
        stream: &mut Streaming<v1::WatchResponse>,
        at: usize,
    ) -> Result<(), String> {
        let mut part = Vec::new();
        let mut messages = 0;
        while !self.stop.get() {
            let Some(message) = next(stream).await else {
                return Ok(());
            };
            let (revision, position, events) = match message {
                Message::Events(more) if more.more_of_revision => {
                    part.extend(more.events);
                    continue;
                }
                Message::Events(last) => {
                    part.extend(last.events);
                    let events = Some(std::mem::take(&mut part));
                    (last.revision, last.position, events)
                }
                Message::Progress(progress) => (progress.revision, progress.position, None),
                Message::Canceled(canceled) => return refused(&canceled),
                other => return Err(format!("not asked for: {other:?}")),
            };
            if position.is_empty() {
                return Err(format!("revision {revision} came without a position"));
            }
            self.watches.0.watched.borrow_mut()[at].told.push(Told {
                at: self.history.now(),
                revision,
                events,
            });
            self.revision = self.revision.max(revision);
            self.position = position;
            self.watches.0.reached.borrow_mut()[self.number] = self.revision;
            messages += 1;
            // The one that reads all from the beginning has to get further each time.
            if messages >= PER_WATCH && self.resume != Resume::Beginning {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A stream that breaks has ended: the daemon was killed.
async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Option<Message> {
    stream.message().await.ok()??.response
}

/// Nothing is compacted in a run, and nobody drains.
fn refused(canceled: &v1::WatchCanceled) -> Result<(), String> {
    Err(format!("canceled: {:?}", canceled.error))
}
