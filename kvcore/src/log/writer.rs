//! The one thread that writes the log.
//!
//! A turn takes what has been sent, puts it in revision order, encodes one group,
//! copies it into the segment, and then says so: first `logged`, then (after a sync,
//! if the policy or a waiter wants one) `durable`. While it syncs, the next group
//! gathers by itself; there is no timer.
//!
//! Invariants:
//! - a group is announced as durable only after its sync has returned and no store
//!   has faulted;
//! - after the first failure nothing is written or synced any more: the writer only
//!   gives back permits and lets waiters know (poison);
//! - a new segment is durably named and in the MANIFEST before anything in it is
//!   acknowledged.
//!
//! [`Writer::turn`] never blocks for work, so that a simulator can run it step by
//! step; [`run`] is the thread around it.

mod seal;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::parker::Sleep;
use super::ring::Ring;
use super::rooms::{Rank, is_full};
use super::segment::{ActiveSegment, Encoded, GroupFields, MARK_ROOM};
use super::state::LogState;
use super::{GroupSink, LogUnit, SyncPolicy};
use crate::base::broken;
use crate::base::clock::Clock;
use crate::base::engine_clock::{EngineClock, Moment};
use crate::base::entropy::Entropy;
use crate::base::limits::{FRAME_BYTES, GROUP_BYTES, GROUP_UNITS, SYNC_DISTANCE};
use crate::base::revision::Revision;
use crate::disk::Disk;
use crate::format::StoreId;
use crate::format::frame::FrameKind;

/// How long the log must be quiet before a MARK certifies its last group.
const MARK_AFTER: Duration = Duration::from_millis(5);
/// A revision that was drawn and does not arrive within this is lost: its thread is
/// gone between ticket and send, and memory holds what the log never will.
const HOLE_LIMIT: Duration = Duration::from_secs(10);
/// How long units may gather that nobody waits for.
const GATHER: Duration = Duration::from_millis(5);
/// Units that are brought into the processor's cache at once.
const FETCHED_TOGETHER: usize = 32;
/// How often an idle writer looks around although nobody woke it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What a turn has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Worked,
    /// Nothing to do for this long, unless woken.
    Idle(Duration),
    /// The log is closed or has failed and is drained.
    Closed,
}

/// Everything that the writer alone owns.
#[derive(Debug)]
pub struct Writer<U, S> {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    engine_clock: Arc<EngineClock>,
    entropy: Arc<dyn Entropy>,
    state: Arc<LogState>,
    policy: SyncPolicy,
    store_id: StoreId,
    receiver: Receiver<Box<U>>,
    /// Received, and not yet in the ring.
    arrived: Vec<Box<U>>,
    ring: Ring<U>,
    active: ActiveSegment,
    sink: S,
    buffer: Vec<u8>,
    group: Vec<Box<U>>,
    unsynced_since: Option<Duration>,
    /// Units and bytes since the last sync.
    unsynced: (u64, u64),
    quiet_since: Duration,
    certified: Revision,
    hole_since: Option<Duration>,
    clock_checked: Duration,
    failed: bool,
}

/// What a writer starts from.
#[derive(Debug)]
pub struct Start<U> {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<EngineClock>,
    pub entropy: Arc<dyn Entropy>,
    pub state: Arc<LogState>,
    pub policy: SyncPolicy,
    pub store_id: StoreId,
    pub receiver: Receiver<Box<U>>,
    pub in_flight_units: usize,
    pub active: ActiveSegment,
    /// The first revision that will be drawn.
    pub next: Revision,
}

