//! Reading a file that an earlier run wrote, without believing the page cache.
//!
//! After a write-back that failed, the kernel keeps the pages, calls them clean and shows
//! them to every reader, although the device never got them: ghosts. `settle` drops the
//! cache, asks the kernel whether it is gone, and reads around it where it is not.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};

use super::fs_kind::fs_kind;
use super::mmap::cachestat::cachestat;
use super::traits::{FsKind, ReadFile};

/// What direct reads must be aligned to: a multiple of every common logical block.
const BLOCK: usize = 4096;
/// One direct read at most.
const BOUNCE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct OsReadFile {
    file: File,
    /// For messages; a file may have been renamed since.
    path: PathBuf,
    size: u64,
    /// Reads go around the page cache.
    direct: AtomicBool,
}

impl OsReadFile {
    pub(super) fn new(file: File, path: PathBuf, size: u64) -> Self {
        Self {
            file,
            path,
            size,
            direct: AtomicBool::new(false),
        }
    }

    fn context(&self, doing: &str, error: &Error) -> Error {
        Error::new(
            error.kind(),
            format!("cannot {doing} {}: {error}", self.path.display()),
        )
    }

    fn drop_cache(&self) -> Result<()> {
        let kind = fs_kind(&self.file)?;
        if matches!(kind, FsKind::Volatile(_)) {
            return Ok(()); // The cache is the file.
        }
        fadvise(&self.file, 0, None, Advice::DontNeed)?;
        // An overlay keeps its pages with the file below and would always count none.
        let counts = kind != FsKind::Local("overlayfs");
        if counts && matches!(cachestat(&self.file), Ok(stat) if stat.cached == 0) {
            return Ok(());
        }
        // Pages that somebody maps stay, and an old kernel does not say.
        let flags = fcntl_getfl(&self.file)?;
        if let Err(error) = fcntl_setfl(&self.file, flags | OFlags::DIRECT) {
            tracing::warn!(
                path = %self.path.display(), %error,
                "cannot tell whether the page cache was dropped, nor read around it"
            );
            return Ok(());
        }
        self.direct.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads whole blocks into an aligned buffer and copies the wanted part out.
    fn read_direct(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let mut bounce = vec![0; BOUNCE.min(buf.len().next_multiple_of(BLOCK) + BLOCK) + BLOCK];
        let aligned = bounce.as_ptr().align_offset(BLOCK);
        let end = bounce.len() - BLOCK + aligned;
        let bounce = &mut bounce[aligned..end];
        while !buf.is_empty() {
            let skip = offset % BLOCK as u64;
            let got = self.file.read_at(bounce, offset - skip)?;
            let skip = usize::try_from(skip).map_err(Error::other)?;
            let fresh = bounce.get(skip..got).unwrap_or_default();
            if fresh.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let taken = fresh.len().min(buf.len());
            buf[..taken].copy_from_slice(&fresh[..taken]);
            buf = &mut buf[taken..];
            offset += taken as u64;
        }
        Ok(())
    }
}

impl ReadFile for OsReadFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn settle(&self) -> Result<()> {
        self.sync()?;
        self.drop_cache()
            .map_err(|error| self.context("drop the page cache of", &error))
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len();
        let read = if self.direct.load(Ordering::Acquire) {
            self.read_direct(offset, buf)
        } else {
            self.file.read_exact_at(buf, offset)
        };
        read.map_err(|error| self.context(&format!("read {len} bytes at {offset} of"), &error))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| self.context("sync", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SegmentFile;
    use crate::disk::mmap::MmapSegment;

    fn file_of(len: usize) -> (tempfile::NamedTempFile, Vec<u8>, OsReadFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251).to_le_bytes()[0]).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let opened = File::open(file.path()).unwrap();
        let read = OsReadFile::new(opened, file.path().to_owned(), len as u64);
        (file, bytes, read)
    }

    #[test]
    fn settling_empties_the_page_cache_or_reads_around_it() {
        let (_path, bytes, read) = file_of(300_000);
        read.settle().unwrap();
        let volatile = matches!(fs_kind(&read.file).unwrap(), FsKind::Volatile(_));
        if let (false, false, Ok(stat)) = (
            volatile,
            read.direct.load(Ordering::Acquire),
            cachestat(&read.file),
        ) {
            assert_eq!((stat.cached, stat.dirty), (0, 0));
        }
        let mut buf = vec![0; bytes.len()];
        read.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf, bytes);
    }

    #[test]
    fn pages_that_cannot_be_dropped_are_read_around() {
        let (path, _, read) = file_of(64 << 10);
        let mut mapped = MmapSegment::new(path.reopen().unwrap(), 64 << 10).unwrap();
        mapped.write(100, b"resident");
        read.settle().unwrap();
        match fs_kind(&read.file).unwrap() {
            FsKind::Local("ext4" | "xfs" | "overlayfs") => {
                assert!(read.direct.load(Ordering::Acquire));
            }
            other => println!("skipped: not known whether mapped pages stay on {other:?}"),
        }
        let mut buf = [0; 8];
        read.read_exact_at(100, &mut buf).unwrap();
        assert_eq!(&buf, b"resident");
    }

    #[test]
    fn direct_reads_return_the_same_bytes_at_every_alignment() {
        let (_path, bytes, read) = file_of(3 * BOUNCE + 1234);
        let flags = fcntl_getfl(&read.file).unwrap();
        if fcntl_setfl(&read.file, flags | OFlags::DIRECT).is_err() {
            println!("skipped: this file system has no direct reads");
            return;
        }
        read.direct.store(true, Ordering::Release);
        let size = bytes.len();
        for (offset, len) in [
            (0, size),
            (1, size - 1),
            (4095, 2),
            (4096, 4096),
            (8191, BOUNCE + 2),
            (size - 1, 1),
            (size, 0),
            (10, 0),
        ] {
            let mut buf = vec![0; len];
            read.read_exact_at(offset as u64, &mut buf).unwrap();
            assert!(
                buf == bytes[offset..offset + len],
                "{len} bytes at {offset}"
            );
        }
    }

    #[test]
    fn a_read_beyond_the_end_says_where() {
        let (_path, _, read) = file_of(5000);
        for direct in [false, true] {
            if direct {
                let flags = fcntl_getfl(&read.file).unwrap();
                if fcntl_setfl(&read.file, flags | OFlags::DIRECT).is_err() {
                    return;
                }
                read.direct.store(true, Ordering::Release);
            }
            for offset in [4999, 5000, 1 << 40] {
                let error = read.read_exact_at(offset, &mut [0; 2]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                assert!(
                    error.to_string().contains(&format!("at {offset} of")),
                    "{error}"
                );
            }
        }
    }
}
