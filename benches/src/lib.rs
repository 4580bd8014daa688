//! What the drivers share that kill a real daemon: starting one, and random choices
//! that a seed repeats.

pub mod daemon;
pub mod rng;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs a driver on this thread. An error goes to standard error under its name.
pub fn run(name: &str, driver: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, driver));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
