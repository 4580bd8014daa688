//! From a damaged directory to a whole store in another one.
//!
//! ```text
//!  look     which files there are, each for itself; a newer kvd's are left alone
//!  choose   what to begin with: a snapshot, what is left of damaged ones, or nothing
//!  fold     the log on top, as far as it is whole and wanted, in memory
//!  tell     every damaged place, every key concerned, and what the result holds of it
//!  rebuild  a store with an id of its own, whose numbering goes on above all that was used
//! ```
//! Invariants:
//! - the damaged directory is locked, read, and not changed;
//! - a plan does all but the last step, so that it tells exactly what would be done;
//! - what a checksum does not vouch for is never taken. A change that is lost leaves its key
//!   as it was before, and that is told;
//! - the new store says that it was repaired until somebody says that they know.

mod base;
mod fold;
mod tell;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use tell::{Fate, KeyFate, RepairReport};

use self::base::{Base, choose};
use self::fold::Fold;
use super::error::OpenError;
use super::inspect::{self, Inventory};
use super::rebuild::{Heritage, empty_directory, fresh_target, random_id, rebuild};
use super::replay::Target;
use super::report::{FileReport, Place};
use super::summary::LoadProgress;
use super::through::{LogEnd, go_through};
use crate::base::clock::SystemClock;
use crate::base::engine_clock::Moment;
use crate::base::entropy::SystemEntropy;
use crate::base::revision::{Gap, Revision};
use crate::disk::{Disk, Environment};
use crate::format::manifest::{GAPS_CAP, Repaired};

/// Size of the new store's segments if there is none to go by.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What a repair keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The state of this revision, if all up to it is whole.
    TruncateAt(Revision),
    /// All: an older snapshot and the log behind it are whole although the newest is not.
    FromOlderSnapshot,
    /// Whatever is whole.
    Salvage,
}

/// Repairs the store in `dir`, which nobody may have open, into `into`; unless `apply`, tells
/// what would be done.
///
/// # Errors
/// The directory is in use, holds no store or one of a newer kvd, or cannot be repaired in
/// this way; or `into` is not empty. Nothing is written then.
pub fn repair(
    dir: &Path,
    way: Way,
    into: Option<&Path>,
    apply: bool,
    progress: &dyn Fn(LoadProgress),
) -> Result<RepairReport, OpenError> {
    if !dir.is_dir() {
        let what = format!(
            "{} is not a directory; name a data directory of kvd",
            dir.display()
        );
        return Err(OpenError::Options(what));
    }
    if let Some(into) = into {
        check_target(dir, into)?;
    }
    let disk = super::directory::os_disk(dir)?;
    let _lock = super::directory::lock_for_reading(disk.as_ref())?;
    let target = fresh_target(&SystemEntropy)?;
    let mut done = fold(&disk, way, &target, progress)?;
    let Some(into) = into.filter(|_| apply) else {
        return Ok(done.report);
    };
    let environment = Environment {
        disk: empty_directory(into)?,
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
    };
    let _target_lock = super::directory::lock(environment.disk.as_ref())?;
    let wall_ms = environment.clock.wall_ms();
    done.heritage.repaired = Some(Repaired {
        wall_ms,
        lost: done.report.lost,
    });
    done.heritage.store_id = random_id(environment.entropy.as_ref())?;
    let next = rebuild(&environment, done.segment_bytes, &target, &done.heritage)?.next;
    done.report.created = Some((done.heritage.store_id.to_string(), next));
    Ok(done.report)
}

/// As [`repair`] without `apply`, of files that lie anywhere.
pub fn plan_on(disk: &Arc<dyn Disk>, way: Way) -> Result<RepairReport, OpenError> {
    let target = fresh_target(&SystemEntropy)?;
    fold(disk, way, &target, &|_| ()).map(|folded| folded.report)
}

/// The target must hold nothing, and must not lie in what is repaired.
fn check_target(dir: &Path, into: &Path) -> Result<(), OpenError> {
    let real = |path: &Path| path.canonicalize();
    let from = real(dir).map_err(OpenError::io(format!("cannot find {}", dir.display())))?;
    let above = into
        .ancestors()
        .map(|path| {
            if path == Path::new("") {
                Path::new(".")
            } else {
                path
            }
        })
        .find_map(|path| real(path).ok());
    if above.is_some_and(|above| above.starts_with(&from)) {
        return Err(OpenError::Options(format!(
            "{} lies in {}, which is not changed: name another directory",
            into.display(),
            dir.display()
        )));
    }
    match std::fs::read_dir(into) {
        Ok(entries) => {
            let entries = entries.count();
            if entries == 0 {
                return Ok(());
            }
            Err(OpenError::Options(format!(
                "{} is not empty ({entries} entries): name a directory that is, or none yet",
                into.display()
            )))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let what = format!("cannot look into {}", into.display());
            Err(OpenError::io(what)(error))
        }
    }
}

/// A repair that is done in memory.
struct Folded {
    report: RepairReport,
    heritage: Heritage,
    segment_bytes: u64,
}

