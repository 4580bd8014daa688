//! Many keys in one call: BatchGet in one consistent view, BatchWrite item by item.

use std::time::Instant;

use kvproto::v1::{
    self, ErrorReason as Reason, batch_get_result, batch_write_operation, batch_write_result,
};
use prost::Message as _;

use super::convert;
use super::core::{Core, Done, Seen, read_wait};
use super::limits::Limits;
use super::mutations::Change;
use super::operations::Effects;
use super::requests::Asked;
use super::status::Refusal;
use super::weight;
use crate::backend::{Mutation, Outcome, RequestId, Store};

type Result<T> = std::result::Result<T, Refusal>;

impl<S: Store> Core<S> {
    pub(crate) async fn batch_get(
        &self,
        store: &S,
        request: &v1::BatchGetRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::BatchGetResponse>> {
        let limits = &self.shared.limits;
        let bytes = request.keys.iter().map(bytes::Bytes::len).sum();
        convert::batch("keys", request.keys.len(), bytes, limits)?;
        for (i, key) in request.keys.iter().enumerate() {
            convert::key(key, limits).map_err(|e| e.field(format!("keys[{i}]")))?;
        }
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let keys: Vec<&[u8]> = request.keys.iter().map(AsRef::as_ref).collect();
        let found = store.batch_get(&keys, limits.patience(deadline)).await?;
        let mut room = Room::new(limits);
        let results = request.keys.iter().zip(&found.value).map(|(key, record)| {
            let result = match record {
                None => batch_get_result::Result::Missing(v1::Missing {}),
                Some(record) => {
                    let record = convert::record(store, key.clone(), record);
                    match room.take(record.encoded_len()) {
                        Ok(()) => batch_get_result::Result::Record(record),
                        Err(full) => batch_get_result::Result::Error(full.into_item()),
                    }
                }
            };
            v1::BatchGetResult {
                result: Some(result),
            }
        });
        Ok(Done {
            reply: v1::BatchGetResponse {
                header: None,
                results: results.collect(),
            },
            seen: Seen {
                store_revision: found.store_revision,
                reveals: found.revealed,
                wait: read_wait(level, found.revealed),
                wrote: false,
            },
        })
    }

    /// Applies the items in order. The whole is checked before the first, so that a
    /// request that is wrong anywhere changes nothing; after that each item stands
    /// or fails alone.
    pub(crate) async fn batch_write(
        &self,
        store: &S,
        request: &v1::BatchWriteRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::BatchWriteResponse>> {
        let mutations = check_batch(request, &self.shared.limits)?;
        let asked = Asked::of(request, store)?;
        let mut batch = Batch {
            results: Vec::with_capacity(mutations.len()),
            room: Room::new(&self.shared.limits),
            effects: Effects::default(),
            applied: false,
            repeated: true,
        };
        for (item, (operation, mutation)) in (0..).zip(request.operations.iter().zip(mutations)) {
            let of_item = Asked {
                request: asked.request.map(|request| RequestId { item, ..request }),
                ..asked
            };
            let written = self.write(store, mutation, of_item, deadline).await;
            match written {
                // The id is another batch's: nothing of this one is to be applied, nor
                // any more of it.
                Err(reused) if reused.reason() == Reason::RequestIdReused => {
                    if !batch.applied {
                        return Err(reused);
                    }
                    batch.fill(request.operations.len(), &reused);
                    break;
                }
                written => batch.add(store, operation, written),
            }
        }
        if batch.effects.store_revision == 0 {
            // Every item failed, so none has told.
            batch.effects.store_revision = store.store_revision();
        }
        Ok(Done {
            seen: batch.effects.seen(store, asked.durability),
            reply: v1::BatchWriteResponse {
                header: None,
                replayed: batch.applied && batch.repeated,
                results: batch.results,
            },
        })
    }
}

/// The results of a batch as they come in.
struct Batch {
    results: Vec<v1::BatchWriteResult>,
    room: Room,
    effects: Effects,
    /// Whether any item was applied, and whether all that were are remembered ones.
    applied: bool,
    repeated: bool,
}

impl Batch {
    fn add<S: Store>(
        &mut self,
        store: &S,
        operation: &v1::BatchWriteOperation,
        written: Result<Outcome>,
    ) {
        let result = match written {
            Ok(outcome) => {
                self.effects = self.effects.and(Effects::of(&outcome));
                self.applied |= outcome.applied;
                self.repeated &= outcome.replayed || !outcome.applied;
                let result = reply(store, operation, &outcome);
                let fits = self.room.take(length(&result));
                fits.map(|()| result).map_err(|full| {
                    full.with("applied", outcome.applied)
                        .with("revision", outcome.revision.0)
                })
            }
            Err(refusal) => {
                self.effects = self.effects.and(Effects::shown(refusal.revealed()));
                Err(refusal)
            }
        };
        self.push(
            result.unwrap_or_else(|refusal| batch_write_result::Result::Error(refusal.into_item())),
        );
    }

    fn push(&mut self, result: batch_write_result::Result) {
        self.results.push(v1::BatchWriteResult {
            result: Some(result),
        });
    }

    /// Answers all items up to `len` with the refusal.
    fn fill(&mut self, len: usize, refusal: &Refusal) {
        self.effects = self.effects.and(Effects::shown(refusal.revealed()));
        while self.results.len() < len {
            self.push(batch_write_result::Result::Error(
                refusal.clone().into_item(),
            ));
        }
    }
}

fn reply<S: Store>(
    store: &S,
    operation: &v1::BatchWriteOperation,
    outcome: &Outcome,
) -> batch_write_result::Result {
    use batch_write_operation::Operation as Op;
    use batch_write_result::Result as Item;
    match &operation.operation {
        Some(Op::Set(set)) => Item::Set(set.reply(store, outcome)),
        Some(Op::Delete(delete)) => Item::Delete(delete.reply(store, outcome)),
        Some(Op::Increment(increment)) => Item::Increment(increment.reply(store, outcome)),
        Some(Op::Expire(expire)) => Item::Expire(expire.reply(store, outcome)),
        // The check has refused it.
        None => Item::Error(v1::Error::default()),
    }
}

/// Bytes of a result without its frame.
fn length(result: &batch_write_result::Result) -> usize {
    use batch_write_result::Result as Item;
    match result {
        Item::Set(reply) => reply.encoded_len(),
        Item::Delete(reply) => reply.encoded_len(),
        Item::Increment(reply) => reply.encoded_len(),
        Item::Expire(reply) => reply.encoded_len(),
        Item::Error(error) => error.encoded_len(),
    }
}

/// Bytes left in a reply of several records; the first may be of any size.
struct Room {
    limit: usize,
    used: usize,
}

impl Room {
    fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.reply_bytes,
            used: 0,
        }
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        if self.used > 0 && self.used + bytes > self.limit {
            return Err(Refusal::new(
                Reason::ReplyTooLarge,
                format!(
                    "{bytes} bytes do not fit into this reply beside the {} before them; the \
                     limit is {}: ask for this key alone",
                    self.used, self.limit
                ),
            )
            .with("size", bytes)
            .with("limit", self.limit));
        }
        self.used += bytes;
        Ok(())
    }
}

