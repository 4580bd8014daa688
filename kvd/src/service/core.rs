//! What every service of a runtime shares: the way to the store, the waits, the
//! limits and the counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use kvproto::v1::{self, ErrorReason as Reason};
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status};

use super::convert::signed;
use super::limits::Limits;
use super::status::Refusal;
use super::watch::READS;
use super::watch::link::Watchers;
use crate::backend::{Durability, ReadLevel, Revision, Store};
use crate::config::{Config, Settings};
use crate::connection::Peer;
use crate::control::Control;
use crate::intake::Intake;
use crate::live::Live;
use crate::telemetry::slow::Slow;
use crate::telemetry::stats::{Call, Rpc, Stats};
use crate::telemetry::trace::{Span, Tracer};
use crate::waiter::{Level, Unreached, Waiters};

/// How far loading is, for whoever asks meanwhile.
#[derive(Debug, Default)]
pub struct Loading {
    pub bytes_done: AtomicU64,
    pub bytes_total: AtomicU64,
}

/// What all runtimes share.
#[derive(Debug)]
pub struct Shared<S> {
    /// Empty while loading.
    pub store: Arc<OnceLock<S>>,
    pub loading: Loading,
    /// As they were at the start. What a reload can change is elsewhere: in `live`, and
    /// with those who use it.
    pub settings: Settings,
    /// The settings that are in force, and the way to have them read again.
    pub control: Control,
    pub live: Live,
    pub slow: Slow,
    pub(crate) tracer: Tracer,
    pub limits: Limits,
    pub started: Instant,
    /// True once the process is stopping.
    pub draining: watch::Sender<bool>,
    /// Backups under way.
    pub backups: AtomicUsize,
    /// Checks of the files under way.
    pub verifies: AtomicUsize,
    /// Watches that there are, and how many may read at a time.
    pub watches: AtomicUsize,
    pub watch_reads: Arc<Semaphore>,
    /// First bytes of the store's id, which every position carries.
    tag: OnceLock<[u8; 8]>,
}

impl<S: Store> Shared<S> {
    pub fn new(config: Config) -> Self {
        let settings = config.settings.clone();
        Self {
            control: Control::new(config),
            store: Arc::new(OnceLock::new()),
            loading: Loading::default(),
            limits: Limits::new(&settings),
            live: Live::new(&settings),
            slow: Slow::default(),
            tracer: Tracer::new(&settings),
            settings,
            started: Instant::now(),
            draining: watch::Sender::new(false),
            backups: AtomicUsize::new(0),
            verifies: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            watch_reads: Arc::new(Semaphore::new(READS)),
            tag: OnceLock::new(),
        }
    }

    /// Ends loading: from here on calls are served.
    pub fn opened(&self, store: S) {
        let mut tag = [0; 8];
        for (to, from) in tag.iter_mut().zip(store.status().store_id.bytes()) {
            *to = from;
        }
        let _ = self.tag.set(tag);
        let log = store.clone();
        self.slow
            .ask_log(Box::new(move |revision| log.logged_since(revision)));
        let _ = self.store.set(store);
    }

    /// Whether the log has failed.
    pub fn failed(&self) -> bool {
        self.store
            .get()
            .is_some_and(|store| store.failure().is_some())
    }

    /// First bytes of the store's id.
    pub(super) fn tag(&self) -> [u8; 8] {
        self.tag.get().copied().unwrap_or_default()
    }

    /// The opaque resume point of `revision`: format, revision, store.
    pub(super) fn position(&self, revision: Revision) -> Bytes {
        let mut position = [1; 17];
        position[1..9].copy_from_slice(&revision.to_le_bytes());
        if let Some(tag) = self.tag.get() {
            position[9..].copy_from_slice(tag);
        }
        Bytes::copy_from_slice(&position)
    }
}

/// What the services of one runtime share.
#[derive(Debug)]
pub struct Core<S: Store> {
    pub shared: Arc<Shared<S>>,
    pub waiters: Arc<Waiters>,
    pub watchers: Arc<Watchers<S>>,
    pub stats: Arc<Stats>,
    pub intake: Arc<Intake>,
}

/// What a reply shows of the store, and what it has to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub store_revision: Revision,
    /// The newest revision that the reply reveals or reports.
    pub reveals: Revision,
    /// What must have been reached before the reply may go; `None`: nothing.
    pub wait: Option<(Level, Revision)>,
    /// Whether something was applied: then a wait that fails leaves it undecided.
    pub wrote: bool,
}

/// A reply whose header is still open.
#[derive(Debug)]
pub struct Done<T> {
    pub reply: T,
    pub seen: Seen,
}

/// A reply with a header.
pub trait Headed: prost::Message {
    fn set_header(&mut self, header: v1::ResponseHeader);

    /// How many bytes it is on the wire at least: what the protocol adds is not counted,
    /// so that what is owed never adds up to more than what is sent.
    fn weight(&self) -> usize {
        self.encoded_len() + PREFIX
    }
}

/// In front of every message: whether it is compressed, and its length.
const PREFIX: usize = 5;

macro_rules! headed {
    ($($reply:ident),* $(,)?) => {
        $(impl Headed for v1::$reply {
            fn set_header(&mut self, header: v1::ResponseHeader) {
                self.header = Some(header);
            }
        })*
    };
}

