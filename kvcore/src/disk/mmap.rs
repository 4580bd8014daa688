//! A segment written by stores into a shared mapping, and what it takes to survive that.
//!
//! This file and the two below it hold the only `unsafe` about files. The mapping is
//! reached through raw pointers alone and never read, so that no Rust reference ever
//! covers memory that the kernel or another process may change.
//!
//! * A store that finds no page behind it (the file was truncated, the device failed)
//!   raises SIGBUS. [`sigbus`] puts an anonymous page there and marks the mapping: the
//!   store then goes nowhere and **a sync of the file still succeeds**, so `faulted` has
//!   to be asked after the copy and after the sync.
//! * Durability is `fdatasync` on the descriptor that made the mapping: it writes back
//!   what stores have dirtied, and the kernel reports each write-back error once per
//!   descriptor. `msync(MS_ASYNC)` does nothing on Linux and is banned.

#![expect(
    unsafe_code,
    reason = "stores into a mapping, its signal handler, and a system call without a wrapper"
)]

pub(super) mod cachestat;
mod sigbus;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::bounds::{check_last, check_range};
use super::traits::SegmentFile;
use sigbus::Watch;

#[derive(Debug)]
pub(super) struct MmapSegment {
    // Before `map`: fields drop in order, and a range must not be watched once it is unmapped.
    watch: Watch,
    map: MmapRaw,
    file: File,
    size: u64,
}

impl MmapSegment {
    /// Maps the whole of `file`, which is `size` bytes long and open for reading and writing.
    pub(super) fn new(file: File, size: u64) -> Result<Self> {
        let len = usize::try_from(size)
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "too large for a mapping"))?;
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        let watch = Watch::start(map.as_mut_ptr().addr(), len)?;
        Ok(Self {
            watch,
            map,
            file,
            size,
        })
    }

    /// Where `offset` is mapped, with `len` bytes behind it inside the mapping.
    fn place(&self, offset: u64, len: usize) -> *mut u8 {
        let offset = check_range(self.size, offset, len);
        // SAFETY: `check_range` has shown that `offset..offset + len` lies in the file, and
        // the mapping is as long as the file.
        unsafe { self.map.as_mut_ptr().add(offset) }
    }
}

impl SegmentFile for MmapSegment {
    fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let to = self.place(offset, bytes.len());
        // SAFETY: `place` has checked the range; `bytes` is ordinary memory and cannot
        // overlap a mapping that no reference points into.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn write_last(&mut self, offset: u64, bytes: [u8; 8]) {
        check_last(offset);
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "a multiple of eight after the start of a page"
        )]
        let to = self.place(offset, bytes.len()).cast::<u64>();
        // SAFETY: inside the mapping (`place`) and aligned (a mapping starts at a page, the
        // offset is a multiple of eight); all accesses of this word at this time are here,
        // as `self` is borrowed exclusively.
        let word = unsafe { AtomicU64::from_ptr(to) };
        // No store from before may become visible, also not to write-back, after this one.
        fence(Ordering::Release);
        word.store(u64::from_le_bytes(bytes).to_le(), Ordering::Relaxed);
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data()?;
        if self.watch.faulted() {
            return Err(Error::other(
                "a store found no page of the file (truncated, or a device error): \
                 what was written there is lost",
            ));
        }
        Ok(())
    }

    fn faulted(&self) -> bool {
        self.watch.faulted()
    }
}
