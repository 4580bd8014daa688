//! The answers of a pipeline between their operation and their reply.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kvproto::v1::operation_result::Result as OpResult;
use tonic::Code;

use super::super::core::{Core, Headed as _, Seen};
use super::reply::{Reply, Results};
use crate::backend::{Record, Revision, Store};
use crate::telemetry::slow::Applied;
use crate::telemetry::stats::Rpc;
use crate::waiter::{Level, Unreached};

/// Most results in one message.
const RESULTS: usize = 512;
/// Bytes that a message has room for before it grows.
const ROOM: usize = 32 << 10;

/// One executed operation.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) rpc: Rpc,
    pub(super) body: Body,
    /// Absent for errors that show nothing.
    pub(super) seen: Option<Seen>,
    pub(super) begun: Instant,
    pub(super) applied: Option<Box<Applied>>,
    /// Keys and values of the operation, and about how many bytes its reply is.
    pub(super) asked: usize,
    pub(super) reply: usize,
}

/// What it came to. Plain reads and writes stay small; the others are boxed.
#[derive(Debug)]
pub(super) enum Body {
    Got(Option<Record>),
    Set(Revision, Option<Record>),
    Other(Box<OpResult>),
}

impl Answer {
    /// What it holds in memory.
    fn bytes(&self) -> usize {
        self.asked + self.reply
    }

    fn wait(&self) -> Option<(Level, Revision)> {
        self.seen.and_then(|seen| seen.wait)
    }

    fn code(&self) -> Code {
        match &self.body {
            Body::Other(result) => match &**result {
                OpResult::Error(error) => Code::from(error.code),
                _ => Code::Ok,
            },
            _ => Code::Ok,
        }
    }
}

/// Answers in stream order.
#[derive(Debug, Default)]
pub(super) struct Answers {
    queue: VecDeque<Answer>,
    bytes: usize,
    /// About how many bytes of them are replies.
    reply: usize,
    /// Newest state of the store that an answer has told of.
    store_revision: Revision,
}

impl Answers {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes the replies are on the wire.
    pub(super) fn reply_bytes(&self) -> usize {
        self.reply
    }

    pub(super) fn push(&mut self, answer: Answer) {
        self.bytes += answer.bytes();
        self.reply += answer.reply;
        self.queue.push_back(answer);
    }

    /// What the first answer waits for.
    pub(super) fn front_wait(&self) -> Option<(Level, Revision)> {
        self.queue.front().and_then(Answer::wait)
    }

    /// The answers at the front that are ready, as one message. `ended` is why the
    /// wait of the first has ended, if it has: a failed log or a stopping server
    /// ends those behind it as well.
    pub(super) fn take_ready<S: Store>(
        &mut self,
        core: &Core<S>,
        store: &S,
        mut ended: Option<Unreached>,
    ) -> Option<Reply> {
        let positions = store.positions();
        let limit = core.shared.limits.reply_bytes;
        let mut results = Results::with_capacity(self.reply.min(ROOM));
        let (mut bytes, mut reveals) = (0, 0);
        let mut counts = Counts::new(core);
        while let Some(front) = self.queue.front() {
            let reached = front
                .wait()
                .is_none_or(|(level, at)| level.of(positions) >= at);
            let full = results.count == RESULTS || (bytes > 0 && bytes + front.reply > limit);
            if full || (!reached && ended.is_none()) {
                break;
            }
            let answer = self.queue.pop_front()?;
            self.bytes -= answer.bytes();
            self.reply -= answer.reply;
            bytes += answer.reply;
            if let Some(seen) = answer.seen {
                self.store_revision = self.store_revision.max(seen.store_revision);
                reveals = reveals.max(seen.reveals);
            }
            let unreached = if reached { None } else { ended.as_ref() };
            answer.finish(core, store, unreached, &mut results, &mut counts);
            if ended == Some(Unreached::Deadline) {
                ended = None;
            }
        }
        counts.end();
        if results.count == 0 {
            return None;
        }
        if self.store_revision == 0 {
            self.store_revision = store.store_revision();
        }
        let seen = Seen {
            store_revision: self.store_revision,
            reveals,
            wait: None,
            wrote: false,
        };
        Some(Reply {
            header: core.header_with_position(store, seen),
            results,
        })
    }
}

impl Answer {
    /// The result for the wire, with its header; an error if its wait ended early.
    fn finish<S: Store>(
        mut self,
        core: &Core<S>,
        store: &S,
        unreached: Option<&Unreached>,
        results: &mut Results,
        counts: &mut Counts<'_, S>,
    ) {
        if let (Some(seen), Some(unreached)) = (self.seen, unreached) {
            let error = OpResult::Error(seen.unreached(unreached).into_item());
            self.body = Body::Other(Box::new(error));
        }
        counts.add(&self);
        let header = self.seen.map(|seen| core.header(store, seen));
        match self.body {
            Body::Got(record) => {
                let header = header.unwrap_or_default();
                results.got(self.id, &header, record.as_ref(), store);
            }
            Body::Set(revision, record) => {
                let header = header.unwrap_or_default();
                results.set(self.id, &header, revision, record.as_ref(), store);
            }
            Body::Other(mut result) => {
                if let Some(header) = header {
                    set_header(&mut result, header);
                }
                results.push(self.id, *result);
            }
        }
    }
}

/// Counts operations that have ended: those alike that came together at once.
struct Counts<'a, S: Store> {
    core: &'a Core<S>,
    now: Instant,
    alike: Option<(Rpc, Code, Instant)>,
    count: u64,
}

impl<'a, S: Store> Counts<'a, S> {
    fn new(core: &'a Core<S>) -> Self {
        Self {
            core,
            now: Instant::now(),
            alike: None,
            count: 0,
        }
    }

    fn took(&self, begun: Instant) -> Duration {
        self.now.saturating_duration_since(begun)
    }

    fn add(&mut self, answer: &Answer) {
        let this = (answer.rpc, answer.code(), answer.begun);
        if self.alike != Some(this) {
            self.end();
            self.alike = Some(this);
        }
        self.count += 1;
        let (rpc, code, begun) = this;
        let slow = &self.core.shared.slow;
        slow.ended(
            rpc,
            code,
            self.took(begun),
            answer.applied.as_deref().copied(),
        );
    }

    fn end(&mut self) {
        if let Some((rpc, code, begun)) = self.alike.take() {
            let (took, count) = (self.took(begun), std::mem::take(&mut self.count));
            self.core.stats.operations_ended(rpc, code, took, count);
        }
    }
}

fn set_header(result: &mut OpResult, header: kvproto::v1::ResponseHeader) {
    match result {
        OpResult::Get(reply) => reply.set_header(header),
        OpResult::Set(reply) => reply.set_header(header),
        OpResult::Delete(reply) => reply.set_header(header),
        OpResult::BatchGet(reply) => reply.set_header(header),
        OpResult::BatchWrite(reply) => reply.set_header(header),
        OpResult::Increment(reply) => reply.set_header(header),
        OpResult::Expire(reply) => reply.set_header(header),
        OpResult::Txn(reply) => reply.set_header(header),
        OpResult::Count(reply) => reply.set_header(header),
        OpResult::DeleteRange(reply) => reply.set_header(header),
        OpResult::Error(_) => {}
    }
}
