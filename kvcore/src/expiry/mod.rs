//! Which records have to go because their deadline has passed: proposals for the door.
//!
//! A turn looks at a bounded part of what is due, sorted by shard, and proposes units of
//! one shard each, so that a removal holds one lock for a short time. It changes nothing:
//! the door judges every record again under its lock.

use crate::store::{Leaving, Record, Shards};

/// Places looked at in one turn, per stripe of the deadlines.
const PLACES_PER_STRIPE: usize = 4096;
/// Records of one unit, and their bytes: at most, whatever a caller's unit may have.
const UNIT_RECORDS: usize = 64;
const UNIT_BYTES: u64 = 256 << 10;

/// How large a unit of removals may be. One record alone may be larger.
#[derive(Clone, Copy, Debug)]
pub struct UnitLimit {
    records: usize,
    bytes: u64,
}

impl UnitLimit {
    /// No larger than units of callers, for which the log keeps room.
    pub fn within(operations: usize, bytes: usize) -> Self {
        Self {
            records: UNIT_RECORDS.min(operations),
            bytes: UNIT_BYTES.min(bytes as u64),
        }
    }
}

/// Records of one shard that are due, enough for one unit.
pub type Proposal = Vec<Record>;

/// Calls `propose` with what is due at `now_ms`, until it says no, and then takes the keys
/// of those that are gone out of the index. Returns how many records were proposed.
pub fn sweep(
    shards: &Shards,
    now_ms: u64,
    limit: UnitLimit,
    mut propose: impl FnMut(Proposal) -> bool,
) -> u64 {
    let due = shards.due(now_ms, PLACES_PER_STRIPE);
    let mut leaving = Leaving::default();
    let mut proposed = 0;
    'turn: for places in due.chunk_by(|a, b| a.shard == b.shard) {
        let mut records = Vec::new();
        shards.at_places(places, |place, record| {
            if record.is_expired(|| now_ms) {
                records.push(record.clone());
                leaving.note(place, record.key());
            }
        });
        for proposal in units(records, limit) {
            proposed += proposal.len() as u64;
            if !propose(proposal) {
                break 'turn;
            }
        }
    }
    shards.take_out(leaving);
    proposed
}

/// Splits records so that each part makes a unit within the limit.
pub fn units(records: Vec<Record>, limit: UnitLimit) -> Vec<Proposal> {
    let mut units: Vec<Proposal> = Vec::new();
    let mut bytes = 0;
    for record in records {
        bytes += record.accounted_bytes();
        match units.last_mut() {
            Some(unit) if unit.len() < limit.records && bytes <= limit.bytes => unit.push(record),
            _ => {
                bytes = record.accounted_bytes();
                units.push(vec![record]);
            }
        }
    }
    units
}

#[cfg(test)]
mod tests;
