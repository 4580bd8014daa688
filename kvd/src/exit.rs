//! How the process ends: the exit codes that scripts and service managers rely on.

use std::process::ExitCode;

/// Why the process ends other than in order. The numbers follow sysexits.h and
/// never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Wrong command line.
    Usage = 2,
    /// The store's files are damaged, foreign, missing or duplicate.
    Damaged = 65,
    /// An address is in use or cannot be had.
    Unavailable = 69,
    /// A fault of kvd itself, such as a thread that cannot be started.
    Software = 70,
    /// The disk answered with an error.
    Io = 74,
    /// Another process has the directory.
    Locked = 75,
    /// The configuration cannot be used.
    Config = 78,
}

/// An end that is not in order: the code, and what to tell the user.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}
