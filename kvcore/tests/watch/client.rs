//! One client: it believes what the stream tells, and everything is held against the truth.

mod events;

use std::collections::VecDeque;
use std::sync::Arc;

use kvcore::watch::{
    Budget, Dispatcher, End, Event, Hits, Level, Message, OnCompacted, Source, Turn, Want, Watch,
};
use kvcore::{Engine, ErrorKind, Revision, WatchFrom};

use crate::truth::{State, Truth};

/// The dispatchers of one life.
#[derive(Debug)]
pub(crate) struct Dispatchers(pub(crate) [Dispatcher<Arc<Hits>>; 2]);

impl Dispatchers {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self([
            engine.dispatcher(Level::Durable),
            engine.dispatcher(Level::Latest),
        ])
    }

    fn of(&self, level: Level) -> &Dispatcher<Arc<Hits>> {
        &self.0[usize::from(level == Level::Latest)]
    }

    pub(crate) fn run(&self) {
        for dispatcher in &self.0 {
            while dispatcher.dispatch() {}
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    pub(crate) fragments: u64,
    pub(crate) resyncs: u64,
    pub(crate) compactions: u64,
    pub(crate) lost: u64,
    pub(crate) resumed: u64,
    pub(crate) mirrors: u64,
    pub(crate) previous: u64,
    pub(crate) previous_unavailable: u64,
    pub(crate) values_unavailable: u64,
    pub(crate) refused_state: u64,
}

pub(crate) struct Client {
    pub(crate) want: Want,
    /// Driven by a dispatcher, not by its own looking.
    pub(crate) dispatched: bool,
    watch: Option<Watch>,
    /// Everything up to here has been told; None: begin with the current state.
    pub(crate) position: Option<Revision>,
    mirror: State,
    fragments: Vec<Event>,
    /// The resync under way: events come after what it told before.
    in_resync: bool,
    /// A power cut took back what it was told.
    lost: bool,
    last_in_resync: Revision,
    pub(crate) seen: Seen,
    log: VecDeque<String>,
}

/// What a turn of a client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    On,
    Idle,
    /// Somebody has to ask for this revision.
    Waits(Revision),
}

impl Client {
    pub(crate) fn new(want: Want, dispatched: bool) -> Self {
        Self {
            want,
            dispatched,
            watch: None,
            position: None,
            mirror: State::new(),
            fragments: Vec::new(),
            in_resync: false,
            lost: false,
            last_in_resync: Revision::NONE,
            seen: Seen::default(),
            log: VecDeque::new(),
        }
    }

