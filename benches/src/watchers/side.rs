//! One server and its windows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvproto::v1;

use super::Watched;
use super::listen::{Counts, Listeners, Range};
use crate::Result;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, Measured, Window};
use crate::peers::Peer;
use crate::report::Figures;
use crate::shapes::Shape;
use crate::single::gated::{Gate, Gated};
use crate::single::{Choice, Mix, Protocol, Single, Target};

pub(super) const KEY_BYTES: usize = 16;
pub(super) const VALUE_BYTES: usize = 64;
pub(super) const SHAPE: Shape = Shape::new(4, 16);
/// Keys below each prefix.
const EACH: u32 = 10;
/// Before a window; a shorter window is warmed up for as long as it lasts.
const WARM: Duration = Duration::from_secs(1);
/// Events by which writers may be ahead of the watchers, at least one SET's.
const AHEAD: u64 = 8_192;
const AHEAD_LOOK: Duration = Duration::from_millis(1);

pub(super) struct Side {
    server: Server,
    protocol: Protocol,
    contents: Arc<Contents>,
    watchers: u32,
    connections: usize,
}

/// One window.
pub(super) struct Seen {
    pub(super) sets: Figures,
    /// Neither is a number if nobody watched.
    pub(super) events_per_second: f64,
    pub(super) event_us: f64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} events/s at {:.2} µs of server CPU; {:.0} SETs/s, p50 {:.2} ms, p99 {:.2} ms",
            self.events_per_second,
            self.event_us,
            self.sets.ops_per_second,
            self.sets.latency_us[0] / 1e3,
            self.sets.latency_us[1] / 1e3,
        )
    }
}

/// SETs are counted, and do not run away from those who watch.
struct Ahead {
    sent: Arc<AtomicU64>,
    /// Of what was told; none: no matter.
    behind: Option<(Arc<Counts>, u64)>,
}

impl Gate for Ahead {
    async fn pass(&self) -> bool {
        if let Some((counts, each)) = &self.behind {
            let ahead = || {
                let sent = self.sent.load(Ordering::Acquire) * each;
                sent.saturating_sub(counts.all.load(Ordering::Acquire))
            };
            while ahead() + each > AHEAD.max(*each) {
                tokio::time::sleep(AHEAD_LOOK).await;
            }
        }
        self.sent.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl Side {
    pub(super) fn start(
        protocol: Protocol,
        launcher: &Launcher,
        etcd: Option<&Path>,
        watchers: u32,
        connections: u32,
    ) -> Result<Self> {
        let server = match (protocol, etcd) {
            (Protocol::Etcd, Some(program)) => Peer::Etcd.start(program, launcher)?,
            _ => launcher.kvd("always")?,
        };
        Ok(Self {
            server,
            protocol,
            contents: Arc::new(Contents::new(watchers * EACH, KEY_BYTES, VALUE_BYTES)?),
            watchers,
            connections: usize::try_from(connections)?,
        })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
    }

    pub(super) fn window(
        &self,
        watched: Watched,
        watchers: bool,
        rate: Option<u32>,
        length: Duration,
    ) -> Result<Seen> {
        self.measure(watched, watchers, rate, length)
            .map_err(|error| self.server.failure(&error.to_string()))
    }

    fn measure(
        &self,
        watched: Watched,
        watchers: bool,
        rate: Option<u32>,
        length: Duration,
    ) -> Result<Seen> {
        let listeners = watchers.then(|| {
            let ranges = (0..self.watchers).map(|at| self.range(watched, at));
            let (address, all) = (self.server.address(), ranges.collect());
            Listeners::begin(
                self.protocol,
                address,
                all,
                self.connections,
                WARM.min(length) + length,
            )
        });
        let listeners = listeners.transpose()?;
        let counts = listeners.as_ref().map(Listeners::counts);
        let each = match watched {
            Watched::Prefixes => 1,
            Watched::Key => u64::from(self.watchers),
        };
        let sent = Arc::<AtomicU64>::default();
        let work = Gated {
            single: self.single(watched),
            gate: Ahead {
                sent: Arc::clone(&sent),
                behind: counts.clone().filter(|_| rate.is_none()).map(|c| (c, each)),
            },
        };
        let drive = Drive {
            rate,
            ..Drive::closed(SHAPE, 1)
        };
        let (window, pid) = (Window::after(WARM.min(length), length), self.server.pid());
        let (sets, events) = thread::scope(|scope| {
            let told = counts.map(|counts| scope.spawn(move || told_in(&counts, window)));
            let sets = driver::measured(work, drive, pid, window);
            let told = told.map(|told| told.join().map_err(|_| "a clock panicked"));
            Ok::<_, crate::Error>((sets?, told.transpose()?))
        })?;
        let sent = sent.load(Ordering::Acquire);
        if let Some(listeners) = listeners {
            let got = listeners.end(sent * each)?;
            judge(watched, &got, sent)?;
        }
        Ok(seen(&sets, events))
    }

    fn range(&self, watched: Watched, at: u32) -> Range {
        match watched {
            Watched::Key => Range::Key(self.contents.key(0)),
            Watched::Prefixes => {
                let key: Bytes = self.contents.key(at * EACH);
                Range::Prefix(key.slice(..KEY_BYTES - 1))
            }
        }
    }

    fn single(&self, watched: Watched) -> Single {
        let count = self.contents.count();
        Single {
            target: Target {
                protocol: self.protocol,
                address: self.server.address(),
                durability: v1::Durability::Synced,
                contents: Arc::clone(&self.contents),
                truth: Arc::new(Truth::new(count)),
            },
            mix: Mix::WRITE,
            choice: Choice::Uniform,
            keys: match watched {
                Watched::Key => 0..1,
                Watched::Prefixes => 0..count,
            },
            generation: 1,
        }
    }
}

/// How many events came in the window, and how long it really was.
fn told_in(counts: &Counts, window: Window) -> (u64, Duration) {
    thread::sleep(window.begin.saturating_duration_since(Instant::now()));
    let (begun, before) = (Instant::now(), counts.all.load(Ordering::Acquire));
    thread::sleep(window.length);
    let after = counts.all.load(Ordering::Acquire);
    (after - before, begun.elapsed())
}

/// Each change once to each who watches it.
fn judge(watched: Watched, got: &[u64], sent: u64) -> Result<()> {
    match watched {
        Watched::Key => {
            for (at, &count) in got.iter().enumerate() {
                if count != sent {
                    return Err(format!("watcher {at} got {count} events of {sent}").into());
                }
            }
        }
        Watched::Prefixes => {
            let all: u64 = got.iter().sum();
            if all != sent {
                return Err(format!("the watchers got {all} events of {sent}").into());
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn seen(sets: &Measured, events: Option<(u64, Duration)>) -> Seen {
    let (per_second, us) = match events {
        None => (f64::NAN, f64::NAN),
        Some((count, took)) => (
            count as f64 / took.as_secs_f64(),
            sets.server_cpu.as_secs_f64() * 1e6 / count as f64,
        ),
    };
    Seen {
        sets: Figures::of(sets),
        events_per_second: per_second,
        event_us: us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_missed_one_is_noticed() {
        judge(Watched::Key, &[5, 5], 5).unwrap();
        assert!(judge(Watched::Key, &[5, 4], 5).is_err());
        assert!(judge(Watched::Key, &[5, 6], 5).is_err());
        judge(Watched::Prefixes, &[2, 3], 5).unwrap();
        assert!(judge(Watched::Prefixes, &[2, 4], 5).is_err());
    }
}
