//! The answers of a pipeline between their operation and their reply.

use std::collections::VecDeque;
use std::time::Instant;

use kvproto::v1::{
    self, batch_write_operation::Operation as Item, operation::Operation as Op,
    operation_result::Result as OpResult, txn_operation::Operation as Step,
};
use tonic::Code;

use super::convert;
use super::core::{Core, Done, Headed as _, Seen};
use super::status::Refusal;
use crate::backend::{Revision, Store};
use crate::telemetry::slow::Applied;
use crate::telemetry::stats::Rpc;
use crate::waiter::{Level, Unreached};

/// Most results in one message.
const RESULTS: usize = 512;
/// What an answer may cost on the wire beside keys and values: tags, lengths, two
/// records' numbers, the header.
const OVERHEAD: usize = 160;

/// One executed operation.
#[derive(Debug)]
pub(crate) struct Answer {
    id: u64,
    rpc: Rpc,
    result: OpResult,
    /// Absent for errors that show nothing.
    seen: Option<Seen>,
    begun: Instant,
    applied: Option<Applied>,
    /// Keys and values, of the operation and of the reply.
    asked: usize,
    reply: usize,
}

impl Answer {
    /// What it holds in memory.
    fn bytes(&self) -> usize {
        self.asked + self.reply
    }

    /// About how many bytes it is on the wire.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply
    }

    fn wait(&self) -> Option<(Level, Revision)> {
        self.seen.and_then(|seen| seen.wait)
    }
}

/// Answers in stream order.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    queue: VecDeque<Answer>,
    bytes: usize,
    /// About how many bytes of them are replies.
    reply: usize,
    /// Newest state of the store that an answer has told of.
    store_revision: Revision,
}

impl Answers {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes the replies are on the wire.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply
    }

    pub(crate) fn push(&mut self, answer: Answer) {
        self.bytes += answer.bytes();
        self.reply += answer.reply;
        self.queue.push_back(answer);
    }

    /// What the first answer waits for.
    pub(crate) fn front_wait(&self) -> Option<(Level, Revision)> {
        self.queue.front().and_then(Answer::wait)
    }

    /// The answers at the front that are ready, as one message. `ended` is why the
    /// wait of the first has ended, if it has: a failed log or a stopping server
    /// ends those behind it as well.
    pub(crate) fn take_ready<S: Store>(
        &mut self,
        core: &Core<S>,
        store: &S,
        mut ended: Option<Unreached>,
    ) -> Option<v1::PipelineResponse> {
        let positions = store.positions();
        let limit = core.shared.limits.reply_bytes;
        let (mut results, mut bytes, mut reveals) = (Vec::new(), 0, 0);
        let now = Instant::now();
        while let Some(front) = self.queue.front() {
            let reached = front
                .wait()
                .is_none_or(|(level, at)| level.of(positions) >= at);
            let full = results.len() == RESULTS || (bytes > 0 && bytes + front.reply > limit);
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
            let unreached = if reached { None } else { ended.clone() };
            results.push(answer.finish(core, store, unreached.as_ref(), now));
            if ended == Some(Unreached::Deadline) {
                ended = None;
            }
        }
        if results.is_empty() {
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
        Some(v1::PipelineResponse {
            header: Some(core.header_with_position(store, seen)),
            results,
        })
    }
}

impl Answer {
    /// The result for the wire, with its header; an error if its wait ended early.
    fn finish<S: Store>(
        self,
        core: &Core<S>,
        store: &S,
        unreached: Option<&Unreached>,
        now: Instant,
    ) -> v1::OperationResult {
        let mut result = self.result;
        if let Some(seen) = self.seen {
            match unreached {
                Some(unreached) => {
                    result = OpResult::Error(seen.unreached(unreached).into_item());
                }
                None => set_header(&mut result, core.header(store, seen)),
            }
        }
        let code = match &result {
            OpResult::Error(error) => Code::from(error.code),
            _ => Code::Ok,
        };
        let took = now.saturating_duration_since(self.begun);
        core.stats.operation(self.rpc, code, took);
        core.shared.slow.ended(self.rpc, code, took, self.applied);
        v1::OperationResult {
            id: self.id,
            result: Some(result),
        }
    }
}

