//! Changes of ranges, transactions, and a digest of what a range holds.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Engine;
use super::options::Durability;
use crate::base::limits::{CHUNK_KEYS, RANGE_DELETE_KEYS};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::prepared::{Item, Work};
use crate::commit::txn::plan::{Planned, plan};
use crate::commit::{
    Admitted, Attempt, Error, PageLimit, Prepared, RangeDeleted, RequestId, Revealed, Txn,
    TxnLimits, TxnOp, TxnOutcome, TxnResult,
};
use crate::format::outcome::{SMALL_OUTCOME_BYTES, outcome_max};

/// A digest of keys and values in order, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub hash: [u8; 16],
    pub keys: u64,
}

/// The digest of a range as it is built, page by page.
#[derive(Debug, Default)]
pub struct Digester {
    hasher: SipHasher24,
    keys: u64,
}

impl Digester {
    pub fn add(&mut self, record: &crate::store::Record) {
        for part in [record.key(), record.value()] {
            self.hasher.write(&(part.len() as u64).to_le_bytes());
            self.hasher.write(part);
        }
        self.keys += 1;
    }

    pub fn finish(&self) -> Digest {
        Digest {
            hash: self.hasher.finish128().as_bytes(),
            keys: self.keys,
        }
    }
}

impl Engine {
    /// Checks and copies a transaction.
    pub fn prepare_txn(
        &self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        request: Option<RequestId<'_>>,
    ) -> Result<Prepared, Error> {
        self.plan(txn, limits, usize::MAX, request)
    }

    fn plan(
        &self,
        txn: &Txn<'_>,
        limits: TxnLimits,
        range_keys: usize,
        request: Option<RequestId<'_>>,
    ) -> Result<Prepared, Error> {
        let inner = &self.inner;
        let options = &inner.options;
        let Planned {
            mut plan,
            bytes,
            deletes_only,
            operations,
        } = plan(
            txn,
            &options.limits,
            &inner.core.shards,
            options.unit_encoded_max() - options.request_max(),
        )?;
        plan.reply_bytes = limits.reply_bytes;
        plan.range_keys = range_keys;
        Prepared::txn(plan, bytes, deletes_only).remember(request, outcome_max(operations))
    }

    /// Applies a prepared transaction.
    pub fn commit_txn(&self, admitted: Admitted<'_>) -> Result<Attempt<TxnOutcome>, Error> {
        self.inner.core.commit_txn(admitted)
    }

