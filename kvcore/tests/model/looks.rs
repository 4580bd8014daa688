//! Looks at the engine, held against the model.

use std::collections::BTreeMap;

use kvcore::{Digest, PageLimit, Record, Revealed};

use crate::answers::Rec;
use crate::defects::of_key;
use crate::engine;
use crate::model::Model;
use crate::ops::{Bytes, Look, PageOf, Range};
use crate::store::Store;

/// Contents of ranges and their digests: equal exactly if the contents are.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    of: BTreeMap<Vec<(Bytes, Bytes)>, [u8; 16]>,
    contents: BTreeMap<[u8; 16], Vec<(Bytes, Bytes)>>,
}

type Checked = Result<(), String>;

pub(crate) fn differ<T: std::fmt::Debug>(what: &str, expected: &T, found: &T) -> String {
    format!("{what}\n  expected {expected:?}\n  found    {found:?}")
}

pub(crate) fn equal<T: std::fmt::Debug + PartialEq>(
    what: &str,
    expected: &T,
    found: &T,
) -> Checked {
    if expected == found {
        return Ok(());
    }
    Err(differ(what, expected, found))
}

/// One look with all that must hold for it.
pub(crate) struct Looking<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) model: &'a mut Model,
    pub(crate) digests: &'a mut Digests,
}

