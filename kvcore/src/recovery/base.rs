//! What a start begins with: nothing, or a snapshot, to which the log is added.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use super::error::OpenError;
use super::replay::{Target, remember};
use super::spread::Spread;
use super::summary::LoadProgress;
use crate::base::revision::Revision;
use crate::disk::{Disk, ReadFile};
use crate::format::manifest::{Manifest, SnapshotRef};
use crate::format::snapshot::{BackupEnd, BlockKind, Purpose, RecordView, records, requests};
use crate::snapshot::{Block, ReadError, Reader, verify};
use crate::store::{Place, Record, Restoring};

/// Blocks that wait for a thread that decodes them, so that memory stays bounded.
const AHEAD: usize = 8;
/// Bytes of blocks that a thread puts in together: enough for several records per shard.
const TOGETHER: usize = 8 << 20;
/// Bytes of a record at least: two revisions, a version, lengths, a key.
const SMALLEST: u64 = 6;

/// The revisions that a snapshot covers. All changes up to `start` are in it, of those up
/// to `end` some are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    pub start: Revision,
    pub end: Revision,
    /// The first segment that has to be replayed on top.
    pub first_segment: u64,
    pub records: u64,
}

/// What to do about a snapshot that is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DamagedSnapshot {
    /// Refuse to start.
    #[default]
    Refuse,
    /// Begin with the one before it, since the log is kept for that long.
    UseOlder,
}

/// Chooses the snapshot that the MANIFEST names, and loads it.
pub fn load_base(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    target: &Target,
    threads: usize,
    damaged: DamagedSnapshot,
    progress: &(dyn Fn(LoadProgress) + Sync),
) -> Result<(Base, Option<String>), OpenError> {
    check_first(manifest)?;
    let Some((newest, older)) = manifest.snapshots.split_last() else {
        return Ok((Base::default(), None));
    };
    let chosen = match damaged {
        DamagedSnapshot::Refuse => newest,
        DamagedSnapshot::UseOlder => match sound(disk, manifest, newest, older)? {
            Some(sound) => sound,
            None => return Ok((Base::default(), None)),
        },
    };
    let file = open(disk, chosen)?;
    let base = fill(file.as_ref(), chosen, manifest, target, threads, progress)
        .map_err(refused(&chosen.name))?;
    Ok((base, Some(chosen.name.clone())))
}

/// Without a snapshot the log must be there from its beginning.
pub(super) fn check_first(manifest: &Manifest) -> Result<(), OpenError> {
    let first = manifest.first_segment;
    let needed = manifest
        .snapshots
        .last()
        .map_or(1, |newest| newest.first_segment);
    if first <= needed {
        return Ok(());
    }
    let what = format!(
        "it begins with segment {first}, the store needs segments from {needed} on: a snapshot \
         or segments are missing from it"
    );
    Err(OpenError::damaged(crate::format::names::MANIFEST, 0, what))
}

/// The newest snapshot without damage; none if the whole log is there instead.
fn sound<'a>(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    newest: &'a SnapshotRef,
    older: &'a [SnapshotRef],
) -> Result<Option<&'a SnapshotRef>, OpenError> {
    let mut damage = None;
    for candidate in std::iter::once(newest).chain(older.iter().rev()) {
        if candidate.first_segment < manifest.first_segment {
            break;
        }
        match check_file(disk, manifest, candidate) {
            Ok(_) => return Ok(Some(candidate)),
            Err(error @ OpenError::Damaged { .. }) => {
                tracing::error!(%error, "a snapshot is damaged; looking at the one before it");
                damage.get_or_insert(error);
            }
            Err(other) => return Err(other),
        }
    }
    match damage {
        Some(damage) if manifest.first_segment > 1 => Err(damage),
        _ => Ok(None),
    }
}

fn open(disk: &Arc<dyn Disk>, snapshot: &SnapshotRef) -> Result<Box<dyn ReadFile>, OpenError> {
    let name = &snapshot.name;
    let file = disk.open_read(name).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return OpenError::damaged(name, 0, "the file is missing; MANIFEST names it");
        }
        OpenError::io(format!("cannot open {name}"))(source)
    })?;
    if file.size() != snapshot.bytes {
        let what = format!(
            "it has {} bytes, MANIFEST says {}",
            file.size(),
            snapshot.bytes
        );
        return Err(OpenError::damaged(name, 0, what));
    }
    file.settle().map_err(OpenError::io(format!(
        "cannot make {name} durable before reading it"
    )))?;
    Ok(file)
}

/// Reads a whole snapshot and holds it against what the MANIFEST says of it; returns how
/// many records there are.
pub fn check_file(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    snapshot: &SnapshotRef,
) -> Result<u64, OpenError> {
    let file = open(disk, snapshot)?;
    let refused = refused(&snapshot.name);
    let (header, end, crc) = verify(file.as_ref()).map_err(refused)?;
    let found = (header.store_id, header.start, end.end.end, crc);
    let said = (
        manifest.store_id,
        snapshot.start,
        snapshot.end,
        snapshot.crc,
    );
    if found != said || header.purpose != Purpose::Snapshot {
        return Err(OpenError::damaged(&snapshot.name, 0, FOREIGN));
    }
    Ok(end.end.records)
}

