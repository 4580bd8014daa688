//! Publication, and what is kept: the MANIFEST first, then the files.

use std::io;
use std::time::Duration;

use super::{Draft, SnapshotError, SnapshotInfo, Snapshots};
use crate::base::broken;
use crate::base::revision::Revision;
use crate::format::manifest::{Manifest, SnapshotRef};
use crate::format::names::{segment_name, snapshot_name};
use crate::log::rooms::Rank;

/// Snapshots that are kept.
const KEPT: usize = 2;

impl Snapshots {
    pub(super) fn publish(&self, draft: &Draft) -> Result<SnapshotInfo, SnapshotError> {
        self.check()?;
        let (start, end) = (draft.start, draft.end.end);
        let durable = self.core.log.watermark.durable();
        if durable < end && !broken::is(broken::Build::PublishBeforeDurable) {
            return Err(SnapshotError::NotDurable(end));
        }
        let name = snapshot_name(start, end);
        let manifest = &self.core.log.manifest;
        let took = |now: Duration| {
            let took = now.saturating_sub(draft.begun).as_millis();
            u64::try_from(took).unwrap_or(u64::MAX)
        };
        let info = SnapshotInfo {
            name: name.clone(),
            start,
            end,
            bytes: draft.bytes,
            records: draft.end.records,
            took_ms: took(self.environment.clock.instant()),
        };
        let disk = &self.environment.disk;
        if manifest.get().snapshots.iter().any(|s| s.name == name) {
            // Nothing has changed since: the file that counts must not be replaced.
            disk.remove(&draft.temporary)?;
            return Ok(info);
        }
        disk.rename(&draft.temporary, &name)?;
        disk.sync_dir()?;
        let from = if broken::is(broken::Build::SnapshotForgetsLog) {
            end
        } else {
            start
        };
        let snapshot = SnapshotRef {
            name,
            bytes: draft.bytes,
            crc: draft.crc,
            start,
            end,
            first_segment: self.core.log.catalog.needed_after(from),
        };
        self.replace_oldest(snapshot, durable)?;
        *self.last.lock() = self.environment.clock.instant();
        Ok(info)
    }

    /// Makes it count, and removes what nobody needs any more.
    fn replace_oldest(&self, snapshot: SnapshotRef, durable: Revision) -> io::Result<()> {
        let before = self.core.log.manifest.get();
        let mut kept = before.snapshots.clone();
        kept.push(snapshot);
        kept.drain(..kept.len().saturating_sub(KEPT));
        // With one snapshot alone the whole log is what stands behind it.
        let first = if kept.len() == KEPT {
            needed_by(&kept, &before).min(self.retained_from())
        } else {
            before.first_segment
        };
        self.keep(Rank::Ordinary, &before, kept, first, durable)
    }

    /// Gives up the log that is kept for readers who come late; if there is none, the
    /// older snapshot. Says whether anything was removed.
    pub(super) fn make_room(&self) -> bool {
        let Some(_one) = self.one.try_lock() else {
            return false;
        };
        let before = self.core.log.manifest.get();
        let mut kept = before.snapshots.clone();
        let needed = needed_by(&kept, &before);
        if needed == before.first_segment {
            kept.drain(..kept.len().saturating_sub(1));
        }
        let first = needed_by(&kept, &before);
        if kept.is_empty() || first == before.first_segment {
            return false;
        }
        let durable = self.core.log.watermark.durable();
        match self.keep(Rank::Relief, &before, kept, first, durable) {
            Ok(()) => {
                tracing::warn!(
                    first_segment = first,
                    "the disk is full: gave up log and snapshots that a start does not need"
                );
                true
            }
            Err(error) => {
                tracing::error!(%error, "the disk is full, and nothing could be given up");
                false
            }
        }
    }

    /// The first segment that late readers may want.
    fn retained_from(&self) -> u64 {
        let now = self.core.clock.now();
        let since = self.retain.age.map_or(0, |age| {
            now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
        });
        let segments = self.retain.bytes / self.segment_bytes;
        self.core.log.catalog.retained_from(segments, since)
    }

    /// Publishes what is kept, and removes the rest.
    fn keep(
        &self,
        rank: Rank,
        before: &Manifest,
        kept: Vec<SnapshotRef>,
        first: u64,
        durable: Revision,
    ) -> io::Result<()> {
        let first = self
            .core
            .log
            .catalog
            .retire(first.max(before.first_segment));
        let mut garbage: Vec<String> = (before.first_segment..first).map(segment_name).collect();
        let dropped = before.snapshots.iter().filter(|old| !kept.contains(old));
        garbage.extend(dropped.map(|old| old.name.clone()));
        if broken::is(broken::Build::RemoveBeforeManifest) {
            self.remove(&garbage);
        }
        self.core.log.manifest.publish(rank, |manifest| {
            manifest.snapshots = kept;
            manifest.first_segment = first;
            manifest.durable = manifest.durable.max(durable);
        })?;
        self.remove(&garbage);
        Ok(())
    }

    /// What cannot be removed now is removed at the next start.
    fn remove(&self, names: &[String]) {
        let disk = &self.environment.disk;
        for name in names {
            if let Err(error) = disk.remove(name)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, name, "cannot remove a file that is not needed any more");
            }
        }
        if !names.is_empty()
            && let Err(error) = disk.sync_dir()
        {
            tracing::warn!(%error, "cannot sync the directory after removing files");
        }
    }
}

/// The first segment that a start from any of these needs.
fn needed_by(kept: &[SnapshotRef], before: &Manifest) -> u64 {
    let first = kept.iter().map(|snapshot| snapshot.first_segment).min();
    first.unwrap_or(0).max(before.first_segment)
}
