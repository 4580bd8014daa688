//! What the kills did, in numbers.

use std::fmt::Write as _;

use super::Durability;

/// Counts over all kills.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(super) kills: u64,
    /// Fewest requests that a kill met.
    pub(super) open_min: usize,
    rows: [Row; 3],
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub(super) answered: u64,
    pub(super) survived: u64,
    pub(super) lost: u64,
    pub(super) unanswered: u64,
    pub(super) unanswered_seen: u64,
    pub(super) refused: u64,
    pub(super) nothing: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            kills: 0,
            open_min: usize::MAX,
            rows: [Row::default(); 3],
        }
    }
}

impl Totals {
    pub(super) fn row(&mut self, durability: Durability) -> &mut Row {
        &mut self.rows[durability as usize]
    }

    pub(crate) fn lost_none(&self) -> u64 {
        self.rows[Durability::None as usize].lost
    }

    /// The counts as Markdown.
    pub(crate) fn report(&self, seed: u64) -> String {
        let mut text = format!(
            "seed {seed}, {} kills, at least {} requests without an answer at each\n\n",
            self.kills, self.open_min
        );
        text.push_str("| durability | acknowledged | survived | lost | unanswered | of these seen afterwards | refused | delete of nothing |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for durability in Durability::ALL {
            let row = &self.rows[durability as usize];
            let name = format!("{durability:?}").to_uppercase();
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {} | {} |",
                row.answered,
                row.survived,
                row.lost,
                row.unanswered,
                row.unanswered_seen,
                row.refused,
                row.nothing
            );
        }
        text
    }
}
