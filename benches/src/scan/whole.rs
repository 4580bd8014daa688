//! One scan of all keys, and what it does to memory and to writers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kvproto::v1;
use prost::Message as _;
use v1::key_range::Range as Keys;

use super::pages::Expected;
use crate::Result;
use crate::child::Server;
use crate::client::{Connection, Method};
use crate::contents::Contents;
use crate::cpu;
use crate::driver::{Work, frame, on_this_thread};

/// How long a scan may take: this, and as much for every key.
const GRACE: Duration = Duration::from_secs(60);
const PER_KEY: Duration = Duration::from_micros(100);
const LOOK: Duration = Duration::from_millis(10);

/// Reads all keys, again and again.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) address: SocketAddr,
    pub(super) contents: Arc<Contents>,
    pub(super) keys: u32,
}

impl Work for Whole {
    type Line = Connection;
    type Slot = Method;

    async fn connect(&self) -> Result<Connection> {
        Connection::new(self.address).await
    }

    fn slot(&self, line: &Connection, _seed: u64) -> Result<Method> {
        line.method("Scan")
    }

    async fn call(&self, method: &mut Method) -> Result<bool> {
        let span = v1::Span {
            start: self.contents.key(0),
            end: self.contents.key(self.keys),
        };
        let request = v1::ScanRequest {
            range: Some(v1::KeyRange {
                range: Some(Keys::Span(span)),
            }),
            ..v1::ScanRequest::default()
        };
        let mut replies = method.stream(frame(&request, &mut BytesMut::new())).await?;
        let mut expected = Expected {
            contents: &self.contents,
            left: 0..self.keys,
        };
        while let Some(page) = replies.next().await? {
            for record in v1::ScanResponse::decode(page)?.records {
                expected.next(&record.key, &record.value)?;
            }
        }
        expected.end()?;
        Ok(true)
    }
}

/// What one scan took.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) elapsed: Duration,
    pub(super) server_cpu: Duration,
    /// Resident bytes of the server: before, at most while it ran, after.
    pub(super) resident: [u64; 3],
}

impl Whole {
    pub(super) fn once(&self, server: &Server) -> Result<Taken> {
        let pid = server.pid();
        let before = cpu::resident(pid)?;
        let (done, peak) = (AtomicBool::new(false), AtomicU64::new(before));
        let (begun, begun_cpu) = (Instant::now(), cpu::of(pid)?);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let now = cpu::resident(pid).unwrap_or(u64::MAX);
                    peak.fetch_max(now, Ordering::Relaxed);
                    thread::sleep(LOOK);
                }
            });
            let scanned = on_this_thread(GRACE + PER_KEY * self.keys, async {
                let mut method = self.slot(&self.connect().await?, 0)?;
                self.call(&mut method).await
            });
            done.store(true, Ordering::Relaxed);
            scanned
        })?;
        Ok(Taken {
            elapsed: begun.elapsed(),
            server_cpu: cpu::of(pid)?.saturating_sub(begun_cpu),
            resident: [before, peak.into_inner(), cpu::resident(pid)?],
        })
    }
}
