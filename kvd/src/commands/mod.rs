//! What the program does for each command of [`crate::args`].

mod check;
mod config;
mod dump;
mod package;
mod progress;
mod repair;
mod restore;
mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::backend::embedded;
use crate::exit::{Exit, Failure};

/// The whole program: reads the command line, does what it says, and says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Dump(args)) => dump::run(args),
        Some(Command::Check { dir, output }) => check::run(dir, *output),
        Some(Command::Repair(args)) => repair::run(args),
        Some(Command::Restore(args)) => restore::run(args),
        Some(Command::Config { command }) => config::run(command),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Completions { shell }) => package::completions(*shell),
        Some(Command::Man { dir }) => package::man(dir.as_deref()),
        None => serve::run(&cli.serve),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            let mut err = std::io::stderr().lock();
            for line in failure.message.lines() {
                let _ = writeln!(err, "kvd: {line}");
            }
            failure.exit.into()
        }
    }
}

/// Why files that no kvd serves could not be looked at. There is no configuration here:
/// what is no data directory is an I/O matter.
fn not_readable(error: kvcore::OpenError) -> Failure {
    let mut failure = embedded::failure(error);
    if failure.exit == Exit::Config {
        failure.exit = Exit::Io;
    }
    failure
}

/// To standard output. Whoever closed it does not want to hear.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
