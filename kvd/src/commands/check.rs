//! `kvd check DIR`.

use std::path::Path;
use std::process::ExitCode;

use kvcore::Verdict;

use super::say;
use crate::exit::{Exit, Failure};

pub(super) fn run(dir: &Path) -> Result<ExitCode, Failure> {
    let report = kvcore::check(dir).map_err(super::not_readable)?;
    say(report.to_string().trim_end());
    Ok(match report.verdict() {
        Verdict::Clean | Verdict::Torn => ExitCode::SUCCESS,
        Verdict::Suspect | Verdict::Corrupt => Exit::Damaged.into(),
    })
}