fn set_header(result: &mut OpResult, header: v1::ResponseHeader) {
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

impl<S: Store> Core<S> {
    /// Runs one operation of a pipeline, unless `keeps_up` is against it; a refusal
    /// fills its slot.
    pub(crate) async fn execute(
        &self,
        store: &S,
        operation: v1::Operation,
        keeps_up: Result<(), Refusal>,
        begun: Instant,
    ) -> Answer {
        let asked = weight(&operation);
        let (rpc, place, done) = match keeps_up {
            Ok(()) => self.run(store, operation.operation.as_ref()).await,
            Err(refusal) => (Rpc::Pipeline, "operation", Err(refusal)),
        };
        let (result, seen) = match done {
            Ok((result, seen)) => (result, Some(seen)),
            Err(refusal) => {
                let seen = shown(store, refusal.revealed());
                (OpResult::Error(refusal.inside(place).into_item()), seen)
            }
        };
        let reply = result_weight(&result) + OVERHEAD;
        let slow = &self.shared.slow;
        let applied = seen.and_then(|seen| slow.applied(seen.reveals, seen.wrote));
        Answer {
            id: operation.id,
            rpc,
            result,
            seen,
            begun,
            applied,
            asked,
            reply,
        }
    }

    /// What to count it as, where its fields are, and what became of it. What is asked
    /// rarely is boxed, so that a pipeline stays small.
    async fn run(&self, store: &S, operation: Option<&Op>) -> (Rpc, &'static str, Ran) {
        match operation {
            Some(Op::Get(get)) => (
                Rpc::Get,
                "get",
                self.get(store, get, None).await.map(wrap(OpResult::Get)),
            ),
            Some(Op::Set(set)) => (
                Rpc::Set,
                "set",
                self.change(store, set, None).await.map(wrap(OpResult::Set)),
            ),
            Some(Op::Delete(delete)) => {
                let done = self.change(store, delete, None).await;
                (Rpc::Delete, "delete", done.map(wrap(OpResult::Delete)))
            }
            Some(Op::Increment(increment)) => {
                let done = self.change(store, increment, None).await;
                (
                    Rpc::Increment,
                    "increment",
                    done.map(wrap(OpResult::Increment)),
                )
            }
            Some(Op::Expire(expire)) => {
                let done = self.change(store, expire, None).await;
                (Rpc::Expire, "expire", done.map(wrap(OpResult::Expire)))
            }
            other => Box::pin(self.run_large(store, other)).await,
        }
    }

    /// The operations on many keys.
    async fn run_large(&self, store: &S, operation: Option<&Op>) -> (Rpc, &'static str, Ran) {
        match operation {
            Some(Op::BatchGet(batch)) => {
                let done = self.batch_get(store, batch, None).await;
                let done = done.map(wrap(OpResult::BatchGet));
                (Rpc::BatchGet, "batch_get", done)
            }
            Some(Op::BatchWrite(batch)) => {
                let done = self.batch_write(store, batch, None).await;
                let done = done.map(wrap(OpResult::BatchWrite));
                (Rpc::BatchWrite, "batch_write", done)
            }
            Some(Op::Txn(txn)) => {
                let done = self.txn(store, txn, None).await;
                (Rpc::Txn, "txn", done.map(wrap(OpResult::Txn)))
            }
            Some(Op::Count(count)) => {
                let done = self.count(store, count, None).await;
                (Rpc::Count, "count", done.map(wrap(OpResult::Count)))
            }
            Some(Op::DeleteRange(delete)) => {
                let done = self.delete_range(store, delete, None).await;
                let done = done.map(wrap(OpResult::DeleteRange));
                (Rpc::DeleteRange, "delete_range", done)
            }
            _ => {
                let nothing = "no operation that this version knows is set";
                let refused = Err(convert::unsupported("oneof", nothing));
                (Rpc::NotYet, "operation", refused)
            }
        }
    }
}

type Ran = Result<(OpResult, Seen), Refusal>;

fn wrap<T>(variant: fn(T) -> OpResult) -> impl FnOnce(Done<T>) -> (OpResult, Seen) {
    move |done| (variant(done.reply), done.seen)
}

/// An error that gives something away of the state waits like a read of it.
fn shown<S: Store>(store: &S, revealed: Revision) -> Option<Seen> {
    (revealed > 0).then(|| Seen {
        store_revision: store.store_revision(),
        reveals: revealed,
        wait: Some((Level::Durable, revealed)),
        wrote: false,
    })
}

/// Bytes of keys and values that an operation brings.
pub(crate) fn weight(operation: &v1::Operation) -> usize {
    match &operation.operation {
        Some(Op::Get(get)) => get.key.len(),
        Some(Op::Set(set)) => set.key.len() + set.value.len(),
        Some(Op::Delete(delete)) => delete.key.len(),
        Some(Op::Increment(increment)) => increment.key.len(),
        Some(Op::Expire(expire)) => expire.key.len(),
        Some(Op::BatchWrite(batch)) => batch.operations.iter().map(item_weight).sum(),
        Some(Op::Txn(txn)) => txn_weight(txn),
        Some(other) => other.encoded_len(),
        None => 0,
    }
}

/// Bytes of keys and values that a transaction brings, with those inside it.
fn txn_weight(txn: &v1::TxnRequest) -> usize {
    let step = |step: &v1::TxnOperation| match &step.operation {
        Some(Step::Set(set)) => set.key.len() + set.value.len(),
        Some(Step::Txn(txn)) => txn_weight(txn),
        Some(other) => other.encoded_len(),
        None => 0,
    };
    let compares: usize = txn.compares.iter().map(prost::Message::encoded_len).sum();
    compares
        + txn
            .success
            .iter()
            .chain(&txn.failure)
            .map(step)
            .sum::<usize>()
}

/// Bytes of key and value that an item of a batch brings.
pub(crate) fn item_weight(item: &v1::BatchWriteOperation) -> usize {
    match &item.operation {
        Some(Item::Set(set)) => set.key.len() + set.value.len(),
        Some(Item::Delete(delete)) => delete.key.len(),
        Some(Item::Increment(increment)) => increment.key.len(),
        Some(Item::Expire(expire)) => expire.key.len(),
        None => 0,
    }
}

fn result_weight(result: &OpResult) -> usize {
    let record = |record: Option<&v1::Record>| {
        record.map_or(0, |record| record.key.len() + record.value.len())
    };
    let either = |one: &Option<Box<_>>, other: &Option<Box<_>>| {
        record(one.as_deref()) + record(other.as_deref())
    };
    match result {
        OpResult::Get(reply) => record(reply.record.as_ref()),
        OpResult::Set(reply) => either(&reply.previous, &reply.current),
        OpResult::Delete(reply) => either(&reply.previous, &reply.current),
        other => other.encoded_len(),
    }
}
