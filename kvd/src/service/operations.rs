//! The operations on keys, each up to the point where its reply is known but may
//! still have to wait for the log. Unary calls wait at once; a pipeline goes on.

use std::time::Instant;

use kvproto::v1::{self, ErrorReason as Reason};

use super::convert;
use super::core::{Core, Done, Seen, read_wait, write_wait};
use super::requests::shows_durable;
use super::status::Refusal;
use crate::backend::{Durability, Outcome, ReadLevel, Record, Revision, Store};
use crate::waiter::Level;

impl<S: Store> Core<S> {
    pub(crate) async fn get(
        &self,
        store: &S,
        request: &v1::GetRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::GetResponse>, Refusal> {
        convert::key(&request.key, &self.shared.limits)?;
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let (record, seen) = self.found(store, &request.key, level, deadline).await?;
        let record = record.as_ref();
        Ok(Done {
            reply: v1::GetResponse {
                header: None,
                found: record.is_some(),
                record: record.map(|record| convert::record(store, request.key.clone(), record)),
            },
            seen,
        })
    }

    /// A Get that asks for a key, and for a level or for the server's.
    pub(super) async fn get_plain(
        &self,
        store: &S,
        key: &[u8],
        level: i32,
    ) -> Result<(Option<Record>, Seen), Refusal> {
        convert::key(key, &self.shared.limits)?;
        let level = convert::level(level, store.default_read_level())?;
        self.found(store, key, level, None).await
    }

    async fn found(
        &self,
        store: &S,
        key: &[u8],
        level: ReadLevel,
        deadline: Option<Instant>,
    ) -> Result<(Option<Record>, Seen), Refusal> {
        let patience = self.shared.limits.patience(deadline);
        let found = store.get(key, patience).await?;
        let seen = Seen {
            store_revision: found.store_revision,
            reveals: found.revealed,
            wait: read_wait(level, found.revealed),
            wrote: false,
        };
        Ok((found.value, seen))
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
    /// Of one write: the revision it took, or what it revealed without taking one.
    pub(super) fn new(written: Revision, revealed: Revision, store_revision: Revision) -> Self {
        Self {
            store_revision,
            written,
            shown: if written > 0 { 0 } else { revealed },
        }
    }

    pub(super) fn of(outcome: &Outcome) -> Self {
        Self::new(
            outcome.revision.0,
            outcome.revealed.0,
            outcome.store_revision.0,
        )
    }

    /// Of an error that tells of the state.
    pub(super) fn shown(revealed: Revision) -> Self {
        Self::new(0, revealed, 0)
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
        let as_read = shows_durable(store, durability);
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

/// The refusal of what is declared and not built.
pub(crate) fn not_yet(what: &str) -> Refusal {
    Refusal::new(
        Reason::NotYet,
        format!("{what} is declared in the protocol; this version does not serve it yet"),
    )
}
