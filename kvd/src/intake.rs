//! How much of unfinished requests is in memory, over all connections.
//!
//! HTTP/2 windows bound what is on the wire, not what a server has taken from it: a
//! client may begin a thousand messages of eight megabytes and finish none. So the
//! bytes of an incomplete message are held against one budget, and past it a
//! request is refused with OVERLOADED. Small ones are not counted: the number of
//! streams bounds them.
//!
//! ```text
//! body: [flag 1][length 4, big endian][message] [flag][length][message] …
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use kvproto::v1::ErrorReason as Reason;
use tonic::Status;
use tonic::body::Body;

use crate::service::status::Refusal;

/// Messages up to this size are not counted.
const SMALL: usize = 64 << 10;
/// Flag and length before each message.
const HEADER: usize = 5;

/// The budget for unfinished requests, as one runtime holds it: the sum is shared,
/// the handle is not, so that requests of different cores do not meet on its
/// reference count.
#[derive(Debug)]
pub struct Intake {
    budget: Arc<Budget>,
}

/// What may be held, and what is.
#[derive(Debug)]
struct Budget {
    limit: AtomicUsize,
    held: AtomicUsize,
}

impl Intake {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::new(Budget {
                limit: AtomicUsize::new(limit),
                held: AtomicUsize::new(0),
            }),
        })
    }

    /// The same budget for another runtime.
    pub fn for_runtime(&self) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(&self.budget),
        })
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.budget.held.load(Ordering::Relaxed)
    }

    /// Changes the budget of all runtimes. What is held already stays.
    pub fn set_limit(&self, limit: usize) {
        self.budget.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts what comes out of `body`.
    pub fn count(self: &Arc<Self>, body: Body) -> Counted {
        Counted {
            body,
            hold: self.hold(),
            header: [0; HEADER],
            header_len: 0,
            missing: 0,
            partial: 0,
        }
    }

    /// Nothing held yet.
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            intake: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    intake: Arc<Intake>,
    bytes: usize,
}

impl Hold {
    /// Holds `bytes` from now on, or none if they are few.
    pub fn set(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = if bytes > SMALL { bytes } else { 0 };
        if bytes == self.bytes {
            return Ok(());
        }
        let Budget { limit, held } = &*self.intake.budget;
        let limit = limit.load(Ordering::Relaxed);
        held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
        let now = held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if now <= limit {
            self.bytes = bytes;
            return Ok(());
        }
        held.fetch_sub(bytes, Ordering::Relaxed);
        Err(Refusal::new(
            Reason::Overloaded,
            format!(
                "requests that are still arriving hold {now} bytes; the limit is {limit} \
                 (server.request_memory): send again later"
            ),
        ))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let held = &self.intake.budget.held;
            held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// A request's body whose incomplete message is held against the budget.
#[derive(Debug)]
pub struct Counted {
    body: Body,
    hold: Hold,
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the message that have not come.
    missing: usize,
    /// Bytes of it that have.
    partial: usize,
}

impl Counted {
    /// Follows the framing through `data`.
    fn follow(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let wanted = if self.header_len < HEADER {
                HEADER - self.header_len
            } else {
                self.missing
            };
            let (now, rest) = data.split_at(wanted.min(data.len()));
            data = rest;
            if self.header_len < HEADER {
                let end = self.header_len + now.len();
                self.header[self.header_len..end].copy_from_slice(now);
                self.header_len = end;
                if end == HEADER {
                    self.missing = (&self.header[1..]).get_u32() as usize;
                }
            } else {
                self.missing -= now.len();
                self.partial += now.len();
            }
            if self.header_len == HEADER && self.missing == 0 {
                self.header_len = 0;
                self.partial = 0;
            }
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.follow(data);
            if let Err(refusal) = this.hold.set(this.partial) {
                return Poll::Ready(Some(Err(refusal.into_status())));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(intake: &Arc<Intake>) -> Counted {
        intake.count(Body::empty())
    }

    fn message(length: u32, present: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes::BufMut::put_u32(&mut bytes, length);
        bytes.resize(HEADER + present, 7);
        bytes
    }

    #[test]
    fn only_the_incomplete_message_is_held_however_it_is_cut() {
        let intake = Intake::new(1 << 20);
        let mut stream = message(200_000, 200_000);
        stream.extend(message(0, 0));
        stream.extend(message(300_000, 100_000));
        for chunk in [1, 4, 5, 6, 70_001, stream.len()] {
            let mut counted = body(&intake);
            let mut most = 0;
            for part in stream.chunks(chunk) {
                counted.follow(part);
                counted.hold.set(counted.partial).unwrap();
                most = most.max(intake.held());
            }
            assert_eq!(intake.held(), 100_000, "chunks of {chunk}");
            assert!(most < 200_000 + HEADER, "chunks of {chunk}: {most}");
            drop(counted);
            assert_eq!(intake.held(), 0);
        }
    }

    #[test]
    fn past_the_budget_is_refused_and_given_back() {
        let intake = Intake::new(150_000);
        let mut first = body(&intake);
        first.hold.set(100_000).unwrap();
        let mut second = body(&intake);
        second.hold.set(SMALL).unwrap();
        let refused = second.hold.set(SMALL + 1).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        assert_eq!(intake.held(), 100_000);
        drop(first);
        second.hold.set(SMALL + 1).unwrap();
        assert_eq!(intake.held(), SMALL + 1);
    }
}
