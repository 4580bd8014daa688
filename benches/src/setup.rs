//! What the commands that start daemons have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::child::{Launcher, kvd_binary};
use crate::origin::Origin;
use crate::peers::Peer;
use crate::results::Results;

#[derive(Args, Clone, Debug)]
pub(crate) struct SetupArgs {
    /// The kvd to measure [default: the one beside this program, built if need be].
    #[arg(long, value_name = "FILE")]
    kvd: Option<PathBuf>,
    /// Where data directories are made and removed; must be on a disk
    /// [default: kvbench, beside the directory of this program].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Also write the report here.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 1 if a condition is violated.
    #[arg(long)]
    pub(crate) check: bool,
}

impl SetupArgs {
    /// `without_kvd`: none will be started.
    pub(crate) fn launcher(&self, origin: &Origin, without_kvd: bool) -> Result<Launcher> {
        Ok(Launcher {
            kvd: if without_kvd {
                std::env::current_exe()?
            } else {
                kvd_binary(self.kvd.clone(), &origin.profile())?
            },
            data_root: self.data_root.clone().unwrap_or_else(|| origin.data_root()),
            runtimes: origin.cores,
        })
    }
}

/// Of the commands whose figures are published.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeepArgs {
    /// Also keep the figures here, as JSON: `kvbench report` makes pages and plots of them.
    #[arg(long, value_name = "FILE")]
    pub(crate) results: Option<PathBuf>,
}

/// A report, what was violated, and what could not be measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) page: String,
    pub(crate) misses: Vec<String>,
    pub(crate) missing: Vec<String>,
    /// The same for machines, of the commands that have it.
    pub(crate) results: Option<Results>,
}

impl Report {
    /// The program of a peer, or a note that it is missing.
    pub(crate) fn find(&mut self, peer: Peer) -> Option<PathBuf> {
        match peer.find() {
            Ok(program) => Some(program),
            Err(missing) => {
                self.missing.push(missing);
                None
            }
        }
    }
}

/// A number of seconds on the command line.
pub(crate) fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let number = text.parse().ok().filter(|n| (0.01..=3600.0).contains(n));
    let number = number.ok_or("expected a number of seconds from 0.01 to 3600")?;
    Ok(Duration::from_secs_f64(number))
}
