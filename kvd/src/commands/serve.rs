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
    logging::start(loaded.config.settings.level);
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
    let mut serving = false;
    loop {
        let asked = tokio::select! {
            // The signal first: a stop must not wait for a load that never ends.
            biased;
            asked = signals.next() => asked,
            loaded = daemon.loaded(), if !serving => {
                loaded?;
                say(&daemon.ready_line());
                serving = true;
                continue;
            }
        };
        if asked == Asked::Stop {
            break;
        }
        tokio::select! {
            biased;
            _ = signals.stop() => break,
            // What came of it is in the log and with the service manager.
            _ = daemon.reload(sources) => {}
        }
    }
    tokio::spawn(signals.exit_at_next());
    daemon.stop().await
}
