//! SIGHUP, or a call of Reload: the settings are read again, and what can change is changed.
//!
//! All or nothing: whatever is wrong, in any source, leaves everything as it was. What is
//! right is compared with what is in force, setting by setting: those that are live are
//! handed to whoever uses them, the others are named.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Daemon;
use crate::backend::Store as _;
use crate::backend::embedded::Embedded;
use crate::config::{Change, Config, ConfigError, Loaded, Sources};
use crate::control::{Changed, Reloaded};
use crate::telemetry::logging;

/// How long the sources may take to be read: a file on a dead network mount must not
/// hold up anything else.
const READING: Duration = Duration::from_secs(10);

/// One line.
fn summary(reloaded: &Reloaded) -> String {
    let list = |changes: &[Changed]| match changes {
        [] => "nothing".to_owned(),
        changes => {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            changes.join(", ")
        }
    };
    let mut text = format!("settings read again, changed: {}", list(&reloaded.changed));
    if !reloaded.needs_restart.is_empty() {
        text.push_str("; needs a restart: ");
        text.push_str(&list(&reloaded.needs_restart));
    }
    text
}

impl Daemon {
    /// Reads the sources again and says in the log what came of it.
    pub async fn reload(&mut self, sources: &Sources) -> Result<Reloaded, ConfigError> {
        let serving = self.loading.is_none();
        if serving {
            self.manager.reloading();
        }
        let outcome = read(sources).await.map(|loaded| {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            Reloaded {
                warnings: loaded.warnings,
                ..self.adopt(&loaded.config)
            }
        });
        let summary = match &outcome {
            Ok(reloaded) => summary(reloaded),
            Err(ConfigError(problems)) => {
                for problem in problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the reload is refused: everything stays as it was");
                let first = problems.first().map(ToString::to_string);
                format!(
                    "reload refused, {} problems; the first: {}",
                    problems.len(),
                    first.unwrap_or_default()
                )
            }
        };
        if serving {
            self.manager.reloaded(&summary);
        } else {
            self.manager.status(&summary);
        }
        outcome
    }

    /// Takes over what can change.
    fn adopt(&mut self, new: &Config) -> Reloaded {
        let mut reloaded = Reloaded::default();
        let old = self.control().config();
        let mut merged = (*old).clone();
        for ((row, before, _), (_, after, origin)) in old.entries().zip(new.entries()) {
            let live = row.change == Change::Live;
            if live {
                merged.adopt(row, new);
            }
            if before == after {
                continue;
            }
            let changes = if live {
                &mut reloaded.changed
            } else {
                &mut reloaded.needs_restart
            };
            changes.push(Changed {
                key: row.key,
                before,
                after,
                origin: origin.clone(),
            });
        }
        self.control().set(merged);
        // Before the level of the log can change.
        tracing::info!("{}", summary(&reloaded));
        self.apply();
        reloaded
    }

    /// Hands every live setting to whoever uses it.
    pub(super) fn apply(&self) {
        let figures = &self.server.figures;
        let shared = &figures.shared;
        let config = shared.control.config();
        let settings = &config.settings;
        shared.live.set(settings);
        shared.limits.admission_wait.set(settings.admission_wait);
        let (total, per_ip) = (settings.max_connections, settings.max_connections_per_ip);
        figures.caps.set(total, per_ip);
        figures.intake.set_limit(settings.request_memory.bytes());
        for waiters in &figures.waiters {
            waiters.set_limit(settings.request_timeout);
        }
        if let Some(store) = shared.store.get() {
            store.set_memory_max(settings.memory_max_bytes.0);
        }
        shared.slow.set_threshold(settings.slow_operation);
        shared.tracer.set_sample(settings.otlp_sample.0);
        logging::set(settings.level);
    }
}

/// Reads on a thread that nobody waits for longer than is reasonable.
async fn read(sources: &Sources) -> Result<Loaded, ConfigError> {
    let sources = sources.clone();
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let loaded = sources.load().and_then(|loaded| {
            Embedded::check(&loaded.config.settings)
                .map_err(|failure| ConfigError::general(failure.message))?;
            Ok(loaded)
        });
        let _ = sender.send(loaded);
    };
    std::thread::Builder::new()
        .name("kvd-reload".to_owned())
        .spawn(work)
        .map_err(|e| ConfigError::general(format!("cannot start a thread: {e}")))?;
    match tokio::time::timeout(READING, receiver).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(_)) => Err(ConfigError::general("reading ended without a result")),
        Err(_) => Err(ConfigError::general(format!(
            "the settings could not be read within {} s",
            READING.as_secs()
        ))),
    }
}
