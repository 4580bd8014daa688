//! A transaction at the door.

use std::collections::BTreeMap;

use super::plan::Plan;
use super::request::TxnOutcome;
use super::results::{DraftBranch, replayed};
use super::run::Run;
use crate::base::broken;
use crate::base::limits::UNIT_CHANGES;
use crate::base::remembered::{Remembered, RememberedBranch};
use crate::base::revision::Revision;
use crate::commit::admission::{Admitted, Grant};
use crate::commit::error::Error;
use crate::commit::evaluate::{Now, Step};
use crate::commit::prepared::{Prepared, Work};
use crate::commit::requests::{Known, Named};
use crate::commit::transaction::{Attempt, Change, Core};
use crate::commit::unit::Unit;
use crate::format::unit::UNIT_OVERHEAD;
use crate::store::{Record, Shard};

/// What a run has found to be changed, and to be told.
struct Ran {
    steps: Vec<Step>,
    draft: DraftBranch,
    revealed: Revision,
}

impl Core {
    /// Commits a transaction: one of its lists as a whole, or nothing.
    pub fn commit_txn(&self, admitted: Admitted<'_>) -> Result<Attempt<TxnOutcome>, Error> {
        let Admitted {
            prepared: Prepared { work, unit },
            grant,
        } = admitted;
        let Work::Txn(plan) = work else {
            unreachable!("a transaction is committed by commit_txn")
        };
        let mut named = self.named(&unit);
        if let Some(known) = named.known(&unit)? {
            return Ok(Attempt::Done(known.of_txn(self)));
        }
        let order = self.shards_of(&plan);
        let early = self.early_now();
        let attempt = self.shards.write_all(order.into_iter(), |held| {
            let now = self.now(early);
            self.commit_txn_under_locks(plan, unit, grant, held, &mut named, &now)
        })?;
        drop(named);
        if let Attempt::Done(outcome) = &attempt {
            self.after(outcome.revision);
        }
        Ok(attempt)
    }

    /// A range locks all shards, so that no key can appear in it.
    fn shards_of(&self, plan: &Plan) -> Vec<usize> {
        if plan.ranges.is_empty() {
            return plan.shards.clone();
        }
        if broken::is(broken::Build::RangeLocksPresentKeys) {
            let mut shards = plan.shards.clone();
            for range in &plan.ranges {
                self.shards.walk(range, None, false, |key| {
                    shards.push(self.shards.place(key).shard);
                    true
                });
            }
            return shards;
        }
        (0..self.shards.count()).collect()
    }

    fn commit_txn_under_locks(
        &self,
        mut plan: Box<Plan>,
        mut unit: Box<Unit>,
        mut grant: Grant<'_>,
        held: &mut [Shard<'_>],
        named: &mut Named<'_>,
        now: &Now<'_>,
    ) -> Result<Attempt<TxnOutcome>, Error> {
        self.state.check(&self.log.watermark)?;
        let ran = match self.run(&mut plan, held, now)? {
            Ok(ran) => ran,
            Err(due) => {
                let work = Work::Txn(plan);
                let prepared = Prepared { work, unit };
                return Ok(Attempt::Due { prepared, due });
            }
        };
        // The new records are shared with the plan, and must not be when they are stamped.
        drop(plan);
        let Ran {
            mut steps,
            draft,
            revealed,
        } = ran;
        if steps.is_empty() {
            return Ok(Attempt::Done(TxnOutcome {
                branch: draft.finish(&[]),
                revision: Revision::NONE,
                revealed,
                store_revision: self.sequencer.newest(),
                replayed: false,
            }));
        }
        let bytes = unit_bytes(&unit, &steps);
        if bytes > unit.cost.bytes || steps.len() > UNIT_CHANGES {
            let fit = unit.cost.bytes * steps.len() as u64 / bytes;
            let max = usize::try_from(fit)
                .unwrap_or(UNIT_CHANGES)
                .min(UNIT_CHANGES);
            return Err(Error::RangeTooLarge { max, revealed });
        }
        unit.cost = grant.shrink(bytes);
        let remembered = Remembered::Txn(draft.remembered());
        let change = Change {
            unit,
            grant,
            remembered: &remembered,
            now,
        };
        let revision = self.change(change, &mut steps, named, held)?;
        Ok(Attempt::Done(TxnOutcome {
            branch: draft.finish(&steps),
            revision,
            revealed: revision,
            store_revision: self.sequencer.newest(),
            replayed: false,
        }))
    }

    /// What the transaction would change; or the expired records that it met.
    fn run(
        &self,
        plan: &mut Plan,
        held: &[Shard<'_>],
        now: &Now<'_>,
    ) -> Result<Result<Ran, Vec<Record>>, Error> {
        let mut run = Run {
            shards: &self.shards,
            held,
            now,
            reply_max: plan.reply_bytes,
            range_keys: plan.range_keys,
            due: Vec::new(),
            revealed: Revision::NONE,
            steps: Vec::new(),
            own: BTreeMap::new(),
            reply_bytes: 0,
            visits: 0,
        };
        let result = run
            .choose(&plan.root)
            .and_then(|choice| run.run(&mut plan.root, choice));
        if !run.due.is_empty() {
            // Whatever else came out: it was judged with a key absent that is not gone yet.
            return Ok(Err(run.due));
        }
        let revealed = run.revealed;
        let draft = result.map_err(|error| error.reveals_also(revealed))?;
        Ok(Ok(Ran {
            steps: run.steps,
            draft,
            revealed,
        }))
    }
}

/// What the unit takes in the log at most, now that its changes are known.
fn unit_bytes(unit: &Unit, steps: &[Step]) -> u64 {
    let changes: usize = steps.iter().map(Step::logged_max).sum();
    let request = unit
        .request
        .as_ref()
        .map_or(0, |request| request.id.len() + request.outcome_max);
    (UNIT_OVERHEAD + changes + request) as u64
}

impl Known {
    fn of_txn(&self, core: &Core) -> TxnOutcome {
        let none = RememberedBranch {
            succeeded: true,
            results: None,
        };
        let branch = match &self.outcome {
            Remembered::Txn(branch) => branch,
            _ => &none,
        };
        TxnOutcome {
            branch: replayed(branch),
            revision: self.revision,
            revealed: self.revision,
            store_revision: core.sequencer.newest(),
            replayed: true,
        }
    }
}
