//! Permits: how much may be on its way to the log at once.
//!
//! A unit takes one permit (itself and its encoded bytes) and reserves its room in the
//! ledger before it takes any lock. When there is no room it waits, first come first
//! served, on a future that needs no runtime: a large unit is not starved by a stream
//! of small ones.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::error::Error;
use super::permits::Permits;
use super::poison::WriteState;
use super::prepared::Prepared;
use super::sequencer::Sequencer;
use crate::base::limits::{OWN_BYTES, OWN_UNITS};
use crate::base::revision::Revision;
use crate::format::frame::frame_bytes;
use crate::log::ledger::NoRoom;
use crate::log::segment::{COMMIT_ALIGN, MARK_ROOM};
use crate::log::state::LogState;

/// Numbers that may be logged beyond the durable revision before admission waits: the jump,
/// less what may be in flight, which is drawn and not yet logged.
const DISTANCE_MAX: u64 = Revision::JUMP - (1 << 20);

/// What one unit costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Upper bound of its encoded bytes.
    pub bytes: u64,
    /// It may draw on the log space held back for deletes.
    pub deletes_only: bool,
    /// The store's own work, with permits of its own: it neither waits behind callers nor
    /// takes their place.
    pub own: bool,
}

impl Cost {
    /// What the ledger holds for it: a frame and a group of its own, and a MARK.
    pub fn reserved(self) -> u64 {
        let payload = usize::try_from(self.bytes).unwrap_or(usize::MAX / 2);
        frame_bytes(payload) as u64 + COMMIT_ALIGN + MARK_ROOM
    }
}

/// The door.
#[derive(Debug)]
pub struct Gate {
    log: Arc<LogState>,
    sequencer: Arc<Sequencer>,
    state: Arc<WriteState>,
    unit_max: u64,
    callers: Pool,
    own: Pool,
}

/// Permits, and who waits for them.
#[derive(Debug)]
struct Pool {
    permits: Permits,
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next_id: u64,
    waiters: VecDeque<(u64, Waker)>,
}

/// Why a unit was not admitted at once.
#[derive(Debug)]
pub enum AdmitFailure {
    /// It never will be.
    Refused(Error),
    /// It has to wait: see [`Gate::admit`].
    Busy(Prepared),
}

/// A unit that may be committed. Dropping it gives everything back.
#[derive(Debug)]
pub struct Admitted<'g> {
    pub(crate) prepared: Prepared,
    pub(crate) grant: Grant<'g>,
}

/// A permit and a reservation, given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant<'g> {
    gate: GrantedBy<'g>,
    cost: Cost,
}

/// Who takes a permit back.
#[derive(Debug)]
enum GrantedBy<'g> {
    /// Admitted at once: the caller has the gate, and needs no count of it, which every
    /// other thread would be changing too.
    Lent(&'g Gate),
    /// Admitted later, by a future that is bound to nobody.
    Shared(Arc<Gate>),
    /// The log's writer.
    Unit,
}

impl GrantedBy<'_> {
    fn gate(&self) -> Option<&Gate> {
        match self {
            Self::Lent(gate) => Some(gate),
            Self::Shared(gate) => Some(gate),
            Self::Unit => None,
        }
    }
}

impl Grant<'_> {
    /// The unit takes the permit with it; the log's writer gives it back.
    pub(crate) fn travel(mut self) {
        self.gate = GrantedBy::Unit;
    }

    /// The unit turned out smaller than was thought: gives back the difference and says
    /// what it costs now. Waiters are woken by whatever comes next.
    pub(crate) fn shrink(&mut self, bytes: u64) -> Cost {
        let (before, bytes) = (self.cost, bytes.min(self.cost.bytes));
        self.cost.bytes = bytes;
        if let Some(gate) = self.gate.gate() {
            gate.log
                .ledger
                .release(before.reserved() - self.cost.reserved());
            gate.pool(before.own)
                .permits
                .give_back(0, before.bytes - bytes);
        }
        self.cost
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.gate() {
            gate.log.ledger.release(self.cost.reserved());
            gate.give_back(self.cost.own, 1, self.cost.bytes);
        }
    }
}

