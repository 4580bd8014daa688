//! Watches of the embedded engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvcore::Engine;
use kvcore::watch::{Dispatcher, Watch as Course};

use crate::backend::Revision;
use crate::backend::watch::{
    Budget, Dispatch, Ear, End, Figures, Hits, Interested, Level, Ticket, Turn, Watch,
};

/// One watch of the engine.
#[derive(Debug)]
pub struct EngineWatch {
    pub(super) engine: Engine,
    pub(super) watch: Course,
}

impl Watch for EngineWatch {
    fn poll(&mut self, budget: Budget) -> Turn {
        self.watch.poll(budget)
    }

    fn read(&mut self, budget: Budget) -> Result<Turn, End> {
        self.watch.read(&self.engine, budget)
    }

    fn position(&self) -> Option<Revision> {
        self.watch.position().map(|position| position.0)
    }

    fn start(&self) -> Option<Revision> {
        self.watch.start().map(|start| start.0)
    }

    fn level(&self) -> Level {
        self.watch.level()
    }

    fn is_due(&self) -> bool {
        self.watch.is_due()
    }

    fn oldest(&self) -> Revision {
        self.engine.watches().oldest().0
    }
}

struct Heard(Arc<dyn Ear>);

impl Interested for Heard {
    fn hit(&self, revision: kvcore::Revision) {
        self.0.hit(revision);
    }

    fn look(&self, upto: kvcore::Revision) {
        self.0.look(upto);
    }
}

/// One dispatcher per level.
pub struct EngineDispatch([Dispatcher<Heard>; 2]);

impl std::fmt::Debug for EngineDispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineDispatch").finish_non_exhaustive()
    }
}

impl EngineDispatch {
    pub(super) fn new(engine: &Engine) -> Self {
        Self([
            engine.dispatcher(Level::Durable),
            engine.dispatcher(Level::Latest),
        ])
    }

    fn of(&self, level: Level) -> &Dispatcher<Heard> {
        &self.0[usize::from(level == Level::Latest)]
    }
}

impl Dispatch for EngineDispatch {
    type Watch = EngineWatch;

    fn enter(
        &self,
        watch: &mut EngineWatch,
        ear: &mut dyn FnMut(Arc<Hits>) -> Arc<dyn Ear>,
    ) -> Ticket {
        let (range, level) = (watch.watch.range().clone(), watch.watch.level());
        let dispatcher = self.of(level);
        let (hits, number) = dispatcher.enter(&range, |hits| Heard(ear(hits)));
        watch.watch.follow(hits);
        Ticket {
            range,
            level,
            number,
        }
    }

    fn leave(&self, ticket: &Ticket) {
        self.of(ticket.level).leave(&ticket.range, ticket.number);
    }

    fn dispatch(&self) -> bool {
        let [durable, latest] = &self.0;
        durable.dispatch() | latest.dispatch()
    }
}

pub(super) fn figures(engine: &Engine) -> Figures {
    let hub = engine.watches();
    let counters = &hub.counters;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Figures {
        watches: hub.watches() as u64,
        ring_bytes: hub.ring_bytes(),
        events: std::array::from_fn(|cause| load(&counters.events[cause])),
        log_reads: load(&counters.log_reads),
        log_bytes: load(&counters.log_bytes),
        lookups: load(&counters.lookups),
        resyncs: load(&counters.resyncs),
        compacted: load(&counters.compacted),
    }
}
