//! `kvd serve`: until a signal says otherwise.

use std::process::ExitCode;

use super::say;
use crate::args::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::lifecycle::signals::Signals;
use crate::telemetry::logging;

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
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
        let mut daemon = crate::start(loaded.config).await?;
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