impl Pool {
    fn new(units_max: u64, bytes_max: u64) -> Self {
        Self {
            permits: Permits::new(units_max, bytes_max),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    /// Something changed that a waiter may have waited for.
    fn wake(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0
            && let Some((_, waker)) = self.queue.lock().waiters.front()
        {
            waker.wake_by_ref();
        }
    }
}

impl Gate {
    /// `unit_max` is what the ledger takes for the largest unit there can be.
    pub fn new(
        (log, sequencer, state): (Arc<LogState>, Arc<Sequencer>, Arc<WriteState>),
        units_max: usize,
        bytes_max: usize,
        unit_max: u64,
    ) -> Self {
        Self {
            unit_max,
            log,
            sequencer,
            state,
            callers: Pool::new(units_max as u64, bytes_max as u64),
            own: Pool::new(OWN_UNITS as u64, OWN_BYTES.max(bytes_max as u64 / 2)),
        }
    }

    fn pool(&self, own: bool) -> &Pool {
        if own { &self.own } else { &self.callers }
    }

    /// Units and bytes in flight.
    pub fn in_flight(&self) -> (u64, u64) {
        let (callers, own) = (&self.callers, &self.own);
        let (units, bytes) = callers.permits.out();
        let (own_units, own_bytes) = own.permits.out();
        (units + own_units, bytes + own_bytes)
    }

    /// Admits at once or says why not.
    pub fn try_admit(&self, prepared: Prepared) -> Result<Admitted<'_>, AdmitFailure> {
        let pool = self.pool(prepared.cost().own);
        if pool.waiting.load(Ordering::Relaxed) > 0 {
            return Err(AdmitFailure::Busy(prepared));
        }
        let cost = prepared.cost();
        match self.try_take(cost) {
            Ok(true) => {
                let gate = GrantedBy::Lent(self);
                let grant = Grant { gate, cost };
                Ok(Admitted { prepared, grant })
            }
            Ok(false) => Err(AdmitFailure::Busy(prepared)),
            Err(error) => Err(AdmitFailure::Refused(error)),
        }
    }

    /// Admits, waiting for room. Dropping the future gives up the place in the queue.
    pub fn admit(self: &Arc<Self>, prepared: Prepared) -> Admission {
        Admission {
            gate: self.clone(),
            own: prepared.cost().own,
            prepared: Some(prepared),
            place: None,
        }
    }

    /// All permits, so that nothing is in flight and nothing can be: for close.
    /// Only after the state says that no write is accepted.
    pub fn is_idle(&self) -> bool {
        [&self.callers, &self.own]
            .iter()
            .all(|pool| pool.permits.out().0 == 0)
    }

    /// Takes permit and room, if there is both right now.
    fn try_take(&self, cost: Cost) -> Result<bool, Error> {
        debug_assert!(
            cost.bytes <= self.unit_max,
            "{cost:?} is more than the ledger keeps room for ({})",
            self.unit_max
        );
        self.state.check(&self.log.watermark)?;
        // Of the log's positions and not of the next number: every commit changes that one.
        let durable = self.log.watermark.durable();
        let logged = self.log.watermark.logged();
        if logged.0.saturating_sub(durable.0) >= DISTANCE_MAX {
            self.log.watermark.want_sync(self.sequencer.newest());
            return Ok(false);
        }
        if !self.pool(cost.own).permits.take(cost.bytes) {
            return Ok(false);
        }
        match self.log.ledger.reserve(cost.reserved(), cost.deletes_only) {
            Ok(()) => Ok(true),
            Err(reason) => {
                self.pool(cost.own).permits.give_back(1, cost.bytes);
                match reason {
                    NoRoom::Late => Ok(false),
                    NoRoom::NoSpace => Err(Error::NoLogSpace),
                }
            }
        }
    }

    /// Permits come back; whoever waits longest may try.
    pub(crate) fn give_back(&self, own: bool, units: u64, bytes: u64) {
        self.pool(own).permits.give_back(units, bytes);
        self.wake();
    }

    /// Something changed that a waiter may have waited for.
    pub(crate) fn wake(&self) {
        self.callers.wake();
        self.own.wake();
    }
}

/// Waits for room, first come first served.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    own: bool,
    prepared: Option<Prepared>,
    place: Option<u64>,
}

impl Admission {
    /// Queues up (again), and says whether it is at the head.
    fn queue_up(&mut self, waker: &Waker) -> bool {
        let pool = self.gate.pool(self.own);
        let mut queue = pool.queue.lock();
        if let Some(id) = self.place {
            if let Some(mine) = queue.waiters.iter_mut().find(|(other, _)| *other == id) {
                mine.1.clone_from(waker);
            }
            return queue.waiters.front().is_some_and(|(first, _)| *first == id);
        }
        // Whoever waits here waits for permits that the log's writer holds.
        self.gate.log.watermark.parker().wake();
        let id = queue.next_id;
        queue.next_id += 1;
        self.place = Some(id);
        queue.waiters.push_back((id, waker.clone()));
        pool.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        queue.waiters.len() == 1
    }

    fn leave(&mut self) {
        let Some(id) = self.place.take() else { return };
        let pool = self.gate.pool(self.own);
        let mut queue = pool.queue.lock();
        queue.waiters.retain(|(other, _)| *other != id);
        pool.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        if let Some((_, next)) = queue.waiters.front() {
            next.wake_by_ref();
        }
    }
}

impl Future for Admission {
    type Output = Result<Admitted<'static>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.queue_up(context.waker()) {
            return Poll::Pending;
        }
        // Queued first, tried after: a permit given back in between finds the waiter.
        std::sync::atomic::fence(Ordering::SeqCst);
        let cost = self
            .prepared
            .as_ref()
            .expect("polled after it was ready")
            .cost();
        let result = match self.gate.try_take(cost) {
            Ok(false) => return Poll::Pending,
            Ok(true) => {
                let gate = GrantedBy::Shared(self.gate.clone());
                let grant = Grant { gate, cost };
                let prepared = self.prepared.take().expect("polled after it was ready");
                Ok(Admitted { prepared, grant })
            }
            Err(error) => Err(error),
        };
        self.leave();
        Poll::Ready(result)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave();
    }
}
