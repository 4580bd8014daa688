//! The operations on keys, each up to the point where its reply is known but may
//! still have to wait for the log. Unary calls wait at once; a pipeline goes on.

use std::time::Instant;

use kvproto::v1::{
    self, ErrorReason as Reason, batch_get_result, batch_write_operation, batch_write_result,
};
use prost::Message as _;

use super::answers::item_weight;
use super::convert;
use super::core::{Core, Done, Seen, read_wait, write_wait};
use super::limits::Limits;
use super::status::Refusal;
use crate::backend::{
    Action, Condition, Durability, Mutation, Outcome, ReadLevel, Revision, Store,
};
use crate::waiter::Level;

type Result<T> = std::result::Result<T, Refusal>;

/// What a batch item's place is called in errors.
fn place(index: usize, kind: &str) -> String {
    format!("operations[{index}].{kind}")
}

impl<S: Store> Core<S> {
    pub(crate) async fn get(
        &self,
        store: &S,
        request: &v1::GetRequest,
    ) -> Result<Done<v1::GetResponse>> {
        convert::key(&request.key, &self.shared.limits)?;
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let found = store.get(&request.key).await?;
        let record = found.value.as_ref();
        Ok(Done {
            reply: v1::GetResponse {
                header: None,
                found: record.is_some(),
                record: record.map(|record| convert::record(request.key.clone(), record)),
            },
            seen: Seen {
                store_revision: found.store_revision,
                reveals: found.revealed,
                wait: read_wait(level, found.revealed),
                wrote: false,
            },
        })
    }