const FOREIGN: &str = "it is whole, but not the file that MANIFEST names: of another store or \
                       another moment";

fn refused(name: &str) -> impl Fn(ReadError) -> OpenError {
    let name = name.to_owned();
    move |error| match error {
        ReadError::Damaged { offset, what } => OpenError::damaged(
            &name,
            offset,
            format!(
                "{what}; the snapshot before it and the log may still be whole: \
                 snapshot.damaged = \"use-older\" starts from there"
            ),
        ),
        ReadError::Io(source) => OpenError::io(format!("cannot read {name}"))(source),
    }
}

/// Reads the file on this thread and decodes it on others.
fn fill(
    file: &dyn ReadFile,
    expected: &SnapshotRef,
    manifest: &Manifest,
    target: &Target,
    threads: usize,
    progress: &(dyn Fn(LoadProgress) + Sync),
) -> Result<Base, ReadError> {
    let mut reader = Reader::open(file)?;
    let header = &reader.header;
    if (header.store_id, header.start, header.purpose)
        != (manifest.store_id, expected.start, Purpose::Snapshot)
    {
        return Err(ReadError::damaged(0, FOREIGN));
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = bounded::<Block>(AHEAD);
        let workers: Vec<_> = (0..threads.clamp(1, 64))
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || decode_all(target, &receiver))
            })
            .collect();
        drop(receiver);
        let read = (|| {
            let mut first = true;
            while let Some(block) = reader.next_block()? {
                if std::mem::take(&mut first) && block.head.kind == BlockKind::Records {
                    block.check()?;
                    target.shards.expect(about(&block, file.size()));
                }
                progress(LoadProgress {
                    bytes_done: reader.offset(),
                    bytes_total: file.size(),
                });
                if block.head.kind == BlockKind::Requests {
                    block.check()?;
                    restore_requests(target, &block)?;
                } else if sender.send(block).is_err() {
                    // A worker that stopped has an error to tell; it is collected below.
                    break;
                }
            }
            Ok(())
        })();
        drop(sender);
        for worker in workers {
            worker.join().expect("decoding does not panic")?;
        }
        read
    })?;
    let end = reader.end();
    match end {
        Some(BackupEnd { end, .. }) if end.end == expected.end && reader.crc() == expected.crc => {
            target.shards.absent_since(expected.start);
            Ok(Base {
                start: expected.start,
                end: expected.end,
                first_segment: expected.first_segment,
                records: end.records,
            })
        }
        _ => Err(ReadError::damaged(0, FOREIGN)),
    }
}

/// How many records the file holds, if all blocks are like this one.
fn about(block: &Block, file_bytes: u64) -> u64 {
    let bytes = (block.payload.len() as u64).max(1);
    // Whatever the head says: none is smaller than that.
    let entries = u64::from(block.head.entries).min(bytes / SMALLEST);
    file_bytes.saturating_mul(entries) / bytes
}

fn decode_all(target: &Target, blocks: &Receiver<Block>) -> Result<(), ReadError> {
    loop {
        let mut together = Vec::new();
        let mut bytes = 0;
        for block in blocks {
            bytes += block.payload.len();
            together.push(block);
            if bytes >= TOGETHER {
                break;
            }
        }
        if together.is_empty() {
            return Ok(());
        }
        let mut spread = Spread::new(target, 1, put_in);
        for block in &together {
            block.check()?;
            for record in records(&block.payload, block.head.entries) {
                let record = record.map_err(|e| ReadError::damaged(block.offset, e.to_string()))?;
                spread.add(target.shards.place(record.key), record);
            }
        }
        spread.flush();
    }
}

/// Puts one record of a snapshot in by itself.
pub fn put(target: &Target, view: &RecordView<'_>) {
    let Target { shards, memory, .. } = target;
    let place = shards.place(view.key);
    shards.restore(place.shard, memory, |shard| {
        put_in(shard, place, *view);
    });
}

fn put_in(shard: &mut Restoring<'_>, place: Place, view: RecordView<'_>) {
    let mut record = Record::new(view.key, view.value, view.deadline_ms, view.lease_id);
    record.stamp(view.mod_revision, view.create_revision, view.version);
    shard.put(place, record);
}

fn restore_requests(target: &Target, block: &Block) -> Result<(), ReadError> {
    for request in requests(&block.payload, block.head.entries) {
        let restored = request.and_then(|r| remember(target, &r.tag, r.revision, r.at_ms));
        restored.map_err(|e| ReadError::damaged(block.offset, e.to_string()))?;
    }
    Ok(())
}
