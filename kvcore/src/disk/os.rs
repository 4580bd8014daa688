//! The disk of the operating system: one directory, reached through one descriptor.
//!
//! Every call goes relative to that descriptor, so that a directory renamed under a
//! running daemon stays the same directory. Errors keep their kind and say which file.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, Mode, OFlags, fallocate, openat, renameat, statat,
    unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::bounds::{check_fits, check_name, check_segment_len};
use super::dir_lock::FileLock;
use super::durable;
use super::mmap::MmapSegment;
use super::pwrite::PwriteSegment;
use super::read::OsReadFile;
use super::stream::OsStreamFile;
use super::traits::{DirLock, Disk, FileEntry, FsKind, LogIo, ReadFile, SegmentFile, StreamFile};

/// The unit of the zero-fill; see [`zero_fill`].
const PAGE: usize = 4096;

/// A file that lies anywhere, to be read.
pub fn plain_file(file: File, path: &Path) -> Result<Box<dyn ReadFile>> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Box::new(OsReadFile::new(
        file,
        path.to_owned(),
        found.size(),
    )))
}

#[derive(Debug)]
pub struct OsDisk {
    path: PathBuf,
    dir: File,
}

impl OsDisk {
    /// Opens the directory `path`; creates it, and what is missing above it, readable by
    /// the owner alone. Its name is durable when this returns.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let opened = durable::is_dir(path).and_then(|exists| {
            if exists {
                durable::sync_parent(path)?;
            } else {
                durable::create_dir(path)?;
            }
            File::open(path)
        });
        match opened {
            Ok(dir) => Ok(Self {
                path: path.to_owned(),
                dir,
            }),
            Err(error) => Err(explain(&error, "open the data directory", path)),
        }
    }

    /// Adds to an error of a call on `name` what was to be done and where.
    fn told<T>(&self, doing: &str, name: &str, done: Result<T>) -> Result<T> {
        done.map_err(|error| explain(&error, doing, &self.path.join(name)))
    }

    /// Opens an existing regular file and tells its size.
    fn open_file(&self, name: &str, access: OFlags) -> Result<(File, u64)> {
        check_name(name)?;
        // Without NONBLOCK, a pipe under this name would wait for its other end.
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(openat(&self.dir, name, flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((file, found.size()))
    }

    fn entries(&self) -> Result<Vec<FileEntry>> {
        let mut entries = Vec::new();
        for found in Dir::read_from(&self.dir)? {
            let found = found?;
            let name = found.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue, // Removed since.
                Err(error) => return Err(error.into()),
            };
            entries.push(FileEntry {
                name: name.to_string_lossy().into_owned(),
                len: u64::try_from(stat.st_size).unwrap_or_default(),
                allocated: u64::try_from(stat.st_blocks).unwrap_or_default() * 512,
                is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_zeroed(&self, name: &str, len: u64) -> Result<File> {
        check_name(name)?;
        check_segment_len(len)?;
        match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
            Err(error) => return Err(error.into()),
        }
        durable::create_file(&self.dir, name, |file| {
            allocate(file, FallocateFlags::empty(), 0, len)?;
            zero_fill(file, len)
        })
    }

    fn punch(&self, name: &str, from: u64) -> Result<()> {
        let (file, size) = self.open_file(name, OFlags::RDWR)?;
        if from >= size {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        allocate(&file, flags, from, size - from)
    }
}

impl Disk for OsDisk {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn fs_kind(&self) -> Result<FsKind> {
        self.told("examine", "", super::fs_kind::fs_kind(&self.dir))
    }

    fn lock(&self) -> Result<Box<dyn DirLock>> {
        let lock = self.told("lock", "", FileLock::acquire(&self.dir))?;
        Ok(Box::new(lock))
    }

    fn lock_for_reading(&self) -> Result<Option<Box<dyn DirLock>>> {
        let lock = self.told("lock", "", FileLock::acquire_existing(&self.dir))?;
        Ok(lock.map(|lock| Box::new(lock) as Box<dyn DirLock>))
    }

    fn list(&self) -> Result<Vec<FileEntry>> {
        self.told("list", "", self.entries())
    }

    fn create_segment(&self, name: &str, len: u64, io: LogIo) -> Result<Box<dyn SegmentFile>> {
        let created = self
            .create_zeroed(name, len)
            .and_then(|file| segment(file, len, io));
        self.told("create the segment", name, created)
    }

    fn open_segment(&self, name: &str, io: LogIo) -> Result<Box<dyn SegmentFile>> {
        let opened = self
            .open_file(name, OFlags::RDWR)
            .and_then(|(file, size)| segment(file, size, io));
        self.told("open the segment", name, opened)
    }

    fn create_stream(&self, name: &str) -> Result<Box<dyn StreamFile>> {
        let created = check_name(name).and_then(|()| durable::create_empty(&self.dir, name));
        let file = self.told("create", name, created)?;
        Ok(Box::new(OsStreamFile::new(file, self.path.join(name))))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn ReadFile>> {
        let opened = self.open_file(name, OFlags::RDONLY);
        let (file, size) = self.told("open", name, opened)?;
        Ok(Box::new(OsReadFile::new(file, self.path.join(name), size)))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let replaced = check_name(name).and_then(|()| {
            durable::create_file(&self.dir, name, |file| file.write_all_at(bytes, 0))
        });
        self.told("replace", name, replaced.map(drop))
    }

    fn reserve(&self, name: &str, len: u64) -> Result<()> {
        let reserved = check_name(name).and_then(|()| {
            durable::create_room(&self.dir, name, |file| {
                allocate(file, FallocateFlags::empty(), 0, len)?;
                zero_fill(file, len)
            })
        });
        self.told("reserve", name, reserved)
    }

    fn replace_with(&self, room: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let replaced = check_name(name)
            .and_then(|()| self.open_file(room, OFlags::RDWR))
            .and_then(|(file, size)| {
                check_fits(size, bytes.len())?;
                file.write_all_at(bytes, 0)?;
                file.set_len(bytes.len() as u64)?;
                file.sync_all()?;
                Ok(renameat(&self.dir, room, &self.dir, name)?)
            })
            .and_then(|()| self.dir.sync_all());
        self.told("replace", name, replaced)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let renamed = check_name(from)
            .and_then(|()| check_name(to))
            .and_then(|()| Ok(renameat(&self.dir, from, &self.dir, to)?));
        self.told(&format!("rename to {to}"), from, renamed)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let removed =
            check_name(name).and_then(|()| Ok(unlinkat(&self.dir, name, AtFlags::empty())?));
        self.told("remove", name, removed)
    }

    fn sync_dir(&self) -> Result<()> {
        self.told("sync the directory", "", self.dir.sync_all())
    }

    fn punch_tail(&self, name: &str, from: u64) -> Result<()> {
        self.told("shrink", name, self.punch(name, from))
    }
}

fn explain(error: &Error, doing: &str, path: &Path) -> Error {
    // Joining an empty name leaves a slash at the end.
    let path = path.components().as_path();
    Error::new(
        error.kind(),
        format!("cannot {doing} {}: {error}", path.display()),
    )
}

fn segment(file: File, size: u64, io: LogIo) -> Result<Box<dyn SegmentFile>> {
    check_segment_len(size)?;
    Ok(match io {
        LogIo::Mmap => Box::new(MmapSegment::new(file, size)?),
        LogIo::Pwrite => Box::new(PwriteSegment::new(file, size)),
    })
}

/// `fallocate`, where the file system has it.
fn allocate(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
    match retry_on_intr(|| fallocate(file, flags, offset, len)) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes zeros over the whole file, one page per call.
///
/// Written, so that a commit later changes no metadata. One page per call, because the
/// page cache keeps one folio per buffered write: after larger writes, a store of a few
/// bytes through the mapping dirties, and its sync writes, up to 2 MiB.
fn zero_fill(file: &File, len: u64) -> Result<()> {
    let zeros = [0; PAGE];
    for offset in (0..len).step_by(PAGE) {
        let rest = usize::try_from(len - offset).unwrap_or(PAGE);
        file.write_all_at(&zeros[..rest.min(PAGE)], offset)?;
    }
    Ok(())
}
