//! The record of one run: who asked what when, and what came back.
//!
//! It is kept by the clients, outside the server. All of them run on one thread, so the
//! order of events is that of their times; the clock is made to give every event a time
//! of its own. A call is stamped before anything is sent and a return after everything
//! was received, so no interval is too short.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::op::{Action, Id, Op, Outcome};

/// Shared by all clients of a run.
#[derive(Clone, Debug)]
pub(crate) struct History {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    newest: Cell<u64>,
    processes: Cell<usize>,
    answered: Cell<usize>,
    ops: RefCell<Vec<Op>>,
    /// When each daemon was dead.
    deaths: RefCell<BTreeMap<usize, u64>>,
}

impl History {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            started: Instant::now(),
            newest: Cell::new(0),
            processes: Cell::new(0),
            answered: Cell::new(0),
            ops: RefCell::default(),
            deaths: RefCell::default(),
        };
        Self {
            shared: Rc::new(shared),
        }
    }

    /// A time of its own.
    pub(crate) fn now(&self) -> u64 {
        let now = u64::try_from(self.shared.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared
            .newest
            .set(now.max(self.shared.newest.get() + 1));
        self.shared.newest.get()
    }

    /// A number that no process had before.
    pub(crate) fn process(&self) -> usize {
        self.shared.processes.set(self.shared.processes.get() + 1);
        self.shared.processes.get() - 1
    }

    /// An operation is about to be sent.
    pub(crate) fn invoke(&self, process: usize, daemon: usize, action: Action) -> Id {
        let mut ops = self.shared.ops.borrow_mut();
        ops.push(Op {
            process,
            daemon,
            action,
            invoked: self.now(),
            returned: u64::MAX,
            wall: wall(),
            outcome: Outcome::Undecided("open".into()),
        });
        ops.len() - 1
    }

    /// It came back. Undecided ones get their end from the death of their daemon.
    pub(crate) fn outcome(&self, id: Id, outcome: Outcome) {
        let now = self.now();
        let op = &mut self.shared.ops.borrow_mut()[id];
        if !matches!(outcome, Outcome::Undecided(_)) {
            op.returned = now;
            self.shared.answered.set(self.shared.answered.get() + 1);
        }
        op.outcome = outcome;
    }

    /// How many operations had an answer so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.get()
    }

    /// A daemon is dead: what it has not done it will not do.
    pub(crate) fn died(&self, daemon: usize) {
        let now = self.now();
        self.shared.deaths.borrow_mut().insert(daemon, now);
    }

    /// All operations, when no client is at work any more.
    pub(crate) fn finish(&self) -> Vec<Op> {
        let mut ops = self.shared.ops.borrow().clone();
        let deaths = self.shared.deaths.borrow();
        for op in &mut ops {
            if op.undecided() {
                op.returned = deaths.get(&op.daemon).copied().unwrap_or(u64::MAX);
            }
        }
        ops
    }
}

/// Wall clock in ms.
pub(crate) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
