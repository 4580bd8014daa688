//! Logs go to stderr, as text or JSON, or to the journal: standard output carries the ready
//! line alone.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::journal::{self, Journal};
use super::json::JsonLines;
use crate::config::value::{Level, LogFormat};
use crate::exit::{Exit, Failure};

/// The filter of the process, for who changes it.
static FILTER: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<LevelFilter, Registry>, Registry>;

/// Starts logging, once per process; a second call changes nothing.
pub fn start(level: Level, format: LogFormat) -> Result<(), Failure> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines(format)?)
        .try_init();
    // Somebody who embeds the daemon may log in their own way.
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

fn lines(format: LogFormat) -> Result<Box<dyn Layer<Filtered> + Send + Sync>, Failure> {
    let connect = || Journal::connect(Path::new(journal::SOCKET));
    Ok(match format {
        LogFormat::Auto if stderr_is_the_journal() => match connect() {
            Ok(journal) => journal.boxed(),
            // What goes to stderr gets there as well.
            Err(_) => text(),
        },
        LogFormat::Auto | LogFormat::Text => text(),
        LogFormat::Json => JsonLines::new(io::stderr).boxed(),
        LogFormat::Journald => connect()
            .map_err(|error| {
                let message = format!(
                    "telemetry.log_format: journald, but {} cannot be reached: {error}; auto \
                     writes text to stderr where there is no journal",
                    journal::SOCKET
                );
                Failure::new(Exit::Config, message)
            })?
            .boxed(),
    })
}

fn text() -> Box<dyn Layer<Filtered> + Send + Sync> {
    fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .boxed()
}

fn stderr_is_the_journal() -> bool {
    let variable = std::env::var("JOURNAL_STREAM").ok();
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| journal::is_stream(variable.as_deref(), stat.st_dev, stat.st_ino))
}

/// Lines that the journal did not take.
pub(super) fn lost() -> u64 {
    journal::lost()
}

/// Changes what is logged, if [`start`] has been called.
pub fn set(level: Level) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!(%error, "the level of logs stays as it was");
    }
}

const fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
