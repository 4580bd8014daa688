//! The few steps that make names durable. Everything that creates a file or a
//! directory goes through here.
//!
//! A name is durable once its directory was synced after the call that made it, and a
//! file that shows up under its final name is always complete:
//!
//! ```text
//! NAME.tmp created ── filled ── fsync ── renamed to NAME ── fsync of the directory
//!     └── a crash up to the rename leaves at most NAME.tmp, which the next attempt removes
//! ```

use crate::base::broken;
use std::fs::{self, DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Ends the name of a file that is not complete yet.
const TEMPORARY: &str = ".tmp";

/// The name under which `name` is prepared.
pub(super) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Creates `path` and what is missing above it, each readable by the owner alone and
/// each synced into its parent.
pub(super) fn create_dir(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_dir(parent(path))?;
            builder.create(path)?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    File::open(parent(path))?.sync_all()
}

/// Syncs the directory that holds an existing `path`: whoever created it may have
/// crashed before doing so. Where the process may not open the parent, the directory was
/// prepared by somebody else and is theirs to sync.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match File::open(parent(path)).and_then(|dir| dir.sync_all()) {
        Err(error)
            if !matches!(
                error.kind(),
                PermissionDenied | ReadOnlyFilesystem | InvalidInput
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Creates `name` in `dir` with what `fill` writes, complete and durable when this
/// returns, replacing an older file of that name in one step. On failure the temporary
/// is removed again.
pub(super) fn create_file(
    dir: &File,
    name: &str,
    fill: impl FnOnce(&File) -> Result<()>,
) -> Result<File> {
    let temporary = temporary(name);
    let file = create_empty(dir, &temporary)?;
    let renamed = fill(&file)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(renameat(dir, &temporary, dir, name)?));
    if let Err(error) = renamed {
        // The first error is the one to tell; the next attempt removes a leftover.
        let _leftover = remove_if_present(dir, &temporary);
        return Err(error);
    }
    if !broken::is(broken::Build::SkipDirSync) {
        dir.sync_all()?;
    }
    Ok(file)
}

/// Creates an empty file in place of an older one of that name; nothing is durable yet.
pub(super) fn create_empty(dir: &File, name: &str) -> Result<File> {
    remove_if_present(dir, name)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(file))
}

/// Creates `name` with what `fill` writes, synced. On failure it is removed again.
pub(super) fn create_room(
    dir: &File,
    name: &str,
    fill: impl FnOnce(&File) -> Result<()>,
) -> Result<()> {
    let file = create_empty(dir, name)?;
    let filled = fill(&file).and_then(|()| file.sync_all());
    if filled.is_err() {
        // The first error is the one to tell.
        let _leftover = remove_if_present(dir, name);
    }
    filled
}

fn remove_if_present(dir: &File, name: &str) -> Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether `path` is a directory, an absent name, or something in the way.
pub(super) fn is_dir(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(Error::new(
            ErrorKind::NotADirectory,
            format!(
                "{} is not a directory: name a directory, or a path where one can be created",
                path.display()
            ),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
