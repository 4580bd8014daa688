//! `kvd serve`: until a signal says otherwise.

use std::process::ExitCode;

use super::say;
use crate::args::ServeArgs;
use crate::config::{Config, Sources};
use crate::exit::{Exit, Failure};
use crate::lifecycle::signals::{Asked, Signals};
use crate::lifecycle::systemd::Given;
use crate::telemetry::logging;

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let sources = args.sources();
    let loaded = sources.load()?;
    let settings = &loaded.config.settings;
    logging::start(settings.level, settings.log_format)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let given = Given::take()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Software, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(serve(loaded.config, given, &sources))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, given: Given, sources: &Sources) -> Result<(), Failure> {
    let mut signals = Signals::catch()
        .map_err(|e| Failure::new(Exit::Software, format!("cannot catch signals: {e}")))?;
    let mut daemon = crate::start_with(config, given).await?;
    let mut asks = daemon
        .answer_asks()
        .ok_or_else(|| Failure::new(Exit::Software, "reloads are answered elsewhere"))?;
    let mut serving = false;
    loop {
        let ask = tokio::select! {
            // The signal first: a stop must not wait for a load that never ends.
            biased;
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => None,
            },
            // The sender lives as long as the daemon.
            Some(ask) = asks.recv() => Some(ask),
            loaded = daemon.loaded(), if !serving => {
                loaded?;
                say(&daemon.ready_line());
                serving = true;
                continue;
            }
        };
        let outcome = tokio::select! {
            biased;
            _ = signals.stop() => break,
            // What came of it is in the log and with the service manager as well.
            outcome = daemon.reload(sources) => outcome,
        };
        if let Some(ask) = ask {
            // Whoever asked may have gone.
            let _ = ask.send(outcome);
        }
    }
    // Whoever still waits for a reload is told that there will be none.
    drop(asks);
    tokio::spawn(signals.exit_at_next());
    daemon.stop().await
}
