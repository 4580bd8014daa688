//! How much of a file the page cache holds: `cachestat(2)`, Linux 6.5 and later.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// The same number on every architecture that got it after numbers were unified.
const SYS_CACHESTAT: libc::c_long = 451;

/// The whole file: a length of zero reaches to the end.
#[repr(C)]
#[derive(Default)]
struct Range {
    offset: u64,
    len: u64,
}

/// Pages of a file in the page cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct CacheStat {
    pub(in crate::disk) cached: u64,
    pub(in crate::disk) dirty: u64,
    pub(in crate::disk) writeback: u64,
    pub(in crate::disk) evicted: u64,
    pub(in crate::disk) recently_evicted: u64,
}

/// An error where the kernel is older or a sandbox forbids the call.
pub(in crate::disk) fn cachestat(file: &File) -> Result<CacheStat> {
    let range = Range::default();
    let mut stat = CacheStat::default();
    // SAFETY: both structures have the kernel's layout and outlive the call, which reads
    // the first and fills the second.
    let done = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw const range,
            &raw mut stat,
            0,
        )
    };
    if done == 0 {
        Ok(stat)
    } else {
        Err(Error::last_os_error())
    }
}
