//! What a repair did, or would do.

use std::collections::BTreeMap;
use std::fmt;

use super::Way;
use super::base::Base;
use super::fold::Fold;
use crate::base::revision::{Gap, Revision};
use crate::recovery::inspect::Inventory;
use crate::recovery::report::{Class, FileReport, Place, show_key};
use crate::recovery::through::LogEnd;

/// What the result holds of a key whose change is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A later change, which says all: nothing is missing of it.
    Later(Revision),
    /// What an older change left.
    Older(Revision),
    /// Nothing.
    Absent,
}

/// A key that damage concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFate {
    pub key: Vec<u8>,
    /// Of the change that is lost.
    pub revision: Revision,
    pub fate: Fate,
}

#[derive(Clone, Debug)]
pub struct RepairReport {
    pub way: Way,
    /// Of the damaged store.
    pub store_id: String,
    /// Files that are not whole.
    pub files: Vec<FileReport>,
    /// The snapshot that it begins with.
    pub snapshot: Option<String>,
    /// What cannot be told of single places.
    pub notes: Vec<String>,
    pub keys: Vec<KeyFate>,
    /// What it keeps is the state of this revision, but for what is lost,
    pub revision: Revision,
    pub records: u64,
    /// All up to here is whole.
    pub whole_to: Revision,
    /// Revisions that are lost or cut off, as far as is known.
    pub lost: u64,
    /// Revisions that are cut off although they are whole.
    pub cut: Option<Gap>,
    /// The new store's id and its first revision, once it is made.
    pub created: Option<(String, Revision)>,
}

impl RepairReport {
    pub(super) fn new(
        inventory: &Inventory,
        base: &Base,
        log: &[FileReport],
        fold: &Fold<'_>,
        at: Revision,
        way: Way,
        end: &LogEnd,
    ) -> Self {
        let snapshots = inventory.snapshots.iter().map(|snapshot| &snapshot.report);
        let all = inventory.unusable.iter().chain(snapshots).chain(log);
        let files: Vec<FileReport> = all
            .filter(|file| !matches!(file.class, Class::Clean | Class::TornTail))
            .cloned()
            .collect();
        let places = || log.iter().flat_map(|file| &file.places);
        let lost = places().filter_map(|place| place.lost);
        let lost = lost.filter(|lost| lost.last > base.covered);
        let first_lost = lost.clone().map(|lost| lost.first).min();
        let lost: u64 = lost
            .map(|lost| lost.last.0 - lost.first.max(base.covered.next()).0 + 1)
            .sum();
        let cut = matches!(way, Way::TruncateAt(_)) && end.last > at;
        let cut = cut.then(|| Gap {
            first: at.next(),
            last: end.last,
        });
        Self {
            way,
            store_id: inventory
                .store_id
                .map_or_else(|| "(none)".to_owned(), |id| id.to_string()),
            snapshot: base.name.clone(),
            notes: notes(base, &files),
            keys: keys(base, inventory, log, fold, at),
            revision: at,
            records: fold.target.shards.keys(),
            whole_to: first_lost.map_or(end.last, |first| Revision(first.0 - 1)),
            lost: cut.map_or(lost, |cut| cut.last.0 - cut.first.0 + 1),
            cut,
            created: None,
            files,
        }
    }
}

fn notes(base: &Base, files: &[FileReport]) -> Vec<String> {
    let mut notes = Vec::new();
    if base.headless {
        notes.push(
            "the log does not begin at its beginning and no snapshot can be read: keys that were \
             not changed since are lost, and nothing tells which"
                .to_owned(),
        );
    } else if base.remains {
        notes.push(
            "no snapshot is whole: it begins with what is left of them; a key whose removal is \
             lost may be there again"
                .to_owned(),
        );
    }
    if files.iter().any(|file| file.places.iter().any(|p| p.open)) {
        notes.push("more may be lost than can be told".to_owned());
    }
    notes
}

/// Every key that is known to be concerned, and what became of it.
fn keys(
    base: &Base,
    inventory: &Inventory,
    log: &[FileReport],
    fold: &Fold<'_>,
    at: Revision,
) -> Vec<KeyFate> {
    let mut lost: BTreeMap<&[u8], Revision> = BTreeMap::new();
    let snapshots = inventory.snapshots.iter().filter(|_| base.remains);
    let snapshots = snapshots.flat_map(|snapshot| &snapshot.report.places);
    let log = log.iter().flat_map(|file| &file.places);
    let places: Vec<&Place> = snapshots.chain(log).collect();
    let named = places.iter().flat_map(|place| &place.keys);
    let named = named.map(|key| (key.key.as_slice(), key.revision));
    let known = fold.stale.iter().chain(&fold.overtaken);
    let known = known.map(|(key, revision)| (key.as_slice(), *revision));
    for (key, revision) in named.chain(known) {
        let counts =
            (base.remains || revision > base.covered) && revision <= at.max(fold.reached());
        if counts {
            let last = lost.entry(key).or_default();
            *last = (*last).max(revision);
        }
    }
    lost.into_iter()
        .map(|(key, revision)| KeyFate {
            key: key.to_vec(),
            revision,
            fate: fate(fold, key, revision),
        })
        .collect()
}

fn fate(fold: &Fold<'_>, key: &[u8], lost: Revision) -> Fate {
    let place = fold.target.shards.place(key);
    let now = fold.target.shards.read(place, key, |found| {
        found.record().map(crate::store::Record::mod_revision)
    });
    match now {
        Some(now) if now >= lost => Fate::Later(now),
        Some(now) => Fate::Older(now),
        None => Fate::Absent,
    }
}

impl fmt::Display for KeyFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = show_key(&self.key);
        write!(
            f,
            "key {key}: its change of revision {} is lost; ",
            self.revision
        )?;
        match self.fate {
            Fate::Later(now) => write!(f, "a later one, of revision {now}, is kept"),
            Fate::Older(now) => write!(f, "it is kept as revision {now} left it"),
            Fate::Absent => write!(f, "it is not in the new store"),
        }
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.store_id)?;
        for file in &self.files {
            writeln!(f, "{file}")?;
        }
        if self.files.is_empty() {
            writeln!(f, "no damage was found")?;
        }
        let way = match self.way {
            Way::TruncateAt(at) => format!("truncate at revision {at}"),
            Way::FromOlderSnapshot => "from an older snapshot".to_owned(),
            Way::Salvage => "salvage".to_owned(),
        };
        let begin = self.snapshot.as_deref();
        let begin = begin.unwrap_or("no snapshot");
        writeln!(f, "{way}: begins with {begin}")?;
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for key in &self.keys {
            writeln!(f, "  {key}")?;
        }
        if let Some(cut) = &self.cut {
            writeln!(f, "  revisions {} to {} are cut off", cut.first, cut.last)?;
        }
        write!(
            f,
            "  keeps {} records as of revision {}; revisions lost: {}",
            self.records, self.revision, self.lost
        )
    }
}
