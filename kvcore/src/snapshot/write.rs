//! Writes a snapshot from front to back.

use std::io;

use crate::base::op::RequestTag;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::dedup::Table;
use crate::disk::{Disk, StreamFile};
use crate::format::checksum::Seed;
use crate::format::snapshot::{
    BlockKind, End, RecordView, RequestView, SNAPSHOT_HEADER_BYTES, SnapshotHeader, put_block,
    put_record, put_request,
};
use crate::store::{Record, Shards};

/// A block is closed when its payload reaches this, unless one entry is larger.
const BLOCK_BYTES: usize = 256 << 10;
/// What is written.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub shards: &'a Shards,
    pub requests: &'a Table,
    /// Keys that are taken from the index at once.
    pub page: usize,
}

/// A file that is whole, not yet synced.
#[derive(Debug)]
pub struct Written {
    pub file: Box<dyn StreamFile>,
    pub end: End,
    pub bytes: u64,
    /// Of the last block's head: stands for the whole file.
    pub crc: u32,
}

/// Writes all there is into the file `name`. `newest` is asked once everything is copied;
/// `pace` is told of every piece before it is written, and of none before the records of a page are
/// read; it may wait, or end the work with an error.
pub fn write(
    disk: &dyn Disk,
    name: &str,
    header: &SnapshotHeader,
    source: Source<'_>,
    newest: impl FnOnce() -> Revision,
    pace: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Written> {
    let mut blocks = Blocks::begin(disk.create_stream(name)?, header, pace)?;
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let (mut keys, exhausted) =
            source
                .shards
                .keys_after(&KeyRange::all(), after.as_deref(), false, source.page);
        (blocks.pace)(0)?;
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
    blocks.close(BlockKind::Requests)?;
    blocks.end(newest())
}

/// The blocks of a file under way.
struct Blocks<'a> {
    file: Box<dyn StreamFile>,
    pace: &'a mut dyn FnMut(u64) -> io::Result<()>,
    seed: Seed,
    offset: u64,
    link: u32,
    payload: Vec<u8>,
    entries: u32,
    out: Vec<u8>,
    /// Of the blocks that are closed.
    counts: End,
}

impl<'a> Blocks<'a> {
    fn begin(
        mut file: Box<dyn StreamFile>,
        header: &SnapshotHeader,
        pace: &'a mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let bytes = header.encode();
        file.append(&bytes)?;
        Ok(Self {
            file,
            pace,
            seed: header.seed(),
            offset: SNAPSHOT_HEADER_BYTES as u64,
            link: SnapshotHeader::crc_of(&bytes),
            payload: Vec::with_capacity(BLOCK_BYTES * 2),
            entries: 0,
            out: Vec::new(),
            counts: End {
                end: Revision::NONE,
                records: 0,
                requests: 0,
                blocks: 0,
            },
        })
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        let view = RecordView {
            mod_revision: record.mod_revision(),
            create_revision: record.create_revision(),
            version: record.version(),
            deadline_ms: record.deadline_ms(),
            lease_id: record.lease_id(),
            key: record.key(),
            value: record.value(),
        };
        put_record(&mut self.payload, &view);
        self.counts.records += 1;
        self.counted(BlockKind::Records)
    }

    fn request(&mut self, request: &RequestView<'_>) -> io::Result<()> {
        put_request(&mut self.payload, request);
        self.counts.requests += 1;
        self.counted(BlockKind::Requests)
    }

    fn counted(&mut self, kind: BlockKind) -> io::Result<()> {
        self.entries += 1;
        if self.payload.len() >= BLOCK_BYTES {
            self.close(kind)?;
        }
        Ok(())
    }

    /// Writes what has gathered, if anything has.
    fn close(&mut self, kind: BlockKind) -> io::Result<()> {
        if self.entries > 0 {
            self.counts.blocks += 1;
            self.put(kind)?;
        }
        Ok(())
    }

    fn put(&mut self, kind: BlockKind) -> io::Result<()> {
        self.out.clear();
        let what = (kind, self.entries);
        self.link = put_block(
            &mut self.out,
            self.seed,
            self.offset,
            self.link,
            what,
            &self.payload,
        );
        (self.pace)(self.out.len() as u64)?;
        self.file.append(&self.out)?;
        self.offset += self.out.len() as u64;
        self.payload.clear();
        self.entries = 0;
        Ok(())
    }

    fn end(mut self, newest: Revision) -> io::Result<Written> {
        self.counts.end = newest;
        self.payload.extend_from_slice(&self.counts.encode());
        self.put(BlockKind::End)?;
        Ok(Written {
            file: self.file,
            end: self.counts,
            bytes: self.offset,
            crc: self.link,
        })
    }
}
