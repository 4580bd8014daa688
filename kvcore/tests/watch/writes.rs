//! What a story does to its store, and what the truth hears of it.

use kvcore::base::op::Cause;
use kvcore::{
    Admitted, Attempt, Engine, Error, Expiry, KeyRange, Mutation, Prepared, Record, Revision,
};

use crate::pages::remove;
use crate::story::{Life, Story};

const KEYS: u64 = 9;

impl Story<'_> {
    fn key(&mut self) -> Vec<u8> {
        let prefix = if self.rng.chance(2, 3) { 'a' } else { 'b' };
        format!("{prefix}/{}", self.rng.below(KEYS / 2 + 1)).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let len = if self.rng.chance(1, 6) {
            self.rng.below(2000)
        } else {
            self.rng.below(40)
        };
        let byte = self.rng.below(255).to_le_bytes()[0];
        vec![byte; usize::try_from(len).expect("small")]
    }

    pub(crate) fn write(&mut self, life: &mut Life) -> Result<(), String> {
        match self.rng.below(10) {
            0..=3 => self.set(life, false),
            4 => {
                self.delete(life);
                Ok(())
            }
            5..=6 => self.several(life),
            7..=8 => self.expire(life),
            _ => {
                self.delete_range(life);
                Ok(())
            }
        }
    }

    pub(crate) fn set(&mut self, life: &mut Life, one_key: bool) -> Result<(), String> {
        let key = if one_key { b"a/1".to_vec() } else { self.key() };
        let value = self.value();
        let expiry = if self.rng.chance(1, 3) {
            Expiry::After(1 + self.rng.below(60))
        } else {
            Expiry::Never
        };
        let mutation = Mutation::set_until(&key, &value, expiry);
        let prepared = life
            .engine
            .prepare(&mutation, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit) else {
            return Ok(());
        };
        let record = outcome.record.ok_or("a set without a record")?;
        self.changed(outcome.revision, &key, Cause::Written, Some(record));
        Ok(())
    }

    fn delete(&mut self, life: &mut Life) {
        let key = self.key();
        let prepared = life
            .engine
            .prepare(&Mutation::delete(&key), None)
            .expect("within the limits");
        let outcome = self.commit(life, prepared, Engine::commit);
        if let Some(outcome) = outcome.filter(|outcome| outcome.revision != Revision::NONE) {
            self.changed(outcome.revision, &key, Cause::Deleted, None);
        }
    }

    fn expire(&mut self, life: &mut Life) -> Result<(), String> {
        let key = self.key();
        let to = if self.rng.chance(1, 3) {
            Expiry::Never
        } else {
            Expiry::After(1 + self.rng.below(60))
        };
        let mutation = Mutation::expire(&key, to);
        let prepared = life
            .engine
            .prepare(&mutation, None)
            .expect("within the limits");
        let outcome = self.commit(life, prepared, Engine::commit);
        if let Some(outcome) = outcome.filter(|outcome| outcome.revision != Revision::NONE) {
            let record = outcome.record.ok_or("an expiry without a record")?;
            self.changed(outcome.revision, &key, Cause::ExpiryChanged, Some(record));
        }
        Ok(())
    }

    fn several(&mut self, life: &mut Life) -> Result<(), String> {
        let mut changes: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for _ in 0..4 {
            let key = self.key();
            if changes.iter().all(|(other, _)| *other != key) {
                let value = self.rng.chance(3, 4).then(|| {
                    let mut value = self.value();
                    value.truncate(500);
                    value
                });
                changes.push((key, value));
            }
        }
        let mutations: Vec<Mutation<'_>> = changes
            .iter()
            .map(|(key, value)| match value {
                Some(value) => Mutation::set(key, value),
                None => Mutation::delete(key),
            })
            .collect();
        let prepared = life
            .engine
            .prepare_all(&mutations, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit_all) else {
            return Ok(());
        };
        for (key, value) in &changes {
            if value.is_some() {
                let record = life.engine.look(key).expect("within the limits").value;
                let record = record.ok_or("a set key is not there")?;
                self.changed(outcome.revision, key, Cause::Written, Some(record));
            } else if self.truth.now.contains_key(key) {
                self.changed(outcome.revision, key, Cause::Deleted, None);
            }
        }
        Ok(())
    }

    fn delete_range(&mut self, life: &mut Life) {
        let range = if self.rng.chance(1, 2) {
            KeyRange::prefix(b"b/")
        } else {
            KeyRange::span(b"a/1", b"a/3")
        };
        let prepared = life
            .engine
            .prepare_range_delete(&range, 0, None)
            .expect("within the limits");
        let Some(outcome) = self.commit(life, prepared, Engine::commit_range_delete) else {
            return;
        };
        let keys: Vec<_> = self.truth.now.keys().cloned().collect();
        for key in keys.iter().filter(|key| range.contains(key)) {
            self.changed(outcome.revision, key, Cause::RangeDeleted, None);
        }
    }

    pub(crate) fn sweep(&mut self, life: &Life) {
        let key = self.key();
        let due = life.engine.look(&key).expect("within the limits").due;
        self.remove_all(life, &due);
    }

    fn remove_all(&mut self, life: &Life, due: &[Record]) -> bool {
        due.iter().all(|record| {
            let removed = remove(&life.engine, record);
            if let Some(revision) = removed {
                self.changed(revision, record.key(), Cause::Expired, None);
            }
            removed.is_some()
        })
    }

    fn changed(&mut self, revision: Revision, key: &[u8], cause: Cause, record: Option<Record>) {
        self.tally.units += 1;
        self.truth.add(revision, key, cause, record);
    }

    /// Commits, taking expired keys away first. None: refused, which is legal.
    fn commit<T>(
        &mut self,
        life: &Life,
        mut prepared: Prepared,
        commit: impl Fn(&Engine, Admitted<'_>) -> Result<Attempt<T>, Error>,
    ) -> Option<T> {
        loop {
            let Ok(admitted) = life.engine.try_admit(prepared) else {
                let no_space = matches!(life.engine.state(), kvcore::EngineState::NoSpace { .. });
                self.tally.no_space += u64::from(no_space);
                return None;
            };
            match commit(&life.engine, admitted).ok()? {
                Attempt::Done(outcome) => return Some(outcome),
                Attempt::Due {
                    prepared: again,
                    due,
                } => {
                    if !self.remove_all(life, &due) {
                        return None;
                    }
                    prepared = again;
                }
            }
        }
    }
}
