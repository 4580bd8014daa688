//! `kvcli`: the command line of kvd.
//!
//! The way of a command: [`args`] declares the flags, [`settings`] resolves them
//! with the environment, [`command`] turns the command into what is asked of the
//! server, [`call`] asks, the command reads the answer into a report, and one
//! printer of [`output`] writes it. A script line takes the same way; only
//! [`script`] stands where [`call`] stood. At the prompt, [`repl`] reads lines as a
//! script does and runs each as the command line does. A transaction is several
//! lines, which [`block`] reads.
//!
//! Data goes to standard output, everything else to standard error, and how it
//! ended is the exit code (see [`failure::Exit`]).

mod acknowledge;
mod args;
mod backup;
mod bench;
mod block;
mod call;
mod command;
mod connect;
mod endpoint;
mod examples;
mod failure;
mod metrics;
mod output;
mod package;
mod progress;
mod repl;
mod run;
mod script;
mod settings;
mod text;
mod top;
mod verify;
mod watch;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::FromArgMatches as _;

use crate::{
    args::Cli,
    command::{Invocation, Place},
    failure::{Exit, Failure},
    output::Output,
    run::{block_on, one_shot},
    settings::Settings,
};

fn main() -> ExitCode {
    let matches = examples::attached().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are printed the same way, and are no failure. A
            // standard error that is gone leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Success.into()
            };
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let settings = Settings::resolve(&cli, io::stdout().is_terminal())?;
    let mut output = Output::new(settings.format, settings.screen);
    let Some(invocation) = cli.command else {
        if io::stdin().is_terminal() {
            return repl::run(&settings, output);
        }
        return block_on(script::run(&settings, &mut output));
    };
    match invocation {
        Invocation::Command(command) => {
            let prepared = command.prepare(&settings.call, Place::CommandLine)?;
            block_on(one_shot(&settings, prepared, &mut output))
        }
        Invocation::Top(args) => top::run(&settings, args, &mut output),
        Invocation::Completions(args) => package::completions(&args, &mut output),
        Invocation::Man(args) => package::man(&args, &mut output),
        Invocation::Backup(args) => block_on(backup::run(&settings, args, &mut output)),
        Invocation::Verify(args) => block_on(verify::run(&settings, args, &mut output)),
        Invocation::Watch(args) => block_on(watch::run(&settings, args, &mut output)),
        Invocation::AcknowledgeRepair(args) => block_on(acknowledge::run(&settings, args)),
        Invocation::Bench(args) => block_on(bench::run(&settings, args, &mut output)),
    }
}