fn fold(
    disk: &Arc<dyn Disk>,
    way: Way,
    target: &Target,
    progress: &dyn Fn(LoadProgress),
) -> Result<Folded, OpenError> {
    let mut inventory = inspect::look(disk)?;
    refuse_newer(inventory.newer.as_ref())?;
    if inventory.segments.is_empty() && inventory.snapshots.is_empty() {
        let what = "there is neither a segment nor a snapshot in it: no store to repair";
        return Err(OpenError::Unrepairable(what.into()));
    }
    let base = choose(&inventory, way)?;
    let mut fold = Fold::new(target, &base, way);
    fold.begin(&inventory, &base);
    let from = (base.first_segment, base.reached);
    let (log, end) = go_through(&inventory, from, progress, &mut |sound| fold.apply(sound))?;
    refuse_newer(end.newer.as_ref())?;
    inventory.forget_told(&log);
    check_whole(&base, &log, &end, way)?;
    let at = fold.reached().max(base.holds);
    let report = RepairReport::new(&inventory, &base, &log, &fold, at, way, &end);
    let heritage = Heritage {
        // Drawn when it is needed.
        store_id: inventory
            .store_id
            .unwrap_or(crate::format::StoreId([0; 16])),
        at,
        numbered: end.numbered.max(at),
        clock: clock(&inventory, &end),
        gaps: gaps(&inventory, &report, at),
        repaired: None,
    };
    let newest = inventory.segments.values().next_back();
    let segment_bytes = newest.map_or(SEGMENT_BYTES, |newest| newest.header.segment_bytes);
    Ok(Folded {
        report,
        heritage,
        segment_bytes,
    })
}

fn refuse_newer(newer: Option<&String>) -> Result<(), OpenError> {
    newer.map_or(Ok(()), |newer| {
        let what = format!("{newer}; an older kvd must not repair what it does not know");
        Err(OpenError::Unrepairable(what))
    })
}

/// Two of the ways leave nothing out of what they keep.
fn check_whole(base: &Base, log: &[FileReport], end: &LogEnd, way: Way) -> Result<(), OpenError> {
    let places = || log.iter().flat_map(|file| &file.places);
    let lost = |place: &Place| place.lost.filter(|lost| lost.last > base.covered);
    let first_lost = places().filter_map(lost).map(|lost| lost.first).min();
    let whole_to = first_lost.map_or(end.last, |first| Revision(first.0 - 1));
    match way {
        Way::FromOlderSnapshot => {
            if first_lost.is_none() && !places().any(|place| place.open) {
                return Ok(());
            }
            let name = base.name.as_deref().unwrap_or("the log's beginning");
            Err(OpenError::Unrepairable(format!(
                "the log behind {name} is whole up to revision {whole_to} only: \
                 --truncate-at-revision {whole_to} keeps that, --salvage whatever is left"
            )))
        }
        Way::TruncateAt(at) if at > whole_to => Err(OpenError::Unrepairable(format!(
            "revision {at} is not to be had: from {} on, all is whole up to revision {whole_to}",
            base.name.as_deref().unwrap_or("the log's beginning"),
        ))),
        Way::Salvage | Way::TruncateAt(_) => Ok(()),
    }
}

/// The clocks where the log ended.
fn clock(inventory: &Inventory, end: &LogEnd) -> Moment {
    let manifest = inventory.manifest.as_ref().map(|manifest| Moment {
        engine_ms: manifest.clock.engine_ms,
        wall_ms: manifest.clock.wall_ms,
    });
    let segment = inventory.segments.values().next_back();
    let segment = segment.map(|segment| Moment {
        engine_ms: segment.header.engine_ms,
        wall_ms: segment.header.wall_ms,
    });
    let mut snapshots = inventory
        .snapshots
        .iter()
        .filter_map(|snapshot| snapshot.header);
    let snapshot = snapshots.next_back().map(|header| Moment {
        engine_ms: header.engine_ms,
        wall_ms: header.wall_ms,
    });
    let known = manifest.or(segment).or(snapshot).unwrap_or(Moment {
        engine_ms: 0,
        wall_ms: 0,
    });
    let since = end.engine_ms.saturating_sub(known.engine_ms);
    Moment {
        engine_ms: known.engine_ms.max(end.engine_ms),
        wall_ms: known.wall_ms.saturating_add(since),
    }
}

/// Revisions up to `at` that name nothing: those that never did, and those that are lost.
fn gaps(inventory: &Inventory, report: &RepairReport, at: Revision) -> Vec<Gap> {
    let manifest = inventory
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.gaps);
    let headers = inventory.segments.values();
    let headers = headers.filter_map(|segment| segment.header.gap());
    let places = report.files.iter().flat_map(|file| &file.places);
    let lost = places.filter_map(|place| place.lost);
    let mut all: Vec<Gap> = manifest.copied().chain(headers).chain(lost).collect();
    all.retain(|gap| gap.first <= at);
    all.sort_by_key(|gap| gap.first);
    let mut joined: Vec<Gap> = Vec::new();
    for gap in all {
        let last = gap.last.min(at);
        match joined.last_mut() {
            Some(before) if gap.first <= before.last.next() => before.last = before.last.max(last),
            _ => joined.push(Gap { last, ..gap }),
        }
    }
    // One more comes with the jump of the numbering.
    let surplus = joined.len().saturating_sub(GAPS_CAP - 1);
    joined.drain(..surplus);
    joined
}
