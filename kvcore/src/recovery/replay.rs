//! Replays a segment into the store, on all cores.
//!
//! Records are absolute state, so nothing is evaluated. Every worker walks all units
//! and applies those of its own shards: changes of one key stay in order and no two
//! workers meet at a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::base::Base;
use super::error::OpenError;
use super::spread::Spread;
use crate::base::broken;
use crate::base::op::{OpCode, OpView, RequestTag};
use crate::base::revision::Revision;
use crate::dedup::{Entry, Table};
use crate::format::FormatError;
use crate::format::outcome::decode_outcome;
use crate::format::unit::units;
use crate::log::reader::DataFrame;
use crate::store::{Memory, Place, Record, Restoring, Shards};

/// Segments that wait for the slowest worker, so that memory stays bounded.
const AHEAD: usize = 2;

/// A segment in memory, its frames checked.
#[derive(Debug)]
pub struct Segment {
    pub name: String,
    pub bytes: Vec<u8>,
    pub frames: Vec<DataFrame>,
}

/// What replay fills.
#[derive(Clone, Debug)]
pub struct Target {
    pub shards: Arc<Shards>,
    pub memory: Arc<Memory>,
    pub requests: Arc<Table>,
}

/// Reads segments one after the other with `next` and applies them with `workers` threads.
/// Returns how many units there were.
pub fn replay(
    target: &Target,
    base: Base,
    workers: usize,
    mut next: impl FnMut() -> Result<Option<Arc<Segment>>, OpenError>,
) -> Result<u64, OpenError> {
    let workers = workers.clamp(1, 64);
    let units = AtomicU64::new(0);
    if workers == 1 {
        while let Some(segment) = next()? {
            redo_segment(target, base, (0, 1), &segment, &units)?;
        }
        return Ok(units.into_inner());
    }
    std::thread::scope(|scope| {
        let mut lanes: Vec<Sender<Arc<Segment>>> = Vec::new();
        let mut threads = Vec::new();
        for index in 0..workers {
            let (sender, receiver) = bounded(AHEAD);
            lanes.push(sender);
            let units = &units;
            let worker = move || run(target, base, (index, workers), &receiver, units);
            let thread = std::thread::Builder::new()
                .name(format!("kv-replay-{index}"))
                .spawn_scoped(scope, worker)
                .map_err(OpenError::io("cannot start a replay thread"))?;
            threads.push(thread);
        }
        let mut read = Ok(());
        loop {
            match next() {
                Ok(Some(segment)) => {
                    // A worker that stopped has an error to tell; it is collected below.
                    if lanes.iter().any(|lane| lane.send(segment.clone()).is_err()) {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        drop(lanes);
        for thread in threads {
            thread.join().expect("replay does not panic")?;
        }
        read.map(|()| units.load(Ordering::Relaxed))
    })
}

fn run(
    target: &Target,
    base: Base,
    lane: (usize, usize),
    segments: &Receiver<Arc<Segment>>,
    counted: &AtomicU64,
) -> Result<(), OpenError> {
    for segment in segments {
        redo_segment(target, base, lane, &segment, counted)?;
    }
    Ok(())
}

/// Applies what a segment changes in the shards of one worker of several.
fn redo_segment(
    target: &Target,
    base: Base,
    (index, workers): (usize, usize),
    segment: &Segment,
    counted: &AtomicU64,
) -> Result<(), OpenError> {
    let covered = if broken::is(broken::Build::ReplayFromSnapshotEnd) {
        base.end
    } else {
        base.start
    };
    let mut spread = Spread::new(target, workers, redo_in);
    for frame in &segment.frames {
        if frame.first_revision.0 + u64::from(frame.units) <= covered.next().0 {
            // All of it is in the snapshot.
            continue;
        }
        let mut revision = frame.first_revision;
        let payload = &segment.bytes[frame.payload.clone()];
        let mut seen = 0;
        for unit in units(payload) {
            let offset = frame.payload.start as u64;
            let unit =
                unit.map_err(|e| OpenError::damaged(&segment.name, offset, e.to_string()))?;
            let new = revision > covered;
            if index == 0
                && new
                && let Some(tag) = &unit.request
            {
                let entry = remember(target, tag, revision, frame.engine_ms);
                entry.map_err(|e| OpenError::damaged(&segment.name, offset, e.to_string()))?;
            }
            for op in unit.ops().take_while(|_| new) {
                let place = target.shards.place(op.key);
                if place.shard % workers == index {
                    spread.add(place, (revision, op));
                }
            }
            revision = revision.next();
            seen += 1;
        }
        if seen != frame.units {
            let what = format!(
                "the frame holds {seen} units, its head says {}",
                frame.units
            );
            return Err(OpenError::damaged(
                &segment.name,
                frame.payload.start as u64,
                what,
            ));
        }
        if index == 0 {
            counted.fetch_add(u64::from(seen), Ordering::Relaxed);
        }
    }
    spread.flush();
    Ok(())
}

/// Applies one logged operation by itself.
pub fn redo(target: &Target, op: &OpView<'_>, revision: Revision) {
    let place = target.shards.place(op.key);
    let Target { shards, memory, .. } = target;
    shards.restore(place.shard, memory, |shard| {
        redo_in(shard, place, (revision, *op));
    });
}

/// On top of a snapshot a key may go back here to what it was before it was copied; it ends
/// with its last change all the same, which comes later.
fn redo_in(shard: &mut Restoring<'_>, place: Place, (revision, op): (Revision, OpView<'_>)) {
    match op.code {
        OpCode::Delete => shard.remove(place, op.key, revision),
        OpCode::Set => shard.put(place, record(&op, op.value.unwrap_or_default(), revision)),
        OpCode::Metadata => {
            if let Some(before) = shard.find(place, op.key) {
                let record = record(&op, before.value(), revision);
                shard.put(place, record);
            }
        }
    }
}

/// Takes back what became of a request with an id.
pub fn remember(
    target: &Target,
    tag: &RequestTag<'_>,
    revision: Revision,
    at_ms: u64,
) -> Result<(), FormatError> {
    let (item, _) = decode_outcome(tag.outcome)?;
    let entry = Entry {
        fingerprint: tag.fingerprint,
        revision,
        outcome: Arc::from(tag.outcome),
        at_ms,
    };
    target.requests.restore(tag.id, item, entry);
    Ok(())
}

fn record(op: &OpView<'_>, value: &[u8], revision: Revision) -> Record {
    let mut record = Record::new(op.key, value, op.deadline_ms, op.lease_id);
    let created = if op.create_revision == 0 {
        revision
    } else {
        Revision(op.create_revision)
    };
    record.stamp(revision, created, op.version);
    record
}
