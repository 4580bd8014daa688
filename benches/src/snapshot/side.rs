//! One server under its load.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvproto::v1;

use super::work;
use crate::Result;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::cpu;
use crate::driver::{self, Drive, Measured, Window, to_the_end};
use crate::fill;
use crate::peers::{Peer, Promise};
use crate::report::Figures;
use crate::shapes::Shape;
use crate::single::{Choice, Mix, Protocol, Single, Target};

pub(super) const PROMISE: &str = "kvd --sync interval:1s, LOGGED; Redis with appendfsync everysec: written to the file, on the disk within a second";
pub(super) const SETS: Shape = Shape::new(4, 16);
pub(super) const GETS: Shape = Shape::new(4, 4);
const READ_BACK: Shape = Shape::new(4, 64);
/// How long reading back may take for each key.
const PER_KEY: Duration = Duration::from_micros(200);
const WARM: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Side {
    server: Server,
    target: Target,
}

/// One window.
pub(super) struct Seen {
    pub(super) sets: Figures,
    pub(super) gets: Figures,
    /// Bytes, at most.
    pub(super) resident: f64,
    /// Those that were begun in it.
    pub(super) snapshots: Vec<Taken>,
}

/// How long one snapshot took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) whole: Duration,
    /// Until the load ended, which it does with the window.
    pub(super) under_load: Duration,
}

impl Seen {
    /// Seconds that a snapshot took on the average; none: there was none.
    pub(super) fn seconds_each(&self) -> Vec<f64> {
        let all: Duration = self.snapshots.iter().map(|taken| taken.whole).sum();
        let count = u32::try_from(self.snapshots.len()).unwrap_or(u32::MAX);
        let each = all.checked_div(count);
        each.map(|each| each.as_secs_f64()).into_iter().collect()
    }

    /// How much of that time the load went on, in percent.
    pub(super) fn loaded_percent(&self) -> Vec<f64> {
        let sum = |part: fn(&Taken) -> Duration| -> f64 {
            let parts = self.snapshots.iter().map(part);
            parts.sum::<Duration>().as_secs_f64()
        };
        let whole = sum(|taken| taken.whole);
        let loaded = sum(|taken| taken.under_load);
        if whole > 0.0 {
            vec![100.0 * loaded / whole]
        } else {
            Vec::new()
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} SETs/s, p99 {:.2} ms; {:.0} GETs/s, p99 {:.2} ms; {:.0} MiB; {} snapshots",
            self.sets.ops_per_second,
            self.sets.latency_us[1] / 1e3,
            self.gets.ops_per_second,
            self.gets.latency_us[1] / 1e3,
            self.resident / f64::from(1 << 20),
            self.snapshots.len(),
        )?;
        match self.seconds_each()[..] {
            [each] => write!(f, ", {each:.2} s each"),
            _ => Ok(()),
        }
    }
}

impl Side {
    pub(super) fn kvd(launcher: &Launcher, contents: &Arc<Contents>) -> Result<Self> {
        let home = launcher.home("kvd")?;
        // Only those that are asked for.
        let server = launcher.kvd_in(&home, "interval:1s", &["snapshot.log_bytes=none"])?;
        Ok(Self::new(server, Protocol::Kvd, contents))
    }

    pub(super) fn redis(
        program: &Path,
        launcher: &Launcher,
        contents: &Arc<Contents>,
    ) -> Result<Self> {
        let home = launcher.home("redis")?;
        let server = Peer::Redis.start_in(&home, program, Promise::EverySecond)?;
        Ok(Self::new(server, Protocol::Redis, contents))
    }

    fn new(server: Server, protocol: Protocol, contents: &Arc<Contents>) -> Self {
        let target = Target {
            protocol,
            address: server.address(),
            durability: v1::Durability::Logged,
            contents: Arc::clone(contents),
            truth: Arc::new(Truth::new(contents.count())),
        };
        Self { server, target }
    }

    pub(super) fn name(&self) -> String {
        self.target.protocol.to_string()
    }

