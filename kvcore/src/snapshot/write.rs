//! Writes a snapshot, or a backup, from front to back.

use std::io;

use super::blocks::Blocks;
use crate::base::op::RequestTag;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::dedup::Table;
use crate::format::snapshot::{BackupEnd, BlockKind, End, FrameView, RequestView, SnapshotHeader};
use crate::store::Shards;

/// Takes the bytes of a file, in order.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// What is written.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub shards: &'a Shards,
    pub requests: &'a Table,
    /// Keys that are taken from the index at once.
    pub page: usize,
}

/// Takes the frames of the log, each with the number of its units.
pub type Frames<'a> = &'a mut dyn FnMut(u32, &FrameView<'_>) -> io::Result<()>;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<E> {
    pub end: E,
    pub bytes: u64,
    /// Of the last block's head: stands for the whole file.
    pub crc: u32,
}

/// Writes all there is. `newest` is asked once everything is copied; `pace` is told of
/// every piece before it is written, and of none before the records of a page are read; it
/// may wait, or end the work with an error.
pub fn write(
    sink: Sink<'_>,
    header: &SnapshotHeader,
    source: Source<'_>,
    newest: impl FnOnce() -> Revision,
    pace: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Written<End>> {
    let mut blocks = Blocks::begin(sink, header, pace)?;
    copy(source, &mut blocks)?;
    blocks.end(newest())
}

/// What the end of a backup says besides its counts.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub exact_from: Revision,
    pub end: Revision,
    pub beyond_log: bool,
}

/// Writes all there is, or nothing of it, and then the log. `moments` is asked in between,
/// and sees to it that the log can be read up to its end.
pub fn write_backup(
    sink: Sink<'_>,
    header: &SnapshotHeader,
    source: Option<Source<'_>>,
    moments: impl FnOnce() -> io::Result<Moments>,
    log: impl FnOnce(Moments, Frames<'_>) -> io::Result<()>,
    pace: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Written<BackupEnd>> {
    let mut blocks = Blocks::begin(sink, header, pace)?;
    if let Some(source) = source {
        copy(source, &mut blocks)?;
    }
    let moments = moments()?;
    log(moments, &mut |units, frame| blocks.frame(units, frame))?;
    blocks.backup_end(moments)
}

/// Every record in key order, then every request that is remembered.
fn copy(source: Source<'_>, blocks: &mut Blocks<'_>) -> io::Result<()> {
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let (mut keys, exhausted) =
            source
                .shards
                .keys_after(&KeyRange::all(), after.as_deref(), false, source.page);
        blocks.pause()?;
        for key in &keys {
            let place = source.shards.place(key);
            let found = |found: crate::store::Found<'_>| found.record().cloned();
            if let Some(record) = source.shards.read(place, key, found) {
                blocks.record(&record)?;
            }
        }
        after = keys.pop().or(after);
        if exhausted {
            break;
        }
    }
    blocks.close(BlockKind::Records)?;
    for stripe in 0..source.requests.stripes() {
        for (id, entry) in source.requests.remembered_in(stripe) {
            blocks.request(&RequestView {
                tag: RequestTag {
                    id: &id,
                    fingerprint: entry.fingerprint,
                    outcome: &entry.outcome,
                },
                revision: entry.revision,
                at_ms: entry.at_ms,
            })?;
        }
    }
    blocks.close(BlockKind::Requests)
}
