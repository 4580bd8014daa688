//! Readers of keys that are to end, each with a clock of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::{Connection, Method};
use crate::contents::{Contents, SplitMix};
use crate::driver::{Work, frame};

/// How far the two clocks may be apart: each of them is rounded to ms twice.
const APART_MS: u64 = 2;
/// Violations that are kept with their text.
const SHOWN: usize = 5;

/// Reads random keys of those that are written.
#[derive(Clone)]
pub(super) struct Readers {
    pub(super) address: SocketAddr,
    pub(super) contents: Arc<Contents>,
    /// Keys below are written.
    pub(super) written: Arc<AtomicU32>,
    /// By `clock`, in ms; none: never.
    pub(super) deadline_ms: Option<u64>,
    pub(super) clock: Clock,
    pub(super) seen: Arc<Seen>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Answered before the deadline; sent after it.
    pub(super) before: AtomicU64,
    pub(super) after: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Seen {
    pub(super) fn violations(&self) -> Vec<String> {
        let violations = self.violations.lock();
        violations.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn violation(&self, what: String) {
        let violations = self.violations.lock();
        let mut violations = violations.unwrap_or_else(PoisonError::into_inner);
        if violations.len() < SHOWN {
            violations.push(what);
        }
    }

    /// Judges a read that was sent and answered at these moments.
    fn judge(&self, number: u32, found: bool, deadline: Option<u64>, sent: u64, answered: u64) {
        let deadline = deadline.unwrap_or(u64::MAX);
        if answered.saturating_add(APART_MS) <= deadline {
            self.before.fetch_add(1, Ordering::Relaxed);
            if !found {
                let early = deadline - answered;
                self.violation(format!(
                    "key {number} was missing {early} ms before its deadline"
                ));
            }
        } else if sent >= deadline.saturating_add(APART_MS) {
            self.after.fetch_add(1, Ordering::Relaxed);
            if found {
                let late = sent - deadline;
                self.violation(format!(
                    "key {number} was found by a read sent {late} ms after its deadline"
                ));
            }
        }
    }
}

/// The wall clock as it was at the beginning, running evenly since. A daemon that starts
/// now keeps the same time; the machine's wall clock may be adjusted meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begun: Instant,
    wall: Duration,
}

impl Clock {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            begun: Instant::now(),
            wall: since.unwrap_or_default(),
        }
    }

    /// ms since the Unix epoch, rounded down.
    pub(super) fn ms(&self) -> u64 {
        let now = self.wall + self.begun.elapsed();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Work for Readers {
    type Line = Connection;
    type Slot = (Method, SplitMix, BytesMut);

    async fn connect(&self) -> Result<Connection> {
        Connection::new(self.address).await
    }

    fn slot(&self, line: &Connection, seed: u64) -> Result<Self::Slot> {
        Ok((line.method("Get")?, SplitMix(seed), BytesMut::new()))
    }

    async fn call(&self, (method, random, arena): &mut Self::Slot) -> Result<bool> {
        let written = self.written.load(Ordering::Acquire);
        if written == 0 {
            return Ok(true);
        }
        let number = random.below(written);
        let key = self.contents.key(number);
        let request = frame(&v1::GetRequest { key, options: None }, arena);
        let sent = self.clock.ms();
        let reply = v1::GetResponse::decode(method.call(request).await?)?;
        let answered = self.clock.ms();
        let right = reply.record.as_ref().is_none_or(|record| {
            record.key == self.contents.key(number)
                && record.value == self.contents.value(number, 0)
        });
        if !right || reply.found != reply.record.is_some() {
            self.seen
                .violation(format!("key {number} does not hold what was written"));
        }
        self.seen
            .judge(number, reply.found, self.deadline_ms, sent, answered);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_judged_by_the_clock_around_it() {
        let seen = Seen::default();
        for (found, sent, answered) in [
            (true, 10, 98),
            (false, 102, 103),
            // Under way while the deadline came: both are right.
            (true, 99, 101),
            (false, 99, 100),
        ] {
            seen.judge(1, found, Some(100), sent, answered);
        }
        assert_eq!(seen.violations(), Vec::<String>::new());
        seen.judge(2, false, Some(100), 10, 98);
        seen.judge(3, true, Some(100), 102, 105);
        seen.judge(4, false, None, 1, 2);
        let violations = seen.violations();
        assert_eq!(violations[0], "key 2 was missing 2 ms before its deadline");
        assert_eq!(
            violations[1],
            "key 3 was found by a read sent 2 ms after its deadline"
        );
        assert!(violations[2].starts_with("key 4 was missing"));
        assert_eq!((seen.before.into_inner(), seen.after.into_inner()), (3, 2));
    }
}