    /// Runs a transaction and waits until it is as durable as asked.
    ///
    /// # Example
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let mut options = kvcore::Options::new(dir.path());
    /// # options.allow_volatile = true;
    /// # let store = kvcore::Engine::open(options, &|_| ())?;
    /// use kvcore::{Compare, Durability, Expiry, KeyRange, Operator, Target, Txn, TxnOp};
    ///
    /// let set = |value| TxnOp::Set {
    ///     key: b"lock",
    ///     value,
    ///     expiry: Expiry::After(10_000),
    ///     return_previous: false,
    /// };
    /// let take = Txn {
    ///     compares: vec![Compare {
    ///         range: KeyRange::key(b"lock"),
    ///         operator: Operator::Equal,
    ///         target: Target::Exists(false),
    ///     }],
    ///     success: vec![set(b"mine")],
    ///     failure: vec![TxnOp::Get { key: b"lock" }],
    /// };
    /// assert!(store.txn(&take, Durability::Synced)?.branch.succeeded);
    /// assert!(!store.txn(&take, Durability::Synced)?.branch.succeeded);
    /// # store.close(std::time::Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn txn(&self, txn: &Txn<'_>, durability: Durability) -> Result<TxnOutcome, Error> {
        let prepared = self.prepare_txn(txn, TxnLimits::default(), None)?;
        let outcome = self.blocking(prepared, Self::commit_txn)?;
        self.wait_after(outcome.revision, durability)?;
        Ok(outcome)
    }

    /// The removal of a range in one step: at most 4,096 keys, or the first `limit` of them
    /// if that is not 0.
    pub fn prepare_range_delete(
        &self,
        range: &KeyRange,
        limit: usize,
        request: Option<RequestId<'_>>,
    ) -> Result<Prepared, Error> {
        let range = range.clone();
        let txn = Txn {
            success: vec![TxnOp::RangeDelete { range, limit }],
            ..Txn::default()
        };
        self.plan(&txn, TxnLimits::default(), RANGE_DELETE_KEYS, request)
    }

    /// The removal of the first keys of a range, at most 1,000 or `limit` if that is not 0
    /// and less. None: there are none, and no request asks what became of it before.
    pub fn prepare_chunk(
        &self,
        range: &KeyRange,
        limit: usize,
        request: Option<RequestId<'_>>,
    ) -> Result<Option<Prepared>, Error> {
        let records = match limit {
            0 => CHUNK_KEYS,
            limit => limit.min(CHUNK_KEYS),
        }
        .min(self.inner.options.limits.unit_operations);
        let shards = &self.inner.core.shards;
        let (mut keys, mut all) = shards.keys_after(range, None, false, records);
        let most = self.inner.options.limits.unit_bytes;
        let mut bytes = 0;
        let over = keys.iter().position(|key| {
            bytes += key.len();
            bytes > most
        });
        if let Some(over) = over
            .map(|over| over.max(1))
            .filter(|&over| over < keys.len())
        {
            keys.truncate(over);
            all = false;
        }
        let items: Vec<Item> = keys
            .iter()
            .map(|key| Item::range_delete(key, shards))
            .collect();
        if items.is_empty() && request.is_none() {
            return Ok(None);
        }
        let work = Work::Chunk(items, !all);
        Prepared::many(work)
            .remember(request, SMALL_OUTCOME_BYTES)
            .map(Some)
    }

    /// Applies a prepared range delete, or a chunk of one.
    pub fn commit_range_delete(
        &self,
        admitted: Admitted<'_>,
    ) -> Result<Attempt<RangeDeleted>, Error> {
        if matches!(admitted.prepared.work, Work::Chunk(..)) {
            return self.inner.core.commit_chunk(admitted);
        }
        Ok(match self.commit_txn(admitted).map_err(plain)? {
            Attempt::Due { prepared, due } => Attempt::Due { prepared, due },
            Attempt::Done(outcome) => Attempt::Done(range_deleted(&outcome)),
        })
    }

    /// Removes a range in one step and waits until that is as durable as asked.
    pub fn delete_range(
        &self,
        range: &KeyRange,
        durability: Durability,
    ) -> Result<RangeDeleted, Error> {
        let prepared = self.prepare_range_delete(range, 0, None)?;
        let deleted = self.blocking(prepared, Self::commit_range_delete)?;
        self.wait_after(deleted.revision, durability)?;
        Ok(deleted)
    }

    /// A digest of what a range holds, for comparing stores. Each record is read at some
    /// moment of the call: two stores compare only while neither changes.
    pub fn hash(&self, range: &KeyRange) -> Result<Revealed<Digest>, Error> {
        let mut digester = Digester::default();
        let mut revealed = Revision::NONE;
        let mut after: Option<Vec<u8>> = None;
        let limit = PageLimit {
            records: CHUNK_KEYS,
            bytes: usize::MAX,
        };
        loop {
            let page = self.page(range, after.as_deref(), false, limit)?;
            page.value
                .records
                .iter()
                .for_each(|record| digester.add(record));
            revealed = revealed.max(page.revealed);
            after = page.value.next;
            if after.is_none() {
                return Ok(Revealed {
                    value: digester.finish(),
                    revealed,
                    store_revision: page.store_revision,
                    due: Vec::new(),
                });
            }
        }
    }
}

/// A range delete is no transaction to whoever asked for it.
fn plain(error: Error) -> Error {
    match error {
        Error::InTxn { error, .. } => *error,
        error => error,
    }
}

fn range_deleted(outcome: &TxnOutcome) -> RangeDeleted {
    let (deleted, more) = match outcome.branch.results.first() {
        Some(TxnResult::RangeDelete { deleted, more }) => (*deleted, *more),
        _ => (0, false),
    };
    debug_assert!(deleted == 0 || outcome.revision != Revision::NONE);
    RangeDeleted {
        deleted,
        revision: outcome.revision,
        more,
        revealed: outcome.revealed,
        store_revision: outcome.store_revision,
        replayed: outcome.replayed,
    }
}
