//! Lays what is whole of the log on what is whole of the snapshots.
//!
//! A start replays a log without holes, so a key may go back on the way: it ends with its
//! last change. With holes it might not get there, so here no key ever goes back, and a change
//! of metadata is applied to the very value that it was made for, or not at all.

use std::collections::BTreeMap;

use super::Way;
use super::base::Base;
use crate::base::op::{OpCode, OpView};
use crate::base::revision::Revision;
use crate::format::snapshot::{BlockKind, RecordView, records, requests};
use crate::format::unit::units;
use crate::recovery::base::put;
use crate::recovery::inspect::Inventory;
use crate::recovery::replay::{Target, redo, remember};
use crate::recovery::sift::Sound;
use crate::recovery::sift_snapshot::{SnapshotAt, sift_snapshot};

pub(super) struct Fold<'a> {
    pub(super) target: &'a Target,
    covered: Revision,
    /// Nothing newer is wanted.
    upto: Revision,
    /// Of the last unit that was applied.
    last: Revision,
    pub(super) units: u64,
    /// Keys whose last known change could not be applied, by the revision of that.
    pub(super) stale: BTreeMap<Vec<u8>, Revision>,
    /// Keys that were stale, and have a later change that says all.
    pub(super) overtaken: BTreeMap<Vec<u8>, Revision>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(target: &'a Target, base: &Base, way: Way) -> Self {
        Self {
            target,
            covered: base.covered,
            upto: match way {
                Way::TruncateAt(at) => at,
                _ => Revision(u64::MAX),
            },
            last: Revision::START,
            units: 0,
            stale: BTreeMap::new(),
            overtaken: BTreeMap::new(),
        }
    }

    /// The last revision that was applied.
    pub(super) fn reached(&self) -> Revision {
        self.last
    }

    /// Loads what the base is made of.
    pub(super) fn begin(&mut self, inventory: &Inventory, base: &Base) {
        for snapshot in &inventory.snapshots {
            let chosen = base.name.as_ref() == Some(&snapshot.name);
            if chosen || (base.remains && snapshot.is_ours()) {
                self.load(snapshot);
            }
        }
    }

    fn load(&mut self, snapshot: &SnapshotAt) {
        let (Some(file), Some(header)) = (&snapshot.file, &snapshot.header) else {
            return;
        };
        let target = self.target;
        // What is damaged in it is told already.
        sift_snapshot(file.as_ref(), header, &mut |kind, payload, entries| {
            if kind == BlockKind::Records {
                for record in records(payload, entries).map_while(Result::ok) {
                    put_newer(target, &record);
                }
            } else if kind == BlockKind::Requests {
                for request in requests(payload, entries).map_while(Result::ok) {
                    // An outcome that cannot be read answers no repeat.
                    let _unknown = remember(target, &request.tag, request.revision, request.at_ms);
                }
            }
        });
    }

    pub(super) fn apply(&mut self, sound: &Sound<'_>) {
        for (index, unit) in units(sound.payload).map_while(Result::ok).enumerate() {
            let revision = sound.first_revision.plus(index as u64);
            if revision <= self.covered || revision > self.upto {
                continue;
            }
            if sound.except == Some(index) {
                for op in unit.ops() {
                    self.stale.insert(op.key.to_vec(), revision);
                }
                continue;
            }
            if let Some(tag) = &unit.request {
                let _unknown = remember(self.target, tag, revision, sound.engine_ms);
            }
            for op in unit.ops() {
                self.change(&op, revision);
            }
            self.units += 1;
            self.last = self.last.max(revision);
        }
    }

    fn change(&mut self, op: &OpView<'_>, revision: Revision) {
        let place = self.target.shards.place(op.key);
        let now = self.target.shards.read(place, op.key, |found| {
            found.record().map(crate::store::Record::mod_revision)
        });
        if now.is_some_and(|now| now >= revision) {
            return;
        }
        if op.code == OpCode::Metadata && now != Some(Revision(op.previous_mod_revision)) {
            self.stale.insert(op.key.to_vec(), revision);
            return;
        }
        redo(self.target, op, revision);
        if !self.stale.is_empty()
            && let Some((key, lost)) = self.stale.remove_entry(op.key)
        {
            self.overtaken.insert(key, lost);
        }
    }
}

/// Of several damaged snapshots, the newer record of a key.
fn put_newer(target: &Target, record: &RecordView<'_>) {
    let place = target.shards.place(record.key);
    let there = target.shards.read(place, record.key, |found| {
        found.record().map(crate::store::Record::mod_revision)
    });
    if there.is_none_or(|there| there < record.mod_revision) {
        put(target, record);
    }
}
