//! Txn: compares, then one of two lists of operations, all or nothing.

mod decode;
mod encode;
mod place;

use std::time::Instant;

use kvproto::v1;

use super::core::{Core, Done};
use super::operations::Effects;
use super::requests::Asked;
use super::status::Refusal;
use crate::backend::Store;

impl<S: Store> Core<S> {
    pub(crate) async fn txn(
        &self,
        store: &S,
        request: &v1::TxnRequest,
        deadline: Option<Instant>,
    ) -> Result<Done<v1::TxnResponse>, Refusal> {
        let limits = &self.shared.limits;
        let txn = decode::txn(request, limits)?;
        let asked = Asked::of(request, store)?;
        let patience = limits.patience(deadline);
        patience.check()?;
        let outcome = store.txn(&txn, limits.txn(), asked.request, patience).await;
        let outcome = outcome.map_err(|mut error| {
            // The engine knows lists and indices, and not what the wire calls a step.
            if let Some(kind) = place::kind(request, &error.place) {
                error.place = format!("{}.{kind}", error.place);
            }
            asked.told(store, error)
        })?;
        let effects = Effects::new(
            outcome.revision.0,
            outcome.revealed.0,
            outcome.store_revision.0,
        );
        Ok(Done {
            reply: encode::reply(store, request, &outcome),
            seen: effects.seen(store, asked.durability),
        })
    }
}
