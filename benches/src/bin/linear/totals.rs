//! The runs in numbers.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::op::{Action, Op, Outcome};
use super::run::Plan;

/// A run with kills counts only with at least this share of undecided operations.
const UNDECIDED_PERCENT: usize = 1;

/// Counts of one run that had nothing wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    seed: u64,
    clients: usize,
    keys: usize,
    kills: usize,
    operations: usize,
    txns: usize,
    batches: usize,
    /// Certainly not applied, by reason.
    refused: BTreeMap<String, usize>,
    /// May have written, and nobody knows.
    undecided: usize,
    /// Undecided, and needed to explain what was seen later.
    applied: usize,
    /// Reads without an answer: they say nothing.
    unanswered: usize,
    took: Duration,
}

impl Run {
    pub(crate) fn new(
        plan: &Plan,
        ops: &[Op],
        kills: usize,
        applied: usize,
        took: Duration,
    ) -> Self {
        let count = |which: &dyn Fn(&Op) -> bool| ops.iter().filter(|op| which(op)).count();
        Self {
            seed: plan.seed,
            clients: plan.clients,
            keys: plan.keys,
            kills,
            operations: ops.len(),
            txns: count(&|op| matches!(op.action, Action::Txn { .. })),
            batches: count(&|op| matches!(op.action, Action::BatchGet(_))),
            refused: reasons(ops),
            undecided: count(&|op| op.undecided() && op.action.writes()),
            applied,
            unanswered: count(&|op| op.undecided() && !op.action.writes()),
            took,
        }
    }

    /// Whether it is a test at all.
    pub(crate) fn counts(&self) -> bool {
        self.kills == 0 || self.undecided * 100 >= self.operations * UNDECIDED_PERCENT
    }

    fn percent(&self) -> f64 {
        // Far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
        let share = self.undecided as f64 / self.operations.max(1) as f64;
        share * 100.0
    }
}

fn reasons(ops: &[Op]) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for op in ops {
        if let Outcome::Refused(reason) = &op.outcome {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
    }
    reasons
}

/// `3 THIS, 4 THAT`, or 0.
fn list(reasons: &BTreeMap<String, usize>) -> String {
    if reasons.is_empty() {
        return "0".into();
    }
    let each = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    each.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, {} clients, {} keys, {} kills, {} operations ({} Txn, {} BatchGet), \
             refused: {}; {} undecided ({:.1} %, {} took effect), {} reads unanswered, \
             checked in {} ms{}",
            self.seed,
            self.clients,
            self.keys,
            self.kills,
            self.operations,
            self.txns,
            self.batches,
            list(&self.refused),
            self.undecided,
            self.percent(),
            self.applied,
            self.unanswered,
            self.took.as_millis(),
            if self.counts() {
                ""
            } else {
                "; does not count"
            }
        )
    }
}

/// All runs together.
#[derive(Debug)]
pub(crate) struct Totals {
    seed: u64,
    runs: usize,
    not_counted: usize,
    /// With kills, and without.
    rows: [(usize, Run); 2],
}

impl Totals {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            runs: 0,
            not_counted: 0,
            rows: Default::default(),
        }
    }

    pub(crate) fn add(&mut self, run: &Run) {
        if !run.counts() {
            self.not_counted += 1;
            return;
        }
        self.runs += 1;
        let (runs, sum) = &mut self.rows[usize::from(run.kills == 0)];
        *runs += 1;
        sum.kills += run.kills;
        sum.operations += run.operations;
        sum.txns += run.txns;
        sum.batches += run.batches;
        for (reason, count) in &run.refused {
            *sum.refused.entry(reason.clone()).or_default() += count;
        }
        sum.undecided += run.undecided;
        sum.applied += run.applied;
        sum.unanswered += run.unanswered;
        sum.took += run.took;
    }

    /// The counts as Markdown.
    pub(crate) fn report(&self) -> String {
        let mut text = format!(
            "seed {}, {} runs, {} kills, {} operations; {} more runs had too few undecided ones\n\n",
            self.seed,
            self.runs,
            self.rows[0].1.kills,
            self.rows[0].1.operations + self.rows[1].1.operations,
            self.not_counted
        );
        text.push_str("| runs | number | kills | operations | Txn | BatchGet | refused | undecided | of these took effect for certain | reads without an answer |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for ((runs, sum), name) in self.rows.iter().zip(["with kills", "without"]) {
            let _ = writeln!(
                text,
                "| {name} | {runs} | {} | {} | {} | {} | {} | {} ({:.1} %) | {} | {} |",
                sum.kills,
                sum.operations,
                sum.txns,
                sum.batches,
                list(&sum.refused),
                sum.undecided,
                sum.percent(),
                sum.applied,
                sum.unanswered
            );
        }
        text
    }
}
