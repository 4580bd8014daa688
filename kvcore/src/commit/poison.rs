//! Whether writes are accepted, and why not.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use crate::log::watermark::Watermark;

/// Asked once before admission and once more under the locks.
#[derive(Debug, Default)]
pub struct WriteState {
    draining: AtomicBool,
}

impl WriteState {
    /// The log's failure sticks, and comes first.
    pub fn check(&self, watermark: &Watermark) -> Result<(), Error> {
        if let Some(reason) = watermark.failure() {
            return Err(Error::LogFailed(reason.to_string()));
        }
        if self.draining() {
            return Err(Error::Draining);
        }
        Ok(())
    }

    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}
