//! The load driver: closed-loop calls over a few connections, every reply checked.
//!
//! Each thread has a current-thread runtime with its share of the connections; each
//! call in flight is a task that asks, checks and asks again. The main thread marks
//! the edges of the measured window and reads clocks and counters there; what is in
//! flight at the end is finished and checked before the run is over.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use hdrhistogram::Histogram;
use kvproto::v1;
use prost::Message;
use tokio::task::{LocalSet, spawn_local};

use crate::Result;
use crate::client::{Connection, Method, PREFIX};
use crate::contents::{Contents, SplitMix, Truth};
use crate::cpu;
use crate::shapes::{Call, Shape};

/// Latencies are kept in ns, to 3 digits, up to a minute.
const LONGEST: u64 = 60_000_000_000;
/// How long a run may take beyond its window: a server that stopped answering is an
/// error, not a wait without end.
const GRACE: Duration = Duration::from_secs(60);
/// And, where each key is asked for once, for each key.
const GRACE_PER_KEY: Duration = Duration::from_micros(200);
/// What requests are cut from.
const ARENA: usize = 64 << 10;

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// What is asked of which server.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) call: Call,
    pub(crate) shape: Shape,
    /// Of the values that are written.
    pub(crate) generation: u32,
    pub(crate) contents: Arc<Contents>,
    pub(crate) truth: Arc<Truth>,
    pub(crate) threads: usize,
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

/// Calls once for every key, in order.
pub(crate) fn every_key(load: &Load) -> Result<()> {
    let limit = GRACE + GRACE_PER_KEY * load.contents.count();
    let run = Run::new(load, Some(AtomicU32::new(0)), limit);
    let (lanes, _ended) = run.start()?;
    finish(lanes)?;
    Ok(())
}

/// Calls for random keys, for `warm` and then for `length`, and measures the latter.
pub(crate) fn measured(
    load: &Load,
    server: u32,
    warm: Duration,
    length: Duration,
) -> Result<Measured> {
    let run = Run::new(load, None, warm + length + GRACE);
    let (lanes, ended) = run.start()?;
    let edges = || -> Result<Option<(Edge, Edge)>> {
        // A lane that ends by itself has failed; the reason comes with its thread.
        if ended.recv_timeout(warm) != Err(RecvTimeoutError::Timeout) {
            return Ok(None);
        }
        let begin = Edge::new(server, &run)?;
        run.phase.store(MEASURE, Ordering::Relaxed);
        if ended.recv_timeout(length) != Err(RecvTimeoutError::Timeout) {
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
    fn new(server: u32, run: &Run) -> Result<Self> {
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
struct Run {
    load: Load,
    /// The next key, if they are taken in order.
    in_order: Option<AtomicU32>,
    phase: AtomicU8,
    limit: Duration,
    /// Calls answered, per thread.
    done: Vec<Count>,
}

type Lanes = Vec<thread::JoinHandle<Result<Histogram<u64>>>>;

impl Run {
    fn new(load: &Load, in_order: Option<AtomicU32>, limit: Duration) -> Arc<Self> {
        let threads = load.threads.clamp(1, load.shape.connections);
        Arc::new(Self {
            load: load.clone(),
            in_order,
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

    /// The next key, until the run is over.
    fn pick(&self, random: &mut SplitMix) -> Option<u32> {
        let keys = self.load.contents.count();
        match &self.in_order {
            _ if self.phase() == STOP => None,
            Some(next) => Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&n| n < keys),
            None => Some(random.below(keys)),
        }
    }

    fn request(&self, number: u32, arena: &mut BytesMut) -> Bytes {
        let key = self.load.contents.key(number);
        let Some(durability) = self.load.call.durability() else {
            return frame(&v1::GetRequest { key, options: None }, arena);
        };
        let set = v1::SetRequest {
            key,
            value: self.load.contents.value(number, self.load.generation),
            options: Some(v1::WriteOptions {
                durability: durability.into(),
                ..v1::WriteOptions::default()
            }),
            ..v1::SetRequest::default()
        };
        frame(&set, arena)
    }

    /// Holds a reply against what it must be.
    fn check(&self, number: u32, reply: Bytes) -> Result<()> {
        let (contents, truth) = (&self.load.contents, &self.load.truth);
        let Some(durability) = self.load.call.durability() else {
            let reply = v1::GetResponse::decode(reply)?;
            let record = reply.record.filter(|_| reply.found);
            let record = record.ok_or_else(|| format!("key {number} is not there"))?;
            let generation = truth.get(number);
            if record.key == contents.key(number)
                && record.value == contents.value(number, generation)
            {
                return Ok(());
            }
            return Err(format!(
                "key {number} does not hold what was written last (generation {generation})"
            )
            .into());
        };
        let reply = v1::SetResponse::decode(reply)?;
        let durable = reply.header.is_some_and(|header| header.durable);
        if !reply.applied || reply.revision < 2 {
            return Err(format!("the write of key {number} was not applied").into());
        }
        if durability == v1::Durability::Synced && !durable {
            return Err(format!("the synced write of key {number} is not durable").into());
        }
        truth.set(number, self.load.generation);
        Ok(())
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
fn on_this_thread<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
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
struct Lane {
    run: Arc<Run>,
    index: usize,
    latency: RefCell<Histogram<u64>>,
    arena: RefCell<BytesMut>,
}

/// One thread: opens its connections, keeps its calls in flight, waits for their end.
async fn lane(run: Arc<Run>, index: usize) -> Result<Histogram<u64>> {
    let lane = Rc::new(Lane {
        index,
        latency: RefCell::new(histogram()?),
        arena: RefCell::new(BytesMut::new()),
        run,
    });
    let load = &lane.run.load;
    let name = if load.call == Call::Get { "Get" } else { "Set" };
    let mut slots = Vec::new();
    for connection in (index..load.shape.connections).step_by(lane.run.done.len()) {
        let open = Connection::new(load.address).await?;
        for slot in 0..load.shape.in_flight {
            let seed = [load.generation as usize, connection, slot];
            let seed = seed.into_iter().fold(0, |seed, n| seed << 20 | n as u64);
            slots.push(spawn_local(calls(
                Rc::clone(&lane),
                open.method(name)?,
                SplitMix(seed),
            )));
        }
    }
    for slot in slots {
        slot.await??;
    }
    Ok(lane.latency.replace(histogram()?))
}

/// One call after the other, until the run is over.
async fn calls(lane: Rc<Lane>, mut method: Method, mut random: SplitMix) -> Result<()> {
    let run = &lane.run;
    let mut began = Instant::now();
    while let Some(number) = run.pick(&mut random) {
        let request = run.request(number, &mut lane.arena.borrow_mut());
        let answered = async { run.check(number, method.call(request).await?) }.await;
        if let Err(error) = answered {
            // The others need not go on.
            run.phase.store(STOP, Ordering::Relaxed);
            return Err(error);
        }
        let now = Instant::now();
        lane.count(now - began);
        began = now;
    }
    Ok(())
}

impl Lane {
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
fn frame(message: &impl Message, arena: &mut BytesMut) -> Bytes {
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
