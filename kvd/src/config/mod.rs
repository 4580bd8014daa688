//! Configuration: flags, then environment, then file, then defaults.
//!
//! [`Settings`] is the one typed struct, [`TABLE`] its description; [`Config`] adds
//! where each value came from. Anything unknown or unreadable is refused with the
//! key, the place and, for a misspelt key, the nearest that exists.

mod address;
mod file;
mod load;
mod nearest;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
pub mod value;

use std::fmt;
use std::path::PathBuf;

pub use address::{Listen, ListenOrOff};
pub use load::{Loaded, Sources};
pub use settings::{Setting, Settings, TABLE};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment { variable: String },
    Flag { flag: String },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// The settings and where each came from.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    /// One per row of [`TABLE`].
    origins: Vec<Origin>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            origins: vec![Origin::Default; TABLE.len()],
        }
    }
}

impl Config {
    /// Every setting with its value as text and its origin.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Setting, String, &Origin)> {
        TABLE
            .iter()
            .zip(&self.origins)
            .map(|(row, origin)| (row, row.get(&self.settings), origin))
    }

    /// Sets one key; the error names key, place and what is wrong.
    pub fn set(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let Some(at) = Setting::position(key) else {
            return Err(ConfigError::unknown(key, &origin));
        };
        TABLE[at]
            .set(&mut self.settings, text)
            .map_err(|problem| ConfigError(format!("{origin}: {key}: {problem}")))?;
        self.origins[at] = origin;
        Ok(())
    }

    /// Where the value of `key` came from.
    fn origin(&self, key: &str) -> &Origin {
        Setting::position(key).map_or(&Origin::Default, |at| &self.origins[at])
    }
}

/// Why the configuration cannot be used; says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl ConfigError {
    fn unknown(key: &str, origin: &Origin) -> Self {
        let nearest = nearest::key(key);
        Self(format!(
            "{origin}: there is no setting {key:?}; the nearest is {nearest:?}"
        ))
    }
}
