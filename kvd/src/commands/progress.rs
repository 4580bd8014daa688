//! How far reading has got, for whoever waits at a terminal.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};

use kvcore::LoadProgress;

/// How far a file was read, on a terminal: one line that is written over.
#[derive(Default)]
pub(super) struct Progress {
    percent: Cell<Option<u64>>,
}

impl Progress {
    pub(super) fn show(&self, read: LoadProgress) {
        let percent = read.bytes_done.saturating_mul(100) / read.bytes_total.max(1);
        let mut err = std::io::stderr().lock();
        if self.percent.get() == Some(percent) || !err.is_terminal() {
            return;
        }
        self.percent.set(Some(percent));
        let _ = write!(err, "\rreading {percent:>3} %");
    }

    pub(super) fn clear(&self) {
        if self.percent.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
