//! Verify: how far a check of the files is, and what it finds.
//!
//! A thread feeds the stream (see [`super::fed`]). Progress that the client has no room for
//! is left out, damage never is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use kvproto::v1;
use tonic::{Request, Response, Status};

use super::convert::{limit, require, signed};
use super::core::Core;
use super::fed::{self, Feed, Kind, Next};
use super::status::Refusal;
use crate::backend::{Place, Store, VerifyStep};
use crate::telemetry::stats::Rpc;

/// Messages under way.
const AHEAD: usize = 16;
/// Checks at one time: more would only wait for the same disk.
const AT_ONCE: usize = 2;
/// How often progress is told.
const EVERY: Duration = Duration::from_millis(200);
/// Keys, and damaged places, in one message.
const KEYS: usize = 1000;
const PLACES: usize = 100;
/// Bytes of keys in one message.
const KEY_BYTES: usize = 1 << 20;

type Messages = BoxStream<'static, Result<v1::VerifyResponse, Status>>;

/// Checks the request and begins its stream.
pub(super) fn begin<S: Store>(
    core: &Arc<Core<S>>,
    request: &Request<v1::VerifyRequest>,
) -> Result<Response<Messages>, Status> {
    let kind = Kind {
        rpc: Rpc::Verify,
        thread: "kvd-verify",
        names: ["check", "checks"],
        item: "message of the check",
        at_once: AT_ONCE,
        running: |shared| &shared.verifies,
        ahead: AHEAD,
    };
    let work = rate(request.get_ref())
        .map(|rate| move |store: &S, feed| run(store, rate, Teller::new(feed)));
    let span = core.span(kind.rpc, request);
    fed::begin(core, kind, span, work, |header, message| match message {
        Some(mut message) => {
            message.header = Some(header);
            if message.last {
                Next::Last(message)
            } else {
                Next::On(message)
            }
        }
        None => Next::Cut,
    })
}

fn rate(request: &v1::VerifyRequest) -> Result<Option<u64>, Refusal> {
    require(&request.require)?;
    limit("bytes_per_second", request.bytes_per_second)
}

/// The thread. An error is the last thing that the stream hears of it.
fn run<S: Store>(store: &S, rate: Option<u64>, mut teller: Teller) {
    let done = store.verify(rate, &mut |step| teller.step(&step));
    let last = done.map(|()| v1::VerifyResponse {
        last: true,
        ..std::mem::take(&mut teller.now)
    });
    // Nobody may be listening any more.
    let _gone = teller.feed.send(last);
}

/// Says what is done and found.
struct Teller {
    feed: Feed<v1::VerifyResponse>,
    /// When progress was last told, or could not be for want of room.
    told: Option<Instant>,
    now: v1::VerifyResponse,
}

impl Teller {
    fn new(feed: Feed<v1::VerifyResponse>) -> Self {
        Self {
            feed,
            told: None,
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
        self.feed.is_heard()?;
        let soon = self.told.is_some_and(|told| told.elapsed() < EVERY);
        if soon || !step.found.is_empty() {
            return Ok(());
        }
        self.told = Some(Instant::now());
        self.feed.offer(message)
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
        self.feed.send(Ok(message))
    }
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
    use tokio::sync::mpsc;

    use super::*;
    use crate::backend;

    type Receiver = mpsc::Receiver<Result<v1::VerifyResponse, backend::Error>>;

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

    fn teller(room: usize) -> (Teller, Receiver) {
        let (sender, receiver) = mpsc::channel(room);
        let patience = Duration::from_millis(20);
        (
            Teller::new(Feed::new(sender, patience, "message")),
            receiver,
        )
    }

    /// A client that went away, and one that takes nothing, end the work at the next step.
    #[test]
    fn nobody_is_waited_for_without_an_end() {
        let (mut teller, receiver) = teller(1);
        teller.step(&step(vec![place()])).expect("there is room");
        let late = teller
            .step(&step(vec![place()]))
            .expect_err("nobody takes it");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        teller.told = None;
        teller
            .step(&step(Vec::new()))
            .expect("progress is left out");
        std::thread::sleep(Duration::from_millis(20));
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
        let (mut teller, mut receiver) = teller(AHEAD);
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