impl Looking<'_> {
    pub(crate) fn look(&mut self, look: &Look) -> Checked {
        match look {
            Look::Get(key) => self.get(key),
            Look::Batch(keys) => self.batch(keys),
            Look::Page(of, after) => self.page(of, after.as_ref()).map(drop),
            Look::Scan(of) => self.scan(of),
            Look::Count { range, keys } => self.count(range, *keys),
            Look::Hash(range) => self.hash(range),
        }
    }

    fn get(&mut self, key: &Bytes) -> Checked {
        let answer = match self.store.engine.look(&key.0) {
            Ok(answer) => answer,
            Err(error) => {
                let wanted = of_key(key, &self.model.limits);
                return equal("refusal", &wanted, &Some(engine::refusal(&error)));
            }
        };
        if let Some(wanted) = of_key(key, &self.model.limits) {
            return Err(format!("{wanted:?} was expected, and it was answered"));
        }
        if let Some(record) = &answer.value {
            let shown = self.store.engine.expires_at_ms(record);
            let wanted = self.model.shown(record.deadline_ms());
            equal("the moment shown for a deadline", &wanted, &shown)?;
        }
        let found = answer.value.as_ref().map(engine::rec);
        let truth = self.model.last_change(key);
        self.settle(&answer, truth, |other| other == key)?;
        equal("record", &self.model.find(key), &found)
    }

    fn batch(&mut self, keys: &[Bytes]) -> Checked {
        let bytes: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
        let limits = self.model.limits;
        let too_many = keys.len() > limits.operations;
        let bad = keys.iter().any(|key| of_key(key, &limits).is_some());
        let answer = match self.store.engine.look_all(&bytes) {
            Ok(_) if too_many || bad => return Err("it should have been refused".to_owned()),
            Ok(answer) => answer,
            Err(_) if too_many || bad => return Ok(()),
            Err(error) => return Err(format!("refused: {error}")),
        };
        let record = |found: &Option<Record>| found.as_ref().map(engine::rec);
        let found: Vec<Option<Rec>> = answer.value.iter().map(record).collect();
        let truth = keys.iter().map(|key| self.model.last_change(key)).max();
        self.settle(&answer, truth.unwrap_or(0), |key| keys.contains(key))?;
        let wanted: Vec<Option<Rec>> = keys.iter().map(|key| self.model.find(key)).collect();
        equal("records", &wanted, &found)
    }

    /// One page; where to go on, and what it held.
    fn page(&mut self, of: &PageOf, after: Option<&Bytes>) -> Result<Paged, String> {
        let limit = PageLimit {
            records: of.records,
            bytes: of.bytes,
        };
        let range = engine::range(&of.range);
        let from = after.map(|after| after.0.as_slice());
        let answer = self
            .store
            .engine
            .look_page(&range, from, of.reverse, limit)
            .map_err(|error| format!("refused: {error}"))?;
        let found = engine::recs(&answer.value.records);
        let next = answer.value.next.clone().map(Bytes);
        let behind = |a: &Bytes, b: &Bytes| if of.reverse { a < b } else { a > b };
        if let Some(next) = &next
            && (!of.range.contains(next) || after.is_some_and(|after| !behind(next, after)))
        {
            return Err(format!("to go on behind {next:?} leads nowhere"));
        }
        let inside = |key: &Bytes| {
            of.range.contains(key)
                && after.is_none_or(|after| behind(key, after))
                && next.as_ref().is_none_or(|next| !behind(key, next))
        };
        self.full(of, &found, next.as_ref(), inside, behind)?;
        let truth = self.model.last_change_where(inside);
        self.settle(&answer, truth, inside)?;
        let mut wanted: Vec<Rec> = self
            .model
            .live()
            .filter(|r| inside(&r.key))
            .cloned()
            .collect();
        if of.reverse {
            wanted.reverse();
        }
        equal("page", &wanted, &found)?;
        Ok((next, found))
    }

    /// A page ends at its limits or with the range, and not before.
    fn full(
        &self,
        of: &PageOf,
        found: &[Rec],
        next: Option<&Bytes>,
        inside: impl Fn(&Bytes) -> bool,
        behind: impl Fn(&Bytes, &Bytes) -> bool,
    ) -> Checked {
        let bytes = |recs: &[Rec]| -> usize {
            recs.iter().map(|rec| rec.key.len() + rec.value.len()).sum()
        };
        let but_last = &found[..found.len().saturating_sub(1)];
        if found.len() > of.records || (!but_last.is_empty() && bytes(but_last) >= of.bytes) {
            return Err(format!("a page beyond its limits: {found:?}"));
        }
        let Some(next) = next else { return Ok(()) };
        let walked = self.model.records().filter(|rec| inside(&rec.key)).count();
        let by_bytes = bytes(found) >= of.bytes;
        let beyond = |rec: &Rec| of.range.contains(&rec.key) && behind(&rec.key, next);
        let left = self.model.records().any(beyond);
        if by_bytes || (walked == of.records && left) {
            return Ok(());
        }
        Err(format!(
            "the page ended at {next:?} for no reason: {found:?}"
        ))
    }

    fn scan(&mut self, of: &PageOf) -> Checked {
        let mut all: Vec<Rec> = Vec::new();
        let mut after = None;
        loop {
            let (next, found) = self.page(of, after.as_ref())?;
            all.extend(found);
            after = next;
            if after.is_none() {
                break;
            }
        }
        let live = self.model.live().filter(|rec| of.range.contains(&rec.key));
        let mut wanted: Vec<Rec> = live.cloned().collect();
        if of.reverse {
            wanted.reverse();
        }
        equal("scan", &wanted, &all)
    }

    fn count(&mut self, range: &Range, keys: usize) -> Checked {
        let (mut sum, mut after) = (0, None::<Vec<u8>>);
        loop {
            let answer = self
                .store
                .engine
                .look_count(&engine::range(range), after.as_deref(), keys)
                .map_err(|error| format!("refused: {error}"))?;
            let from = after.map(Bytes);
            let next = answer.value.next.clone().map(Bytes);
            let inside = |key: &Bytes| {
                range.contains(key)
                    && from.as_ref().is_none_or(|from| key > from)
                    && next.as_ref().is_none_or(|next| key <= next)
            };
            let truth = self.model.last_change_where(inside);
            self.settle(&answer, truth, inside)?;
            sum += answer.value.count;
            after = answer.value.next;
            if after.is_none() {
                break;
            }
        }
        let wanted = self.model.live().filter(|rec| range.contains(&rec.key));
        equal("count", &(wanted.count() as u64), &sum)
    }

    /// The engine takes away by itself what this meets.
    fn hash(&mut self, range: &Range) -> Checked {
        let answer = self
            .store
            .engine
            .hash(&engine::range(range))
            .map_err(|error| format!("refused: {error}"))?;
        let due = self.model.records().filter(|rec| range.contains(&rec.key));
        let due: Vec<Rec> = due.filter(|rec| self.model.expired(rec)).cloned().collect();
        self.model.expire(&due)?;
        let wanted = self.model.revision();
        equal("store revision", &wanted, &answer.store_revision.0)?;
        let live = self.model.live().filter(|rec| range.contains(&rec.key));
        let content: Vec<_> = live.map(|r| (r.key.clone(), r.value.clone())).collect();
        let Digest { hash, keys } = answer.value;
        equal("keys of a digest", &(content.len() as u64), &keys)?;
        let digest = *self.digests.of.entry(content.clone()).or_insert(hash);
        equal("digest of equal contents", &digest, &hash)?;
        let same = self.digests.contents.entry(hash).or_insert(content.clone());
        equal("contents of equal digests", &content, same)
    }

    /// What every look owes: it leaves out exactly what has expired, has that taken away
    /// under one revision, and says which revision it gives away.
    fn settle<T>(
        &mut self,
        answer: &Revealed<T>,
        truth: u64,
        met: impl Fn(&Bytes) -> bool,
    ) -> Checked {
        let newest = self.model.revision();
        equal("store revision", &newest, &answer.store_revision.0)?;
        let mut due = engine::recs(&answer.due);
        due.sort_by(|a, b| a.key.cmp(&b.key));
        due.dedup();
        let expired = self.model.records().filter(|rec| met(&rec.key));
        let expired = expired.filter(|rec| self.model.expired(rec));
        let expired: Vec<Rec> = expired.cloned().collect();
        equal("expired records", &expired, &due)?;
        let mut revealed = answer.revealed.0;
        let mut least = truth;
        if let Some(removal) = self.store.remove(&answer.due)? {
            let revision = self.model.expire(&due)?;
            equal("revision of a removal", &revision, &removal.revision)?;
            (revealed, least) = (revealed.max(revision), revision);
        }
        if revealed < least || revealed > self.model.revision() {
            return Err(format!("{least} is given away, and it says {revealed}"));
        }
        Ok(())
    }
}

/// Where to go on, and what the page held.
type Paged = (Option<Bytes>, Vec<Rec>);
