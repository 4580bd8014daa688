//! The blocks of a file under way.

use std::io;

use super::write::{Moments, Sink, Written};
use crate::base::revision::Revision;
use crate::format::checksum::Seed;
use crate::format::snapshot::{
    BackupEnd, BlockKind, End, FrameView, RecordView, RequestView, SNAPSHOT_HEADER_BYTES,
    SnapshotHeader, put_block, put_frame, put_record, put_request,
};
use crate::store::Record;

/// A block is closed when its payload reaches this, unless one entry is larger.
const BLOCK_BYTES: usize = 256 << 10;

pub(super) struct Blocks<'a> {
    sink: Sink<'a>,
    pace: &'a mut dyn FnMut(u64) -> io::Result<()>,
    seed: Seed,
    offset: u64,
    link: u32,
    payload: Vec<u8>,
    entries: u32,
    out: Vec<u8>,
    /// Of the blocks that are closed.
    counts: End,
    units: u64,
}

impl<'a> Blocks<'a> {
    pub(super) fn begin(
        sink: Sink<'a>,
        header: &SnapshotHeader,
        pace: &'a mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let bytes = header.encode();
        sink(&bytes)?;
        Ok(Self {
            sink,
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
            units: 0,
        })
    }

    /// Nothing is written now, but time may pass.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        (self.pace)(0)
    }

    pub(super) fn record(&mut self, record: &Record) -> io::Result<()> {
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

    pub(super) fn request(&mut self, request: &RequestView<'_>) -> io::Result<()> {
        put_request(&mut self.payload, request);
        self.counts.requests += 1;
        self.counted(BlockKind::Requests)
    }

    /// A frame of the log is a block by itself.
    pub(super) fn frame(&mut self, units: u32, frame: &FrameView<'_>) -> io::Result<()> {
        put_frame(&mut self.payload, frame);
        self.entries = units;
        self.units += u64::from(units);
        self.close(BlockKind::Units)
    }

    fn counted(&mut self, kind: BlockKind) -> io::Result<()> {
        self.entries += 1;
        if self.payload.len() >= BLOCK_BYTES {
            self.close(kind)?;
        }
        Ok(())
    }

    /// Writes what has gathered, if anything has.
    pub(super) fn close(&mut self, kind: BlockKind) -> io::Result<()> {
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
        (self.sink)(&self.out)?;
        self.offset += self.out.len() as u64;
        self.payload.clear();
        self.entries = 0;
        Ok(())
    }

    pub(super) fn end(mut self, newest: Revision) -> io::Result<Written<End>> {
        self.counts.end = newest;
        self.payload.extend_from_slice(&self.counts.encode());
        self.put(BlockKind::End)?;
        Ok(self.written(self.counts))
    }

    pub(super) fn backup_end(mut self, moments: Moments) -> io::Result<Written<BackupEnd>> {
        self.counts.end = moments.end;
        let end = BackupEnd {
            end: self.counts,
            units: self.units,
            exact_from: moments.exact_from,
            beyond_log: moments.beyond_log,
        };
        self.payload.extend_from_slice(&end.encode());
        self.put(BlockKind::BackupEnd)?;
        Ok(self.written(end))
    }

    fn written<E>(&self, end: E) -> Written<E> {
        Written {
            end,
            bytes: self.offset,
            crc: self.link,
        }
    }
}
