//! Clocks, the allocator's account, and tables of figures.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::contents::SplitMix;
use crate::cpu;

/// CPU time of this thread.
pub(super) fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // A thread's own time is never negative.
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// How long `work` keeps this thread busy, in ns for each of `count`.
pub(crate) fn ns_each(count: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = thread_cpu();
    work()?;
    let took = thread_cpu().saturating_sub(before);
    Ok(took.as_secs_f64() * 1e9 / f64::from(count))
}

/// Bytes that are allocated now, as the allocator counts them.
pub(super) fn heap() -> Result<u64> {
    let failed = |e| format!("the allocator does not tell: {e}");
    tikv_jemalloc_ctl::epoch::advance().map_err(failed)?;
    let bytes = tikv_jemalloc_ctl::stats::allocated::read().map_err(failed)?;
    Ok(u64::try_from(bytes)?)
}

/// Bytes for each of `count` between two readings.
#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
pub(super) fn bytes_each(before: u64, after: u64, count: u32) -> f64 {
    (after as f64 - before as f64) / f64::from(count)
}

/// The numbers below `count`, in random order.
pub(super) fn shuffled(count: u32, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut random = SplitMix(seed);
    for at in (1..count).rev() {
        numbers.swap(at as usize, random.below(at + 1) as usize);
    }
    numbers
}

/// What all other processes do while this one measures.
pub(super) struct Others {
    since: Instant,
    busy: Duration,
    own: Duration,
}

impl Others {
    pub(super) fn begin() -> Result<Self> {
        Ok(Self {
            busy: cpu::of_everything()?,
            own: cpu::of(std::process::id())?,
            since: Instant::now(),
        })
    }

    /// Cores that they kept busy since.
    pub(super) fn cores(&self) -> Result<f64> {
        let busy = cpu::of_everything()?.saturating_sub(self.busy);
        let own = cpu::of(std::process::id())?.saturating_sub(self.own);
        Ok(busy.saturating_sub(own).as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// How the rounds of a column become one figure.
pub(super) type Sum = fn(Vec<f64>) -> f64;

/// For what one thread does: whatever disturbs a round only adds to it.
pub(super) fn least(rounds: Vec<f64>) -> f64 {
    rounds.into_iter().fold(f64::INFINITY, f64::min)
}

/// Rows of figures, one set per round.
pub(super) struct Table<const COLUMNS: usize> {
    title: &'static str,
    columns: [(&'static str, Sum); COLUMNS],
    rows: Vec<(&'static str, Vec<[f64; COLUMNS]>)>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(title: &'static str, columns: [(&'static str, Sum); COLUMNS]) -> Self {
        Self {
            title,
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &'static str, figures: [f64; COLUMNS]) {
        match self.rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rounds)) => rounds.push(figures),
            None => self.rows.push((name, vec![figures])),
        }
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "## {}\n\n| | {} |\n| --- |{}\n",
            self.title,
            self.columns.map(|(head, _)| head).join(" | "),
            " ---: |".repeat(COLUMNS)
        );
        for (name, rounds) in &self.rows {
            let _ = write!(text, "| {name} |");
            for (column, (_, sum)) in self.columns.iter().enumerate() {
                let figure = sum(rounds.iter().map(|round| round[column]).collect());
                let digits = usize::from(figure.abs() < 100.0);
                let _ = write!(text, " {figure:.digits$} |");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::median;

    #[test]
    fn every_number_comes_once_and_out_of_order() {
        let mut numbers = shuffled(1000, 1);
        assert_ne!(numbers, (0..1000).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_table_sums_its_rounds_up() {
        let mut table = Table::new("What", [("a", least), ("b", median)]);
        for (a, b) in [(3.0, 400.0), (1.0, 500.0), (2.0, 900.0)] {
            table.add("one", [a, b]);
        }
        let expected = "## What\n\n| | a | b |\n| --- | ---: | ---: |\n| one | 1.0 | 500 |\n";
        assert_eq!(table.markdown(), expected);
    }
}
