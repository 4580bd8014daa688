//! Configuration: flags, then environment, then the file's profile, then the file,
//! then defaults.
//!
//! [`Settings`] is the one typed struct, [`TABLE`] its description; [`Config`] adds
//! where each value came from. Anything unknown or unreadable is refused with the
//! key, the place and, for a misspelt key, the nearest that exists; one look finds
//! everything that is wrong.

mod address;
mod collector;
pub mod document;
mod file;
mod load;
mod nearest;
mod problem;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
pub mod value;

use std::fmt;
use std::path::PathBuf;

pub use address::{Address, Listen, ListenOrOff, Mode};
pub use collector::Collector;
pub use load::{Loaded, PROFILE_VARIABLE, Sources};
pub use problem::{ConfigError, Problem};
pub use settings::{Change, Setting, Settings, TABLE};

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column } = self;
        write!(f, "{}:{line}:{column}", path.display())
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(Place),
    /// The part of the file for one profile.
    Profile {
        name: String,
        place: Place,
    },
    Environment {
        variable: String,
    },
    Flag {
        flag: String,
    },
}

impl Origin {
    /// The place in a file, if it was one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::File(place) | Self::Profile { place, .. } => Some(place),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(Place { path, line, .. }) => write!(f, "{}:{line}", path.display()),
            Self::Profile { name, place } => {
                write!(f, "profile {name}, {}:{}", place.path.display(), place.line)
            }
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
        Ok(self.put(key, text, origin)?)
    }

    fn put(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), Problem> {
        let Some(at) = Setting::position(key) else {
            return Err(Problem::unknown(key, origin));
        };
        match TABLE[at].set(&mut self.settings, text) {
            Ok(()) => {
                self.origins[at] = origin;
                Ok(())
            }
            Err(what) => Err(Problem::new(origin, key, what)),
        }
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        Setting::position(key).map_or(&Origin::Default, |at| &self.origins[at])
    }

    /// Takes the value of one setting, and where it came from, from another
    /// configuration.
    pub fn adopt(&mut self, row: &Setting, from: &Self) {
        let text = row.get(&from.settings);
        // What is shown can be read again: a test holds every kind of value to that.
        if row.set(&mut self.settings, &text).is_ok()
            && let Some(at) = Setting::position(row.key)
        {
            self.origins[at] = from.origins[at].clone();
        }
    }
}