    pub(super) fn is_kvd(&self) -> bool {
        self.target.protocol == Protocol::Kvd
    }

    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
    }

    pub(super) fn fill(&self) -> Result<()> {
        let (target, all) = (&self.target, 0..self.target.contents.count());
        let filled = if self.is_kvd() {
            fill::generation(target.address, &target.contents, all, 0)
        } else {
            fill::redis::generation(target.address, &target.contents, all, 0)
        };
        self.explain(filled)
    }

    /// Reads every key once.
    pub(super) fn read_back(&self) -> Result<()> {
        let count = self.target.contents.count();
        let single = self.single(0..count, Mix::READ, 0);
        let single = Single {
            choice: Choice::InOrder(Arc::default()),
            ..single
        };
        let drive = Drive::closed(READ_BACK, 2);
        self.explain(to_the_end(single, drive, PER_KEY * count))
    }

    fn single(&self, keys: std::ops::Range<u32>, mix: Mix, generation: u32) -> Single {
        Single {
            target: self.target.clone(),
            mix,
            choice: Choice::Uniform,
            keys,
            generation,
        }
    }

    /// A window of load, with snapshots or without.
    pub(super) fn window(&self, length: Duration, generation: u32, with: bool) -> Result<Seen> {
        self.explain(self.measure(length, generation, with))
    }

    fn measure(&self, length: Duration, generation: u32, with: bool) -> Result<Seen> {
        let count = self.target.contents.count();
        let window = Window::after(WARM, length);
        let pid = self.server.pid();
        let sets = self.single(0..count / 2, Mix::WRITE, generation);
        let gets = self.single(count / 2..count, Mix::READ, generation);
        let over = AtomicBool::new(false);
        let peak = AtomicU64::new(0);
        let (sets, gets, snapshots) = thread::scope(|scope| {
            let sets =
                scope.spawn(move || driver::measured(sets, Drive::closed(SETS, 1), pid, window));
            let gets =
                scope.spawn(move || driver::measured(gets, Drive::closed(GETS, 1), pid, window));
            let snapshots = with.then(|| scope.spawn(|| self.snapshots(window)));
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if Instant::now() >= window.begin {
                        let now = cpu::own_memory(pid).unwrap_or(0);
                        peak.fetch_max(now, Ordering::Relaxed);
                    }
                    thread::sleep(LOOK);
                }
            });
            let loads = (joined(sets.join()), joined(gets.join()));
            let snapshots = snapshots.map(thread::ScopedJoinHandle::join);
            over.store(true, Ordering::Relaxed);
            (loads.0, loads.1, snapshots)
        });
        let (snapshots, copied) = match snapshots {
            None => (Vec::new(), 0),
            Some(ended) => ended.map_err(|_| "the thread that asks for snapshots panicked")??,
        };
        Ok(Seen {
            sets: Figures::of(&sets?),
            gets: Figures::of(&gets?),
            resident: float(peak.into_inner() + copied),
            snapshots,
        })
    }

    /// One after the other until the window ends; these, and the most that one copied.
    fn snapshots(&self, window: Window) -> Result<(Vec<Taken>, u64)> {
        let end = window.begin + window.length;
        let (mut all, mut copied) = (Vec::new(), 0);
        thread::sleep(window.begin.saturating_duration_since(Instant::now()));
        loop {
            let begun = Instant::now();
            let left = end.saturating_duration_since(begun);
            if left.is_zero() {
                return Ok((all, copied));
            }
            if self.is_kvd() {
                work::create(self.target.address)?;
            } else {
                copied = work::rewrite(self.target.address)?.max(copied);
            }
            let whole = begun.elapsed();
            all.push(Taken {
                whole,
                under_load: whole.min(left),
            });
        }
    }

    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.server.failure(&error.to_string()))
    }
}

fn joined(ended: thread::Result<Result<Measured>>) -> Result<Measured> {
    ended.map_err(|_| "a load thread panicked")?
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures = Figures {
        ops_per_second: 1.0,
        server_us: 1.0,
        client_us: 1.0,
        other_cores: 0.0,
        latency_us: [1.0; 3],
    };

    fn seen(snapshots: &[(u64, u64)]) -> Seen {
        let taken = |&(whole, under_load): &(u64, u64)| Taken {
            whole: Duration::from_secs(whole),
            under_load: Duration::from_secs(under_load),
        };
        Seen {
            sets: FIGURES,
            gets: FIGURES,
            resident: 0.0,
            snapshots: snapshots.iter().map(taken).collect(),
        }
    }

    #[test]
    fn the_time_of_a_snapshot_is_a_mean_and_none_without_one() {
        assert!(seen(&[]).seconds_each().is_empty());
        assert!(seen(&[]).loaded_percent().is_empty());
        let two = seen(&[(5, 5), (7, 4)]);
        assert_eq!(two.seconds_each(), [6.0]);
        assert_eq!(two.loaded_percent(), [75.0]);
        assert!(two.to_string().ends_with("2 snapshots, 6.00 s each"));
    }
}
