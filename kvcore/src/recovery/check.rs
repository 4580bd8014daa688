//! The offline checker: judges every file of a directory and changes nothing.
//!
//! First as a start would: if that finds no damage, what it read is the report. Otherwise every
//! file is looked at for itself, so that all damage is named, not only the first.

use std::path::Path;
use std::sync::Arc;

use super::classify::{self, Tail};
use super::error::OpenError;
use super::inspect::{self, Inventory};
use super::load::{refuse_if_log_is_short, refuse_if_older_manifest};
use super::report::{CheckReport, Class, FileReport};
use super::survey::{read_whole, survey};
use super::through::go_through;
use crate::base::revision::Revision;
use crate::disk::Disk;
use crate::format::unit::check_units;

/// Checks the store in `dir`, which must not be in use.
///
/// # Errors
/// The directory cannot be read or is locked. Damage is not an error here: it is
/// in the report.
pub fn check(dir: &Path) -> Result<CheckReport, OpenError> {
    if !dir.is_dir() {
        let what = format!(
            "{} is not a directory; name a data directory of kvd",
            dir.display()
        );
        return Err(OpenError::Options(what));
    }
    let disk = super::directory::os_disk(dir)?;
    let _lock = super::directory::lock_for_reading(disk.as_ref())?;
    check_on(&disk)
}

/// As [`check`], of files that lie anywhere.
pub fn check_on(disk: &Arc<dyn Disk>) -> Result<CheckReport, OpenError> {
    let mut report = CheckReport {
        store_id: "(none)".into(),
        files: Vec::new(),
        gaps: Vec::new(),
        clean_shutdown: true,
        strangers: Vec::new(),
        leftovers: Vec::new(),
        damage: None,
    };
    let told = match examine(disk, &mut report) {
        Err(damage @ OpenError::Damaged { .. }) => Some(damage.to_string()),
        // What cannot be read is named with its file, and the others are looked at.
        Err(failed @ OpenError::Io { .. }) => Some(failed.to_string()),
        Err(other) => return Err(other),
        Ok(()) => None,
    };
    let suspect = report.files.iter().any(|file| file.class == Class::Suspect);
    if told.is_some() || suspect {
        report.damage = told;
        name_all_damage(disk, &mut report)?;
    }
    Ok(report)
}

/// Looks at every file for itself.
fn name_all_damage(disk: &Arc<dyn Disk>, report: &mut CheckReport) -> Result<(), OpenError> {
    let mut inventory = inspect::look(disk)?;
    report.strangers.clone_from(&inventory.strangers);
    if let Some(id) = inventory.store_id {
        report.store_id = id.to_string();
    }
    if let Some(manifest) = &inventory.manifest {
        report.gaps.clone_from(&manifest.gaps);
        report.clean_shutdown = manifest.clean.is_some();
    }
    let from = inventory.numbers.map_or(1, |(first, _)| first);
    let reached = before_the_log(&inventory, from);
    let (log, _) = go_through(&inventory, (from, reached), &|_| (), &mut |_| ())?;
    inventory.forget_told(&log);
    report.files = inventory.unusable;
    report.files.extend(
        inventory
            .snapshots
            .into_iter()
            .map(|snapshot| snapshot.report),
    );
    report.files.extend(log);
    Ok(())
}

/// The revision that the log from this segment on goes on after, as far as it is known
/// without that segment.
fn before_the_log(inventory: &Inventory, from: u64) -> Revision {
    if let Some(first) = inventory.segments.get(&from) {
        return Revision(first.header.first_revision.0 - 1);
    }
    if from == 1 {
        return Revision::START;
    }
    let starts = inventory.snapshots.iter().map(|snapshot| snapshot.start);
    let next = inventory.segments.values().next();
    let next = next.and_then(|next| next.header.previous);
    let needed = starts.min().unwrap_or(Revision::START);
    next.map_or(needed, |previous| needed.min(previous.last_revision))
}

fn examine(disk: &Arc<dyn Disk>, report: &mut CheckReport) -> Result<(), OpenError> {
    let found = survey(disk)?;
    report.strangers.clone_from(&found.strangers);
    report.leftovers.clone_from(&found.leftovers);
    let Some(manifest) = &found.manifest else {
        return Ok(());
    };
    report.store_id = manifest.store_id.to_string();
    report.gaps.clone_from(&manifest.gaps);
    report.clean_shutdown = manifest.clean.is_some();
    super::base::check_first(manifest)?;
    for snapshot in &manifest.snapshots {
        let records = super::base::check_file(disk, manifest, snapshot)?;
        report.files.push(FileReport {
            first_revision: snapshot.start,
            last_revision: snapshot.end,
            bytes: snapshot.bytes,
            ..FileReport::new(&snapshot.name, Class::Clean, format!("{records} records"))
        });
    }
    let mut known = manifest.durable.max(manifest.clean.unwrap_or_default());
    let mut last = Revision::START;
    for (index, segment) in found.segments.iter().enumerate() {
        let bytes = read_whole(segment.file.as_ref(), &segment.name)?;
        let next = found
            .segments
            .get(index + 1)
            .and_then(|s| s.header.previous.as_ref());
        let (walk, tail) = if let Some(next) = next {
            (classify::sealed(segment, &bytes, next)?, Tail::Clean)
        } else {
            let newest = classify::newest(segment, &bytes, known)?;
            (newest.walk, newest.tail)
        };
        for frame in &walk.frames {
            check_units(&bytes[frame.payload.clone()], frame.units).map_err(|error| {
                OpenError::damaged(&segment.name, frame.payload.start as u64, error.to_string())
            })?;
        }
        known = known.max(walk.durable);
        last = walk.last_revision;
        let (class, note) = match tail {
            Tail::Clean => (Class::Clean, String::new()),
            Tail::Torn { bytes, why } => (Class::TornTail, note(walk.end, bytes, &why)),
            Tail::Suspect { bytes, why } => (Class::Suspect, note(walk.end, bytes, &why)),
        };
        report.files.push(FileReport {
            first_revision: segment.header.first_revision,
            last_revision: walk.last_revision,
            units: walk.units,
            bytes: walk.end,
            ..FileReport::new(&segment.name, class, note)
        });
    }
    let newest = manifest.snapshots.last();
    let (name, end) = newest.map_or((None, Revision::NONE), |newest| {
        (Some(newest.name.as_str()), newest.end)
    });
    refuse_if_log_is_short(end, name, last)?;
    refuse_if_older_manifest(manifest, last)
}

fn note(end: u64, bytes: u64, why: &str) -> String {
    format!("{bytes} bytes from byte {end} on: {why}")
}
