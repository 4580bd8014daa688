//! Reads. They return at once, with the revision that the answer gives away: at level
//! DURABLE the caller waits until that is on stable storage before it shows the answer.

use super::Engine;
use crate::base::revision::Revision;
use crate::commit::Error;
use crate::commit::mutation::check_key;
use crate::store::Record;

/// An answer, and what it gives away.
#[derive(Clone, Debug)]
pub struct Revealed<T> {
    pub value: T,
    /// The newest revision that can be inferred from the answer, also from an absence.
    pub revealed: Revision,
    /// The store's newest revision at that moment.
    pub store_revision: Revision,
}

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
        check_key(key, &self.inner.options.limits)?;
        let (value, revealed, store_revision) = self.inner.core.read(key);
        Ok(Revealed {
            value,
            revealed,
            store_revision,
        })
    }

    /// The records of several keys (at most 1,024) in one consistent view.
    pub fn batch_get(&self, keys: &[&[u8]]) -> Result<Revealed<Vec<Option<Record>>>, Error> {
        let max = self.inner.options.limits.unit_operations;
        if keys.len() > max {
            let count = keys.len();
            return Err(Error::TooManyOperations { count, max });
        }
        for key in keys {
            check_key(key, &self.inner.options.limits)?;
        }
        let (value, revealed, store_revision) = self.inner.core.read_all(keys);
        Ok(Revealed {
            value,
            revealed,
            store_revision,
        })
    }

    /// Visits every record, in no order and not as one view.
    pub fn for_each(&self, f: impl FnMut(&Record)) {
        self.inner.core.shards.for_each(f);
    }
}