    pub(crate) async fn batch_get(
        &self,
        store: &S,
        request: &v1::BatchGetRequest,
    ) -> Result<Done<v1::BatchGetResponse>> {
        let limits = &self.shared.limits;
        let bytes = request.keys.iter().map(bytes::Bytes::len).sum();
        convert::batch("keys", request.keys.len(), bytes, limits)?;
        for (i, key) in request.keys.iter().enumerate() {
            convert::key(key, limits).map_err(|e| e.field(format!("keys[{i}]")))?;
        }
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let keys: Vec<&[u8]> = request.keys.iter().map(AsRef::as_ref).collect();
        let found = store.batch_get(&keys).await?;
        let mut room = Room::new(limits);
        let results = request.keys.iter().zip(&found.value).map(|(key, record)| {
            let result = match record {
                None => batch_get_result::Result::Missing(v1::Missing {}),
                Some(record) => {
                    let record = convert::record(key.clone(), record);
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

    pub(crate) async fn set(
        &self,
        store: &S,
        request: &v1::SetRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::SetResponse>> {
        let condition = check_set(request, &self.shared.limits)?;
        let durability = convert::durability(request.options.as_ref(), store.default_durability())?;
        let (reply, effects) = self.apply_set(store, request, condition, deadline).await?;
        Ok(Done {
            reply,
            seen: effects.seen(store, durability),
        })
    }

    pub(crate) async fn delete(
        &self,
        store: &S,
        request: &v1::DeleteRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::DeleteResponse>> {
        let condition = check_delete(request, &self.shared.limits)?;
        let durability = convert::durability(request.options.as_ref(), store.default_durability())?;
        let (reply, effects) = self
            .apply_delete(store, request, condition, deadline)
            .await?;
        Ok(Done {
            reply,
            seen: effects.seen(store, durability),
        })
    }

    async fn apply_set(
        &self,
        store: &S,
        request: &v1::SetRequest,
        condition: Option<Condition>,
        deadline: Option<Instant>,
    ) -> Result<(v1::SetResponse, Effects)> {
        let mutation = Mutation {
            key: &request.key,
            action: Action::Set {
                value: &request.value,
            },
            condition,
        };
        let outcome = self.write(store, mutation, deadline).await?;
        let effects = Effects::of(&outcome);
        let full = |record: &S::Record| convert::record(request.key.clone(), record);
        let mut reply = v1::SetResponse {
            applied: outcome.applied,
            revision: convert::signed(outcome.revision),
            ..v1::SetResponse::default()
        };
        if outcome.applied {
            reply.record = outcome.record.as_ref().map(convert::numbers);
            let wanted = outcome
                .previous
                .as_ref()
                .filter(|_| request.return_previous);
            reply.previous = wanted.map(full);
        } else {
            reply.current = outcome.record.as_ref().map(full);
        }
        Ok((reply, effects))
    }

    async fn apply_delete(
        &self,
        store: &S,
        request: &v1::DeleteRequest,
        condition: Option<Condition>,
        deadline: Option<Instant>,
    ) -> Result<(v1::DeleteResponse, Effects)> {
        let mutation = Mutation {
            key: &request.key,
            action: Action::Delete,
            condition,
        };
        let outcome = self.write(store, mutation, deadline).await?;
        let effects = Effects::of(&outcome);
        let full = |record: &S::Record| convert::record(request.key.clone(), record);
        let mut reply = v1::DeleteResponse {
            deleted: outcome.applied,
            revision: convert::signed(outcome.revision),
            ..v1::DeleteResponse::default()
        };
        if outcome.applied {
            let wanted = outcome
                .previous
                .as_ref()
                .filter(|_| request.return_previous);
            reply.previous = wanted.map(full);
        } else {
            reply.current = outcome.record.as_ref().map(full);
        }
        Ok((reply, effects))
    }

    async fn write(
        &self,
        store: &S,
        mutation: Mutation<'_>,
        deadline: Option<Instant>,
    ) -> Result<Outcome<S::Record>> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Refusal::new(
                Reason::Deadline,
                "the deadline passed before anything was applied",
            ));
        }
        let patience = self.shared.limits.patience(deadline);
        Ok(store.write(mutation, patience).await?)
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
        let conditions = check_batch(request, &self.shared.limits)?;
        let durability = convert::durability(request.options.as_ref(), store.default_durability())?;
        let mut batch = Batch {
            results: Vec::with_capacity(conditions.len()),
            room: Room::new(&self.shared.limits),
            effects: Effects::default(),
        };
        for (operation, condition) in request.operations.iter().zip(conditions) {
            use batch_write_operation::Operation as Op;
            match &operation.operation {
                Some(Op::Set(set)) => {
                    let applied = self.apply_set(store, set, condition, deadline).await;
                    batch.add(applied, batch_write_result::Result::Set);
                }
                Some(Op::Delete(delete)) => {
                    let applied = self.apply_delete(store, delete, condition, deadline).await;
                    batch.add(applied, batch_write_result::Result::Delete);
                }
                // The check has refused the others.
                Some(Op::Increment(_) | Op::Expire(_)) | None => {}
            }
        }
        if batch.effects.store_revision == 0 {
            // Every item failed, so none has told.
            batch.effects.store_revision = store.store_revision();
        }
        Ok(Done {
            reply: v1::BatchWriteResponse {
                header: None,
                results: batch.results,
                replayed: false,
            },
            seen: batch.effects.seen(store, durability),
        })
    }
}

/// The results of a batch as they come in.
struct Batch {
    results: Vec<v1::BatchWriteResult>,
    room: Room,
    effects: Effects,
}

impl Batch {
    fn add<T: prost::Message>(
        &mut self,
        applied: Result<(T, Effects)>,
        wrap: fn(T) -> batch_write_result::Result,
    ) {
        let result = applied.and_then(|(reply, effects)| {
            self.effects = self.effects.and(effects);
            let fits = self.room.take(reply.encoded_len());
            fits.map_err(|full| {
                full.with("applied", effects.written > 0)
                    .with("revision", effects.written)
            })?;
            Ok(wrap(reply))
        });
        let result =
            result.unwrap_or_else(|refusal| batch_write_result::Result::Error(refusal.into_item()));
        self.results.push(v1::BatchWriteResult {
            result: Some(result),
        });
    }
}

/// What writes have shown so far: revisions they took, and state they told of
/// without changing it.
#[derive(Clone, Copy, Default)]
struct Effects {
    store_revision: Revision,
    /// Newest revision taken; 0 is none.
    written: Revision,
    /// Newest revision revealed by a write that changed nothing.
    shown: Revision,
}

impl Effects {
    fn of<R>(outcome: &Outcome<R>) -> Self {
        Self {
            store_revision: outcome.store_revision,
            written: outcome.revision,
            shown: if outcome.applied { 0 } else { outcome.revealed },
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            store_revision: self.store_revision.max(other.store_revision),
            written: self.written.max(other.written),
            shown: self.shown.max(other.shown),
        }
    }

    /// What was written waits as it was asked to. What was only shown is a read, and
    /// may reveal no more than a read. Where both come together, the stricter rules.
    fn seen<S: Store>(self, store: &S, durability: Durability) -> Seen {
        let as_read =
            durability == Durability::Synced || store.default_read_level() == ReadLevel::Durable;
        let written = (self.written > 0).then(|| write_wait(durability)).flatten();
        let newest = self.written.max(self.shown);
        let wait = match (written, self.shown > 0 && as_read) {
            (None, false) => None,
            (None, true) => Some((Level::Durable, self.shown)),
            (Some(level), false) => Some((level, self.written)),
            (Some(_), true) => Some((Level::Durable, newest)),
        };
        Seen {
            store_revision: self.store_revision,
            reveals: newest,
            wait,
            wrote: self.written > 0,
        }
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

fn check_set(request: &v1::SetRequest, limits: &Limits) -> Result<Option<Condition>> {
    convert::key(&request.key, limits)?;
    convert::value(&request.value, limits)?;
    convert::no_expiry(request.expiry.as_ref())?;
    convert::condition(request.condition.as_ref())
}

fn check_delete(request: &v1::DeleteRequest, limits: &Limits) -> Result<Option<Condition>> {
    convert::key(&request.key, limits)?;
    convert::condition(request.condition.as_ref())
}

fn check_batch(request: &v1::BatchWriteRequest, limits: &Limits) -> Result<Vec<Option<Condition>>> {
    use batch_write_operation::Operation as Op;
    let bytes = request.operations.iter().map(item_weight).sum();
    convert::batch("operations", request.operations.len(), bytes, limits)?;
    let check = |(i, item): (usize, &v1::BatchWriteOperation)| match &item.operation {
        Some(Op::Set(set)) => convert::no_options(set.options.as_ref())
            .and_then(|()| check_set(set, limits))
            .map_err(|e| e.inside(&place(i, "set"))),
        Some(Op::Delete(delete)) => convert::no_options(delete.options.as_ref())
            .and_then(|()| check_delete(delete, limits))
            .map_err(|e| e.inside(&place(i, "delete"))),
        Some(Op::Increment(_)) => Err(not_yet("Increment").inside(&place(i, "increment"))),
        Some(Op::Expire(_)) => Err(not_yet("Expire").inside(&place(i, "expire"))),
        None => Err(convert::unsupported(
            &format!("operations[{i}]"),
            "no operation that this version knows is set",
        )),
    };
    request.operations.iter().enumerate().map(check).collect()
}

/// The refusal of what is declared and not built.
pub(crate) fn not_yet(what: &str) -> Refusal {
    Refusal::new(
        Reason::NotYet,
        format!("{what} is declared in the protocol; this version does not serve it yet"),
    )
}
