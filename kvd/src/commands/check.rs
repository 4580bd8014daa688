//! `kvd check DIR`.

use std::path::Path;
use std::process::ExitCode;

use kvcore::Verdict;

use super::say;
use crate::backend::embedded;
use crate::exit::{Exit, Failure};

pub(super) fn run(dir: &Path) -> Result<ExitCode, Failure> {
    // There is no configuration here: what cannot be looked at is an I/O matter.
    let report = kvcore::check(dir).map_err(|error| match embedded::failure(error) {
        Failure {
            exit: Exit::Config,
            message,
        } => Failure::new(Exit::Io, message),
        failure => failure,
    })?;
    say(report.to_string().trim_end());
    Ok(match report.verdict() {
        Verdict::Clean | Verdict::Torn => ExitCode::SUCCESS,
        Verdict::Suspect | Verdict::Corrupt => Exit::Damaged.into(),
    })
}
