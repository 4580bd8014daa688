//! The operations on keys, each up to the point where its reply is known but may
//! still have to wait for the log. Unary calls wait at once; a pipeline goes on.

use std::time::Instant;

use kvproto::v1::{self, ErrorReason as Reason};

use super::convert;
use super::core::{Core, Done, Seen, read_wait, write_wait};
use super::limits::Limits;
use super::status::Refusal;
use crate::backend::{
    Action, Condition, Durability, Mutation, Outcome, ReadLevel, Revision, Store,
};
use crate::waiter::Level;

type Result<T> = std::result::Result<T, Refusal>;

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

    pub(super) async fn apply_set(
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

    pub(super) async fn apply_delete(
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
}

/// What writes have shown so far: revisions they took, and state they told of
/// without changing it.
#[derive(Clone, Copy, Default)]
pub(super) struct Effects {
    pub(super) store_revision: Revision,
    /// Newest revision taken; 0 is none.
    pub(super) written: Revision,
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

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            store_revision: self.store_revision.max(other.store_revision),
            written: self.written.max(other.written),
            shown: self.shown.max(other.shown),
        }
    }

    /// What was written waits as it was asked to. What was only shown is a read, and
    /// may reveal no more than a read. Where both come together, the stricter rules.
    pub(super) fn seen<S: Store>(self, store: &S, durability: Durability) -> Seen {
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

pub(super) fn check_set(request: &v1::SetRequest, limits: &Limits) -> Result<Option<Condition>> {
    convert::key(&request.key, limits)?;
    convert::value(&request.value, limits)?;
    convert::no_expiry(request.expiry.as_ref())?;
    convert::condition(request.condition.as_ref())
}

pub(super) fn check_delete(
    request: &v1::DeleteRequest,
    limits: &Limits,
) -> Result<Option<Condition>> {
    convert::key(&request.key, limits)?;
    convert::condition(request.condition.as_ref())
}

/// The refusal of what is declared and not built.
pub(crate) fn not_yet(what: &str) -> Refusal {
    Refusal::new(
        Reason::NotYet,
        format!("{what} is declared in the protocol; this version does not serve it yet"),
    )
}
