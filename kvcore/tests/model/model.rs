//! The model: a sorted map, a clock and the requests that were named, written from what
//! users are promised. It judges one operation at a time and is told what it cannot know:
//! which expired keys the store has taken away, and where a restart has brought it.

use std::collections::BTreeMap;

use super::answers::{Answer, Rec};
use super::ops::{Bytes, Range, Request, Write};

/// Ways to be wrong on purpose: each must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    KeepForgetsTheDeadline,
    AnExpiryChangeKeepsTheVersion,
    IncrementsDropTheDeadline,
    NeverIsEarly,
    AFailedConditionTakesARevision,
    AnEmptyRangePassesEveryCompare,
    ADeadlineIsTheLastMoment,
    NestedComparesSeeEarlierWrites,
    RepeatsOfAReusedIdAreDone,
    ALimitCutsWithoutSayingSo,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
    /// Of one unit.
    pub(crate) operations: usize,
    pub(crate) unit_bytes: usize,
    /// How long a request's id is known for certain.
    pub(crate) request_ms: u64,
}

/// What is there after one revision.
#[derive(Clone, Debug, Default)]
struct State {
    /// Also those that have expired and were not taken away.
    keys: BTreeMap<Bytes, Rec>,
    /// When a key that is not there was removed last.
    gone: BTreeMap<Bytes, u64>,
    /// The store's clock when that was so.
    at: u64,
    /// Several removals of the sweeper are one step here: some of them may be missing.
    vague: bool,
}

/// What became of a request with an id.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) fingerprint: u64,
    pub(crate) revision: u64,
    pub(crate) at: u64,
    /// As it is repeated.
    pub(crate) answer: Answer,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    /// The store's own clock, ms.
    pub(crate) now: u64,
    /// What users are shown less that, ms.
    pub(crate) skew: i64,
    pub(crate) twist: Option<Twist>,
    state: State,
    /// Of the newest change.
    revision: u64,
    /// Of the next.
    next: u64,
    /// The states that a crash may bring back, by revision.
    past: BTreeMap<u64, State>,
    requests: BTreeMap<(Bytes, u32), Vec<Known>>,
    /// The keys of a chunk that is about to be removed.
    chunk: Option<Chunk>,
    /// An expired key that an answer took for absent while it was still there.
    stumbled: Option<Bytes>,
}

/// The first keys of a range, also those that have expired, and whether there are more.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) keys: Vec<Bytes>,
    pub(crate) more: bool,
}

/// A key and what it holds from now on.
pub(crate) type Changes = Vec<(Bytes, Option<Rec>)>;

impl Model {
    /// A new store.
    pub(crate) fn new(limits: Limits, now: u64) -> Self {
        let mut model = Self {
            limits,
            now,
            skew: 0,
            twist: None,
            state: State::default(),
            revision: 1,
            next: 2,
            past: BTreeMap::new(),
            requests: BTreeMap::new(),
            chunk: None,
            stumbled: None,
        };
        model.state.at = now;
        model.past.insert(1, model.state.clone());
        model
    }

    pub(crate) fn is(&self, twist: Twist) -> bool {
        self.twist == Some(twist)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// All records, also those that have expired.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Rec> {
        self.state.keys.values()
    }

    pub(crate) fn expired(&self, rec: &Rec) -> bool {
        if self.is(Twist::ADeadlineIsTheLastMoment) {
            return rec.deadline != 0 && rec.deadline < self.now;
        }
        rec.deadline != 0 && rec.deadline <= self.now
    }

    /// What users find.
    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = &Rec> {
        let all = self.state.keys.values();
        all.filter(|rec| !self.expired(rec))
    }

    /// As [`Model::live`], of a key that an answer is about: if it has expired it must be
    /// gone by then.
    pub(crate) fn find(&mut self, key: &Bytes) -> Option<Rec> {
        let rec = self.state.keys.get(key)?;
        if self.expired(rec) {
            self.stumbled = Some(key.clone());
            return None;
        }
        Some(rec.clone())
    }

    pub(crate) fn find_in(&mut self, range: &Range) -> Vec<Rec> {
        let keys: Vec<Bytes> = self.state.keys.keys().cloned().collect();
        let within = keys.into_iter().filter(|key| range.contains(key));
        within.filter_map(|key| self.find(&key)).collect()
    }

    /// The key that an answer took for absent although its expired record was there.
    pub(crate) fn stumbled(&mut self) -> Option<Bytes> {
        self.stumbled.take()
    }

    /// The revision of the last change of a key, be it its removal.
    pub(crate) fn last_change(&self, key: &Bytes) -> u64 {
        let there = self.state.keys.get(key).map(|rec| rec.modified);
        there.unwrap_or_else(|| self.state.gone.get(key).copied().unwrap_or(0))
    }

    /// That of all keys for which `f` holds.
    pub(crate) fn last_change_where(&self, f: impl Fn(&Bytes) -> bool) -> u64 {
        let keys = self.state.keys.keys().chain(self.state.gone.keys());
        let changes = keys.filter(|key| f(key)).map(|key| self.last_change(key));
        changes.max().unwrap_or(0)
    }