impl<U: LogUnit, S: GroupSink<U>> Writer<U, S> {
    pub fn new(start: Start<U>, sink: S) -> Self {
        let clock = start.clock.machine().clone();
        let now = clock.instant();
        Self {
            arrived: Vec::with_capacity(FETCHED_TOGETHER),
            ring: Ring::new(start.next, start.in_flight_units),
            disk: start.disk,
            clock,
            engine_clock: start.clock,
            entropy: start.entropy,
            state: start.state,
            policy: start.policy,
            store_id: start.store_id,
            receiver: start.receiver,
            active: start.active,
            sink,
            buffer: Vec::new(),
            group: Vec::new(),
            unsynced_since: None,
            unsynced: (0, 0),
            quiet_since: now,
            certified: Revision(start.next.0 - 1),
            hole_since: None,
            clock_checked: now,
            failed: false,
        }
    }

    /// Does one piece of work, without waiting for more.
    pub fn turn(&mut self) -> Turn {
        if self.state.abandoned.load(Ordering::Acquire) {
            return Turn::Closed;
        }
        if self.failed {
            return self.drain();
        }
        self.receive();
        match self.work() {
            Ok(turn) => turn,
            Err(error) => {
                self.poison(&error);
                Turn::Worked
            }
        }
    }

    /// Puts what was sent into the ring, as far as a group can take it.
    ///
    /// Units and records were written by other processors and lie in their caches. Looking
    /// at several before any work is done on the first lets this one wait for all of them
    /// at once, where it would wait for each alone while it encodes.
    fn receive(&mut self) {
        while self.ring.len() < GROUP_UNITS {
            let room = FETCHED_TOGETHER.min(GROUP_UNITS - self.ring.len());
            self.arrived.extend(self.receiver.try_iter().take(room));
            if self.arrived.is_empty() {
                return;
            }
            let fetched = self.arrived.iter().map(|unit| unit.fetch());
            std::hint::black_box(fetched.fold(0, u64::wrapping_add));
            for unit in self.arrived.drain(..) {
                self.ring.insert(unit);
            }
        }
    }

    /// Is there anything that [`Writer::turn`] would do at once?
    fn has_work(&self) -> bool {
        !self.receiver.is_empty() || self.ring.ready().is_some() || self.is_urgent()
    }

    /// Is there anything that somebody waits for?
    fn is_urgent(&self) -> bool {
        (!self.failed && self.state.watermark.is_wanted())
            || self.state.closing.load(Ordering::Acquire)
            || self.state.abandoned.load(Ordering::Acquire)
    }

    fn work(&mut self) -> io::Result<Turn> {
        self.notice_jump()?;
        let worked = self.write_group()?;
        if self.sync_is_due() {
            self.sync()?;
            return Ok(Turn::Worked);
        }
        if worked {
            return Ok(Turn::Worked);
        }
        if self.ring.has_hole() {
            return Ok(self.wait_for_hole());
        }
        self.hole_since = None;
        if self.state.closing.load(Ordering::Acquire) && self.receiver.is_empty() {
            self.finish()?;
            return Ok(Turn::Closed);
        }
        self.idle()
    }

    /// Encodes, stores and announces as logged one group of units. False if there is none.
    fn write_group(&mut self) -> io::Result<bool> {
        let Some(first) = self.ring.ready() else {
            return Ok(false);
        };
        if !self.active.fits(0, first.encoded_max()) {
            self.rotate()?;
        }
        let plan = self.gather();
        let fields = self.fields();
        let mut encoder = self.active.encoder(&mut self.buffer, fields);
        let mut at = 0;
        for (i, &count) in plan.iter().enumerate() {
            let units = &self.group[at..at + count];
            let last = i + 1 == plan.len();
            let count = u32::try_from(count).expect("a group has at most 4,096 units");
            encoder.data(units[0].revision(), count, last, |out| {
                for unit in units {
                    unit.encode(out);
                }
            });
            at += units.len();
        }
        let encoded = encoder.finish();
        self.store(&encoded)?;
        self.certified = fields.durable;
        Ok(true)
    }

