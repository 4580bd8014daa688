//! Verify: how far a check of the files is, and what it finds.
//!
//! A thread of its own reads; the stream is polled by its connection when its client has
//! room. Progress that the client has no room for is left out, damage never is. A client that
//! went away ends the work, and so does one that takes nothing for a minute.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use kvproto::v1::{self, ErrorReason as Reason};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Code, Response, Status};

use super::convert::{limit, require, signed};
use super::core::Core;
use super::status::Refusal;
use crate::backend::{self, Place, Store, VerifyStep};
use crate::telemetry::stats::Rpc;

/// Messages under way.
const AHEAD: usize = 16;
/// Checks at one time: more would only wait for the same disk.
const AT_ONCE: usize = 2;
/// How long a client may take no message.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often progress is told.
const EVERY: Duration = Duration::from_millis(200);
/// Keys, and damaged places, in one message.
const KEYS: usize = 1000;
const PLACES: usize = 100;
/// Bytes of keys in one message.
const KEY_BYTES: usize = 1 << 20;

type Messages = BoxStream<'static, Result<v1::VerifyResponse, Status>>;
type Message = Result<v1::VerifyResponse, backend::Error>;

/// Checks the request and begins its stream.
pub(super) fn begin<S: Store>(
    core: &Arc<Core<S>>,
    request: &v1::VerifyRequest,
) -> Result<Response<Messages>, Status> {
    core.stats.enter(Rpc::Verify);
    let mut counted = Counted {
        core: Arc::clone(core),
        begun: Instant::now(),
        code: Code::Cancelled,
        running: false,
    };
    match counted.start(request) {
        Ok(messages) => Ok(Response::new(stream_of(counted, messages))),
        Err(refusal) => {
            counted.code = refusal.code();
            Err(refusal.into_status())
        }
    }
}

fn stream_of<S: Store>(counted: Counted<S>, messages: mpsc::Receiver<Message>) -> Messages {
    let state = Some((counted, messages));
    stream::unfold(state, |state| async move {
        let (mut counted, mut messages) = state?;
        match messages.recv().await {
            Some(Ok(mut message)) => {
                message.header = Some(counted.core.state_header());
                if message.last {
                    counted.code = Code::Ok;
                    return Some((Ok(message), None));
                }
                Some((Ok(message), Some((counted, messages))))
            }
            Some(Err(error)) => {
                let refusal = Refusal::from(error);
                counted.code = refusal.code();
                Some((Err(refusal.into_status()), None))
            }
            // The thread is gone without a word: the stream ends without its last message.
            None => None,
        }
    })
    .boxed()
}

/// A check, counted when it ends. Dropped before, its caller went away.
struct Counted<S: Store> {
    core: Arc<Core<S>>,
    begun: Instant,
    code: Code,
    /// It has a place among those at one time.
    running: bool,
}

impl<S: Store> Drop for Counted<S> {
    fn drop(&mut self) {
        if self.running {
            self.core.shared.verifies.fetch_sub(1, Ordering::Relaxed);
        }
        let took = self.begun.elapsed();
        self.core.stats.exit(Rpc::Verify, self.code, Some(took));
    }
}

impl<S: Store> Counted<S> {
    fn start(&mut self, request: &v1::VerifyRequest) -> Result<mpsc::Receiver<Message>, Refusal> {
        require(&request.require)?;
        let rate = limit("bytes_per_second", request.bytes_per_second)?;
        let store = self.core.store()?.clone();
        let verifies = &self.core.shared.verifies;
        if verifies.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            verifies.fetch_sub(1, Ordering::Relaxed);
            let what = format!("{AT_ONCE} checks are under way: wait for one to end");
            return Err(Refusal::new(Reason::Overloaded, what));
        }
        self.running = true;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let thread = std::thread::Builder::new()
            .name("kvd-verify".to_owned())
            .spawn(move || run(&store, rate, &mut Teller::new(sender, PATIENCE)));
        match thread {
            Ok(_) => Ok(receiver),
            Err(error) => {
                let what = format!("no thread for the check: {error}");
                Err(Refusal::new(Reason::Internal, what))
            }
        }
    }
}

/// The thread. An error is the last thing that the stream hears of it.
fn run<S: Store>(store: &S, rate: Option<u64>, teller: &mut Teller) {
    let done = store.verify(rate, &mut |step| teller.step(&step));
    let last = match done {
        Ok(()) => Ok(v1::VerifyResponse {
            last: true,
            ..std::mem::take(&mut teller.now)
        }),
        Err(error) => Err(error),
    };
    // Nobody may be listening any more.
    let _gone = teller.send(last);
}

/// Tells a client that may be slow, or gone.
struct Teller {
    sender: mpsc::Sender<Message>,
    patience: Duration,
    /// When progress was last told, or could not be for want of room.
    told: Option<Instant>,
    full_since: Option<Instant>,
    now: v1::VerifyResponse,
}

impl Teller {
    fn new(sender: mpsc::Sender<Message>, patience: Duration) -> Self {
        Self {
            sender,
            patience,
            told: None,
            full_since: None,
            now: v1::VerifyResponse::default(),
        }
    }

