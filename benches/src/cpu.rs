//! CPU time and memory of a process, and CPU time of the whole machine, from the
//! kernel's account.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Positions after the command's name in `/proc/PID/stat`.
const UTIME: usize = 11;
const STIME: usize = 12;

/// User and system time that all threads of `pid` have used until now, to the tick
/// (10 ms on most machines).
pub(crate) fn of(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let ticks = ticks(&text).ok_or_else(|| format!("{path} is not as expected: {text}"))?;
    Ok(from_ticks(ticks, rustix::param::clock_ticks_per_second()))
}

/// `utime + stime`. The command's name may contain blanks and parentheses, so the
/// fields are counted from the last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(UTIME);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.nth(STIME - UTIME - 1)?.parse().ok()?;
    Some(user + system)
}

/// Bytes of memory that a process has resident, by its `statm`.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/statm");
    let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let pages = text.split_ascii_whitespace().nth(1);
    let pages: Option<u64> = pages.and_then(|pages| pages.parse().ok());
    let pages = pages.ok_or_else(|| format!("{path} is not as expected: {text}"))?;
    Ok(pages * u64::try_from(rustix::param::page_size())?)
}

/// Bytes of its own that a process has resident: without pages of files, such as those of
/// a mapped log, which the system can take back at any time.
pub(crate) fn own_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let kib = kib(&text, "RssAnon:").ok_or_else(|| format!("{path} is not as expected: {text}"))?;
    Ok(kib << 10)
}

/// A value in kB of `/proc/PID/status`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// How many threads were running or waiting for a disk, on the average of the last
/// minute; 0 if the kernel does not tell.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_ascii_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or_default()
}

/// Time that all cores together were not idle, stolen time included.
pub(crate) fn of_everything() -> Result<Duration> {
    let path = "/proc/stat";
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let ticks = busy_ticks(&text).ok_or_else(|| format!("{path} is not as expected"))?;
    Ok(from_ticks(ticks, rustix::param::clock_ticks_per_second()))
}

/// All but idle and waiting time of the line that sums up all cores. Time of guests
/// is part of user time already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = all
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, nice, system, _idle, _wait, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

fn from_ticks(ticks: u64, per_second: u64) -> Duration {
    Duration::from_nanos(ticks * (1_000_000_000 / per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn counts_fields_after_a_hostile_name() {
        let stat = "42 (a) b (c) 9) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("42 (a) S 1 2 3"), None);
        assert_eq!(ticks("42 (a) S 1 2 3 4 5 6 7 8 9 10 x 31"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn a_machine_is_busy_with_all_but_idling() {
        let stat = "cpu  1000 200 30 99999 88888 4 5 6 700 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(1245));
        assert_eq!(busy_ticks("cpu  1 2 3 4\n"), None);
        assert_eq!(busy_ticks("intr 1 2 3 4 5 6 7 8\n"), None);
        assert!(of_everything().unwrap() > Duration::ZERO);
    }

    #[test]
    fn ticks_become_time() {
        assert_eq!(from_ticks(281, 100), Duration::from_millis(2_810));
        assert_eq!(from_ticks(3, 1000), Duration::from_millis(3));
    }

    #[test]
    fn work_of_this_process_is_seen_and_waiting_is_not_invented() {
        let before = of(std::process::id()).unwrap();
        let start = Instant::now();
        let mut sum = 0_u64;
        while of(std::process::id()).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "no CPU time was counted"
            );
        }
        assert!(of(std::process::id()).unwrap() >= before);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = of(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("/proc/4294967295/stat"), "{error}");
    }
    #[test]
    fn this_process_has_some_memory() {
        let bytes = resident(std::process::id()).unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }

    #[test]
    fn memory_of_its_own_is_found_among_the_other_lines() {
        let status = "VmRSS:\t  9000 kB\nRssAnon:\t     812 kB\nRssFile:\t 1 kB\n";
        assert_eq!(kib(status, "RssAnon:"), Some(812));
        assert_eq!(kib("RssAnon:\t12\n", "RssAnon:"), None);
        assert!(own_memory(std::process::id()).unwrap() > 1 << 20);
        assert!(load_average() >= 0.0);
    }
}
