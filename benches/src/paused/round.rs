//! One daemon, one load, with or without a watcher that does not read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kvproto::v1;

use super::sample::{Phase, Sampler, Seen, float, metric, metrics};
use super::watcher::{Mirror, Watcher};
use crate::Result;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::driver::{self, Drive, on_this_thread};
use crate::fill;
use crate::shapes::Shape;
use crate::single::gated::{Gate, Gated};
use crate::single::{Choice, Mix, Protocol, Single, Target};
use crate::status;

const KEY_BYTES: usize = 16;
pub(super) const VALUE_BYTES: usize = 128;
/// So many that the rate is held on a disk that is slow at times.
const SHAPE: Shape = Shape::new(4, 128);
/// How long a watcher may take beyond its pause: this, and as much for every write.
const GRACE: Duration = Duration::from_secs(120);
const PER_WRITE: Duration = Duration::from_micros(100);
/// The log keeps all of it: a resync would be another way.
const LOG: &str = "log.retain_bytes=64GiB";
const NO_SNAPSHOTS: &str = "snapshot.log_bytes=none";
/// Between the phases, so that each is seen.
const SETTLE: Duration = Duration::from_millis(300);

/// What is done in each round.
pub(super) struct Plan {
    contents: Arc<Contents>,
    pause: Duration,
    rate: u32,
    ring: String,
    writes: u32,
}

/// What was seen.
pub(super) struct Round {
    pub(super) seen: Seen,
    pub(super) writes: f64,
    pub(super) load: Duration,
    pub(super) events: f64,
    pub(super) log_reads: f64,
    pub(super) caught_up: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [paused, going_on, end] = [self.seen.paused, self.seen.going_on, self.seen.end]
            .map(|bytes| bytes / f64::from(1 << 20));
        write!(
            f,
            "{:.0} writes in {:.1} s; MiB resident: {paused:.1}, {going_on:.1}, {end:.1}; watch bytes {:.0}; {:.0} \
             events",
            self.writes,
            self.load.as_secs_f64(),
            self.seen.watch_bytes,
            self.events,
        )
    }
}

/// So many writes are left, whatever time they take.
struct Left(AtomicU32);

impl Gate for Left {
    async fn pass(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

impl Plan {
    pub(super) fn new(keys: u32, pause: Duration, rate: u32, budget: u32) -> Result<Self> {
        let writes = f64::from(rate) * pause.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "3600 s at 1,000,000/s fit, and it is above 0"
        )]
        let writes = writes.clamp(1.0, f64::from(u32::MAX)) as u32;
        Ok(Self {
            contents: Arc::new(Contents::new(keys, KEY_BYTES, VALUE_BYTES)?),
            pause,
            rate,
            ring: format!("watch.ring_bytes={budget}MiB"),
            writes,
        })
    }

    pub(super) fn writes(&self) -> u32 {
        self.writes
    }

    pub(super) fn round(&self, launcher: &Launcher, watched: bool) -> Result<Round> {
        let home = launcher.home("kvd")?;
        let server = launcher.kvd_shown(&home, "always", &[&self.ring, LOG, NO_SNAPSHOTS])?;
        let round = self
            .measure(&server, watched)
            .map_err(|error| server.failure(&error.to_string()))?;
        server.stop()?;
        Ok(round)
    }

    fn measure(&self, server: &Server, watched: bool) -> Result<Round> {
        let address = server.address();
        fill::generation(address, &self.contents, 0..self.contents.count(), 0)?;
        let (sampler, upto) = (Sampler::new(), AtomicU64::new(0));
        let (ready, begun) = mpsc::channel();
        let limit = self.pause + GRACE + PER_WRITE * self.writes;
        thread::scope(|scope| {
            let samples = scope.spawn(|| sampler.run(server));
            let watcher = watched.then(|| {
                scope.spawn(|| {
                    on_this_thread(limit, async {
                        let mut watcher = Watcher::begin(address).await?;
                        let _ = ready.send(());
                        watcher.pause_then_read(&upto).await?;
                        Ok(watcher.mirror)
                    })
                })
            });
            // A watcher that cannot begin drops its end; the reason comes with its thread.
            let went = if watched && begun.recv_timeout(limit).is_err() {
                Err("the watcher did not begin".into())
            } else {
                self.load(server, &sampler, &upto)
            };
            if went.is_err() {
                upto.store(1, Ordering::Release);
            }
            let mirror = watcher.map(|watcher| watcher.join().map_err(|_| "the watcher panicked"));
            let caught_up = Instant::now();
            sampler.set(Phase::End);
            let samples = samples.join().map_err(|_| "the sampler panicked")?;
            let mirror: Option<Mirror> = mirror.transpose()?.transpose()?;
            let (load, gone_on) = went?;
            samples?;
            self.judged(
                server,
                mirror.as_ref(),
                sampler.seen(),
                load,
                caught_up - gone_on,
            )
        })
    }

    /// The writes, then the watcher goes on; how long they took, and when that was.
    fn load(
        &self,
        server: &Server,
        sampler: &Sampler,
        upto: &AtomicU64,
    ) -> Result<(Duration, Instant)> {
        thread::sleep(SETTLE);
        sampler.set(Phase::Paused);
        let target = Target {
            protocol: Protocol::Kvd,
            address: server.address(),
            durability: v1::Durability::Synced,
            contents: Arc::clone(&self.contents),
            truth: Arc::new(Truth::new(self.contents.count())),
        };
        let single = Single {
            target,
            mix: Mix::WRITE,
            choice: Choice::Uniform,
            keys: 0..self.contents.count(),
            generation: 1,
        };
        let work = Gated {
            single,
            gate: Left(AtomicU32::new(self.writes)),
        };
        let drive = Drive {
            rate: Some(self.rate),
            ..Drive::closed(SHAPE, 1)
        };
        let begun = Instant::now();
        driver::to_the_end(work, drive, self.pause + PER_WRITE * self.writes)?;
        let took = begun.elapsed();
        thread::sleep(SETTLE);
        let header = status::of(server.address())?.header.unwrap_or_default();
        sampler.set(Phase::GoingOn);
        let gone_on = Instant::now();
        upto.store(u64::try_from(header.store_revision)?, Ordering::Release);
        if sampler.seen().paused == 0.0 {
            return Err("nobody looked at the memory".into());
        }
        Ok((took, gone_on))
    }

    fn judged(
        &self,
        server: &Server,
        mirror: Option<&Mirror>,
        seen: Seen,
        load: Duration,
        caught_up: Duration,
    ) -> Result<Round> {
        let page = metrics(server.http()?)?;
        let log_reads = metric(&page, "kvd_watch_log_reads_total")?;
        let events = mirror.map_or(0, |mirror| mirror.events);
        if let Some(mirror) = mirror {
            on_this_thread(GRACE, mirror.compare(server.address()))?;
            if events != u64::from(self.writes) {
                return Err(format!("{events} events of {} writes", self.writes).into());
            }
            if log_reads == 0.0 {
                return Err("the watcher never read the log: it was not behind".into());
            }
        }
        Ok(Round {
            seen,
            writes: f64::from(self.writes),
            load,
            events: float(events),
            log_reads,
            caught_up,
        })
    }
}
