//! Why a data directory could not be opened. Every message says what, where, and
//! what to do.

use std::io;

/// What kind of failure, as the daemon's exit codes tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The options contradict each other or the file system (78).
    Options,
    /// Damaged, foreign, missing or duplicate files (65).
    Damaged,
    /// The operating system failed a call (74).
    Io,
    /// Another process holds the directory (75).
    Locked,
}

/// Why [`crate::Engine::open`] or [`crate::check`] failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Options(String),
    #[error("{dir} is in use by another process; stop it, or choose another directory")]
    Locked { dir: String },
    #[error(
        "{file}, byte {offset}: {what}; the store is not opened, nothing was changed; \
         `kvd check DIR` lists the damage"
    )]
    Damaged {
        file: String,
        offset: u64,
        what: String,
    },
    #[error("{file}, byte {offset}: {what}; nothing was restored")]
    BadBackup {
        file: String,
        offset: u64,
        what: String,
    },
    #[error("{0}; nothing was written")]
    Unrepairable(String),
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub fn kind(&self) -> OpenErrorKind {
        match self {
            Self::Options(_) => OpenErrorKind::Options,
            Self::Locked { .. } => OpenErrorKind::Locked,
            Self::Damaged { .. } | Self::BadBackup { .. } | Self::Unrepairable(_) => {
                OpenErrorKind::Damaged
            }
            Self::Io { .. } => OpenErrorKind::Io,
        }
    }

    pub(crate) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            what: what.into(),
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
