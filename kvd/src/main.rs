//! `kvd`: serve a store, or look at its files.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use kvcore::Verdict;
use kvd::args::{Cli, Command, ServeArgs};
use kvd::backend::embedded;
use kvd::exit::{Exit, Failure};
use kvd::lifecycle::signals::Signals;
use kvd::telemetry::logging;

#[global_allocator]
static ALLOCATOR: kvd::Jemalloc = kvd::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Check { dir }) => check(dir),
        Some(Command::Serve(args)) => serve(args),
        None => serve(&cli.serve),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "kvd: {failure}");
            failure.exit.into()
        }
    }
}

/// Serves until a signal says otherwise.
fn serve(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let loaded = args.sources().load()?;
    logging::start(loaded.config.settings.level);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Software, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(async {
        let mut signals = Signals::catch()
            .map_err(|e| Failure::new(Exit::Software, format!("cannot catch signals: {e}")))?;
        let mut daemon = kvd::start(loaded.config).await?;
        let signalled = tokio::select! {
            // The signal first: a stop must not wait for a load that never ends.
            biased;
            _ = signals.next() => true,
            loaded = daemon.loaded() => {
                loaded?;
                false
            }
        };
        if !signalled {
            say(&daemon.ready_line());
            signals.next().await;
        }
        tokio::spawn(signals.exit_at_next());
        daemon.stop().await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// `kvd check DIR`.
fn check(dir: &Path) -> Result<ExitCode, Failure> {
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

/// To standard output. Whoever closed it does not want to hear.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
