//! One store: filled once, started many times.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;

use super::Plan;
use super::files::{self, Cache};
use crate::Result;
use crate::child::{Home, Launcher, Server, data_of};
use crate::client::Connection;
use crate::cpu;
use crate::driver::{frame, on_this_thread};
use crate::fill;
use crate::peers::{Peer, Promise};
use crate::resp::{self, Reply};
use crate::snapshot;
use crate::status;

/// The promise of all, so that only the files differ.
const SYNC: &str = "interval:1s";
/// How long a start may take before the first answer.
const STARTED_WITHIN: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(5);
const SEGMENT: &str = ".kvlog";
/// Keys that are read back after every start but the first.
const SAMPLE: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Snapshot,
    Aof,
    Rdb,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Log, Self::Snapshot, Self::Aof, Self::Rdb];

    pub(super) fn is_kvd(self) -> bool {
        matches!(self, Self::Log | Self::Snapshot)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "kvd log",
            Self::Snapshot => "kvd snapshot + log",
            Self::Aof => "Redis AOF",
            Self::Rdb => "Redis RDB",
        })
    }
}

pub(super) struct Store<'a> {
    pub(super) kind: Kind,
    home: Home,
    launcher: &'a Launcher,
    redis: PathBuf,
    /// The first segment that a start of kvd must read.
    first_segment: String,
}

/// One start.
pub(super) struct Start {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// Of the files that were read.
    pub(super) megabytes: f64,
    /// Bytes at the first answer, and when the allocator has given back what it keeps for
    /// a while; the second of the first start only.
    pub(super) resident: f64,
    pub(super) settled: Option<f64>,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} s, {:.2} s of CPU, {:.0} MB",
            self.seconds, self.cpu_seconds, self.megabytes
        )
    }
}

impl<'a> Store<'a> {
    /// Writes all keys, then some once more, and stops the server.
    pub(super) fn fill(
        kind: Kind,
        plan: &Plan,
        launcher: &'a Launcher,
        redis: Option<&Path>,
    ) -> Result<Self> {
        let mut store = Self {
            first_segment: String::new(),
            kind,
            home: launcher.home("restart")?,
            launcher,
            redis: redis.unwrap_or(Path::new("redis-server")).to_owned(),
        };
        let server = store.server()?;
        let filled = store.write(plan, server.address());
        filled.map_err(|error| server.failure(&error.to_string()))?;
        server.stop()?;
        Ok(store)
    }

    fn write(&mut self, plan: &Plan, address: SocketAddr) -> Result<()> {
        let (contents, all) = (&plan.contents, 0..plan.contents.count());
        let changed = 0..plan.changed;
        if !self.kind.is_kvd() {
            fill::redis::generation(address, contents, all, 0)?;
            fill::redis::generation(address, contents, changed, 1)?;
            if self.kind == Kind::Rdb {
                save(address)?;
            }
            return Ok(());
        }
        fill::generation(address, contents, all, 0)?;
        if self.kind == Kind::Snapshot {
            let records = snapshot::create(address)?.records;
            if records != i64::from(contents.count()) {
                return Err(format!("the snapshot holds {records} records").into());
            }
            let segments = files::names(&data_of(&self.home), SEGMENT)?;
            self.first_segment = segments.last().cloned().unwrap_or_default();
        }
        fill::generation(address, contents, changed, 1)
    }

    fn server(&self) -> Result<Server> {
        match self.kind {
            Kind::Log | Kind::Snapshot => {
                // Snapshots are made by hand here, as fast as they can be.
                let settings = ["snapshot.log_bytes=none", "snapshot.rate=none"];
                self.launcher.kvd_in(&self.home, SYNC, &settings)
            }
            Kind::Aof => Peer::Redis.start_in(&self.home, &self.redis, Promise::EverySecond),
            Kind::Rdb => Peer::Redis.start_in(&self.home, &self.redis, Promise::Nothing),
        }
    }

    /// Starts it, waits for the first key, and reads back some or all.
    pub(super) fn start(&self, plan: &Plan, cache: Cache, all: bool) -> Result<Start> {
        cache.prepare(self.home.path())?;
        let dir = self.home.path();
        // Of Redis what lies there is what is read; kvd tells.
        let lies_there = match self.kind {
            Kind::Log | Kind::Snapshot => 0,
            Kind::Aof => files::bytes(dir, ".aof")?,
            Kind::Rdb => files::bytes(dir, ".rdb")?,
        };
        let begun = Instant::now();
        let server = self.server()?;
        let start = self.follow(plan, &server, begun, lies_there, all);
        let start = start.map_err(|error| server.failure(&error.to_string()))?;
        server.stop()?;
        Ok(start)
    }

