//! What was asked and answered, and what a restart may make of it.
//!
//! Every value names the request that wrote it, so every byte that comes back can be
//! traced. With R the revision that the restarted store is at, this must hold:
//!
//! 1. an answered LOGGED or SYNCED write has a revision of at most R, a SYNCED one also
//!    after the power went;
//! 2. every answered write at or below R is in effect or overwritten by a later one;
//! 3. what is there was asked for, byte for byte, for that key, and not refused;
//! 4. no revision ever names two requests, lost ones included;
//! 5. a request that began after another was answered has the higher revision;
//! 6. what a reply called durable is at or below R.

mod check;
mod totals;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kvbench::rng::Rng;
use kvproto::v1;

pub(crate) use totals::Totals;

pub(crate) const KEYS: u64 = 600;

/// How far a write had to get before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    None,
    Logged,
    Synced,
}

impl Durability {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Logged, Self::Synced];

    pub(crate) fn wire(self) -> v1::Durability {
        match self {
            Self::None => v1::Durability::None,
            Self::Logged => v1::Durability::Logged,
            Self::Synced => v1::Durability::Synced,
        }
    }
}

/// A write as it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) key: u64,
    pub(crate) set: bool,
    pub(crate) durability: Durability,
}

impl Asked {
    pub(crate) fn set(key: u64, durability: Durability) -> Self {
        Self {
            key,
            set: true,
            durability,
        }
    }

    pub(crate) fn delete(key: u64, durability: Durability) -> Self {
        Self {
            key,
            set: false,
            durability,
        }
    }
}

/// What the daemon said about a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Applied(i64),
    /// A delete of nothing.
    Nothing,
    Refused(String),
}

#[derive(Debug)]
struct Request {
    asked: Asked,
    answer: Option<Answer>,
    /// The newest revision that anybody had been told when this was sent.
    floor: i64,
}

/// A record as somebody saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) mod_revision: i64,
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
}

/// A store after its restart: a record or none for every key.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<Option<Sight>>,
    pub(crate) revision: i64,
    pub(crate) keys: i64,
}

/// Everything about one store, over all its restarts.
#[derive(Debug, Default)]
pub(crate) struct History {
    requests: HashMap<u64, Request>,
    next_id: u64,
    /// Requests of this cycle, in the order in which they were sent.
    cycle: Vec<u64>,
    meaning: HashMap<i64, u64>,
    /// What each key held after the last restart: the request and its revision.
    base: HashMap<u64, (u64, i64)>,
    newest_told: i64,
    newest_durable: i64,
    /// Power goes, not processes: what is not on the device may be lost.
    power_goes: bool,
    violations: Vec<String>,
}

/// The history as the clients share it; all of them run on one thread.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    history: Rc<RefCell<History>>,
    open: Rc<Cell<usize>>,
}

/// A read that has no answer yet.
#[derive(Debug)]
pub(crate) struct Open(Rc<Cell<usize>>);

