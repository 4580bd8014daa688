//! Changes of one key: what each call asks for, and what its reply says. Alone, in a
//! batch and in a transaction they are read and checked by the same code.

use std::time::Instant;

use kvproto::v1;

use super::convert;
use super::core::{Core, Done, Seen};
use super::expiry;
use super::limits::Limits;
use super::operations::Effects;
use super::requests::{Asked, Mutating};
use super::status::Refusal;
use crate::backend::{Action, Increment, Mutation, Outcome, Record, Store};

type Result<T> = std::result::Result<T, Refusal>;

/// A call that changes one key.
pub(super) trait Change: Mutating {
    type Reply;

    /// Checks all but the options, and says it in the engine's words.
    fn mutation(&self, limits: &Limits) -> Result<Mutation<'_>>;
    /// The reply, its header still open.
    fn reply<S: Store>(&self, store: &S, outcome: &Outcome) -> Self::Reply;
}

impl<S: Store> Core<S> {
    pub(super) async fn change<R: Change>(
        &self,
        store: &S,
        request: &R,
        deadline: Option<Instant>,
    ) -> Result<Done<R::Reply>> {
        let limits = &self.shared.limits;
        let (write, asked) = {
            let mutation = request.mutation(limits)?;
            let asked = Asked::of(request, store)?;
            let patience = limits.patience(deadline);
            patience.check()?;
            (store.write(mutation, asked.request, patience), asked)
        };
        let written = write.await;
        let outcome = written.map_err(|error| asked.told(store, error))?;
        Ok(Done {
            reply: request.reply(store, &outcome),
            seen: Effects::of(&outcome).seen(store, asked.durability),
        })
    }

    pub(super) async fn write(
        &self,
        store: &S,
        mutation: Mutation<'_>,
        asked: Asked<'_>,
        deadline: Option<Instant>,
    ) -> Result<Outcome> {
        let patience = self.shared.limits.patience(deadline);
        patience.check()?;
        let written = store.write(mutation, asked.request, patience).await;
        written.map_err(|error| asked.told(store, error))
    }
}

impl<S: Store> Core<S> {
    /// A Set that asks for a key and a value, and for a durability or for the server's.
    /// Nothing can be in its way, so it has been applied.
    pub(super) async fn set_plain(
        &self,
        store: &S,
        key: &[u8],
        value: &[u8],
        durability: i32,
    ) -> Result<(Outcome, Seen)> {
        let limits = &self.shared.limits;
        convert::key(key, limits)?;
        convert::value(value, limits)?;
        let asked = Asked {
            durability: convert::durable(durability, store.default_durability())?,
            request: None,
        };
        let outcome = self.write(store, Mutation::set(key, value), asked, None);
        let outcome = outcome.await?;
        debug_assert!(outcome.applied, "it has no condition");
        let seen = Effects::of(&outcome).seen(store, asked.durability);
        Ok((outcome, seen))
    }
}

impl Change for v1::SetRequest {
    type Reply = v1::SetResponse;

    fn mutation(&self, limits: &Limits) -> Result<Mutation<'_>> {
        convert::key(&self.key, limits)?;
        convert::value(&self.value, limits)?;
        Ok(Mutation {
            key: &self.key,
            action: Action::Set {
                value: &self.value,
                expiry: expiry::expiry(self.expiry.as_ref())?,
            },
            condition: convert::condition(self.condition.as_ref(), limits)?,
        })
    }

    fn reply<S: Store>(&self, store: &S, outcome: &Outcome) -> v1::SetResponse {
        let numbers = |record| convert::numbers(store, record);
        let full = |record| Box::new(convert::record(store, self.key.clone(), record));
        let record = outcome.record.as_ref();
        let (record, current) = applied(outcome, record);
        v1::SetResponse {
            header: None,
            applied: outcome.applied,
            revision: convert::signed(outcome.revision.0),
            record: record.map(numbers),
            previous: previous(outcome, self.return_previous).map(full),
            current: current.map(full),
            replayed: outcome.replayed,
        }
    }
}

impl Change for v1::DeleteRequest {
    type Reply = v1::DeleteResponse;

    fn mutation(&self, limits: &Limits) -> Result<Mutation<'_>> {
        convert::key(&self.key, limits)?;
        Ok(Mutation {
            key: &self.key,
            action: Action::Delete,
            condition: convert::condition(self.condition.as_ref(), limits)?,
        })
    }

    fn reply<S: Store>(&self, store: &S, outcome: &Outcome) -> v1::DeleteResponse {
        let full = |record| Box::new(convert::record(store, self.key.clone(), record));
        let (_, current) = applied(outcome, outcome.record.as_ref());
        v1::DeleteResponse {
            header: None,
            deleted: outcome.applied,
            revision: convert::signed(outcome.revision.0),
            previous: previous(outcome, self.return_previous).map(full),
            current: current.map(full),
            replayed: outcome.replayed,
        }
    }
}

impl Change for v1::IncrementRequest {
    type Reply = v1::IncrementResponse;

    fn mutation(&self, limits: &Limits) -> Result<Mutation<'_>> {
        convert::key(&self.key, limits)?;
        let increment = Increment {
            delta: self.delta.unwrap_or(1),
            initial: self.initial,
            min: self.min.unwrap_or(i64::MIN),
            max: self.max.unwrap_or(i64::MAX),
            saturate: self.saturate,
            expiry: expiry::expiry(self.expiry.as_ref())?,
        };
        if increment.delta == 0 {
            return Err(convert::bad_number(
                "delta",
                "adding 0 changes nothing: read the key instead",
            ));
        }
        if increment.min > increment.max {
            let problem = format!("{} is above max, {}", increment.min, increment.max);
            return Err(convert::bad_number("min", &problem));
        }
        Ok(Mutation {
            key: &self.key,
            action: Action::Increment(increment),
            condition: None,
        })
    }

    fn reply<S: Store>(&self, store: &S, outcome: &Outcome) -> v1::IncrementResponse {
        v1::IncrementResponse {
            header: None,
            value: outcome.value.unwrap_or(0),
            revision: convert::signed(outcome.revision.0),
            record: outcome
                .record
                .as_ref()
                .map(|record| convert::numbers(store, record)),
            replayed: outcome.replayed,
        }
    }
}

impl Change for v1::ExpireRequest {
    type Reply = v1::ExpireResponse;

    fn mutation(&self, limits: &Limits) -> Result<Mutation<'_>> {
        convert::key(&self.key, limits)?;
        Ok(Mutation {
            key: &self.key,
            action: Action::Expire(expiry::expire(self)?),
            condition: None,
        })
    }

    fn reply<S: Store>(&self, store: &S, outcome: &Outcome) -> v1::ExpireResponse {
        v1::ExpireResponse {
            header: None,
            // A key that the call itself removed was there.
            found: outcome.applied || outcome.record.is_some(),
            applied: outcome.applied,
            record: outcome
                .record
                .as_ref()
                .map(|record| convert::numbers(store, record)),
            revision: convert::signed(outcome.revision.0),
            replayed: outcome.replayed,
        }
    }
}

/// The new record, or the one that stood in the way.
fn applied<'a>(
    outcome: &Outcome,
    record: Option<&'a Record>,
) -> (Option<&'a Record>, Option<&'a Record>) {
    if outcome.applied {
        (record, None)
    } else {
        (None, record)
    }
}

fn previous(outcome: &Outcome, wanted: bool) -> Option<&Record> {
    let wanted = wanted && outcome.applied;
    outcome.previous.as_ref().filter(|_| wanted)
}
