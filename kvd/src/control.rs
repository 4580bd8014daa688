//! Between the calls that look after the daemon and the loop that runs it.
//!
//! The loop owns the settings and is the only one that changes them; calls read what is
//! in force, and ask the loop to read the sources again. What they get is what SIGHUP
//! gets: there is one reload.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, ConfigError, Origin};

/// Reloads that may wait for their turn.
const WAITING: usize = 16;

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub key: &'static str,
    pub before: String,
    pub after: String,
    /// Of the new value.
    pub origin: Origin,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            before,
            after,
            origin,
        } = self;
        write!(f, "{key} {before} -> {after} ({origin})")
    }
}

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub changed: Vec<Changed>,
    /// What differs from what is in force and needs a restart.
    pub needs_restart: Vec<Changed>,
    pub warnings: Vec<String>,
}

/// Somebody waits for a reload.
pub type Ask = oneshot::Sender<Result<Reloaded, ConfigError>>;

/// Why a reload was not done, other than for its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// Nothing here reads settings: the daemon is a part of another program.
    NoSources,
    /// Too many wait for one.
    Busy,
    /// The daemon stops.
    Stopping,
}

/// The settings in force, and the way to have them read again.
#[derive(Debug)]
pub struct Control {
    config: RwLock<Arc<Config>>,
    asks: OnceLock<mpsc::Sender<Ask>>,
}

impl Control {
    pub fn new(config: Config) -> Self {
        Self {
            config: RwLock::new(Arc::new(config)),
            asks: OnceLock::new(),
        }
    }

    /// What is in force; of what needs a restart, as it was at the start.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    pub(crate) fn set(&self, config: Config) {
        *self.config.write() = Arc::new(config);
    }

    /// From here on calls can ask for a reload, and somebody has to answer. Once only.
    pub(crate) fn answer_asks(&self) -> Option<mpsc::Receiver<Ask>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.asks.set(sender).ok()?;
        Some(receiver)
    }

    /// Asks for a reload and waits for what it came to.
    pub async fn reload(&self) -> Result<Result<Reloaded, ConfigError>, NotDone> {
        let asks = self.asks.get().ok_or(NotDone::NoSources)?;
        let (ask, answer) = oneshot::channel();
        asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotDone::Busy,
            mpsc::error::TrySendError::Closed(_) => NotDone::Stopping,
        })?;
        answer.await.map_err(|_| NotDone::Stopping)
    }
}
