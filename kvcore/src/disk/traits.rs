//! The seam between the engine and a directory of files.
//!
//! A [`Disk`] is one flat directory. Names carry no slashes. Nothing is durable
//! until the call that says so has returned `Ok`:
//!
//! | call | makes durable |
//! | --- | --- |
//! | [`SegmentFile::sync`], [`StreamFile::sync`], [`ReadFile::sync`] | the file's bytes |
//! | [`Disk::sync_dir`] | creations, renames and removals so far |
//! | [`Disk::replace`], [`Disk::replace_with`] | a small file's bytes and its name |
//! | [`Disk::create_segment`] | the zeroed file under its name |
//!
//! A file is always complete under its final name; what is being prepared is called
//! `NAME.tmp`, and a crash can leave it behind.
//!
//! Failures are `io::Error`s with their kind kept: `StorageFull` / `QuotaExceeded`
//! mean "no space", anything else is a fault of the device.

use std::fmt::Debug;
use std::io;

/// How a segment's bytes get into the file. Both ways write identical bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogIo {
    /// Stores into a shared mapping.
    #[default]
    Mmap,
    /// `pwrite` calls.
    Pwrite,
}

/// What the directory's file system can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// A local file system whose sync reaches a device; its name.
    Local(&'static str),
    /// Memory (tmpfs, ramfs): sync succeeds and promises nothing.
    Volatile(&'static str),
    /// A network or user-space file system, where a shared mapping cannot be trusted.
    Remote(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    pub name: String,
    /// Apparent length in bytes.
    pub len: u64,
    /// Bytes that the file occupies on the device.
    pub allocated: u64,
    pub is_file: bool,
}

/// Held as long as it lives: no other process may open the directory.
pub trait DirLock: Send + Sync + Debug {}

pub trait Disk: Send + Sync + Debug {
    /// For messages.
    fn describe(&self) -> String;
    fn fs_kind(&self) -> io::Result<FsKind>;
    /// Takes the exclusive lock; `WouldBlock` if another holder exists.
    fn lock(&self) -> io::Result<Box<dyn DirLock>>;
    /// As `lock`, without changing anything: nothing is locked where nobody ever was.
    fn lock_for_reading(&self) -> io::Result<Option<Box<dyn DirLock>>> {
        self.lock().map(Some)
    }
    /// Sorted by name.
    fn list(&self) -> io::Result<Vec<FileEntry>>;

    /// Creates `name`, `len` bytes of zeros that are allocated, written and synced,
    /// under a temporary name first; returns it open for appending.
    /// The file never changes its size again. `AlreadyExists` if the name is taken;
    /// a temporary left by a crash is replaced; a failure leaves no temporary.
    fn create_segment(&self, name: &str, len: u64, io: LogIo) -> io::Result<Box<dyn SegmentFile>>;
    /// Opens a segment that was created by an earlier run and never written to.
    fn open_segment(&self, name: &str, io: LogIo) -> io::Result<Box<dyn SegmentFile>>;
    /// Creates an empty file to be written from front to back, in place of an older one of
    /// that name. A caller gives it the name of a temporary and renames it when it is whole.
    fn create_stream(&self, name: &str) -> io::Result<Box<dyn StreamFile>>;
    fn open_read(&self, name: &str) -> io::Result<Box<dyn ReadFile>>;

    /// Writes a small file whole: temporary, sync, rename over `name`, directory sync.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Creates `name`, `len` bytes of zeros that are allocated, written and synced: room for
    /// a later [`Disk::replace_with`]. A failure leaves no file of that name.
    fn reserve(&self, name: &str, len: u64) -> io::Result<()>;
    /// As [`Disk::replace`], over the bytes of the file `room`, which must have as many and
    /// is used up: the file system is asked for no space.
    fn replace_with(&self, room: &str, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Atomic; replaces `to`. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Durable after [`Disk::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
    /// Gives back the blocks of `from..` of a file that nobody appends to any more.
    /// The length stays; the range reads as zeros. Where the file system cannot, nothing happens.
    fn punch_tail(&self, name: &str, from: u64) -> io::Result<()>;
}

/// A file of fixed size that one thread appends to.
pub trait SegmentFile: Send + Debug {
    fn size(&self) -> u64;
    /// Copies `bytes` to `offset`. Infallible: a store. A fault shows in [`SegmentFile::faulted`].
    /// Panics if the range leaves the file: the caller has checked.
    fn write(&mut self, offset: u64, bytes: &[u8]);
    /// As `write`, ordered after everything written before: the end mark of a frame.
    /// Panics also unless `offset` is a multiple of eight, so that it is one store.
    fn write_last(&mut self, offset: u64, bytes: [u8; 8]);
    /// Makes everything written so far durable, on the one descriptor open since creation.
    /// After one failure it must never be called again. Success says nothing about a
    /// store that missed: ask [`SegmentFile::faulted`] before and after.
    fn sync(&mut self) -> io::Result<()>;
    /// A store or a write did not reach the file: as bad as a failed sync.
    fn faulted(&self) -> bool;
}

/// A file that is written from front to back.
pub trait StreamFile: Send + Debug {
    /// Appends all of `bytes`. After a failure the file is of no use.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable. After a failure the file is of no use.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is only read.
pub trait ReadFile: Send + Sync + Debug {
    fn size(&self) -> u64;
    /// Makes what the page cache holds durable, then forgets the cache, so that reads
    /// that follow see what the device holds and no ghosts of a failed write-back.
    fn settle(&self) -> io::Result<()>;
    /// Fills `buf` from `offset`; `UnexpectedEof` if the file is shorter.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}
