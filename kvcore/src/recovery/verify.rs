//! The offline checker: judges every file of a directory and changes nothing.

use std::fmt;
use std::path::Path;

use super::classify::{self, Tail};
use super::error::OpenError;
use super::survey::{read_whole, survey};
use crate::base::revision::{Gap, Revision};
use crate::format::unit::check_units;

/// What [`check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Whole to the last frame.
    Clean,
    /// A torn tail that nobody was told is durable: the next start cuts it off.
    Torn,
    /// A last frame that is complete and wrong: the next start refuses it by default.
    Suspect,
    /// Damage at or below what was durable, or files that do not belong together.
    Corrupt,
}

/// One file's line in the report.
#[derive(Clone, Debug)]
pub struct FileReport {
    pub name: String,
    pub first_revision: Revision,
    pub last_revision: Revision,
    pub units: u64,
    /// Bytes up to the end of the last good frame.
    pub bytes: u64,
    pub verdict: Verdict,
    /// What is wrong and where, if something is.
    pub note: String,
}

/// What the directory holds, file by file.
#[derive(Clone, Debug)]
pub struct CheckReport {
    pub store_id: String,
    pub files: Vec<FileReport>,
    pub gaps: Vec<Gap>,
    /// The last run was closed in order.
    pub clean_shutdown: bool,
    pub strangers: Vec<String>,
    /// Files that the next start removes: the store needs them no more.
    pub leftovers: Vec<String>,
    /// Damage that stopped the check.
    pub damage: Option<String>,
}

impl CheckReport {
    pub fn verdict(&self) -> Verdict {
        let worst = self
            .files
            .iter()
            .map(|file| file.verdict)
            .max()
            .unwrap_or(Verdict::Clean);
        if self.damage.is_some() {
            Verdict::Corrupt
        } else {
            worst
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.store_id)?;
        for file in &self.files {
            let verdict = format!("{:?}", file.verdict).to_uppercase();
            write!(
                f,
                "{}  revisions {}..{}  units {}  bytes {}  {verdict}",
                file.name, file.first_revision, file.last_revision, file.units, file.bytes
            )?;
            writeln!(
                f,
                "{}{}",
                if file.note.is_empty() { "" } else { ": " },
                file.note
            )?;
        }
        for gap in &self.gaps {
            writeln!(
                f,
                "revisions {}..{} name nothing (unclean start)",
                gap.first, gap.last
            )?;
        }
        for name in &self.strangers {
            writeln!(f, "{name}  not a file of the store; left alone")?;
        }
        for name in &self.leftovers {
            writeln!(f, "{name}  not needed any more; the next start removes it")?;
        }
        if let Some(damage) = &self.damage {
            writeln!(f, "{damage}")?;
        }
        let closed = if self.clean_shutdown {
            "closed in order"
        } else {
            "not closed in order"
        };
        write!(
            f,
            "{} ({closed})",
            format!("{:?}", self.verdict()).to_uppercase()
        )
    }
}

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
    let _lock = super::directory::lock(disk.as_ref())?;
    let mut report = CheckReport {
        store_id: "(none)".into(),
        files: Vec::new(),
        gaps: Vec::new(),
        clean_shutdown: true,
        strangers: Vec::new(),
        leftovers: Vec::new(),
        damage: None,
    };
    match examine(&disk, &mut report) {
        Err(damage @ OpenError::Damaged { .. }) => report.damage = Some(damage.to_string()),
        Err(other) => return Err(other),
        Ok(()) => {}
    }
    Ok(report)
}

fn examine(
    disk: &std::sync::Arc<dyn crate::disk::Disk>,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    let found = survey(disk)?;
    report.strangers.clone_from(&found.strangers);
    report.leftovers.clone_from(&found.leftovers);
    let Some(manifest) = &found.manifest else {
        return Ok(());
    };
    report.store_id = manifest.store_id.to_string();
    report.gaps.clone_from(&manifest.gaps);
    report.clean_shutdown = manifest.clean.is_some();
    for snapshot in &manifest.snapshots {
        let records = super::base::check_file(disk, manifest, snapshot)?;
        report.files.push(FileReport {
            name: snapshot.name.clone(),
            first_revision: snapshot.start,
            last_revision: snapshot.end,
            units: 0,
            bytes: snapshot.bytes,
            verdict: Verdict::Clean,
            note: format!("{records} records"),
        });
    }
    let mut known = manifest.durable.max(manifest.clean.unwrap_or_default());
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
        let (verdict, note) = match tail {
            Tail::Clean => (Verdict::Clean, String::new()),
            Tail::Torn { bytes, why } => (Verdict::Torn, note(walk.end, bytes, &why)),
            Tail::Suspect { bytes, why } => (Verdict::Suspect, note(walk.end, bytes, &why)),
        };
        report.files.push(FileReport {
            name: segment.name.clone(),
            first_revision: segment.header.first_revision,
            last_revision: walk.last_revision,
            units: walk.units,
            bytes: walk.end,
            verdict,
            note,
        });
    }
    Ok(())
}

fn note(end: u64, bytes: u64, why: &str) -> String {
    format!("{bytes} bytes from byte {end} on: {why}")
}
