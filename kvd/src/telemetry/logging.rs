//! Logs go to stderr: standard output carries the ready line alone.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::LevelFilter;

use crate::config::value::Level;

/// Starts logging, once per process; a second call changes nothing.
pub fn start(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let started = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level)
        .try_init();
    // Somebody who embeds the daemon may log in their own way.
    drop(started);
}