impl Open {
    /// It will never have one.
    pub(crate) fn stays(self) {
        // Takes back what dropping is about to do.
        self.0.set(self.0.get() + 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The bytes that request `id` writes.
pub(crate) fn value(id: u64) -> Vec<u8> {
    let mut rng = Rng::new(id);
    let len = if rng.below(64) == 0 {
        rng.below(100_000)
    } else {
        rng.below(700)
    };
    let mut bytes = id.to_le_bytes().to_vec();
    while (bytes.len() as u64) < 8 + len {
        bytes.extend_from_slice(&rng.bits().to_le_bytes());
    }
    bytes
}

/// Binary, as keys may be.
pub(crate) fn key(index: u64) -> Vec<u8> {
    let mut key = b"k\0\xff".to_vec();
    key.extend_from_slice(&index.to_le_bytes()[..2]);
    key
}

impl History {
    pub(crate) fn shared(power_goes: bool) -> Shared {
        let history = Self {
            power_goes,
            ..Self::default()
        };
        Shared {
            history: Rc::new(RefCell::new(history)),
            open: Rc::default(),
        }
    }

    fn violation(&mut self, what: String) {
        if self.violations.len() < 20 {
            self.violations.push(what);
        }
    }

    /// Rule 4.
    fn means(&mut self, revision: i64, id: u64) {
        let before = *self.meaning.entry(revision).or_insert(id);
        if before != id {
            self.violation(format!(
                "revision {revision} names request {before} and request {id}"
            ));
        }
    }

    /// Rule 3 for one record, and 4; returns the request that wrote it.
    fn trace(&mut self, sight: &Sight) -> Option<u64> {
        let id = sight.value.first_chunk().copied().map(u64::from_le_bytes);
        let known = id.and_then(|id| self.requests.get(&id).map(|request| (id, request)));
        let Some((id, request)) = known else {
            self.violation(format!(
                "key {:?} holds {} bytes that nobody wrote",
                sight.key,
                sight.value.len()
            ));
            return None;
        };
        let whole = request.asked.set
            && key(request.asked.key) == sight.key
            && value(id) == sight.value
            && !matches!(request.answer, Some(Answer::Refused(_) | Answer::Nothing));
        let early = sight.mod_revision <= request.floor;
        let moved = matches!(request.answer, Some(Answer::Applied(r)) if r != sight.mod_revision);
        let odd = sight.create_revision > sight.mod_revision || sight.version < 1;
        if !whole || early || moved || odd {
            let what = format!("{request:?} was seen as {}", describe(sight));
            self.violation(format!("request {id}: {what}"));
        }
        self.means(sight.mod_revision, id);
        Some(id)
    }
}

impl Shared {
    /// A write is about to be sent.
    pub(crate) fn ask(&self, asked: Asked) -> u64 {
        self.open.set(self.open.get() + 1);
        let mut history = self.history.borrow_mut();
        let id = history.next_id;
        history.next_id += 1;
        let floor = history.newest_told;
        history.cycle.push(id);
        history.requests.insert(
            id,
            Request {
                asked,
                answer: None,
                floor,
            },
        );
        id
    }

    /// A write was answered. Rules 4 and 5.
    pub(crate) fn answer(&self, id: u64, answer: Answer) {
        self.open.set(self.open.get() - 1);
        let mut history = self.history.borrow_mut();
        if let Answer::Applied(revision) = answer {
            history.means(revision, id);
            let floor = history.requests[&id].floor;
            if revision <= floor {
                let what = format!("request {id} got revision {revision}, {floor} was told before");
                history.violation(what);
            }
            history.newest_told = history.newest_told.max(revision);
        }
        if let Some(request) = history.requests.get_mut(&id) {
            request.answer = Some(answer);
        }
    }

    /// A read is about to be sent.
    pub(crate) fn open(&self) -> Open {
        self.open.set(self.open.get() + 1);
        Open(self.open.clone())
    }

    /// Every reply says how far the log is.
    pub(crate) fn see_header(&self, header: Option<v1::ResponseHeader>) {
        let mut history = self.history.borrow_mut();
        match header {
            Some(header) => {
                history.newest_durable = history.newest_durable.max(header.durable_revision);
            }
            None => history.violation("a reply has no header".into()),
        }
    }

    /// A read showed a record. Rules 3, 4 and 6.
    pub(crate) fn see(&self, sight: &Sight, durable: bool) {
        let mut history = self.history.borrow_mut();
        history.trace(sight);
        if durable {
            history.newest_durable = history.newest_durable.max(sight.mod_revision);
        }
    }

    /// Waits until at least `least` requests have no answer.
    pub(crate) async fn wait_for_open(&self, least: usize) -> Result<(), String> {
        let limit = Instant::now() + Duration::from_secs(10);
        while self.open.get() < least {
            if Instant::now() > limit {
                return Err(format!("only {} requests are open", self.open.get()));
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The daemon is dead: how many requests it left without an answer.
    pub(crate) fn end_cycle(&self, totals: &mut Totals) -> Result<usize, String> {
        let open = self.open.replace(0);
        totals.kills += 1;
        totals.open_min = totals.open_min.min(open);
        self.verdict()?;
        Ok(open)
    }

    /// Compares a restarted store with the history.
    pub(crate) fn check(&self, found: &Found, totals: &mut Totals) -> Result<(), String> {
        self.history.borrow_mut().compare(found, totals);
        self.verdict()
    }

    fn verdict(&self) -> Result<(), String> {
        let history = self.history.borrow();
        if history.violations.is_empty() {
            return Ok(());
        }
        Err(history.violations.join("\n  "))
    }
}

fn describe(sight: &Sight) -> String {
    let id = sight.value.first_chunk().copied().map(u64::from_le_bytes);
    format!(
        "key {:?}, {} bytes of request {id:?}, mod_revision {}, create_revision {}, version {}",
        sight.key,
        sight.value.len(),
        sight.mod_revision,
        sight.create_revision,
        sight.version
    )
}
