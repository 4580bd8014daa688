//! Writes what is in memory as a store of its own, into an empty directory.
//!
//! ```text
//!  1 a snapshot of everything, synced, read back and verified, named
//!  2 a first segment without a frame, whose numbering goes on above all that the old store may have used
//!  3 MANIFEST names both                  <- before this there is no store here
//! ```

use std::io;
use std::sync::Arc;

use super::error::OpenError;
use super::fresh::{self, Numbering, Plan};
use super::replay::Target;
use crate::base::engine_clock::Moment;
use crate::base::entropy::Entropy;
use crate::base::limits::{Limits, SHARDS};
use crate::base::revision::{Gap, Revision};
use crate::dedup::{Table, Window};
use crate::disk::{Disk, Environment, LogIo};
use crate::format::StoreId;
use crate::format::manifest::{ClockPair, Manifest, Repaired, SnapshotRef};
use crate::format::names::{MANIFEST, snapshot_name, temporary_name};
use crate::format::snapshot::{Purpose, SnapshotHeader};
use crate::log::ledger::Ledger;
use crate::log::spares::Spares;
use crate::snapshot::{ReadError, Source, verify, write};
use crate::store::{Memory, Shards};

/// Keys that are taken from the index at once.
const PAGE: usize = 1000;

/// What the new store takes over from the old one.
#[derive(Clone, Debug)]
pub struct Heritage {
    pub store_id: StoreId,
    /// The state in memory is that of this revision.
    pub at: Revision,
    /// The old store may have numbered up to here.
    pub numbered: Revision,
    /// Its clocks, read together: deadlines are on the engine's.
    pub clock: Moment,
    /// Revisions up to there that name nothing, ascending and apart from each other.
    pub gaps: Vec<Gap>,
    /// It is made by a repair.
    pub repaired: Option<Repaired>,
}

/// Makes the store, and says where its numbering goes on. Nothing else may be in the
/// directory.
pub fn rebuild(
    environment: &Environment,
    segment_bytes: u64,
    target: &Target,
    heritage: &Heritage,
) -> Result<Numbering, OpenError> {
    let snapshot = write_snapshot(environment, target, heritage)?;
    let disk = &environment.disk;
    let Moment { engine_ms, wall_ms } = heritage.clock;
    let numbered = heritage.numbered.max(heritage.at);
    // As after an unclean end: what the old store handed out and lost lies below.
    let numbering = Numbering::after(heritage.at, numbered, false);
    let clock = ClockPair { engine_ms, wall_ms };
    let before = Revision(numbering.next.0 - 1);
    let mut manifest = Manifest {
        store_id: heritage.store_id,
        generation: 1,
        first_segment: 1,
        newest_segment: 1,
        durable: before,
        gaps: heritage.gaps.clone(),
        clock,
        clean: Some(before),
        snapshots: vec![snapshot],
        repaired: heritage.repaired,
    };
    if let Some(gap) = numbering.gap {
        manifest.add_gap(gap);
    }
    let plan = Plan {
        sequence: 1,
        previous: None,
        numbering,
        torn: false,
        clock,
        salt: random(environment)?,
    };
    let spares = Spares::adopt(
        disk.clone(),
        segment_bytes,
        LogIo::default(),
        Arc::new(Ledger::new(segment_bytes)),
    )
    .map_err(OpenError::io("cannot prepare a log segment"))?;
    drop(fresh::create(disk, &spares, &manifest, &plan)?);
    disk.replace(MANIFEST, &manifest.encode())
        .map_err(OpenError::io("cannot publish MANIFEST"))?;
    Ok(numbering)
}

/// A name for a store that is not the one that it was made of.
pub fn random_id(entropy: &dyn Entropy) -> Result<StoreId, OpenError> {
    let random = || entropy.u64().map_err(OpenError::io("no random numbers"));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random()?.to_le_bytes());
    id[8..].copy_from_slice(&random()?.to_le_bytes());
    Ok(StoreId(id))
}

/// An empty memory to fill.
pub fn fresh_target(entropy: &dyn Entropy) -> Result<Target, OpenError> {
    let random = || entropy.u64().map_err(OpenError::io("no random numbers"));
    let seeds = [random()?, random()?, random()?, random()?];
    let limits = Limits::default();
    let window = Window {
        requests: limits.request_ids,
        bytes: limits.request_id_bytes,
        age_ms: limits.request_id_ms,
    };
    Ok(Target {
        shards: Arc::new(Shards::new(SHARDS, seeds)),
        memory: Arc::new(Memory::new(None)),
        requests: Arc::new(Table::new(window, seeds)),
    })
}

fn random(environment: &Environment) -> Result<u64, OpenError> {
    let random = environment.entropy.u64();
    random.map_err(OpenError::io("no random numbers"))
}

fn write_snapshot(
    environment: &Environment,
    target: &Target,
    heritage: &Heritage,
) -> Result<SnapshotRef, OpenError> {
    target.shards.order_keys(1);
    let at = heritage.at;
    let name = snapshot_name(at, at);
    let temporary = temporary_name(&name);
    let header = SnapshotHeader {
        store_id: heritage.store_id,
        start: at,
        salt: random(environment)?,
        engine_ms: heritage.clock.engine_ms,
        wall_ms: heritage.clock.wall_ms,
        purpose: Purpose::Snapshot,
    };
    let source = Source {
        shards: &target.shards,
        requests: &target.requests,
        page: PAGE,
    };
    let disk = environment.disk.as_ref();
    let written = (|| {
        let mut stream = disk.create_stream(&temporary)?;
        let mut sink = |bytes: &[u8]| stream.append(bytes);
        let written = write(&mut sink, &header, source, || at, &mut |_| Ok(()))?;
        stream.sync()?;
        Ok(written)
    })()
    .map_err(OpenError::io("cannot write the snapshot of the new store"))?;
    check(disk, &temporary, written.crc)?;
    disk.rename(&temporary, &name)
        .and_then(|()| disk.sync_dir())
        .map_err(OpenError::io("cannot name the snapshot of the new store"))?;
    Ok(SnapshotRef {
        name,
        bytes: written.bytes,
        crc: written.crc,
        start: at,
        end: at,
        first_segment: 1,
    })
}

/// Reads back what was written.
fn check(disk: &dyn Disk, name: &str, crc: u32) -> Result<(), OpenError> {
    let what = "cannot read back what was written";
    let file = disk.open_read(name).map_err(OpenError::io(what))?;
    file.settle().map_err(OpenError::io(what))?;
    match verify(file.as_ref()) {
        Ok((_, _, found)) if found == crc => Ok(()),
        Ok(_) => Err(OpenError::damaged(name, 0, "it is not what was written")),
        Err(ReadError::Damaged { offset, what }) => Err(OpenError::damaged(name, offset, what)),
        Err(ReadError::Io(source)) => Err(OpenError::io(what)(source)),
    }
}

/// Opens a directory that must hold nothing, creating it if need be.
pub fn empty_directory(path: &std::path::Path) -> Result<Arc<dyn Disk>, OpenError> {
    let full = |entries: usize| {
        OpenError::Options(format!(
            "{} is not empty ({entries} entries): name a directory that is, or none yet",
            path.display()
        ))
    };
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let entries = entries.count();
            if entries > 0 {
                return Err(full(entries));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let what = format!("cannot look into {}", path.display());
            return Err(OpenError::io(what)(error));
        }
    }
    super::directory::os_disk(path)
}
