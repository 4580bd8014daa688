//! Runs one operation of a pipeline, up to the point where its reply is known.

use std::time::Instant;

use kvproto::v1::{self, operation::Operation as Op, operation_result::Result as OpResult};

use super::super::convert;
use super::super::core::{Core, Done, Seen};
use super::super::status::Refusal;
use super::super::weight;
use super::answers::{Answer, Body};
use super::request::{Asked, Operation};
use crate::backend::{Revision, Store};
use crate::telemetry::stats::Rpc;
use crate::waiter::Level;

/// What an answer may cost on the wire beside keys and values: tags, lengths, two
/// records' numbers, the header.
const OVERHEAD: usize = 160;

type Ran = Result<(Body, Seen), Refusal>;

impl<S: Store> Core<S> {
    /// Runs an operation of `message`, unless `keeps_up` is against it; a refusal fills its
    /// slot.
    pub(super) async fn execute(
        &self,
        store: &S,
        message: &[u8],
        operation: &Operation,
        keeps_up: Result<(), Refusal>,
        begun: Instant,
    ) -> Answer {
        let (rpc, place, done) = match keeps_up {
            Ok(()) => self.run(store, message, &operation.asked).await,
            Err(refusal) => (Rpc::Pipeline, "operation", Err(refusal)),
        };
        let (body, seen) = match done {
            Ok((body, seen)) => (body, Some(seen)),
            Err(refusal) => {
                let seen = shown(store, refusal.revealed());
                let error = OpResult::Error(refusal.inside(place).into_item());
                (Body::Other(Box::new(error)), seen)
            }
        };
        let slow = &self.shared.slow;
        let applied = seen.and_then(|seen| slow.applied(seen.reveals, seen.wrote));
        Answer {
            id: operation.id,
            rpc,
            seen,
            begun,
            applied: applied.map(Box::new),
            asked: operation.weight(),
            reply: body_weight(&body) + OVERHEAD,
            body,
        }
    }

    /// What to count it as, where its fields are, and what became of it. What is asked
    /// rarely is boxed, so that a pipeline stays small.
    async fn run(&self, store: &S, message: &[u8], asked: &Asked) -> (Rpc, &'static str, Ran) {
        match asked {
            Asked::Get { key, level } => {
                let found = self.get_plain(store, key.of(message), *level).await;
                let got = found.map(|(record, seen)| (Body::Got(record), seen));
                (Rpc::Get, "get", got)
            }
            Asked::Set {
                key,
                value,
                durability,
            } => {
                let (key, value) = (key.of(message), value.of(message));
                let set = self.set_plain(store, key, value, *durability).await;
                let set = set
                    .map(|(outcome, seen)| (Body::Set(outcome.revision.0, outcome.record), seen));
                (Rpc::Set, "set", set)
            }
            Asked::Other(operation) => {
                let (rpc, place, ran) =
                    Box::pin(self.run_other(store, operation.operation.as_ref())).await;
                let ran = ran.map(|(result, seen)| (Body::Other(Box::new(result)), seen));
                (rpc, place, ran)
            }
        }
    }

    async fn run_other(
        &self,
        store: &S,
        operation: Option<&Op>,
    ) -> (Rpc, &'static str, Result<(OpResult, Seen), Refusal>) {
        macro_rules! ran {
            ($rpc:ident, $place:literal, $run:expr) => {
                (Rpc::$rpc, $place, $run.await.map(wrap(OpResult::$rpc)))
            };
        }
        match operation {
            Some(Op::Get(get)) => ran!(Get, "get", self.get(store, get, None)),
            Some(Op::Set(set)) => ran!(Set, "set", self.change(store, set, None)),
            Some(Op::Delete(delete)) => ran!(Delete, "delete", self.change(store, delete, None)),
            Some(Op::Increment(increment)) => {
                ran!(Increment, "increment", self.change(store, increment, None))
            }
            Some(Op::Expire(expire)) => ran!(Expire, "expire", self.change(store, expire, None)),
            Some(Op::BatchGet(batch)) => {
                ran!(BatchGet, "batch_get", self.batch_get(store, batch, None))
            }
            Some(Op::BatchWrite(batch)) => {
                ran!(
                    BatchWrite,
                    "batch_write",
                    self.batch_write(store, batch, None)
                )
            }
            Some(Op::Txn(txn)) => ran!(Txn, "txn", self.txn(store, txn, None)),
            Some(Op::Count(count)) => ran!(Count, "count", self.count(store, count, None)),
            Some(Op::DeleteRange(delete)) => {
                ran!(
                    DeleteRange,
                    "delete_range",
                    self.delete_range(store, delete, None)
                )
            }
            None => {
                let nothing = "no operation that this version knows is set";
                let refused = Err(convert::unsupported("oneof", nothing));
                (Rpc::NotYet, "operation", refused)
            }
        }
    }
}

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

/// Bytes of keys and values that an answer takes along.
fn body_weight(body: &Body) -> usize {
    match body {
        Body::Got(record) => record
            .as_ref()
            .map_or(0, |record| record.key().len() + record.value().len()),
        // Numbers only.
        Body::Set(..) => 0,
        Body::Other(result) => weight::result(result),
    }
}

/// The keys of operations that have one; a single one is as quickly looked up as expected.
pub(super) fn keys<'a>(
    message: &'a [u8],
    operations: &'a [Operation],
) -> impl Iterator<Item = &'a [u8]> {
    let several = if operations.len() > 1 {
        operations
    } else {
        &[]
    };
    several
        .iter()
        .filter_map(move |operation| match &operation.asked {
            Asked::Get { key, .. } | Asked::Set { key, .. } => Some(key.of(message)),
            Asked::Other(operation) => other_key(operation),
        })
}

fn other_key(operation: &v1::Operation) -> Option<&[u8]> {
    match operation.operation.as_ref()? {
        Op::Get(get) => Some(&get.key),
        Op::Set(set) => Some(&set.key),
        Op::Delete(delete) => Some(&delete.key),
        Op::Increment(increment) => Some(&increment.key),
        Op::Expire(expire) => Some(&expire.key),
        _ => None,
    }
}
