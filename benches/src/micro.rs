//! `kvbench index`: what the structures beside the map cost, without a daemon.
//!
//! Two decisions rest on it: how the ordered index is divided, and what keeps the
//! deadlines. Small copies of the candidates are asked in turn in one process, every
//! answer is checked. What one thread does is counted in its CPU time, so that a busy
//! machine does not count.

mod deadlines;
mod measure;
mod order;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::Result;
use crate::origin::Origin;
use crate::setup::Report;
use measure::Others;
pub(crate) use measure::ns_each;

#[derive(Args, Clone, Debug)]
pub(crate) struct IndexArgs {
    /// Number of keys.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    keys: u32,
    /// How often each candidate is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Also write the report here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Measures, and returns the report.
pub(crate) fn run(args: &IndexArgs) -> Result<Report> {
    let mut page = format!(
        "# Ordered index and deadlines\n\n{}- {} keys, {} rounds, candidates in turn: the least for work alone, medians for bytes and beside a scan; \
         one thread: its CPU time; more threads: elapsed time\n",
        Origin::new()?,
        args.keys,
        args.rounds
    );
    let others = Others::begin()?;
    let order = order::measure(args.keys, args.rounds)?;
    let deadlines = deadlines::measure(args.keys, args.rounds)?;
    let _ = writeln!(
        page,
        "- other processes kept {:.2} cores busy\n",
        others.cores()?
    );
    page.push_str(&order);
    page.push('\n');
    page.push_str(&deadlines);
    Ok(Report {
        page,
        ..Report::default()
    })
}