    fn step(&mut self, step: &VerifyStep) -> io::Result<()> {
        let message = v1::VerifyResponse {
            file: step.file.clone(),
            bytes_done: signed(step.bytes_done),
            bytes_total: signed(step.bytes_total),
            ..v1::VerifyResponse::default()
        };
        self.now.clone_from(&message);
        for places in step.found.chunks(PLACES) {
            self.damages(&message, places)?;
        }
        if self.sender.is_closed() {
            return Err(gone());
        }
        let soon = self.told.is_some_and(|told| told.elapsed() < EVERY);
        if soon || !step.found.is_empty() {
            return Ok(());
        }
        self.told = Some(Instant::now());
        match self.sender.try_send(Ok(message)) {
            Ok(()) => self.full_since = None,
            Err(TrySendError::Closed(_)) => return Err(gone()),
            Err(TrySendError::Full(_)) => {
                let since = *self.full_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.patience {
                    return Err(late());
                }
            }
        }
        Ok(())
    }

    /// Damage, in messages that are not too long.
    fn damages(&mut self, message: &v1::VerifyResponse, places: &[Place]) -> io::Result<()> {
        let mut left = KEY_BYTES;
        let damages = places
            .iter()
            .map(|place| damage(&message.file, place, &mut left));
        let message = v1::VerifyResponse {
            damages: damages.collect(),
            ..message.clone()
        };
        self.send(Ok(message))
    }

    /// Waits for room, but not for ever.
    fn send(&mut self, message: Message) -> io::Result<()> {
        let until = Instant::now() + self.patience;
        let mut message = message;
        loop {
            message = match self.sender.try_send(message) {
                Ok(()) => {
                    self.full_since = None;
                    return Ok(());
                }
                Err(TrySendError::Closed(_)) => return Err(gone()),
                Err(TrySendError::Full(message)) => message,
            };
            if Instant::now() >= until {
                return Err(late());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the caller went away")
}

fn late() -> io::Error {
    let what = "the caller took no message of the check for a minute";
    io::Error::new(io::ErrorKind::TimedOut, what)
}

fn damage(file: &str, place: &Place, left: &mut usize) -> v1::Damage {
    let lost = place.lost;
    let mut detail = place.what.clone();
    if place.open {
        detail += "; how much is lost is not known";
    }
    let keys = place.keys.iter().take(KEYS).map_while(|key| {
        *left = left.checked_sub(key.key.len())?;
        Some(bytes::Bytes::copy_from_slice(&key.key))
    });
    v1::Damage {
        file: file.to_owned(),
        offset: signed(place.offset),
        detail,
        first_revision: lost.map_or(0, |lost| signed(lost.first.0)),
        last_revision: lost.map_or(0, |lost| signed(lost.last.0)),
        keys: keys.collect(),
        lost_records: signed(place.records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(found: Vec<Place>) -> VerifyStep {
        VerifyStep {
            file: "seg".into(),
            bytes_done: 1,
            bytes_total: 2,
            found,
        }
    }

    fn place() -> Place {
        Place::new(7, 9, "one bit is wrong")
    }

    /// A client that went away, and one that takes nothing, end the work at the next step.
    #[test]
    fn nobody_is_waited_for_without_an_end() {
        let (sender, receiver) = mpsc::channel(1);
        let mut teller = Teller::new(sender, Duration::from_millis(20));
        teller.step(&step(vec![place()])).expect("there is room");
        let late = teller
            .step(&step(vec![place()]))
            .expect_err("nobody takes it");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        teller.told = None;
        teller
            .step(&step(Vec::new()))
            .expect("progress is left out");
        teller.full_since = Some(
            Instant::now()
                .checked_sub(Duration::from_secs(1))
                .expect("a past"),
        );
        teller.told = None;
        let late = teller.step(&step(Vec::new())).expect_err("for too long");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        drop(receiver);
        let gone = teller.step(&step(Vec::new())).expect_err("it is gone");
        assert!(gone.to_string().contains("went away"), "{gone}");
        let gone = teller.step(&step(vec![place()])).expect_err("it is gone");
        assert!(gone.to_string().contains("went away"), "{gone}");
    }

    #[test]
    fn progress_is_told_now_and_then_and_damage_always() {
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let mut teller = Teller::new(sender, PATIENCE);
        for _ in 0..5 {
            teller.step(&step(Vec::new())).expect("there is room");
        }
        teller.step(&step(vec![place()])).expect("there is room");
        let first = receiver.try_recv().expect("progress").expect("no error");
        assert_eq!((first.bytes_done, first.damages.len()), (1, 0));
        let second = receiver.try_recv().expect("damage").expect("no error");
        assert_eq!(second.damages[0].offset, 7);
        receiver.try_recv().expect_err("nothing else");
    }

    #[test]
    fn a_message_has_bounds() {
        let mut long = place();
        long.keys = (0..5000)
            .map(|n| kvcore::LostKey {
                revision: kvcore::Revision(n),
                key: vec![b'k'; 1 << 10],
            })
            .collect();
        let mut left = KEY_BYTES;
        let told = damage("seg", &long, &mut left);
        assert_eq!(told.keys.len(), KEYS);
        assert!(damage("seg", &long, &mut left).keys.len() <= 24);
    }
}
