//! Reads. A look returns at once, with the revision that the answer gives away: at level
//! DURABLE the caller waits until that is on stable storage before it shows the answer.
//!
//! The methods that are named like a question (`get`, `count`) also commit the removal of
//! expired records that they met, and may wait for a permit to do so; the looks leave that
//! to the caller (see [`Revealed::due`]).

use super::Engine;
use crate::base::limits::CHUNK_KEYS;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::commit::prepared::check_key;
use crate::commit::{CountPage, Error, Page, PageLimit, Revealed};
use crate::store::Record;

impl Engine {
    /// The record of one key.
    ///
    /// # Example
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let mut options = kvcore::Options::new(dir.path());
    /// # options.allow_volatile = true;
    /// # let store = kvcore::Engine::open(options, &|_| ())?;
    /// store.write(kvcore::Mutation::set(b"colour", b"blue"), kvcore::Durability::Synced)?;
    /// let answer = store.get(b"colour")?;
    /// assert_eq!(answer.value.expect("just set").value(), b"blue");
    /// # store.close(std::time::Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: &[u8]) -> Result<Revealed<Option<Record>>, Error> {
        self.settle(self.look(key)?)
    }

    /// The records of several keys (at most 1,024) in one consistent view.
    pub fn batch_get(&self, keys: &[&[u8]]) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        self.settle(self.look_all(keys)?)
    }

    /// Some records of a range in order, those behind `after` only.
    pub fn page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Revealed<Page>, Error> {
        self.settle(self.look_page(range, after, reverse, limit)?)
    }

    /// How many keys a range holds, each counted at some moment of the call.
    pub fn count(&self, range: &KeyRange) -> Result<Revealed<u64>, Error> {
        let mut after: Option<Vec<u8>> = None;
        let (mut sum, mut revealed) = (0, Revision::NONE);
        loop {
            let page = self.look_count(range, after.as_deref(), CHUNK_KEYS)?;
            let page = self.settle(page)?;
            sum += page.value.count;
            revealed = revealed.max(page.revealed);
            after = page.value.next;
            if after.is_none() {
                return Ok(Revealed {
                    value: sum,
                    revealed,
                    store_revision: page.store_revision,
                    due: Vec::new(),
                });
            }
        }
    }

    /// These keys are about to be read or written one by one. Nothing is promised: it only
    /// lets the processor wait for all their records at once.
    pub fn expect<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        self.inner.core.shards.fetch(keys);
    }

    /// As [`Engine::get`], without waiting for anything but a shard's lock.
    pub fn look(&self, key: &[u8]) -> Result<Revealed<Option<Record>>, Error> {
        check_key(key, &self.inner.options.limits)?;
        Ok(self.inner.core.look(key))
    }

    /// As [`Engine::batch_get`], without waiting for anything but shards' locks.
    pub fn look_all(&self, keys: &[&[u8]]) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        let limits = &self.inner.options.limits;
        if keys.len() > limits.unit_operations {
            return Err(Error::TooManyOperations {
                count: keys.len(),
                max: limits.unit_operations,
            });
        }
        for key in keys {
            check_key(key, limits)?;
        }
        Ok(self.inner.core.look_all(keys))
    }

    /// As [`Engine::page`], without waiting.
    pub fn look_page(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Revealed<Page>, Error> {
        Ok(self.inner.core.look_page(range, after, reverse, limit))
    }

    /// Counts the next `keys` keys of a range, without waiting.
    pub fn look_count(
        &self,
        range: &KeyRange,
        after: Option<&[u8]>,
        keys: usize,
    ) -> Result<Revealed<CountPage>, Error> {
        Ok(self.inner.core.look_count(range, after, keys))
    }

    /// When the record ends, in ms since the Unix epoch as the wall clock stands now;
    /// 0 = never.
    pub fn expires_at_ms(&self, record: &Record) -> u64 {
        match record.deadline_ms() {
            0 => 0,
            deadline => self.inner.core.clock.wall_of(deadline),
        }
    }

    /// Visits every record that has not expired, in order of keys and not as one view.
    pub fn for_each(&self, mut f: impl FnMut(&Record)) {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let limit = PageLimit {
                records: CHUNK_KEYS,
                bytes: usize::MAX,
            };
            let core = &self.inner.core;
            let page = core.look_page(&KeyRange::all(), after.as_deref(), false, limit);
            page.value.records.iter().for_each(&mut f);
            after = page.value.next;
            if after.is_none() {
                return;
            }
        }
    }

    /// Commits the removal of what is due, so that the answer may be shown.
    fn settle<T>(&self, mut answer: Revealed<T>) -> Result<Revealed<T>, Error> {
        for prepared in self.prepare_removal(&std::mem::take(&mut answer.due)) {
            let revision = self.commit_removal(self.admit_blocking(prepared)?)?;
            answer.revealed = answer.revealed.max(revision);
            answer.store_revision = answer.store_revision.max(revision);
        }
        Ok(answer)
    }
}