    /// Copies an encoded group of units into the file and announces it.
    fn store(&mut self, encoded: &Encoded) -> io::Result<()> {
        let before = self.active.used();
        self.active.append(encoded, &self.buffer);
        self.active.check()?;
        let written = self.active.used() - before;
        let reserved = self.group.iter().map(|unit| unit.reserved()).sum();
        self.state.ledger.settle(reserved, written);
        let now = self.clock.instant();
        self.unsynced_since.get_or_insert(now);
        self.quiet_since = now;

        let last = self.group.last().expect("a group has units").revision();
        let units = self.group.len() as u64;
        let counters = &self.state.counters;
        counters.groups.fetch_add(1, Ordering::Relaxed);
        counters.units.fetch_add(units, Ordering::Relaxed);
        counters.bytes.fetch_add(written, Ordering::Relaxed);
        counters.group_units.record(units);
        self.unsynced = (self.unsynced.0 + units, self.unsynced.1 + written);
        self.state.recent.logged(last, now);
        // Before anybody is woken: whoever looks for it then finds it.
        self.sink.written(&mut self.group);
        self.state.watermark.advance_logged(last);
        if broken::is(broken::Build::AcknowledgeBeforeSync) && self.policy == SyncPolicy::Always {
            self.state.watermark.advance_durable(last);
        }
        self.sink.logged(&mut self.group);
        self.group.clear();
        Ok(())
    }

    /// Takes the units of one group out of the ring: as many as are there, up to the
    /// limits and the segment's end. Returns how many units each frame gets.
    fn gather(&mut self) -> Vec<usize> {
        let mut frames = vec![];
        let (mut bytes, mut payload, mut count) = (0, 0, 0);
        while let Some(unit) = self.ring.ready() {
            let size = unit.encoded_max();
            if count > 0 && payload + size > FRAME_BYTES {
                bytes += crate::format::frame::frame_bytes(payload);
                frames.push(count);
                (payload, count) = (0, 0);
            }
            let full = self.group.len() >= GROUP_UNITS || bytes + payload + size > GROUP_BYTES;
            if !self.group.is_empty() && (full || !self.active.fits(bytes, payload + size)) {
                break;
            }
            self.group.extend(self.ring.pop());
            payload += size;
            count += 1;
        }
        if count > 0 {
            frames.push(count);
        }
        frames
    }

    fn sync_is_due(&self) -> bool {
        let Some(since) = self.unsynced_since else {
            return false;
        };
        let watermark = &self.state.watermark;
        let wanted = watermark.wanted() > self.durable();
        let distance = watermark.logged().0 - self.durable().0 >= SYNC_DISTANCE;
        match self.policy {
            SyncPolicy::Always => true,
            SyncPolicy::Interval(every) => {
                wanted || distance || self.clock.instant().saturating_sub(since) >= every
            }
            SyncPolicy::Never => wanted || distance,
        }
    }

    /// Everything logged becomes durable.
    fn sync(&mut self) -> io::Result<()> {
        let started = self.clock.instant();
        self.active.sync()?;
        let counters = &self.state.counters;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        let took = self.clock.instant().saturating_sub(started).as_nanos();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        counters.sync_nanos.fetch_add(took, Ordering::Relaxed);
        counters.sync_times.record(took);
        let (units, bytes) = std::mem::take(&mut self.unsynced);
        // A SEAL alone is nobody's group.
        if units > 0 {
            counters.sync_units.record(units);
            counters.sync_bytes.record(bytes);
        }
        self.unsynced_since = None;
        let logged = self.state.watermark.logged();
        if logged > self.durable() {
            self.state.watermark.advance_durable(logged);
        }
        Ok(())
    }

