//! One round: a fresh daemon, the fill under load, the deadline, what comes after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvproto::v1;

use super::readers::{Readers, Seen, wall_ms};
use crate::Result;
use crate::child::{Launcher, Server};
use crate::contents::{Contents, Truth};
use crate::cpu::resident;
use crate::driver::{self, Drive, Measured, Window};
use crate::fill;
use crate::load::Load;
use crate::report::Figures;
use crate::shapes::{Call, Shape};
use crate::status;

/// Keys that the SETs change.
pub(super) const OTHERS: u32 = 10_000;
/// The measured window around the deadline.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);
/// The least that must be left between the fill and the window.
const CALM: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);
/// How long the memory is watched.
const WATCHED: Duration = Duration::from_secs(12);
/// Until the allocator has given back what it keeps for a while (10 s).
const LATER: Duration = Duration::from_secs(14);

const OPEN: Shape = Shape::new(2, 32);
const CLOSED: Shape = Shape::new(4, 1);
const READ: Shape = Shape::new(2, 16);

/// What all rounds have in common.
pub(super) struct Plan {
    keys: u32,
    lead: Duration,
    rate: u32,
    read_rate: u32,
    /// The keys that are to end, and behind them the others.
    contents: Arc<Contents>,
}

/// What a round has found.
pub(super) struct Round {
    pub(super) filled: Duration,
    /// ms from the deadline until memory_bytes was seen at its baseline.
    pub(super) back_ms: f64,
    pub(super) open: Figures,
    pub(super) closed: Figures,
    /// Reads answered before the deadline, and sent after it.
    pub(super) reads: (u64, u64),
    pub(super) violations: Vec<String>,
    /// Before, full, 2 s after the deadline, and when the allocator has calmed down.
    pub(super) resident_mib: [f64; 4],
    pub(super) other_cores: f64,
}

impl Plan {
    pub(super) fn new(keys: u32, lead: Duration, rate: u32, read_rate: u32) -> Result<Self> {
        Ok(Self {
            keys,
            lead,
            rate,
            read_rate,
            contents: Arc::new(Contents::new(keys + OTHERS, 16, 64)?),
        })
    }

    pub(super) fn round(&self, launcher: &Launcher, ends: bool) -> Result<Round> {
        let server = launcher.kvd("always")?;
        let round = self.on(&server, ends);
        let round = round.map_err(|error| server.failure(&error.to_string()))?;
        server.stop()?;
        Ok(round)
    }

    fn on(&self, server: &Server, ends: bool) -> Result<Round> {
        let address = server.address();
        let contents = &self.contents;
        let others = self.keys..self.keys + OTHERS;
        fill::pipeline(address, contents, others.clone(), None, &AtomicU32::new(0))?;
        let baseline = status::of(address)?.memory_bytes;
        let before = resident(server.pid())?;

        let deadline = Instant::now() + self.lead;
        let deadline_ms = wall_ms() + u64::try_from(self.lead.as_millis())?;
        let window = Window {
            begin: deadline - BEFORE,
            end: deadline + AFTER,
        };
        let seen = Arc::new(Seen::default());
        let written = Arc::new(AtomicU32::new(0));
        let readers = Readers {
            address,
            contents: Arc::clone(contents),
            written: Arc::clone(&written),
            deadline_ms: ends.then_some(deadline_ms),
            seen: Arc::clone(&seen),
        };
        let sets = |generation| Load {
            address,
            call: Call::SetSynced,
            generation,
            contents: Arc::clone(contents),
            keys: others.clone(),
            truth: Arc::new(Truth::new(self.keys + OTHERS)),
        };
        let at_rate = |shape, rate| Drive {
            rate: Some(rate),
            ..Drive::closed(shape, 1)
        };
        let pid = server.pid();
        let (main, open, closed, read) = thread::scope(|scope| {
            let open =
                scope.spawn(|| driver::measured(sets(1), at_rate(OPEN, self.rate), pid, window));
            let closed =
                scope.spawn(|| driver::measured(sets(1), Drive::closed(CLOSED, 1), pid, window));
            let read = scope
                .spawn(|| driver::measured(readers, at_rate(READ, self.read_rate), pid, window));
            let main = (|| {
                let expiry = ends.then(|| at(deadline_ms)).transpose()?;
                let begun = Instant::now();
                fill::pipeline(address, contents, 0..self.keys, expiry, &written)?;
                let filled = begun.elapsed();
                if Instant::now() + CALM > window.begin {
                    return Err(format!("filling took {filled:.1?}: give more --lead").into());
                }
                let memory = Memory::watch(server, baseline, deadline, window)?;
                Ok::<_, crate::Error>((filled, memory))
            })();
            (main, open.join(), closed.join(), read.join())
        });
        let lane = |joined: thread::Result<Result<Measured>>| -> Result<Measured> {
            joined.map_err(|_| "a load thread panicked")?
        };
        let (open, closed, _) = (lane(open)?, lane(closed)?, lane(read)?);
        let (filled, memory) = main?;
        let last = status::of(address)?;
        let wanted = if ends { OTHERS } else { OTHERS + self.keys };
        let mut violations = seen.violations();
        if last.keys != i64::from(wanted) {
            violations.push(format!("{} keys are left, not {wanted}", last.keys));
        }
        let elapsed = closed.elapsed.as_secs_f64();
        let other_cores = closed.other_cpu.as_secs_f64() / elapsed;
        Ok(Round {
            filled,
            back_ms: memory.back_ms,
            open: Figures::of(&open),
            closed: Figures::of(&closed),
            reads: (
                seen.before.load(Ordering::Relaxed),
                seen.after.load(Ordering::Relaxed),
            ),
            violations,
            resident_mib: [before, memory.full, memory.after, memory.later].map(mib),
            other_cores,
        })
    }
}

fn at(deadline_ms: u64) -> Result<v1::Expiry> {
    Ok(v1::Expiry {
        when: Some(v1::expiry::When::AtMs(deadline_ms.try_into()?)),
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How the memory went.
struct Memory {
    back_ms: f64,
    full: u64,
    after: u64,
    later: u64,
}

impl Memory {
    /// Polls from shortly before the deadline on; keys that stay never come back.
    fn watch(server: &Server, baseline: i64, deadline: Instant, window: Window) -> Result<Self> {
        sleep_until(window.begin);
        let mut memory = Self {
            back_ms: f64::INFINITY,
            full: resident(server.pid())?,
            after: 0,
            later: 0,
        };
        let mut after = Ok(0);
        status::poll(
            server.address(),
            POLL,
            deadline + WATCHED,
            |asked, status| {
                let since = asked.saturating_duration_since(deadline);
                if status.memory_bytes <= baseline && asked >= deadline {
                    memory.back_ms = memory.back_ms.min(since.as_secs_f64() * 1e3);
                }
                if since <= AFTER {
                    after = resident(server.pid());
                }
            },
        )?;
        memory.after = after?;
        sleep_until(deadline + LATER);
        memory.later = resident(server.pid())?;
        Ok(memory)
    }
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "filled in {:.1?}; memory back after {:.0} ms; SET p99 open {:.0} µs, closed {:.0} µs; \
             {} + {} reads, {} violations",
            self.filled,
            self.back_ms,
            self.open.latency_us[1],
            self.closed.latency_us[1],
            self.reads.0,
            self.reads.1,
            self.violations.len(),
        )
    }
}
