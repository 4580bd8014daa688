//! The lock that keeps a directory to one process.
//!
//! It is an `flock` on the file `LOCK`: the kernel drops it with the last descriptor,
//! however the process ends, so that a leftover `LOCK` never locks anybody out. The file
//! also holds the owner's process id, for the message to a second comer only.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::traits::DirLock;

const LOCK: &str = "LOCK";

#[derive(Debug)]
pub(super) struct FileLock {
    _held: File,
}

impl DirLock for FileLock {}

impl FileLock {
    /// `WouldBlock` if another descriptor, of this process or another, holds the lock.
    pub(super) fn acquire(dir: &File) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(openat(dir, LOCK, flags, Mode::RUSR | Mode::WUSR)?);
        take(&file)?;
        // A hint: on a full disk the lock works without it.
        let _hint = file
            .set_len(0)
            .and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        Ok(Self { _held: file })
    }

    /// As `acquire`, without writing anything; None if there is no lock file.
    pub(super) fn acquire_existing(dir: &File) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(dir, LOCK, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        take(&file)?;
        Ok(Some(Self { _held: file }))
    }
}

fn take(file: &File) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(held_by_another(file)),
        Err(error) => Err(error.into()),
    }
}

fn held_by_another(file: &File) -> Error {
    let mut owner = String::new();
    let read = file.take(16).read_to_string(&mut owner);
    let owner = match owner.trim() {
        id if read.is_ok() && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) => {
            format!("process {id}")
        }
        _ => "another process".to_owned(),
    };
    Error::new(
        ErrorKind::WouldBlock,
        format!("in use by {owner}: stop it, or choose another directory"),
    )
}
