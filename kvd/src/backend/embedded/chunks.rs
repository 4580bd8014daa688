//! Range deletes that are not atomic: piece by piece, with others in between.

use kvcore::Engine;
use kvcore::base::limits::CHUNK_KEYS;

use super::Embedded;
use crate::backend::{Error, ErrorKind, KeyRange, Patience, RangeDeleted, RequestId, Store as _};

impl Embedded {
    /// Removes a range piece by piece, each under a revision of its own.
    pub(super) async fn delete_chunks(
        &self,
        range: &KeyRange,
        limit: Option<u64>,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<RangeDeleted, Error> {
        let mut total = None::<RangeDeleted>;
        let mut left = limit.unwrap_or(u64::MAX);
        for item in 0.. {
            let most = usize::try_from(left).map_or(CHUNK_KEYS, |left| left.min(CHUNK_KEYS));
            let request = request.map(|request| RequestId { item, ..request });
            let chunk = self.delete_chunk(range, most, request, patience).await;
            let chunk = chunk.map_err(|error| unfinished(total.as_ref(), error))?;
            let Some(chunk) = chunk.filter(|chunk| chunk.deleted > 0) else {
                // Whoever removed the rest: it is gone.
                total = total.map(|total| RangeDeleted {
                    more: false,
                    ..total
                });
                break;
            };
            left = left.saturating_sub(chunk.deleted);
            let more = chunk.more;
            total = Some(match total {
                None => chunk,
                Some(total) => joined(&total, &chunk),
            });
            if !more || left == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if let Some(total) = total {
            return Ok(total);
        }
        // Nothing was there to remove, which is told like a count of nothing.
        let none = self.count(range, Some(1), patience).await?;
        Ok(RangeDeleted {
            revealed: none.revealed,
            store_revision: none.store_revision,
            ..RangeDeleted::default()
        })
    }

    async fn delete_chunk(
        &self,
        range: &KeyRange,
        most: usize,
        request: Option<RequestId<'_>>,
        patience: Patience,
    ) -> Result<Option<RangeDeleted>, Error> {
        patience.check()?;
        match self.0.prepare_chunk(range, most, request)? {
            None => Ok(None),
            Some(prepared) => {
                let deleted = self.commit(prepared, Engine::commit_range_delete, patience);
                Ok(Some(deleted.await?.into()))
            }
        }
    }
}

/// Two pieces of one delete, in order.
fn joined(total: &RangeDeleted, chunk: &RangeDeleted) -> RangeDeleted {
    RangeDeleted {
        deleted: total.deleted + chunk.deleted,
        first: if total.first == 0 {
            chunk.first
        } else {
            total.first
        },
        last: total.last.max(chunk.last),
        more: chunk.more,
        replayed: total.replayed && chunk.replayed,
        revealed: total.revealed.max(chunk.revealed),
        store_revision: total.store_revision.max(chunk.store_revision),
    }
}

/// A later piece failed: what the earlier ones removed is not taken back, so this is no
/// refusal.
fn unfinished(total: Option<&RangeDeleted>, error: Error) -> Error {
    let Some(total) = total.filter(|total| total.deleted > 0) else {
        return error;
    };
    let message = format!(
        "{} keys were removed up to revision {}, the rest was not: {error}; call again to \
         remove the rest",
        total.deleted, total.last
    );
    Error {
        figures: vec![("deleted", total.deleted), ("revision", total.last)],
        ..Error::new(ErrorKind::UnknownOutcome, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(deleted: u64, revision: u64, more: bool, replayed: bool) -> RangeDeleted {
        RangeDeleted {
            deleted,
            first: revision,
            last: revision,
            more,
            replayed,
            revealed: revision,
            store_revision: revision,
        }
    }

    #[test]
    fn pieces_add_up_and_are_a_repeat_only_together() {
        let total = joined(&piece(1000, 5, true, true), &piece(200, 9, false, false));
        assert_eq!((total.deleted, total.first, total.last), (1200, 5, 9));
        assert!(!total.more && !total.replayed);
        let total = joined(&piece(1000, 5, true, true), &piece(200, 6, true, true));
        assert!(total.more && total.replayed);
    }

    #[test]
    fn what_was_removed_is_no_refusal_any_more() {
        let late = || Error::new(ErrorKind::Deadline, "too late");
        assert_eq!(unfinished(None, late()).kind, ErrorKind::Deadline);
        let half = unfinished(Some(&piece(1000, 5, true, false)), late());
        assert_eq!(half.kind, ErrorKind::UnknownOutcome);
        assert_eq!(half.figures, [("deleted", 1000), ("revision", 5)]);
        assert!(half.message.contains("too late"), "{half}");
    }
}
