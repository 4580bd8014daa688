//! The ready line: the one line that kvd writes to standard output.

use std::fmt::Write as _;

use super::Daemon;
use crate::backend::Store as _;

impl Daemon {
    /// `kvd ready listen=… http=… data_dir=… keys=N revision=R took_ms=T`. A path with
    /// blanks is quoted. Empty until the store is loaded.
    pub fn ready_line(&self) -> String {
        let Some(store) = self.server.figures.shared.store.get() else {
            return String::new();
        };
        let status = store.status();
        let listening: Vec<String> = self.listening.iter().map(ToString::to_string).collect();
        let http = self
            .http
            .map_or_else(|| "off".to_owned(), |address| address.to_string());
        let mut line = format!(
            "kvd ready listen={} http={http} data_dir=",
            listening.join(",")
        );
        let dir = status.dir.display().to_string();
        let _ = if dir.contains(char::is_whitespace) {
            write!(line, "{dir:?}")
        } else {
            write!(line, "{dir}")
        };
        let _ = write!(
            line,
            " keys={} revision={} took_ms={}",
            status.keys, status.store_revision, status.recovery.took_ms
        );
        line
    }
}
