//! What is wrong with a configuration: all of it at once, each with its place.

use std::fmt;

use super::{Origin, nearest};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value, or the name that should not be there, was written.
    pub origin: Origin,
    /// The setting; empty if it is about the source as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, key: &str, what: impl Into<String>) -> Self {
        Self {
            origin,
            key: key.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn unknown(key: &str, origin: Origin) -> Self {
        let what = format!(
            "there is no setting {key:?}; the nearest is {:?}",
            nearest::key(key)
        );
        Self::new(origin, "", what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(place) | Origin::Profile { place, .. } => write!(f, "{place}: ")?,
            // A source as a whole, such as a file that cannot be read, names itself.
            Origin::Default if self.key.is_empty() => {}
            other => write!(f, "{other}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// Why the configuration cannot be used: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl ConfigError {
    /// About the sources as a whole.
    pub fn general(what: impl Into<String>) -> Self {
        Problem::new(Origin::Default, "", what).into()
    }
}
