//! The comparison of a restarted store with the history.

use std::collections::HashMap;

use super::{Answer, Durability, Found, History, Request, Sight, Totals, describe};

impl History {
    /// Compares a restarted store with everything that was answered before.
    pub(super) fn compare(&mut self, found: &Found, totals: &mut Totals) {
        let end = found.revision;
        if self.newest_durable > end {
            let what = format!(
                "a reply called revision {} durable, the store came back at {end}",
                self.newest_durable
            );
            self.violation(what);
        }
        let present = found.records.iter().flatten().count();
        if i64::try_from(present).ok() != Some(found.keys) {
            let what = format!("{present} keys are there, the status says {}", found.keys);
            self.violation(what);
        }
        let newest = self.newest_answered(end, totals);
        let deleted: Vec<u64> = self.unanswered_deletes();
        let mut base = HashMap::new();
        for (index, record) in (0_u64..).zip(&found.records) {
            let must = newest.get(&index).copied();
            if let Some(sight) = record {
                let id = self.compare_present(sight, must, end);
                base.extend(id.map(|id| (index, (id, sight.mod_revision))));
            } else if let Some((id, revision)) = must
                && self.requests[&id].asked.set
                && !deleted.contains(&index)
            {
                self.violation(format!("request {id} at revision {revision} is gone"));
            }
        }
        self.count_unanswered(&base, totals);
        for (&id, &revision) in base.values().map(|(id, revision)| (id, revision)) {
            if let Some(request) = self.requests.get_mut(&id) {
                request.answer = Some(Answer::Applied(revision));
            }
        }
        self.base = base;
        let kept: Vec<u64> = self.base.values().map(|(id, _)| *id).collect();
        self.requests.retain(|id, _| kept.contains(id));
        self.cycle.clear();
        self.newest_durable = end;
    }

    /// Rules 2 and 3 for a key that is there; returns the request that wrote it.
    fn compare_present(
        &mut self,
        sight: &Sight,
        must: Option<(u64, i64)>,
        end: i64,
    ) -> Option<u64> {
        if sight.mod_revision > end {
            self.violation(format!("{} is beyond {end}", describe(sight)));
        }
        if let Some((other, revision)) = must
            && revision > sight.mod_revision
        {
            let what = format!("request {other} at revision {revision} is gone");
            self.violation(format!("{what}; the key holds {}", describe(sight)));
        }
        self.trace(sight)
    }

    /// Rule 1, the counts, and per key the newest answered write that must be there.
    fn newest_answered(&mut self, end: i64, totals: &mut Totals) -> HashMap<u64, (u64, i64)> {
        let mut newest = self.base.clone();
        for id in self.cycle.clone() {
            let Request { asked, answer, .. } = &self.requests[&id];
            let (asked, answer) = (*asked, answer.clone());
            let row = totals.row(asked.durability);
            match answer {
                Some(Answer::Applied(revision)) if revision <= end => {
                    row.answered += 1;
                    row.survived += 1;
                    let place = newest.entry(asked.key).or_insert((id, revision));
                    if place.1 < revision {
                        *place = (id, revision);
                    }
                }
                Some(Answer::Applied(revision)) => {
                    row.answered += 1;
                    row.lost += 1;
                    let may_go = match asked.durability {
                        Durability::None => true,
                        Durability::Logged => self.power_goes,
                        Durability::Synced => false,
                    };
                    if !may_go {
                        let what = format!("{asked:?} was acknowledged at revision {revision}");
                        self.violation(format!("{what}, the store came back at {end}"));
                    }
                }
                Some(Answer::Refused(_)) => row.refused += 1,
                Some(Answer::Nothing) => row.nothing += 1,
                None => row.unanswered += 1,
            }
        }
        newest
    }

    fn unanswered_deletes(&self) -> Vec<u64> {
        self.cycle
            .iter()
            .map(|id| &self.requests[id])
            .filter(|request| request.answer.is_none() && !request.asked.set)
            .map(|request| request.asked.key)
            .collect()
    }

    fn count_unanswered(&self, base: &HashMap<u64, (u64, i64)>, totals: &mut Totals) {
        for (id, _) in base.values() {
            let request = &self.requests[id];
            if request.answer.is_none() {
                totals.row(request.asked.durability).unanswered_seen += 1;
            }
        }
    }
}