    /// Makes a change and gives it its revision.
    pub(crate) fn commit(&mut self, changes: Changes) -> u64 {
        let revision = self.next;
        for (key, rec) in changes {
            self.put(key, rec, revision);
        }
        self.state.at = self.now;
        self.state.vague = false;
        self.revision = revision;
        self.next += 1;
        self.past.insert(revision, self.state.clone());
        revision
    }

    fn put(&mut self, key: Bytes, rec: Option<Rec>, revision: u64) {
        if let Some(rec) = rec {
            self.state.gone.remove(&key);
            self.state.keys.insert(key, rec);
        } else {
            self.state.keys.remove(&key);
            self.state.gone.insert(key, revision);
        }
    }

    /// Takes a revision for nothing: only wrong models do.
    pub(crate) fn waste_a_revision(&mut self) {
        self.commit(Vec::new());
    }

    /// A write is about to be made: a chunk is chosen before anything gets out of its way.
    pub(crate) fn begin(&mut self, write: &Write, request: Option<&Request>) {
        let Write::Chunk { range, limit } = write else {
            return;
        };
        let there = self.records().filter(|rec| range.contains(&rec.key));
        let mut keys: Vec<Bytes> = there.map(|rec| rec.key.clone()).collect();
        let most = match *limit {
            0 => self.limits.operations,
            limit => limit.min(self.limits.operations),
        };
        let more = keys.len() > most;
        keys.truncate(most);
        // A request with an id may ask what became of keys that are gone.
        let some = request.is_some() || !keys.is_empty();
        self.chunk = some.then_some(Chunk { keys, more });
    }

    pub(crate) fn chosen(&mut self) -> Option<Chunk> {
        self.chunk.take()
    }

    /// The store has taken these away because their time had come. The revision, if any.
    pub(crate) fn expire(&mut self, due: &[Rec]) -> Result<u64, String> {
        for rec in due {
            let there = self.state.keys.get(&rec.key);
            if there != Some(rec) {
                return Err(format!("{rec:?} was due; the model has {there:?}"));
            }
            if !self.expired(rec) {
                let now = self.now;
                return Err(format!("{rec:?} was due at {now}: too early"));
            }
        }
        if due.is_empty() {
            return Ok(0);
        }
        let changes = due.iter().map(|rec| (rec.key.clone(), None)).collect();
        Ok(self.commit(changes))
    }

    /// The sweeper has taken away what has expired, in so many units.
    pub(crate) fn sweep(&mut self, units: u64) -> u64 {
        let due = self.state.keys.values().filter(|rec| self.expired(rec));
        let due: Vec<Bytes> = due.map(|rec| rec.key.clone()).collect();
        let swept = due.len() as u64;
        // Which key went first is not known: reveal no more than is certain.
        let first = self.next;
        for between in 0..units.saturating_sub(1) {
            let mut state = self.state.clone();
            (state.at, state.vague) = (self.now, true);
            self.past.insert(first + between, state);
        }
        if units > 0 {
            self.next += units - 1;
            self.commit(due.into_iter().map(|key| (key, None)).collect());
            let gone = self.state.gone.values_mut();
            gone.filter(|at| **at == first + units - 1)
                .for_each(|at| *at = first);
            self.past.insert(self.revision, self.state.clone());
        }
        swept
    }

    /// The clock of the moment to which a crash at this revision may lead back at most.
    pub(crate) fn past_at(&self, revision: u64) -> Option<u64> {
        self.past.get(&revision).map(|state| state.at)
    }

    /// How many changes a crash that leads back to this revision takes away.
    pub(crate) fn since(&self, revision: u64) -> u64 {
        self.past.range(revision + 1..).count() as u64
    }

    /// Only what was so at `revision` is left, and numbering goes on at `next`. True: some
    /// of what had expired may be gone or not.
    pub(crate) fn restart(&mut self, revision: u64, next: u64) -> bool {
        self.state = self.past.remove(&revision).expect("asked for before");
        for known in self.requests.values_mut() {
            known.retain(|known| known.revision <= revision);
        }
        (self.revision, self.next) = (revision, next);
        self.past.clear();
        self.past.insert(revision, self.state.clone());
        std::mem::take(&mut self.state.vague)
    }

    /// The store has swept what may have been swept before, and is durable at `revision`.
    pub(crate) fn converge(&mut self, revision: u64) {
        let expired = self.state.keys.values().filter(|rec| self.expired(rec));
        for key in expired.map(|rec| rec.key.clone()).collect::<Vec<_>>() {
            self.state.keys.remove(&key);
        }
        if revision != self.revision {
            (self.revision, self.next) = (revision, revision + 1);
        }
        self.past.clear();
        self.past.insert(self.revision, self.state.clone());
    }

    /// The store cannot go back behind this any more.
    pub(crate) fn durable(&mut self, revision: u64) {
        while let Some((&oldest, _)) = self.past.first_key_value()
            && oldest < revision
        {
            self.past.pop_first();
        }
    }

    pub(crate) fn known(&self, request: &Request) -> Option<&Known> {
        let key = (request.id.clone(), request.item);
        self.requests.get(&key)?.last()
    }

    pub(crate) fn remember(&mut self, request: &Request, answer: Answer) {
        let known = Known {
            fingerprint: request.fingerprint,
            revision: self.revision,
            at: self.now,
            answer,
        };
        let key = (request.id.clone(), request.item);
        self.requests.entry(key).or_default().push(known);
    }
}
