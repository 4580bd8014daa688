//! One round: a fresh daemon, the fill under load, the deadline, what comes after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kvproto::v1;

use super::readers::{Clock, Readers, Seen};
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
        let clock = Clock::now();
        let server = launcher.kvd("always")?;
        let round = self.on(&server, clock, ends);
        let round = round.map_err(|error| server.failure(&error.to_string()))?;
        server.stop()?;
        Ok(round)
    }

    fn on(&self, server: &Server, clock: Clock, ends: bool) -> Result<Round> {
        let others = self.keys..self.keys + OTHERS;
        let none = AtomicU32::new(0);
        fill::pipeline(server.address(), &self.contents, others, None, &none)?;
        let baseline = status::of(server.address())?.memory_bytes;
        let before = resident(server.pid())?;
        let end = End::after(self.lead, clock, ends)?;
        let written = Arc::new(AtomicU32::new(0));
        let readers = Readers {
            address: server.address(),
            contents: Arc::clone(&self.contents),
            written: Arc::clone(&written),
            deadline_ms: ends.then_some(end.ms),
            clock,
            seen: Arc::new(Seen::default()),
        };
        let seen = Arc::clone(&readers.seen);
        let (main, loads) = thread::scope(|scope| {
            let pid = server.pid();
            let open = self.sets(server);
            let open_drive = at_rate(OPEN, self.rate);
            let open = scope.spawn(move || driver::measured(open, open_drive, pid, end.window));
            let closed = self.sets(server);
            let closed_drive = Drive::closed(CLOSED, 1);
            let closed =
                scope.spawn(move || driver::measured(closed, closed_drive, pid, end.window));
            let drive = at_rate(READ, self.read_rate);
            let read = scope.spawn(move || driver::measured(readers, drive, pid, end.window));
            let main = self.fill_and_watch(server, &end, &written, baseline);
            (
                main,
                [open, closed, read].map(thread::ScopedJoinHandle::join),
            )
        });
        let lane = |joined: thread::Result<Result<Measured>>| -> Result<Measured> {
            joined.map_err(|_| "a load thread panicked")?
        };
        let [open, closed, read] = loads.map(lane);
        let (open, closed, _) = (Figures::of(&open?), Figures::of(&closed?), read?);
        let (filled, memory) = main?;
        let mut violations = seen.violations();
        let left = status::of(server.address())?.keys;
        let wanted = if ends { OTHERS } else { OTHERS + self.keys };
        if left != i64::from(wanted) {
            violations.push(format!("{left} keys are left, not {wanted}"));
        }
        Ok(Round {
            filled,
            back_ms: memory.back_ms,
            open,
            closed,
            reads: (
                seen.before.load(Ordering::Relaxed),
                seen.after.load(Ordering::Relaxed),
            ),
            violations,
            resident_mib: [before, memory.full, memory.after, memory.later].map(mib),
        })
    }

    fn sets(&self, server: &Server) -> Load {
        Load {
            address: server.address(),
            call: Call::SetSynced,
            generation: 1,
            contents: Arc::clone(&self.contents),
            keys: self.keys..self.keys + OTHERS,
            truth: Arc::new(Truth::new(self.keys + OTHERS)),
        }
    }

    fn fill_and_watch(
        &self,
        server: &Server,
        end: &End,
        written: &AtomicU32,
        baseline: i64,
    ) -> Result<(Duration, Memory)> {
        let expiry = end.ends.then(|| at(end.ms)).transpose()?;
        let begun = Instant::now();
        fill::pipeline(
            server.address(),
            &self.contents,
            0..self.keys,
            expiry,
            written,
        )?;
        let filled = begun.elapsed();
        if Instant::now() + CALM > end.window.begin {
            return Err(format!("filling took {filled:.1?}: give more --lead").into());
        }
        Ok((filled, Memory::watch(server, baseline, end)?))
    }
}

/// The moment at which the keys end, or would.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    /// The same by the wall clock.
    ms: u64,
    window: Window,
    ends: bool,
}

impl End {
    fn after(lead: Duration, clock: Clock, ends: bool) -> Result<Self> {
        let (now, now_ms) = (Instant::now(), clock.ms());
        let at = now + lead;
        Ok(Self {
            at,
            ms: now_ms + u64::try_from(lead.as_millis())?,
            window: Window {
                begin: now + lead.saturating_sub(BEFORE),
                length: BEFORE + AFTER,
            },
            ends,
        })
    }
}

const fn at_rate(shape: Shape, rate: u32) -> Drive {
    Drive {
        rate: Some(rate),
        ..Drive::closed(shape, 1)
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
    fn watch(server: &Server, baseline: i64, end: &End) -> Result<Self> {
        sleep_until(end.window.begin);
        let mut memory = Self {
            back_ms: f64::INFINITY,
            full: resident(server.pid())?,
            after: 0,
            later: 0,
        };
        let mut after = Ok(0);
        let until = end.at + if end.ends { WATCHED } else { AFTER };
        status::poll(server.address(), POLL, until, |asked, status| {
            let since = asked.saturating_duration_since(end.at);
            if status.memory_bytes <= baseline && asked >= end.at {
                memory.back_ms = memory.back_ms.min(since.as_secs_f64() * 1e3);
            }
            if since <= AFTER {
                after = resident(server.pid());
            }
        })?;
        memory.after = after?;
        if end.ends {
            sleep_until(end.at + LATER);
        }
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
