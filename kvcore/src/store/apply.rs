//! The one state transition of a store that serves. One that is being loaded makes the same
//! changes by [`restore`](super::restore).
//!
//! In two steps, because between a revision and the end of its apply nothing may
//! allocate: [`prepare`] makes room and enters the key into index and deadlines,
//! [`apply`] changes the table and takes out what no longer holds.

use super::entry::Record;
use super::shards::{Place, Shard};
use crate::base::revision::Revision;

/// What becomes of one key.
#[derive(Debug)]
pub enum Change {
    /// The key holds this record now. It is stamped already.
    Put(Record),
    /// The key is gone.
    Remove,
}

/// Makes sure that the record can be put without allocating. `current` is what the key
/// holds now.
pub fn prepare(shard: &Shard<'_>, place: Place, record: &Record, current: Option<&Record>) {
    shard.prepare_put(place, record, current);
}

/// Applies one change of one key and returns what it displaced.
///
/// After [`prepare`] it neither allocates nor fails.
pub fn apply(
    shard: &mut Shard<'_>,
    place: Place,
    key: &[u8],
    change: Change,
    revision: Revision,
) -> Option<Record> {
    match change {
        Change::Put(record) => shard.put(place, record),
        Change::Remove => shard.remove(place, key, revision),
    }
}
