//! The load driver: calls over a few connections, every reply checked.
//!
//! Each thread has a current-thread runtime with its share of the connections; each
//! call in flight is a task that asks, checks and asks again: at once (closed loop), or
//! when its turn comes at a fixed rate (open loop, for claims about latency). The main
//! thread marks the edges of the measured window and reads clocks and counters there;
//! what is in flight at the end is finished and checked before the run is over.

mod turns;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use hdrhistogram::Histogram;
use kvproto::v1;
use prost::Message;
use tokio::task::{LocalSet, spawn_local};

use crate::Result;
use crate::client::{Connection, PREFIX};
use crate::cpu;
use crate::shapes::Shape;
use turns::Turns;

/// Latencies are kept in ns, to 3 digits, up to a minute.
const LONGEST: u64 = 60_000_000_000;
/// How long a run may take beyond its window: a server that stopped answering is an
/// error, not a wait without end.
const GRACE: Duration = Duration::from_secs(60);
/// What requests are cut from.
const ARENA: usize = 64 << 10;

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// What is asked of a server, and how the answers are checked.
pub(crate) trait Work: Send + Sync + 'static {
    /// One connection, used on one thread.
    type Line: 'static;
    /// What one call in flight has of its own.
    type Slot: 'static;

    fn connect(&self) -> impl Future<Output = Result<Self::Line>>;
    /// `seed` differs between the slots of a run.
    fn slot(&self, line: &Self::Line, seed: u64) -> Result<Self::Slot>;
    /// One call, its reply checked. False: there is nothing left to ask for.
    fn call(&self, slot: &mut Self::Slot) -> impl Future<Output = Result<bool>>;
}

/// How work is driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    pub(crate) shape: Shape,
    pub(crate) threads: usize,
    /// Calls per second of all slots together; none: as fast as they are answered.
    pub(crate) rate: Option<u32>,
}

impl Drive {
    pub(crate) const fn closed(shape: Shape, threads: usize) -> Self {
        Self {
            shape,
            threads,
            rate: None,
        }
    }
}

/// When a run is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    /// From the moment at which it really began.
    pub(crate) length: Duration,
}

impl Window {
    pub(crate) fn after(warm: Duration, length: Duration) -> Self {
        Self {
            begin: Instant::now() + warm,
            length,
        }
    }
}

/// What a measured window held.
pub(crate) struct Measured {
    pub(crate) ops: u64,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
    /// CPU time of all other processes.
    pub(crate) other_cpu: Duration,
    pub(crate) latency: Histogram<u64>,
}

/// Drives work until there is nothing left to ask for; `extra` is what that may take.
pub(crate) fn to_the_end<W: Work>(work: W, drive: Drive, extra: Duration) -> Result<()> {
    let run = Run::new(work, drive, GRACE + extra);
    let (lanes, _ended) = run.start()?;
    finish(lanes)?;
    Ok(())
}

/// Drives work until the window ends, and measures the window.
pub(crate) fn measured<W: Work>(
    work: W,
    drive: Drive,
    server: u32,
    window: Window,
) -> Result<Measured> {
    let warm = window.begin.saturating_duration_since(Instant::now());
    let limit = warm + window.length + GRACE;
    let run = Run::new(work, drive, limit);
    let (lanes, ended) = run.start()?;
    // A lane that ends by itself has failed; the reason comes with its thread.
    let until = |at: Instant| {
        let left = at.saturating_duration_since(Instant::now());
        ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
    };
    let edges = || -> Result<Option<(Edge, Edge)>> {
        if !until(window.begin) {
            return Ok(None);
        }
        let begin = Edge::new(server, &run)?;
        run.phase.store(MEASURE, Ordering::Relaxed);
        if !until(begin.at + window.length) {
            return Ok(None);
        }
        Ok(Some((begin, Edge::new(server, &run)?)))
    };
    let edges = edges();
    run.phase.store(STOP, Ordering::Relaxed);
    let latency = finish(lanes)?;
    let (begin, end) = edges?.ok_or("the load ended before its time")?;
    let server_cpu = end.server_cpu.saturating_sub(begin.server_cpu);
    let client_cpu = end.client_cpu.saturating_sub(begin.client_cpu);
    let busy = end.busy.saturating_sub(begin.busy);
    Ok(Measured {
        ops: end.ops - begin.ops,
        elapsed: end.at - begin.at,
        server_cpu,
        client_cpu,
        other_cpu: busy.saturating_sub(server_cpu + client_cpu),
        latency,
    })
}

/// Waits until everything that was written is on stable storage.
pub(crate) fn settle(address: SocketAddr) -> Result<()> {
    on_this_thread(GRACE, async {
        let message = v1::WaitDurableRequest::default();
        let mut method = Connection::new(address).await?.method("WaitDurable")?;
        let reply = method.call(frame(&message, &mut BytesMut::new())).await?;
        v1::WaitDurableResponse::decode(reply)?;
        Ok(())
    })
}

/// The state of things at one edge of the window.
struct Edge {
    at: Instant,
    ops: u64,
    server_cpu: Duration,
    client_cpu: Duration,
    /// CPU time of everything on the machine.
    busy: Duration,
}

