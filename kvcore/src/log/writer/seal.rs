//! How a segment ends: sealed, and another takes its place, or the log is closed.

use std::io;
use std::sync::atomic::Ordering;

use super::super::catalog::Entry;
use super::super::rooms::Rank;
use super::super::segment::ActiveSegment;
use super::super::{GroupSink, LogUnit};
use super::Writer;
use crate::base::engine_clock::Moment;
use crate::format::segment_header::SegmentHeader;

impl<U: LogUnit, S: GroupSink<U>> Writer<U, S> {
    /// Seals the active segment and goes on in a spare.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        // The SEAL has room of its own, which is not part of the ledger's.
        let used = self.active.used();
        self.active.append_seal(self.fields());
        self.active.check()?;
        self.sync()?;
        let spare = self.state.spares.take().ok_or_else(|| {
            io::Error::other("the ledger promised a segment and there is none: a bug in kvd")
        })?;
        let moment = self.engine_clock.moment();
        let header = SegmentHeader {
            store_id: self.store_id,
            sequence: self.active.sequence + 1,
            first_revision: self.ring.next(),
            salt: self.entropy.u64()?,
            previous: Some(self.active.end()),
            recovered: false,
            gap_before: false,
            segment_bytes: spare.file.size(),
            engine_ms: moment.engine_ms,
            wall_ms: moment.wall_ms,
        };
        self.state.ledger.segment_left(used);
        self.active = ActiveSegment::create(&self.disk, spare, &header)?;
        let durable = self.durable();
        self.state.manifest.publish(Rank::Vital, |manifest| {
            manifest.newest_segment = header.sequence;
            manifest.durable = durable;
            manifest.clock.engine_ms = header.engine_ms;
            manifest.clock.wall_ms = header.wall_ms;
        })?;
        self.state.catalog.push(Entry {
            sequence: header.sequence,
            first_revision: header.first_revision,
            begun_ms: header.engine_ms,
        });
        self.certified = durable;
        self.state
            .counters
            .rotations
            .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Orderly end: SEAL, sync, clean MANIFEST.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.active.append_seal(self.fields());
        self.active.check()?;
        self.sync()?;
        let durable = self.durable();
        let Moment { engine_ms, wall_ms } = self.engine_clock.moment();
        self.state.manifest.publish(Rank::Vital, |manifest| {
            manifest.durable = durable;
            manifest.clean = Some(durable);
            manifest.clock.engine_ms = engine_ms;
            manifest.clock.wall_ms = wall_ms;
        })
    }
}
