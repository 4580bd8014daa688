//! What the model expects of a write: it does it and says what must be answered.

use super::actions::{Effect, holds};
use super::answers::{Answer, Branch, Done, Expected, Rec, Refusal, Reveals};
use super::defects::defects;
use super::model::{Changes, Chunk, Model, Twist};
use super::ops::{Bytes, Change, Range, Request, Txn, Write};
use super::txn::Run;

impl Model {
    /// Does a write. What the store remembers of a request for longer than it must, only
    /// the store knows.
    pub(crate) fn write(
        &mut self,
        write: &Write,
        request: Option<&Request>,
        remembers: bool,
    ) -> Expected {
        let chunk = self.chosen();
        if matches!(write, Write::Chunk { .. }) && chunk.is_none() {
            return Expected::one(Answer::NoChunk, Reveals::AtLeast(0));
        }
        let defects = defects(write, request, &self.limits);
        if !defects.is_empty() {
            return Expected {
                answers: defects.into_iter().map(Answer::Refused).collect(),
                reveals: Reveals::Exactly(0),
            };
        }
        if let Some(expected) = request.and_then(|request| self.repeat(request, remembers)) {
            return expected;
        }
        let before = self.revision();
        let expected = match write {
            Write::One(change) => self.one(change),
            Write::All(changes) => self.all(changes),
            Write::Txn(txn) => self.txn(txn),
            Write::DeleteRange { range, limit } => self.delete_range(range, *limit),
            Write::Chunk { .. } => self.chunk(chunk.expect("it was chosen")),
        };
        if let Some(request) = request
            && self.revision() > before
        {
            self.remember(request, repeated(&expected.answers[0]));
        }
        expected
    }

    /// The answer to a request that was done before.
    fn repeat(&self, request: &Request, remembers: bool) -> Option<Expected> {
        let known = self.known(request)?;
        let age = self.now.saturating_sub(known.at);
        if age > self.limits.request_ms && !remembers {
            return None;
        }
        let reveals = Reveals::Exactly(known.revision);
        if known.fingerprint == request.fingerprint {
            return Some(Expected::one(known.answer.clone(), reveals));
        }
        if self.is(Twist::RepeatsOfAReusedIdAreDone) {
            return None;
        }
        let refusal = Refusal::new("RequestIdReused");
        Some(Expected::one(Answer::Refused(refusal), reveals))
    }

    fn one(&mut self, change: &Change) -> Expected {
        let current = self.find(&change.key);
        let seen = Reveals::AtLeast(self.last_change(&change.key));
        let not_applied = |value, applied| Answer::One {
            applied,
            revision: 0,
            record: current.clone(),
            previous: None,
            value,
            replayed: false,
        };
        let condition = change.condition.as_ref();
        if condition.is_some_and(|condition| !holds(condition, current.as_ref())) {
            if self.is(Twist::AFailedConditionTakesARevision) {
                self.waste_a_revision();
            }
            return Expected::one(not_applied(None, false), seen);
        }
        let outcome = match self.act(&change.key, &change.action, current.as_ref()) {
            Ok(outcome) => outcome,
            Err(refusal) => return Expected::one(Answer::Refused(refusal), seen),
        };
        let record = match outcome.effect {
            Effect::Nothing { applied } => {
                return Expected::one(not_applied(outcome.counter, applied), seen);
            }
            Effect::Put(record) => Some(record),
            Effect::Remove => None,
        };
        let revision = self.commit(vec![(change.key.clone(), record.clone())]);
        let answer = Answer::One {
            applied: true,
            revision,
            record,
            previous: current,
            value: outcome.counter,
            replayed: false,
        };
        Expected::one(answer, Reveals::Exactly(revision))
    }

