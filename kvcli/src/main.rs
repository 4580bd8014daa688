//! `kvcli`: the command line of kvd.
//!
//! The way of a command: [`args`] declares the flags, [`settings`] resolves them
//! with the environment, [`command`] turns the command into what is asked of the
//! server, [`call`] asks, the command reads the answer into a report, and one
//! printer of [`output`] writes it. A script line takes the same way; only
//! [`script`] stands where [`call`] stood. A transaction is several lines, which
//! [`block`] reads.
//!
//! Data goes to standard output, everything else to standard error, and how it
//! ended is the exit code (see [`failure::Exit`]).

mod args;
mod block;
mod call;
mod command;
mod connect;
mod endpoint;
mod failure;
mod output;
mod script;
mod settings;
mod text;

use std::{
    cell::Cell,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    args::Cli,
    command::{Ask, Place, Prepared, rm, scan},
    failure::{Exit, Failure, complain},
    output::Output,
    settings::Settings,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
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
    let mut output = Output::new(settings.format);
    let Some(command) = cli.command else {
        if io::stdin().is_terminal() {
            return Err(Failure::usage(
                "no command given, and this version has no interactive mode; \
                 see `kvcli --help`, or pipe in a script: echo 'get KEY' | kvcli",
            ));
        }
        return block_on(script::run(&settings, &mut output));
    };
    let prepared = command.prepare(&settings.call, Place::CommandLine)?;
    block_on(one_shot(&settings, prepared, &mut output))
}

/// Runs to the end or to Ctrl-C. What the runtime still holds then, such as a
/// read of standard input, is not waited for.
fn block_on(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let end = runtime.block_on(work);
    runtime.shutdown_background();
    end
}

async fn one_shot(
    settings: &Settings,
    prepared: Prepared,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let interrupted = prepared.interrupted();
    let asked = Cell::new(false);
    tokio::select! {
        end = ask_and_print(settings, prepared, output, &asked) => end,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
            let open = if asked.get() { interrupted } else { ": nothing was sent" };
            Err(Failure::Interrupted(open.to_owned()))
        }
    }
}

async fn ask_and_print(
    settings: &Settings,
    prepared: Prepared,
    output: &mut Output,
    asked: &Cell<bool>,
) -> Result<Exit, Failure> {
    let mut caller = connect::connect(settings).await?;
    if let Ask::Scan(request) = &prepared.ask {
        asked.set(true);
        scan::print(&mut caller, request, output).await?;
        output.flush()?;
        return Ok(Exit::Success);
    }
    if let Ask::DeleteRange(request) = &prepared.ask
        && prepared.confirm
        && !rm::confirm(&mut caller, request).await?
    {
        return Ok(Exit::Negative);
    }
    asked.set(true);
    let answer = caller.call(&prepared).await?;
    let report = prepared.pending.read(answer)?;
    output.print(report.as_ref())?;
    output.flush()?;
    for problem in report.problems() {
        complain(&problem);
    }
    // Flushed so that it stands after what a terminal shows of the data.
    let _ = io::stderr().flush();
    Ok(report.exit())
}
