//! What clients know, and what a recovered store must therefore hold.

use std::collections::{BTreeMap, BTreeSet};

use kvcore::{Engine, Record, Revision};

/// A unit as it was applied: per key the value, or that the key was deleted.
pub(crate) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Something that a client was told and that must not become untrue.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) revision: Revision,
    pub(crate) what: String,
}

/// Every unit ever applied, and every promise made.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Units that may still be there.
    units: BTreeMap<Revision, Changes>,
    /// Every revision that ever named a unit.
    used: BTreeSet<Revision>,
    /// Must survive power loss.
    pub(crate) durable: Vec<Promise>,
    /// Must survive the end of the process.
    pub(crate) logged: Vec<Promise>,
}

impl Oracle {
    pub(crate) fn applied(&mut self, revision: Revision, changes: Changes) -> Result<(), String> {
        if !self.used.insert(revision) {
            return Err(format!("revision {revision} names a second unit"));
        }
        self.units.insert(revision, changes);
        Ok(())
    }

    /// The last change of a key, if there was one.
    pub(crate) fn last_change(&self, key: &[u8]) -> Option<Revision> {
        let names = |changes: &Changes| changes.iter().any(|(k, _)| k == key);
        self.units
            .iter()
            .rev()
            .find(|(_, changes)| names(changes))
            .map(|(r, _)| *r)
    }

    /// Does the key have a value, before the unit that is being applied?
    pub(crate) fn present(&self, key: &[u8]) -> bool {
        let change = |changes: &Changes| {
            changes
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value.is_some())
        };
        self.units.values().rev().find_map(change).unwrap_or(false)
    }

    /// Holds a recovered store against everything that is known, and forgets what was
    /// rightly lost. Returns how many units were.
    pub(crate) fn check(&mut self, store: &Engine, survived: Survived) -> Result<u64, String> {
        let at = store.store_revision();
        let promises = match survived {
            Survived::PowerCut => self.durable.iter().chain(&[][..]),
            Survived::Kill => self.durable.iter().chain(&self.logged[..]),
        };
        for promise in promises {
            if promise.revision > at {
                return Err(format!(
                    "{} at revision {}, and the store came back at {at}",
                    promise.what, promise.revision
                ));
            }
        }
        let lost = self.units.split_off(&at.next());
        if at > Revision::START && !self.units.contains_key(&at) {
            return Err(format!(
                "the store came back at revision {at}, which names no unit"
            ));
        }
        self.compare(store)?;
        let kept = |promise: &Promise| promise.revision <= at;
        self.logged.retain(kept);
        self.durable.retain(kept);
        Ok(lost.len() as u64)
    }

    /// The store equals the fold of all units, key by key and field by field.
    pub(crate) fn compare(&self, store: &Engine) -> Result<(), String> {
        let mut expected: BTreeMap<&[u8], Expected<'_>> = BTreeMap::new();
        for (&revision, changes) in &self.units {
            for (key, value) in changes {
                let Some(value) = value else {
                    expected.remove(&key[..]);
                    continue;
                };
                let before = expected.get(&key[..]);
                let created = before.map_or(revision, |e| e.created);
                let version = before.map_or(1, |e| e.version + 1);
                expected.insert(
                    key,
                    Expected {
                        value,
                        modified: revision,
                        created,
                        version,
                    },
                );
            }
        }
        let mut bytes = 0;
        let mut problem = None;
        let mut keys = 0;
        store.for_each(|record| {
            keys += 1;
            bytes += record.accounted_bytes();
            match expected.get(record.key()) {
                Some(right) if right.matches(record) => {}
                other => problem = Some(format!("{record:?} is there, {other:?} should be")),
            }
        });
        if let Some(problem) = problem {
            return Err(problem);
        }
        if keys != expected.len() {
            return Err(format!(
                "{keys} keys are there, {} should be",
                expected.len()
            ));
        }
        let accounted = store.status().memory_bytes;
        if accounted != bytes {
            return Err(format!(
                "{accounted} bytes are accounted, {bytes} are there"
            ));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survived {
    PowerCut,
    Kill,
}

#[derive(Debug)]
struct Expected<'a> {
    value: &'a [u8],
    modified: Revision,
    created: Revision,
    version: u64,
}

impl Expected<'_> {
    fn matches(&self, record: &Record) -> bool {
        record.value() == self.value
            && record.mod_revision() == self.modified
            && record.create_revision() == self.created
            && record.version() == self.version
    }
}
