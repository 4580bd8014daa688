//! The lines of earlier sessions.
//!
//! They lie in a file that only its owner can read. What looks like a secret and
//! what begins with a blank is not kept, not even for this session: a line that can
//! be fetched back can be seen by others.

use std::{
    env,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::failure::complain;

/// Lines kept.
pub(super) const MOST: usize = 1_000;
/// Longer lines are not kept.
const LONGEST: usize = 16 * 1024;

/// Parts of words that say that a secret is near.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "private-key",
    "privatekey",
];

/// Where the lines are kept: `$XDG_STATE_HOME/kvcli/history`, by default under
/// `~/.local/state`.
pub(super) fn path() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local").join("state")))?;
    Some(state.join("kvcli").join("history"))
}

/// Makes the directory, for its owner only. False if lines cannot be kept there.
pub(super) fn prepare(path: &Path) -> bool {
    let Some(dir) = path.parent() else {
        return false;
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    if let Err(error) = &made {
        complain(&format!(
            "no history: cannot make {}: {error}",
            dir.display()
        ));
    }
    made.is_ok()
}

/// Whether a text may be kept.
pub(super) fn is_kept(text: &str) -> bool {
    if text.len() > LONGEST || text.starts_with([' ', '\t']) || text.trim().is_empty() {
        return false;
    }
    let lower = text.to_lowercase();
    !SECRETS.iter().any(|secret| lower.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_kept() {
        for text in ["get a", "set user/7 anna", "txn\nthen\nget a\nend"] {
            assert!(is_kept(text), "{text}");
        }
        let long = format!("set k {}", "x".repeat(LONGEST));
        for text in [
            "set db/Password hunter2",
            "set API_KEY 12",
            "del k --if-value my-secret",
            "txn\nthen\nset session-token x\nend",
            " set k v",
            "\tget a",
            "",
            "  ",
            &long,
        ] {
            assert!(!is_kept(text), "{text}");
        }
    }
}
