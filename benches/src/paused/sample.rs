//! The daemon's memory over time, and what it says of its watches.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::child::Server;
use crate::cpu;

const LOOK: Duration = Duration::from_millis(50);
/// How long the daemon may take to show its metrics.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    Paused,
    GoingOn,
    End,
}

/// The most that was seen in each phase, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) before: f64,
    pub(super) paused: f64,
    pub(super) going_on: f64,
    /// The last look.
    pub(super) end: f64,
    pub(super) watch_bytes: f64,
}

impl Seen {
    pub(super) fn most(&self) -> f64 {
        self.paused.max(self.going_on).max(self.end)
    }

    fn take(&mut self, phase: Phase, resident: f64, watch_bytes: f64) {
        self.watch_bytes = self.watch_bytes.max(watch_bytes);
        match phase {
            Phase::Before => self.before = resident,
            Phase::Paused => self.paused = self.paused.max(resident),
            Phase::GoingOn => self.going_on = self.going_on.max(resident),
            Phase::End => self.end = resident,
        }
    }
}

/// Looks until the phase is the last one.
pub(super) struct Sampler {
    phase: AtomicU8,
    seen: Mutex<Seen>,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Before as u8),
            seen: Mutex::default(),
        }
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::Acquire);
        let all = [Phase::Before, Phase::Paused, Phase::GoingOn];
        let found = all.into_iter().find(|known| *known as u8 == phase);
        found.unwrap_or(Phase::End)
    }

    pub(super) fn run(&self, server: &Server) -> Result<()> {
        let (pid, http) = (server.pid(), server.http()?);
        loop {
            let phase = self.phase();
            let watch_bytes = metric(&metrics(http)?, "kvd_watch_ring_bytes")?;
            let resident = float(cpu::own_memory(pid)?);
            if let Ok(mut seen) = self.seen.lock() {
                seen.take(phase, resident, watch_bytes);
            }
            if phase == Phase::End {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().map(|seen| *seen).unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

/// The page of metrics.
pub(crate) fn metrics(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SHOWN_WITHIN)?;
    stream.set_read_timeout(Some(SHOWN_WITHIN))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    if !page.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the metrics were answered with {page:.80}").into());
    }
    Ok(page)
}

/// The sum of all lines of a metric.
pub(super) fn metric(page: &str, name: &str) -> Result<f64> {
    let mut found = None;
    for line in page.lines() {
        let value = line.strip_prefix(name);
        let value = value.filter(|rest| rest.starts_with(['{', ' ']));
        let value = value.and_then(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        if let Some(value) = value {
            found = Some(found.unwrap_or(0.0) + value);
        }
    }
    Ok(found.ok_or_else(|| format!("the daemon shows no metric {name}"))?)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "nothing is computed")]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name_and_summed() {
        let page = "# TYPE a_b counter\na_b_c 5\na_b{x=\"1\"} 2\na_b{x=\"2\"} 3\nz 9\n";
        assert_eq!(metric(page, "a_b").unwrap(), 5.0);
        assert_eq!(metric(page, "z").unwrap(), 9.0);
        assert!(metric(page, "a").is_err());
    }

    #[test]
    fn the_most_of_each_phase_is_kept_and_the_last_look() {
        let mut seen = Seen::default();
        for (phase, resident, bytes) in [
            (Phase::Before, 5.0, 0.0),
            (Phase::Paused, 9.0, 3.0),
            (Phase::Paused, 7.0, 1.0),
            (Phase::GoingOn, 8.0, 0.0),
            (Phase::End, 6.0, 0.0),
        ] {
            seen.take(phase, resident, bytes);
        }
        assert_eq!(seen.before, 5.0);
        assert_eq!((seen.paused, seen.going_on, seen.end), (9.0, 8.0, 6.0));
        assert_eq!((seen.most(), seen.watch_bytes), (9.0, 3.0));
    }
}
