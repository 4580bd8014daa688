//! Operations that took longer than `telemetry.slow_operation`: a line each, with the parts
//! of their time, counts, and the newest of them for who asks (`recent`).
//!
//! ```text
//! begun ── checks ──► admitted ── locks, evaluation, apply ──► applied ──► in the file ──► told
//!   '──── queue ────────'  '──────────── lock ───────────────'  '─ append ─' '── sync ──'
//! ```
//! `rest` is what belongs to none of them: for a read, all up to the wait for the log.
//! While it is off, an operation pays one comparison; while it is on, a few looks at the
//! clock. What is slow may come by the thousand: at most ten lines a second are written,
//! and the next one says how many were not.

mod recent;

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tonic::Code;

use self::recent::Recent;
pub(crate) use self::recent::SlowOperation;
use super::stats::Rpc;
use crate::backend::Revision;

/// Lines of one second.
const LINES: u64 = 10;

/// How many daemons, and traced calls, of this process want commits to be measured.
static MEASURING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Queue and lock of the commit that ended last on this thread. Whoever asked for it
    /// takes it before anything else runs here.
    static LAST: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

/// Measures a commit, if somebody wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Option<(Instant, Instant)>);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let wanted = MEASURING.load(Ordering::Relaxed) > 0;
        Self(wanted.then(|| {
            let now = Instant::now();
            (now, now)
        }))
    }

    /// It has its permits and its room in the log.
    pub(crate) fn admitted(&mut self) {
        if let Some((_, admitted)) = &mut self.0 {
            *admitted = Instant::now();
        }
    }

    /// It is applied.
    pub(crate) fn committed(self) {
        if let Some((begun, admitted)) = self.0 {
            LAST.set((admitted - begun, admitted.elapsed()));
        }
    }
}

/// Commits are measured while one of these is there.
#[cfg(feature = "otlp")]
#[derive(Debug)]
pub(crate) struct Measuring;

