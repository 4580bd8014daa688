//! Which keys: ranges off the wire, and the calls that count them and remove them.

use std::time::Instant;

use kvproto::v1::{self, ErrorReason as Reason, key_range::Range};

use super::convert;
use super::core::{Core, Done, Seen, read_wait};
use super::limits::Limits;
use super::operations::Effects;
use super::requests::Asked;
use super::status::Refusal;
use crate::backend::{KeyRange, Store};

type Result<T> = std::result::Result<T, Refusal>;

/// A range has to be said: nothing that was left out ever means everything.
pub(super) fn range(range: Option<&v1::KeyRange>, limits: &Limits) -> Result<KeyRange> {
    let bad = |problem| {
        Err(Refusal::new(
            Reason::BadRange,
            format!("{problem}: say which keys, or `all` to mean every key"),
        )
        .field("range"))
    };
    let Some(range) = range else {
        return bad("there is no range");
    };
    // A bound may be the key that follows the longest one.
    let bound = limits.key_bytes + 1;
    match &range.range {
        None => bad("the range is present but names nothing"),
        Some(Range::Prefix(prefix)) if prefix.is_empty() => bad("the prefix is empty"),
        Some(Range::Prefix(prefix)) => {
            within("range.prefix", prefix, limits.key_bytes)?;
            Ok(KeyRange::prefix(prefix))
        }
        Some(Range::Key(key)) if key.is_empty() => bad("the key is empty"),
        Some(Range::Key(key)) => {
            within("range.key", key, limits.key_bytes)?;
            Ok(KeyRange::key(key))
        }
        Some(Range::Span(span)) if !span.end.is_empty() && span.end <= span.start => {
            bad("the span ends before it starts")
        }
        Some(Range::Span(span)) => {
            within("range.span.start", &span.start, bound)?;
            within("range.span.end", &span.end, bound)?;
            Ok(KeyRange::span(&span.start, &span.end))
        }
        Some(Range::All(_)) => Ok(KeyRange::all()),
    }
}

fn within(field: &str, key: &[u8], limit: usize) -> Result<()> {
    convert::within(Reason::KeyTooLarge, field, key.len(), limit)
}

impl<S: Store> Core<S> {
    pub(crate) async fn count(
        &self,
        store: &S,
        request: &v1::CountRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::CountResponse>> {
        let limits = &self.shared.limits;
        let range = range(request.range.as_ref(), limits)?;
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let counted = store.count(&range, None, limits.patience(deadline)).await?;
        Ok(Done {
            reply: v1::CountResponse {
                header: None,
                count: convert::signed(counted.value),
            },
            seen: Seen {
                store_revision: counted.store_revision,
                reveals: counted.revealed,
                wait: read_wait(level, counted.revealed),
                wrote: false,
            },
        })
    }

    pub(crate) async fn hash(
        &self,
        store: &S,
        request: &v1::HashRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::HashResponse>> {
        let limits = &self.shared.limits;
        let range = range(request.range.as_ref(), limits)?;
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let hashed = store.hash(&range, limits.patience(deadline)).await?;
        let (hash, count) = hashed.value;
        Ok(Done {
            reply: v1::HashResponse {
                header: None,
                hash: hash.to_vec().into(),
                count: convert::signed(count),
            },
            seen: Seen {
                store_revision: hashed.store_revision,
                reveals: hashed.revealed,
                wait: read_wait(level, hashed.revealed),
                wrote: false,
            },
        })
    }

    pub(crate) async fn delete_range(
        &self,
        store: &S,
        request: &v1::DeleteRangeRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::DeleteRangeResponse>> {
        let limits = &self.shared.limits;
        let range = range(request.range.as_ref(), limits)?;
        let limit = convert::limit("limit", request.limit)?;
        let asked = Asked::of(request, store)?;
        let patience = limits.patience(deadline);
        patience.check()?;
        if request.dry_run {
            return self.dry_run(store, &range, limit, asked, deadline).await;
        }
        let atomic = request.atomic.unwrap_or(true);
        let deleted = store.delete_range(&range, limit, atomic, asked.request, patience);
        let deleted = deleted.await.map_err(|e| asked.told(store, e))?;
        let effects = Effects::new(deleted.last, deleted.revealed, deleted.store_revision);
        Ok(Done {
            reply: v1::DeleteRangeResponse {
                header: None,
                deleted: convert::signed(deleted.deleted),
                first_revision: convert::signed(deleted.first),
                last_revision: convert::signed(deleted.last),
                more: deleted.more,
                replayed: deleted.replayed,
            },
            seen: effects.seen(store, asked.durability),
        })
    }

    /// What a delete would remove.
    async fn dry_run(
        &self,
        store: &S,
        range: &KeyRange,
        limit: Option<u64>,
        asked: Asked<'_>,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::DeleteRangeResponse>> {
        let patience = self.shared.limits.patience(deadline);
        // One more tells whether the limit would leave any.
        let counted = store
            .count(range, limit.map(|limit| limit.saturating_add(1)), patience)
            .await?;
        let most = limit.unwrap_or(u64::MAX);
        let effects = Effects::new(0, counted.revealed, counted.store_revision);
        Ok(Done {
            reply: v1::DeleteRangeResponse {
                deleted: convert::signed(counted.value.min(most)),
                more: counted.value > most,
                ..v1::DeleteRangeResponse::default()
            },
            seen: effects.seen(store, asked.durability),
        })
    }
}