    fn follow(
        &self,
        plan: &Plan,
        server: &Server,
        begun: Instant,
        lies_there: u64,
        all: bool,
    ) -> Result<Start> {
        let (address, pid) = (server.address(), server.pid());
        let last = plan.contents.count() - 1;
        let key = plan.contents.key(last);
        let value = if self.kind.is_kvd() {
            kvd_read(address, key)?
        } else {
            redis_read(address, &key)?
        };
        let elapsed = begun.elapsed();
        let (cpu, resident) = (cpu::of(pid)?, cpu::own_memory(pid)?);
        if value != Some(plan.contents.value(last, 0)) {
            return Err("the first key that was read is not as it was written".into());
        }
        let bytes = if self.kind.is_kvd() {
            self.kvd_bytes(address)?
        } else {
            lies_there
        };
        self.read_back(plan, address, all)?;
        let settled = if all {
            thread::sleep(
                plan.settle
                    .saturating_sub(begun.elapsed().saturating_sub(elapsed)),
            );
            Some(float(cpu::own_memory(pid)?))
        } else {
            None
        };
        Ok(Start {
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
            megabytes: float(bytes) / 1e6,
            resident: float(resident),
            settled,
        })
    }

    /// What the last start of kvd read: the segments that it needed, as far as they hold
    /// anything (a start gives back the empty rest of the last one), and the snapshot.
    fn kvd_bytes(&self, address: SocketAddr) -> Result<u64> {
        let status = status::of(address)?;
        let report = status.recovery.ok_or("kvd does not report its start")?;
        let from_snapshot = !report.snapshot.is_empty();
        if from_snapshot != (self.kind == Kind::Snapshot) {
            return Err(format!("kvd started from the snapshot {:?}", report.snapshot).into());
        }
        let snapshot = status.snapshots.last().map_or(0, |snapshot| snapshot.bytes);
        let log = files::held(&data_of(&self.home), SEGMENT, &self.first_segment)?;
        Ok(log + u64::try_from(snapshot)?)
    }

    /// All keys, or those on both sides of what was changed.
    fn read_back(&self, plan: &Plan, address: SocketAddr, all: bool) -> Result<()> {
        let (count, mark) = (plan.contents.count(), plan.changed);
        let keys = if all {
            0..count
        } else {
            mark.saturating_sub(SAMPLE / 2)..count.min(mark + SAMPLE / 2)
        };
        if self.kind.is_kvd() {
            let held = status::of(address)?.keys;
            if held != i64::from(count) {
                return Err(format!("{held} keys are there, not {count}").into());
            }
            return fill::read_back(address, &plan.contents, keys, mark);
        }
        fill::redis::read_back(address, &plan.contents, keys, mark)
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

fn kvd_read(address: SocketAddr, key: Bytes) -> Result<Option<Bytes>> {
    on_this_thread(STARTED_WITHIN, async {
        let mut method = Connection::new(address).await?.method("Get")?;
        let request = v1::GetRequest { key, options: None };
        let reply = method.call(frame(&request, &mut BytesMut::new())).await?;
        let record = v1::GetResponse::decode(reply)?.record;
        Ok(record.map(|record| record.value))
    })
}

/// Redis takes connections while it loads, and answers that it does.
fn redis_read(address: SocketAddr, key: &[u8]) -> Result<Option<Bytes>> {
    on_this_thread(STARTED_WITHIN, async {
        let connection = resp::Connection::new(address).await?;
        loop {
            let reply = connection.call(&[&[b"GET", key]]).await?;
            match reply.into_iter().next() {
                Some(Reply::Bulk(value)) => return Ok(value),
                Some(Reply::Error(error)) if error.starts_with(b"LOADING") => {
                    tokio::time::sleep(POLL).await;
                }
                other => return Err(format!("GET was answered with {other:?}").into()),
            }
        }
    })
}

/// Has Redis write its dump.
fn save(address: SocketAddr) -> Result<()> {
    on_this_thread(STARTED_WITHIN, async {
        let connection = resp::Connection::new(address).await?;
        match connection.call(&[&[b"SAVE"]]).await?.first() {
            Some(Reply::Status(status)) if status == "OK" => Ok(()),
            other => Err(format!("SAVE was answered with {other:?}").into()),
        }
    })
}
