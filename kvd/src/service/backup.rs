//! Backup: the store as a stream of pieces of a file.
//!
//! A thread of its own reads the store and hands over pieces; the stream is polled by its
//! connection when its client has room. Few pieces are under way at a time, so a slow client
//! costs little memory; one that takes none for a minute is given up, because what it
//! needs of the log is kept for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use kvproto::v1::{self, ErrorReason as Reason};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Code, Response, Status};

use super::convert::{require, revision};
use super::core::Core;
use super::status::Refusal;
use crate::backend::{self, Store};
use crate::telemetry::stats::Rpc;

/// Bytes of one piece, and pieces under way.
const PIECE: usize = 1 << 20;
const AHEAD: usize = 4;
/// Backups at one time.
const AT_ONCE: usize = 4;
/// How long a client may take no piece.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

type Pieces = BoxStream<'static, Result<v1::BackupResponse, Status>>;
type Piece = Result<Bytes, backend::Error>;

/// Checks the request and begins its stream.
pub(super) fn begin<S: Store>(
    core: &Arc<Core<S>>,
    request: &v1::BackupRequest,
) -> Result<Response<Pieces>, Status> {
    core.stats.enter(Rpc::Backup);
    let mut counted = Counted {
        core: Arc::clone(core),
        begun: Instant::now(),
        code: Code::Cancelled,
        running: false,
    };
    match counted.start(request) {
        Ok(pieces) => Ok(Response::new(stream_of(counted, pieces))),
        Err(refusal) => {
            counted.code = refusal.code();
            Err(refusal.into_status())
        }
    }
}

fn stream_of<S: Store>(counted: Counted<S>, pieces: mpsc::Receiver<Piece>) -> Pieces {
    let state = Some((counted, pieces));
    stream::unfold(state, |state| async move {
        let (mut counted, mut pieces) = state?;
        let header = |counted: &Counted<S>| Some(counted.core.state_header());
        match pieces.recv().await {
            Some(Ok(chunk)) => {
                let piece = v1::BackupResponse {
                    header: header(&counted),
                    chunk,
                    ..v1::BackupResponse::default()
                };
                Some((Ok(piece), Some((counted, pieces))))
            }
            Some(Err(error)) => {
                let refusal = Refusal::from(error);
                counted.code = refusal.code();
                Some((Err(refusal.into_status()), None))
            }
            None => {
                counted.code = Code::Ok;
                let end = v1::BackupResponse {
                    header: header(&counted),
                    last: true,
                    ..v1::BackupResponse::default()
                };
                Some((Ok(end), None))
            }
        }
    })
    .boxed()
}

/// A backup, counted when it ends. Dropped before, its caller went away.
struct Counted<S: Store> {
    core: Arc<Core<S>>,
    code: Code,
    begun: Instant,
    /// It has a place among those at one time.
    running: bool,
}

impl<S: Store> Drop for Counted<S> {
    fn drop(&mut self) {
        if self.running {
            self.core.shared.backups.fetch_sub(1, Ordering::Relaxed);
        }
        let took = self.begun.elapsed();
        self.core.stats.exit(Rpc::Backup, self.code, Some(took));
    }
}

impl<S: Store> Counted<S> {
    fn start(&mut self, request: &v1::BackupRequest) -> Result<mpsc::Receiver<Piece>, Refusal> {
        require(&request.require)?;
        let after = revision("after_revision", request.after_revision)?;
        let after = (after > 0).then_some(after);
        let store = self.core.store()?.clone();
        let backups = &self.core.shared.backups;
        if backups.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            backups.fetch_sub(1, Ordering::Relaxed);
            let what = format!("{AT_ONCE} backups are under way: wait for one to end");
            return Err(Refusal::new(Reason::Overloaded, what));
        }
        self.running = true;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let thread = std::thread::Builder::new()
            .name("kvd-backup".to_owned())
            .spawn(move || tell(&store, after, &sender));
        match thread {
            Ok(_) => Ok(receiver),
            Err(error) => {
                let what = format!("no thread for the backup: {error}");
                Err(Refusal::new(Reason::Internal, what))
            }
        }
    }
}

/// The thread. An error is the last thing that the stream hears of it.
fn tell<S: Store>(store: &S, after: Option<u64>, sender: &mpsc::Sender<Piece>) {
    let told = store.backup(after, &mut |bytes| {
        bytes
            .chunks(PIECE)
            .try_for_each(|piece| send(sender, Ok(Bytes::copy_from_slice(piece))))
    });
    if let Err(error) = told {
        // Nobody may be listening any more.
        let _gone = send(sender, Err(error));
    }
}

/// Waits for room.
fn send(sender: &mpsc::Sender<Piece>, piece: Piece) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut piece = piece;
    loop {
        piece = match sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => {
                return Err(io::Error::other("the caller went away"));
            }
            Err(TrySendError::Full(piece)) => piece,
        };
        if Instant::now() >= until {
            let what = "the caller took no piece of the backup for a minute";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