fn check_batch<'a>(
    request: &'a v1::BatchWriteRequest,
    limits: &Limits,
) -> Result<Vec<Mutation<'a>>> {
    use batch_write_operation::Operation as Op;
    let bytes = request.operations.iter().map(weight::item).sum();
    convert::batch("operations", request.operations.len(), bytes, limits)?;
    let check = |(i, item): (usize, &'a v1::BatchWriteOperation)| match &item.operation {
        Some(Op::Set(set)) => part(set, limits).map_err(|e| e.inside(&place(i, "set"))),
        Some(Op::Delete(delete)) => part(delete, limits).map_err(|e| e.inside(&place(i, "delete"))),
        Some(Op::Increment(increment)) => {
            part(increment, limits).map_err(|e| e.inside(&place(i, "increment")))
        }
        Some(Op::Expire(expire)) => part(expire, limits).map_err(|e| e.inside(&place(i, "expire"))),
        None => Err(convert::unsupported(
            &format!("operations[{i}]"),
            "no operation that this version knows is set",
        )),
    };
    request.operations.iter().enumerate().map(check).collect()
}

/// A change inside a batch or a transaction, which has no options of its own.
pub(super) fn part<'a, R: Change>(request: &'a R, limits: &Limits) -> Result<Mutation<'a>> {
    convert::no_options(request.options())?;
    request.mutation(limits)
}

/// What a batch item's place is called in errors.
fn place(index: usize, kind: &str) -> String {
    format!("operations[{index}].{kind}")
}
