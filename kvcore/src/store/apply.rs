//! The one state transition: live writes, replay and snapshots all come through here.

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

/// Applies one change of one key and returns what it displaced.
///
/// With room reserved ([`Shard::reserve`]) it neither allocates nor fails.
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