    /// Nothing to write: certify the last group, or say how long to sleep.
    fn idle(&mut self) -> io::Result<Turn> {
        let now = self.clock.instant();
        if let (SyncPolicy::Interval(every), Some(since)) = (self.policy, self.unsynced_since) {
            return Ok(Turn::Idle(every.saturating_sub(now.saturating_sub(since))));
        }
        let uncertified = self.policy == SyncPolicy::Always && self.certified < self.durable();
        if !uncertified {
            return Ok(Turn::Idle(LOOK_AROUND));
        }
        let quiet = now.saturating_sub(self.quiet_since);
        if quiet < MARK_AFTER {
            return Ok(Turn::Idle(MARK_AFTER.saturating_sub(quiet)));
        }
        self.certified = self.durable();
        if self.active.fits(0, 0) && self.state.ledger.take_if_plenty(MARK_ROOM) {
            let fields = self.fields();
            let mut encoder = self.active.encoder(&mut self.buffer, fields);
            encoder.plain(FrameKind::Mark, &[]);
            let encoded = encoder.finish();
            self.active.append(&encoded, &self.buffer);
            self.active.sync()?;
        }
        Ok(Turn::Worked)
    }

    fn wait_for_hole(&mut self) -> Turn {
        let now = self.clock.instant();
        let since = *self.hole_since.get_or_insert(now);
        if now.saturating_sub(since) > HOLE_LIMIT {
            tracing::error!(revision = %self.ring.next(), "a revision was drawn and never sent; ending the process so that memory and log agree again");
            std::process::abort();
        }
        Turn::Idle(Duration::from_millis(1))
    }

    /// The first failure: from here on nothing is written, and everybody is told.
    fn poison(&mut self, error: &io::Error) {
        self.failed = true;
        let reason = format!("the log failed: {error}");
        tracing::error!(%reason, "writes are refused until a restart; what is durable stays readable");
        self.state.watermark.fail(&reason);
    }

    fn drain(&mut self) -> Turn {
        self.ring.drain(&mut self.group);
        self.group.extend(self.receiver.try_iter());
        if self.group.is_empty() {
            let closing = self.state.closing.load(Ordering::Acquire);
            return if closing {
                Turn::Closed
            } else {
                Turn::Idle(LOOK_AROUND)
            };
        }
        let reserved = self.group.iter().map(|unit| unit.reserved()).sum();
        self.state.ledger.release(reserved);
        self.sink.failed(&mut self.group);
        self.group.clear();
        Turn::Worked
    }

    fn durable(&self) -> Revision {
        self.state.watermark.durable()
    }

    /// A wall clock that was set moves no deadline, and is kept for the next start: it would
    /// take the jump for time that the store was away.
    fn notice_jump(&mut self) -> io::Result<()> {
        let now = self.clock.instant();
        if now.saturating_sub(self.clock_checked) < LOOK_AROUND {
            return Ok(());
        }
        self.clock_checked = now;
        let Some(moved_ms) = self.engine_clock.notice_jump() else {
            return Ok(());
        };
        tracing::warn!(
            moved_ms,
            "the wall clock was set; no key expires earlier or later for it"
        );
        let Moment { engine_ms, wall_ms } = self.engine_clock.moment();
        let noted = self.state.manifest.publish(Rank::Ordinary, |manifest| {
            manifest.clock.engine_ms = engine_ms;
            manifest.clock.wall_ms = wall_ms;
        });
        match noted {
            // The next MANIFEST brings the pair along.
            Err(error) if is_full(&error) => Ok(()),
            noted => noted,
        }
    }

    fn fields(&self) -> GroupFields {
        GroupFields {
            durable: self.durable(),
            engine_ms: self.engine_clock.now(),
        }
    }
}

/// The writer's thread: turns until the log is closed.
///
/// While nobody waits it naps between groups, so that units that were acknowledged in
/// memory cost no wake-up and no sync each: they gather. Whoever waits ends the nap.
pub fn run<U: LogUnit, S: GroupSink<U>>(mut writer: Writer<U, S>) {
    let state = writer.state.clone();
    let parker = state.watermark.parker();
    parker.adopt_current();
    loop {
        let turn = writer.turn();
        state.counters.turns.fetch_add(1, Ordering::Relaxed);
        match turn {
            Turn::Worked => parker.sleep(Sleep::Nap, GATHER, || writer.is_urgent()),
            Turn::Idle(limit) => {
                parker.sleep(Sleep::Deep, limit, || writer.has_work());
            }
            Turn::Closed => return,
        }
    }
}
