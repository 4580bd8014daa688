//! What the system knows of this process.

use std::fs;

/// What jemalloc counts, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jemalloc {
    pub(super) allocated: u64,
    pub(super) active: u64,
    pub(super) metadata: u64,
    pub(super) resident: u64,
    pub(super) mapped: u64,
    pub(super) retained: u64,
}

pub(super) fn jemalloc() -> Option<Jemalloc> {
    use tikv_jemalloc_ctl::stats;
    // The figures are cached until the epoch is moved.
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    Some(Jemalloc {
        allocated: stats::allocated::read().ok()? as u64,
        active: stats::active::read().ok()? as u64,
        metadata: stats::metadata::read().ok()? as u64,
        resident: stats::resident::read().ok()? as u64,
        mapped: stats::mapped::read().ok()? as u64,
        retained: stats::retained::read().ok()? as u64,
    })
}

/// User and system time.
pub(super) fn cpu_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let whole = u32::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(f64::from(whole) + f64::from(nanos) / 1e9)
}

/// Resident memory.
pub(super) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

pub(super) fn open_descriptors() -> Option<u64> {
    // Without the one that reads the list.
    Some(
        fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1) as u64,
    )
}
