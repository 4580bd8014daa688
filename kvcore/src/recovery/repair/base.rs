//! What a repair begins with.

use super::Way;
use crate::base::revision::Revision;
use crate::recovery::error::OpenError;
use crate::recovery::inspect::Inventory;
use crate::recovery::sift_snapshot::SnapshotAt;

/// Where the log is laid on top.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// The sound snapshot that it is.
    pub(super) name: Option<String>,
    /// It is what is left of damaged snapshots, all of them.
    pub(super) remains: bool,
    /// All changes up to here are in it.
    pub(super) covered: Revision,
    /// Nothing newer is in it.
    pub(super) holds: Revision,
    /// The log is read from here on, and goes on behind this revision.
    pub(super) first_segment: u64,
    pub(super) reached: Revision,
    /// What came before is gone.
    pub(super) headless: bool,
}

pub(super) fn choose(inventory: &Inventory, way: Way) -> Result<Base, OpenError> {
    let sound = inventory.snapshots.iter().filter(|found| found.is_sound());
    let mut sound: Vec<&SnapshotAt> = sound.collect();
    match way {
        Way::Salvage => {}
        Way::FromOlderSnapshot => {
            let newest = inventory
                .snapshots
                .last()
                .map(|newest| newest.name.as_str());
            sound.retain(|found| Some(found.name.as_str()) != newest);
        }
        Way::TruncateAt(at) => sound.retain(|found| found.end <= at),
    }
    if let Some(newest) = sound.last() {
        return Ok(on_top(inventory, newest));
    }
    let whole_log = inventory.numbers.is_some_and(|(first, _)| first == 1);
    match way {
        Way::Salvage => Ok(remains(inventory, whole_log)),
        _ if whole_log => Ok(from_the_beginning()),
        Way::FromOlderSnapshot => Err(OpenError::Unrepairable(
            "there is no older snapshot that is whole, and the log does not begin at its beginning: \
             --salvage keeps whatever is left"
                .into(),
        )),
        Way::TruncateAt(at) => {
            let sound = inventory.snapshots.iter().filter(|found| found.is_sound());
            let oldest = sound.map(|found| found.end).min();
            let from = oldest.map_or_else(
                || "no snapshot is whole".to_owned(),
                |oldest| format!("the oldest state that can be had is that of revision {oldest}"),
            );
            Err(OpenError::Unrepairable(format!(
                "revision {at} is not to be had: {from}"
            )))
        }
    }
}

fn on_top(inventory: &Inventory, snapshot: &SnapshotAt) -> Base {
    // The last segment that begins at or before what comes next.
    let segments = inventory.segments.iter();
    let begun = segments.filter(|(_, s)| s.header.first_revision <= snapshot.start.next());
    let first = inventory.numbers.map_or(1, |(first, _)| first);
    Base {
        name: Some(snapshot.name.clone()),
        remains: false,
        covered: snapshot.start,
        holds: snapshot.end,
        first_segment: begun.map(|(number, _)| *number).max().unwrap_or(first),
        reached: snapshot.start,
        headless: false,
    }
}

fn from_the_beginning() -> Base {
    Base {
        name: None,
        remains: false,
        covered: Revision::START,
        holds: Revision::START,
        first_segment: 1,
        reached: Revision::START,
        headless: false,
    }
}

/// The log from its beginning if that is there; else what is left of every snapshot, and the
/// log from the oldest on.
fn remains(inventory: &Inventory, whole_log: bool) -> Base {
    let ours = || inventory.snapshots.iter().filter(|found| found.is_ours());
    if whole_log && (inventory.segments.contains_key(&1) || ours().next().is_none()) {
        return from_the_beginning();
    }
    let first_segment = inventory.numbers.map_or(1, |(first, _)| first);
    let start = ours().map(|found| found.start).min();
    Base {
        name: None,
        remains: true,
        covered: Revision::START,
        holds: ours()
            .map(|found| found.end)
            .max()
            .unwrap_or(Revision::START),
        first_segment,
        reached: start.unwrap_or(Revision::START),
        headless: start.is_none(),
    }
}