#[cfg(feature = "otlp")]
impl Measuring {
    pub(crate) fn begin() -> Self {
        MEASURING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

#[cfg(feature = "otlp")]
impl Drop for Measuring {
    fn drop(&mut self) {
        MEASURING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of an operation when it is applied, or has read, and may still have to
/// wait for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    at: Instant,
    queue: Duration,
    lock: Duration,
    revision: Revision,
}

impl Applied {
    pub(super) fn revision(self) -> Revision {
        self.revision
    }
}

/// Parts of a time, in the order of [`PARTS`].
pub(crate) type Parts = [Duration; 5];
pub(super) const PARTS: [&str; 5] = ["queue", "lock", "append", "sync", "rest"];

type LoggedSince = Box<dyn Fn(Revision) -> Option<Duration> + Send + Sync>;

/// The slow operations of one daemon.
#[derive(Default)]
pub struct Slow {
    /// In ns; 0 is off.
    threshold: AtomicU64,
    /// How long it is that a revision was in the file.
    logged_since: OnceLock<LoggedSince>,
    started: OnceLock<Instant>,
    /// The second since `started` in which lines were written last, and how many.
    second: AtomicU64,
    lines: AtomicU64,
    held_back: AtomicU64,
    by_rpc: [AtomicU64; Rpc::ALL.len()],
    nanos: [AtomicU64; PARTS.len()],
    recent: Recent,
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slow")
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.set_threshold(Duration::ZERO);
    }
}

impl Slow {
    /// 0 is off.
    pub fn set_threshold(&self, threshold: Duration) {
        let now = nanos(threshold);
        let before = self.threshold.swap(now, Ordering::Relaxed);
        match (before, now) {
            (0, 1..) => MEASURING.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => MEASURING.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    pub(crate) fn ask_log(&self, logged_since: LoggedSince) {
        let _ = self.logged_since.set(logged_since);
    }

    /// To be called when an operation has done all but wait for `revision`.
    pub(crate) fn applied(&self, revision: Revision, wrote: bool) -> Option<Applied> {
        if self.threshold.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(Self::measured(revision, wrote))
    }

    /// The same for an operation that is traced, however fast it is.
    pub(super) fn measured(revision: Revision, wrote: bool) -> Applied {
        // What is there of a read was left by somebody else.
        let (queue, lock) = if wrote {
            LAST.take()
        } else {
            Default::default()
        };
        let at = Instant::now();
        Applied {
            at,
            queue,
            lock,
            revision,
        }
    }

    /// An operation has ended.
    pub(crate) fn ended(&self, rpc: Rpc, code: Code, took: Duration, applied: Option<Applied>) {
        let threshold = self.threshold.load(Ordering::Relaxed);
        if threshold != 0 && nanos(took) >= threshold {
            self.note(rpc, code, took, applied);
        }
    }

    #[cold]
    fn note(&self, rpc: Rpc, code: Code, took: Duration, applied: Option<Applied>) {
        let parts = self.parts(took, applied);
        self.by_rpc[rpc as usize].fetch_add(1, Ordering::Relaxed);
        for (sum, part) in self.nanos.iter().zip(parts) {
            sum.fetch_add(nanos(part), Ordering::Relaxed);
        }
        let revision = applied.map_or(0, |applied| applied.revision);
        self.recent.add(SlowOperation {
            ended: SystemTime::now(),
            rpc,
            code,
            revision,
            took,
            parts,
        });
        let started = self.started.get_or_init(Instant::now);
        if !self.may_tell(started.elapsed().as_secs() + 1) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let [queue, lock, append, sync, rest] = parts.map(micros);
        let held_back = self.held_back.swap(0, Ordering::Relaxed);
        tracing::warn!(
            rpc = rpc.name(),
            code = ?code,
            revision,
            took_us = micros(took),
            queue_us = queue,
            lock_us = lock,
            append_us = append,
            sync_us = sync,
            rest_us = rest,
            not_told = held_back,
            "slow operation"
        );
    }

    pub(super) fn parts(&self, took: Duration, applied: Option<Applied>) -> Parts {
        let zero = Duration::ZERO;
        let Some(applied) = applied else {
            return [zero, zero, zero, zero, took];
        };
        let waited = applied.at.elapsed().min(took);
        let logged_since = self.logged_since.get();
        let logged = logged_since.and_then(|since| since(applied.revision));
        let sync = logged.map_or(zero, |since| since.min(waited));
        let Applied { queue, lock, .. } = applied;
        let rest = took.saturating_sub(queue + lock + waited);
        [queue, lock, waited.saturating_sub(sync), sync, rest]
    }

    /// Whether this `second` has a line left. Two threads at its turn may write a line more
    /// than they should.
    fn may_tell(&self, second: u64) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        self.lines.fetch_add(1, Ordering::Relaxed) < LINES
    }

    /// The newest slow operations, the newest first, at most so many.
    pub(crate) fn recent(&self, most: usize) -> Vec<SlowOperation> {
        self.recent.newest(most)
    }

    /// 0 is off.
    pub(crate) fn threshold(&self) -> Duration {
        Duration::from_nanos(self.threshold.load(Ordering::Relaxed))
    }

    /// Slow operations since the start.
    pub(crate) fn total(&self) -> u64 {
        let counts = self.by_rpc.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Slow operations since the start.
    pub(super) fn by_rpc(&self) -> Vec<(&'static str, u64)> {
        let counts = Rpc::ALL.into_iter().zip(&self.by_rpc);
        counts
            .map(|(rpc, count)| (rpc.name(), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What their time went into, in ns.
    pub(super) fn by_part(&self) -> [(&'static str, u64); PARTS.len()] {
        std::array::from_fn(|i| (PARTS[i], self.nanos[i].load(Ordering::Relaxed)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn applied_before(ago: Duration) -> Applied {
        Applied {
            at: Instant::now().checked_sub(ago).expect("the clock is older"),
            queue: 2 * MS,
            lock: 3 * MS,
            revision: 7,
        }
    }

    #[test]
    fn a_time_is_divided_into_its_parts() {
        let slow = Slow::default();
        slow.ask_log(Box::new(|revision| (revision == 7).then_some(40 * MS)));
        let [queue, lock, append, sync, rest] = slow.parts(
            Duration::from_secs(1000),
            Some(applied_before(Duration::from_secs(900))),
        );
        assert_eq!((queue, lock, sync), (2 * MS, 3 * MS, 40 * MS));
        let whole = queue + lock + append + sync + rest;
        assert_eq!(whole, Duration::from_secs(1000));
        assert!(append >= Duration::from_secs(899), "{append:?}");
        // Logged before this one began to wait: it waited for the sync alone.
        let parts = slow.parts(30 * MS, Some(applied_before(20 * MS)));
        assert_eq!(parts[2], Duration::ZERO);
        assert!(parts[3] >= 20 * MS);
        let zero = Duration::ZERO;
        assert_eq!(slow.parts(MS, None), [zero, zero, zero, zero, MS]);
    }

    #[test]
    fn only_what_is_slow_counts_and_only_ten_a_second_are_told() {
        let slow = Slow::default();
        slow.ended(Rpc::Get, Code::Ok, 1000 * MS, None);
        assert_eq!(slow.by_rpc(), []);
        slow.set_threshold(10 * MS);
        slow.ended(Rpc::Get, Code::Ok, 9 * MS, None);
        slow.ended(Rpc::Set, Code::Ok, 10 * MS, None);
        assert_eq!(slow.by_rpc(), [("Set", 1)]);
        assert_eq!(slow.by_part()[4], ("rest", 10_000_000));
        let recent = slow.recent(9);
        assert_eq!((recent.len(), slow.total()), (1, 1));
        assert_eq!((recent[0].rpc, recent[0].took), (Rpc::Set, 10 * MS));
        assert_eq!(recent[0].parts.iter().sum::<Duration>(), 10 * MS);
        let told = (0..30).filter(|_| slow.may_tell(99)).count();
        assert_eq!(told, 10);
        assert!(slow.may_tell(100));
    }

    #[test]
    fn commits_are_measured_only_while_somebody_wants_it() {
        let slow = Slow::default();
        assert!(slow.applied(1, true).is_none());
        slow.set_threshold(MS);
        let mut watch = Stopwatch::start();
        assert!(watch.0.is_some());
        watch.admitted();
        std::thread::sleep(2 * MS);
        watch.committed();
        // A read in between takes nothing away.
        assert_eq!(slow.applied(1, false).unwrap().lock, Duration::ZERO);
        assert!(slow.applied(1, true).unwrap().lock >= 2 * MS);
        assert_eq!(slow.applied(1, true).unwrap().lock, Duration::ZERO);
    }
}