    fn all(&mut self, changes: &[Change]) -> Expected {
        let current: Vec<Option<Rec>> = changes.iter().map(|c| self.find(&c.key)).collect();
        let seen = changes.iter().map(|change| self.last_change(&change.key));
        let seen = Reveals::AtLeast(seen.max().unwrap_or(0));
        let met = |(change, current): (&Change, &Option<Rec>)| {
            let condition = change.condition.as_ref();
            condition.is_none_or(|condition| holds(condition, current.as_ref()))
        };
        let unmet = changes.iter().zip(&current).position(|pair| !met(pair));
        let answer = |revision, unmet| Answer::All {
            revision,
            previous: current.clone(),
            unmet,
            replayed: false,
        };
        if let Some(index) = unmet {
            let unmet = Some((index, current[index].clone()));
            return Expected::one(answer(0, unmet), seen);
        }
        let mut made = Changes::new();
        for (change, current) in changes.iter().zip(&current) {
            match self.act(&change.key, &change.action, current.as_ref()) {
                Ok(outcome) => made.extend(outcome.effect.change(&change.key)),
                Err(refusal) => return Expected::one(Answer::Refused(refusal), seen),
            }
        }
        if made.is_empty() {
            return Expected::one(answer(0, None), seen);
        }
        let revision = self.commit(made);
        Expected::one(answer(revision, None), Reveals::Exactly(revision))
    }

    fn txn(&mut self, txn: &Txn) -> Expected {
        let mut run = Run::new(self);
        let result = run.root(txn);
        let (made, seen) = run.finish();
        let seen = Reveals::AtLeast(seen);
        let branch = match result {
            Ok(branch) => branch,
            Err(refusal) => return Expected::one(Answer::Refused(refusal), seen),
        };
        let (revision, reveals) = if made.is_empty() {
            (0, seen)
        } else {
            let revision = self.commit(made);
            (revision, Reveals::Exactly(revision))
        };
        let answer = Answer::Txn {
            branch,
            revision,
            replayed: false,
        };
        Expected::one(answer, reveals)
    }

    fn delete_range(&mut self, range: &Range, limit: usize) -> Expected {
        let mut keys = Vec::new();
        let mut more = false;
        let there: Vec<Bytes> = self.records().map(|rec| rec.key.clone()).collect();
        for key in there.into_iter().filter(|key| range.contains(key)) {
            let Some(rec) = self.find(&key) else { continue };
            if limit > 0 && keys.len() == limit {
                more = true;
                break;
            }
            keys.push(rec.key);
        }
        let last = keys.last().filter(|_| more).cloned();
        let seen = self.last_change_where(|key| {
            range.contains(key) && last.as_ref().is_none_or(|last| key <= last)
        });
        self.removed(keys, more, seen)
    }

    fn chunk(&mut self, Chunk { keys, more }: Chunk) -> Expected {
        let seen = keys.iter().map(|key| self.last_change(key)).max();
        let live = keys.into_iter().filter(|key| self.find(key).is_some());
        let live = live.collect();
        self.removed(live, more, seen.unwrap_or(0))
    }

    fn removed(&mut self, keys: Vec<Bytes>, more: bool, seen: u64) -> Expected {
        let deleted = keys.len() as u64;
        let (revision, reveals) = if keys.is_empty() {
            (0, Reveals::AtLeast(seen))
        } else {
            let revision = self.commit(keys.into_iter().map(|key| (key, None)).collect());
            (revision, Reveals::Exactly(revision))
        };
        let more = more && !self.is(Twist::ALimitCutsWithoutSayingSo);
        let answer = Answer::Range {
            deleted,
            more,
            revision,
            replayed: false,
        };
        Expected::one(answer, reveals)
    }
}

/// As it is answered again: what was decided and counted, nothing that was read.
fn repeated(answer: &Answer) -> Answer {
    let mut again = answer.clone();
    match &mut again {
        Answer::One {
            record,
            previous,
            replayed,
            ..
        } => (*record, *previous, *replayed) = (None, None, true),
        Answer::All {
            previous, replayed, ..
        } => (*previous, *replayed) = (Vec::new(), true),
        Answer::Txn {
            branch, replayed, ..
        } => {
            forget_records(branch);
            *replayed = true;
        }
        Answer::Range { replayed, .. } => *replayed = true,
        Answer::NoChunk | Answer::Refused(_) => {}
    }
    again
}

fn forget_records(branch: &mut Branch) {
    for done in &mut branch.results {
        match done {
            Done::Get(_) | Done::RangeGet { .. } => *done = Done::Get(None),
            Done::Set { record, previous } => (*record, *previous) = (None, None),
            Done::Delete { previous, .. } => *previous = None,
            Done::Increment { record, .. } | Done::Expire { record, .. } => *record = None,
            Done::RangeDelete { .. } => {}
            Done::Txn(branch) => forget_records(branch),
        }
    }
}
