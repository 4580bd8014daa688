//! The orderly end: refuse, let everything in flight arrive, seal, say so.

use std::time::{Duration, Instant};

use super::Engine;
use crate::commit::Error;

/// How a close ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The log is sealed and the MANIFEST says clean: the next start numbers on without
    /// a gap. Otherwise the next start recovers as after a crash; nothing that was
    /// acknowledged as durable is lost either way.
    pub clean: bool,
}

impl Engine {
    /// New writes are refused from here on; those in flight go on.
    pub fn start_drain(&self) {
        self.inner.core.state.drain();
        self.inner.core.gate.wake();
        for thread in self.inner.threads.lock().iter() {
            // The sweeper sleeps until something is due.
            thread.thread().unpark();
        }
    }

    /// Drains, seals the log and ends its threads, within `limit`; a snapshot that
    /// [`SnapshotOptions::at_close`](crate::SnapshotOptions::at_close) asks for may take its
    /// own time besides.
    ///
    /// # Errors
    /// The log had failed before or fails now: the next start recovers.
    pub fn close(&self, limit: Duration) -> Result<Closed, Error> {
        self.start_drain();
        let inner = &self.inner;
        let mut deadline = Instant::now() + limit;
        // With every permit back, everything that was sent is in the log.
        while !inner.core.gate.is_idle() {
            if Instant::now() >= deadline {
                return Ok(Closed { clean: false });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let begun = Instant::now();
        inner.snapshots.make_at_close();
        deadline += begun.elapsed();
        inner.core.log.close();
        inner.core.log.spares.stop();
        let threads: Vec<_> = inner.threads.lock().drain(..).collect();
        for thread in threads {
            while !thread.is_finished() {
                if Instant::now() >= deadline {
                    return Ok(Closed { clean: false });
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        match self.watermark().failure() {
            Some(reason) => Err(Error::LogFailed(reason.to_string())),
            None => Ok(Closed {
                clean: inner.core.log.manifest.get().clean.is_some(),
            }),
        }
    }
}