    fn note(&mut self, what: String) {
        self.log.push_back(what);
        if self.log.len() > 12 {
            self.log.pop_front();
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> String {
        format!(
            "{what}\n  client {:?} dispatched={} position={:?}\n  before: {:#?}",
            self.want, self.dispatched, self.position, self.log
        )
    }

    /// The connection is gone; what was told in part is void.
    pub(crate) fn disconnect(&mut self) {
        self.watch = None;
        self.fragments.clear();
        if self.in_resync {
            self.position = None;
        }
        self.in_resync = false;
    }

    /// The store has come back, and goes on from `recovered`.
    pub(crate) fn recovered(&mut self, recovered: Revision) {
        self.lost |= self.position.is_some_and(|position| position > recovered);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.watch.is_some()
    }

    /// Goes on where it was, or with what it can get.
    pub(crate) fn connect(
        &mut self,
        engine: &Engine,
        truth: &Truth,
        by: Option<&Dispatchers>,
    ) -> Result<(), String> {
        let from = match self.position {
            None => WatchFrom::CurrentState,
            Some(position) => WatchFrom::After(position),
        };
        let mut watch = match engine.open_watch(self.want.clone(), from) {
            Ok(watch) => watch,
            Err(error) if self.lost => {
                let lost = [ErrorKind::RevisionLost, ErrorKind::FutureRevision];
                if !lost.contains(&error.kind()) {
                    return Err(self.wrong(format!("a lost position is refused with {error}")));
                }
                if self.want.level == Level::Durable {
                    return Err(self.wrong(format!("what was durable is lost: {error}")));
                }
                self.seen.lost += 1;
                self.lost = false;
                self.position = None;
                let want = self.want.clone();
                let open = engine.open_watch(want, WatchFrom::CurrentState);
                open.map_err(|error| error.to_string())?
            }
            Err(error) => return Err(self.wrong(format!("a good position is refused: {error}"))),
        };
        if self.lost {
            return Err(self.wrong("a lost position is taken"));
        }
        if let Some(position) = self.position {
            self.seen.resumed += 1;
            if self.is_mirror() && self.mirror != truth.at_in(position, &self.want.range) {
                return Err(self.wrong("the mirror was not what it was"));
            }
        }
        if let Some(dispatchers) = by.filter(|_| self.dispatched) {
            let dispatcher = dispatchers.of(self.want.level);
            let (hits, _) = dispatcher.enter(&self.want.range, |hits| hits);
            watch.follow(hits);
        }
        self.watch = Some(watch);
        Ok(())
    }

    fn is_mirror(&self) -> bool {
        self.want.filter.wants_all()
    }

    pub(crate) fn turn(
        &mut self,
        engine: &Engine,
        source: &dyn Source,
        truth: &Truth,
        budget: Budget,
    ) -> Result<Went, String> {
        let Some(watch) = &mut self.watch else {
            return Ok(Went::Idle);
        };
        let turn = match watch.poll(budget) {
            Turn::Read => watch.read(source, budget),
            turn => Ok(turn),
        };
        let position = watch.position();
        match turn {
            Ok(Turn::Message(message)) => {
                self.message(engine, message, truth, budget)?;
                Ok(Went::On)
            }
            Ok(Turn::Again | Turn::Read) => Ok(Went::On),
            Ok(Turn::Wait(revision)) => Ok(Went::Waits(revision)),
            Ok(Turn::Idle(told)) => {
                self.note(format!("idle at {told}"));
                self.told_nothing(told, position, truth)?;
                Ok(Went::Idle)
            }
            Err(end) => self.ended(end, engine),
        }
    }

    /// Nothing that it wanted happened up to `told`.
    fn told_nothing(
        &mut self,
        told: Revision,
        position: Option<Revision>,
        truth: &Truth,
    ) -> Result<(), String> {
        let Some(before) = self.position else {
            return Err(self.wrong("idle without ever having had a state"));
        };
        let missed = self.wanted(truth, before, told);
        if !missed.is_empty() || !self.fragments.is_empty() {
            return Err(self.wrong(format!("idle at {told}, and missed {missed:?}")));
        }
        self.position = position.map(|position| position.max(before));
        Ok(())
    }

    fn ended(&mut self, end: End, engine: &Engine) -> Result<Went, String> {
        self.note(format!("ended: {end}"));
        let next = self.position.map_or(Revision::NONE, Revision::next);
        match end {
            End::Compacted { oldest } => {
                let legal = self.want.on_compacted == OnCompacted::Cancel && oldest > next;
                if !legal {
                    let what = format!("compacted up to {oldest}, and {next} was wanted");
                    return Err(self.wrong(what));
                }
                self.seen.compactions += 1;
                self.position = None;
            }
            End::Source(_) => {
                self.seen.refused_state += 1;
                self.position = None;
            }
            End::Unreadable(why) => {
                if engine.watermark().failure().is_none() {
                    return Err(self.wrong(why));
                }
            }
            End::Closed => return Err(self.wrong("closed")),
        }
        self.disconnect();
        Ok(Went::Idle)
    }

    fn message(
        &mut self,
        engine: &Engine,
        message: Message,
        truth: &Truth,
        budget: Budget,
    ) -> Result<(), String> {
        self.note(short(&message));
        match message {
            Message::ResyncBegin { .. } => {
                self.seen.resyncs += 1;
                self.in_resync = true;
                self.last_in_resync = Revision::NONE;
                self.fragments.clear();
                self.mirror.clear();
                Ok(())
            }
            Message::State(records) => {
                self.in_resync = true;
                for record in records {
                    self.check_durable(engine, record.mod_revision())?;
                    self.mirror.insert(record.key().to_vec(), record);
                }
                Ok(())
            }
            Message::ResyncEnd { revision } => self.resync_end(engine, revision, truth),
            Message::Events(batch) => self.events(engine, batch, truth, budget),
        }
    }

    fn resync_end(
        &mut self,
        engine: &Engine,
        revision: Revision,
        truth: &Truth,
    ) -> Result<(), String> {
        self.check_durable(engine, revision)?;
        self.in_resync = false;
        self.position = Some(revision);
        // With changes filtered out, the state is that of the pages.
        if self.is_mirror() {
            self.check_mirror(truth, revision)?;
        }
        Ok(())
    }

    fn check_mirror(&mut self, truth: &Truth, revision: Revision) -> Result<(), String> {
        self.seen.mirrors += 1;
        let really = truth.at_in(revision, &self.want.range);
        if self.mirror == really {
            return Ok(());
        }
        let what = format!(
            "the mirror at {revision} is {:?}, and the store was {really:?}",
            self.mirror
        );
        Err(self.wrong(what))
    }

    fn check_durable(&self, engine: &Engine, revision: Revision) -> Result<(), String> {
        let durable = engine.watermark().durable();
        if self.want.level == Level::Durable && revision > durable {
            let what = format!("revision {revision} was shown, and {durable} is durable");
            return Err(self.wrong(what));
        }
        Ok(())
    }
}

fn short(message: &Message) -> String {
    match message {
        Message::Events(batch) => {
            let events = batch.events.iter();
            let keys: Vec<_> = events
                .map(|event| format!("{}@{}", text(event.record.key()), event.revision))
                .collect();
            format!("events {keys:?} to {} more={}", batch.revision, batch.more)
        }
        Message::State(records) => {
            let keys: Vec<_> = records
                .iter()
                .map(|record| format!("{}@{}", text(record.key()), record.mod_revision()))
                .collect();
            format!("state {keys:?}")
        }
        other => format!("{other:?}"),
    }
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
