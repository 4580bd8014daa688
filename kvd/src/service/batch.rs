//! Many keys in one call: BatchGet in one consistent view, BatchWrite item by item.

use std::time::Instant;

use kvproto::v1::{
    self, ErrorReason as Reason, batch_get_result, batch_write_operation, batch_write_result,
};
use prost::Message as _;

use super::answers::item_weight;
use super::convert;
use super::core::{Core, Done, Seen, read_wait};
use super::limits::Limits;
use super::operations::{Effects, check_delete, check_set, not_yet};
use super::status::Refusal;
use crate::backend::{Condition, Store};

type Result<T> = std::result::Result<T, Refusal>;

impl<S: Store> Core<S> {
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

/// What a batch item's place is called in errors.
fn place(index: usize, kind: &str) -> String {
    format!("operations[{index}].{kind}")
}