headed!(
    GetResponse,
    SetResponse,
    DeleteResponse,
    BatchGetResponse,
    BatchWriteResponse,
    IncrementResponse,
    ExpireResponse,
    TxnResponse,
    ScanResponse,
    CountResponse,
    DeleteRangeResponse,
    HashResponse,
    PipelineResponse,
    WaitDurableResponse,
);

impl<S: Store> Core<S> {
    /// Refuses a client that asks faster than it reads. `beyond` are bytes of replies that
    /// its connection does not know of.
    pub fn keeps_up(&self, peer: Option<&Peer>, beyond: usize) -> Result<(), Refusal> {
        let limit = self.shared.live.reply_memory();
        match peer.map(|peer| peer.unread() + beyond) {
            Some(unread) if unread > limit => Err(Refusal::new(
                Reason::Overloaded,
                format!(
                    "{unread} bytes of replies wait for this connection to read them; the limit \
                     is {limit} (server.reply_memory): read, then ask again"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The store, or the refusal while it is loading.
    pub fn store(&self) -> Result<&S, Refusal> {
        self.shared.store.get().ok_or_else(|| {
            let loading = &self.shared.loading;
            let (done, total) = (
                loading.bytes_done.load(Ordering::Relaxed),
                loading.bytes_total.load(Ordering::Relaxed),
            );
            Refusal::new(
                Reason::Loading,
                format!("the store is being read from disk ({done} of {total} bytes): ask again"),
            )
        })
    }

    /// Waits as long as the reply must, and says how the waiting ended otherwise.
    pub async fn settle(
        &self,
        store: &S,
        seen: Seen,
        deadline: Option<Instant>,
    ) -> Result<(), Refusal> {
        let Some((level, revision)) = seen.wait else {
            return Ok(());
        };
        let wait = self.waiters.wait(store, revision, level, deadline);
        wait.await.map_err(|unreached| seen.unreached(&unreached))
    }

    /// A refusal that gives something away of the state is told when a read might be.
    pub async fn told(&self, store: &S, refusal: Refusal, deadline: Option<Instant>) -> Refusal {
        let revealed = refusal.revealed();
        if revealed == 0 {
            return refusal;
        }
        let wait = self.waiters.wait(store, revealed, Level::Durable, deadline);
        match wait.await {
            Ok(()) => refusal,
            Err(unreached) => Refusal::read_unreached(&unreached, revealed),
        }
    }

    /// The header of a reply made now. Positions go into the outermost one alone.
    pub fn header(&self, store: &S, seen: Seen) -> v1::ResponseHeader {
        let durable = store.positions().durable;
        v1::ResponseHeader {
            store_revision: signed(seen.store_revision),
            durable_revision: signed(store.named(durable.min(seen.store_revision))),
            durable: durable >= seen.reveals,
            position: Bytes::new(),
        }
    }

    pub fn header_with_position(&self, store: &S, seen: Seen) -> v1::ResponseHeader {
        v1::ResponseHeader {
            position: self.shared.position(seen.store_revision),
            ..self.header(store, seen)
        }
    }

    /// The whole end of a unary call: wait, fill the header.
    pub async fn finish<T: Headed>(
        &self,
        store: &S,
        done: Done<T>,
        deadline: Option<Instant>,
    ) -> Result<T, Refusal> {
        self.settle(store, done.seen, deadline).await?;
        let mut reply = done.reply;
        reply.set_header(self.header_with_position(store, done.seen));
        Ok(reply)
    }

    /// Counts a call as begun, and traces it if it is sampled.
    pub fn begin<T>(&self, rpc: Rpc, request: &Request<T>) -> Call<'_> {
        let span = self.span(rpc, request);
        self.stats.begin(rpc, &self.shared.slow, span)
    }

    /// The span of a stream, which is counted elsewhere.
    pub(crate) fn span<T>(&self, rpc: Rpc, request: &Request<T>) -> Span {
        self.shared.tracer.begin(rpc, request.metadata())
    }
}

impl Seen {
    /// Whether what it waits for is still to come.
    pub(super) fn waits<S: Store>(&self, store: &S) -> bool {
        self.wait
            .is_some_and(|(level, revision)| level.of(store.positions()) < revision)
    }

    pub fn unreached(&self, unreached: &Unreached) -> Refusal {
        if self.wrote {
            Refusal::write_unreached(unreached, self.reveals)
        } else {
            Refusal::read_unreached(unreached, self.reveals)
        }
    }
}

/// What a read at `level` waits for.
pub const fn read_wait(level: ReadLevel, revealed: Revision) -> Option<(Level, Revision)> {
    match level {
        ReadLevel::Durable => Some((Level::Durable, revealed)),
        ReadLevel::Latest => None,
    }
}

/// What an applied write of `durability` waits for.
pub const fn write_wait(durability: Durability) -> Option<Level> {
    match durability {
        Durability::None => None,
        Durability::Logged => Some(Level::Logged),
        Durability::Synced => Some(Level::Durable),
    }
}

/// Ends the count of a call and turns its result into what tonic sends.
pub fn answer<T>(mut call: Call<'_>, result: Result<T, Refusal>) -> Result<Response<T>, Status> {
    match result {
        Ok(reply) => {
            call.ended(tonic::Code::Ok);
            Ok(Response::new(reply))
        }
        Err(refusal) => {
            call.refused(&refusal);
            Err(refusal.into_status())
        }
    }
}