impl Edge {
    fn new<W>(server: u32, run: &Run<W>) -> Result<Self> {
        Ok(Self {
            server_cpu: cpu::of(server)?,
            client_cpu: cpu::of(std::process::id())?,
            busy: cpu::of_everything()?,
            ops: run.done.iter().map(|n| n.0.load(Ordering::Relaxed)).sum(),
            at: Instant::now(),
        })
    }
}

/// A count that shares no cache line with another thread's.
#[repr(align(128))]
#[derive(Default)]
struct Count(AtomicU64);

/// What the threads of one run share.
struct Run<W> {
    work: W,
    drive: Drive,
    begun: Instant,
    phase: AtomicU8,
    limit: Duration,
    /// Calls answered, per thread.
    done: Vec<Count>,
}

type Lanes = Vec<thread::JoinHandle<Result<Histogram<u64>>>>;

impl<W: Work> Run<W> {
    fn new(work: W, drive: Drive, limit: Duration) -> Arc<Self> {
        let threads = drive.threads.clamp(1, drive.shape.connections);
        Arc::new(Self {
            work,
            drive,
            begun: Instant::now(),
            phase: AtomicU8::new(WARM),
            limit,
            done: (0..threads).map(|_| Count::default()).collect(),
        })
    }

    /// Starts the threads; the channel tells when one has ended.
    fn start(self: &Arc<Self>) -> Result<(Lanes, mpsc::Receiver<()>)> {
        let (sender, ended) = mpsc::channel();
        let lanes = (0..self.done.len()).map(|index| {
            let (run, sender) = (Arc::clone(self), sender.clone());
            thread::Builder::new()
                .name(format!("bench-load-{index}"))
                .spawn(move || {
                    let result = on_this_thread(run.limit, lane(Arc::clone(&run), index));
                    run.phase.store(STOP, Ordering::Relaxed);
                    let _ = sender.send(());
                    result
                })
        });
        Ok((lanes.collect::<std::io::Result<_>>()?, ended))
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }
}

fn finish(lanes: Lanes) -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    let mut failed = None;
    for lane in lanes {
        match lane.join().map_err(|_| "a load thread panicked")? {
            Ok(latency) => all.add(latency)?,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(all), Err)
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

/// Runs `work` on a current-thread runtime, for a limited time.
pub(crate) fn on_this_thread<T>(
    limit: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = async {
        let stopped = |_| format!("the server did not answer everything within {limit:?}");
        tokio::time::timeout(limit, work).await.map_err(stopped)?
    };
    LocalSet::new().block_on(&runtime, work)
}

/// What the calls of one thread share.
struct Lane<W> {
    run: Arc<Run<W>>,
    index: usize,
    latency: RefCell<Histogram<u64>>,
}

/// One thread: opens its connections, keeps its calls in flight, waits for their end.
async fn lane<W: Work>(run: Arc<Run<W>>, index: usize) -> Result<Histogram<u64>> {
    let lane = Rc::new(Lane {
        index,
        latency: RefCell::new(histogram()?),
        run,
    });
    let (work, shape) = (&lane.run.work, lane.run.drive.shape);
    let mut slots = Vec::new();
    for connection in (index..shape.connections).step_by(lane.run.done.len()) {
        let line = work.connect().await?;
        for slot in 0..shape.in_flight {
            let number = connection * shape.in_flight + slot;
            let slot = work.slot(&line, number as u64)?;
            let turns = Turns::new(&lane.run.drive, lane.run.begun, number);
            slots.push(spawn_local(calls(Rc::clone(&lane), slot, turns)));
        }
    }
    for slot in slots {
        slot.await??;
    }
    Ok(lane.latency.replace(histogram()?))
}

/// One call after the other, until the run is over.
async fn calls<W: Work>(lane: Rc<Lane<W>>, mut slot: W::Slot, mut turns: Turns) -> Result<()> {
    let run = &lane.run;
    let mut began = Instant::now();
    loop {
        if let Some(turn) = turns.next() {
            began = turn.await;
        }
        if run.phase() == STOP {
            return Ok(());
        }
        match run.work.call(&mut slot).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                // The others need not go on.
                run.phase.store(STOP, Ordering::Relaxed);
                return Err(error);
            }
        }
        let now = Instant::now();
        lane.count(now - began);
        began = now;
    }
}

impl<W: Work> Lane<W> {
    fn count(&self, took: Duration) {
        let done = &self.run.done[self.index].0;
        // This thread alone writes it.
        done.store(done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.run.phase() == MEASURE {
            let ns = u64::try_from(took.as_nanos()).unwrap_or(LONGEST);
            self.latency.borrow_mut().saturating_record(ns);
        }
    }
}

/// A message with its prefix, cut from `arena`.
pub(crate) fn frame(message: &impl Message, arena: &mut BytesMut) -> Bytes {
    let length = message.encoded_len();
    if arena.capacity() < PREFIX + length {
        arena.reserve(ARENA.max(PREFIX + length));
    }
    arena.put_u8(0);
    arena.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode(arena).expect("the room for it was reserved");
    arena.split().freeze()
}

#[cfg(test)]
mod tests;
