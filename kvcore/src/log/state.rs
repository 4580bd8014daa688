//! What the rest of the engine shares with the log's thread: how far it is, what there is room
//! for, what it has counted, and the two ways to tell it to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::catalog::Catalog;
use super::ledger::Ledger;
use super::manifest_file::ManifestFile;
use super::recent::Recent;
use super::spares::Spares;
use super::watermark::Watermark;
use crate::base::histogram::{Sizes, Times};

/// What the rest of the engine shares with the log.
#[derive(Debug)]
pub struct LogState {
    pub watermark: Watermark,
    pub ledger: Arc<Ledger>,
    pub spares: Spares,
    pub manifest: ManifestFile,
    pub catalog: Catalog,
    pub counters: Counters,
    pub recent: Recent,
    pub(super) closing: AtomicBool,
    pub(super) abandoned: AtomicBool,
}

impl LogState {
    pub fn new(
        watermark: Watermark,
        ledger: Arc<Ledger>,
        spares: Spares,
        manifest: ManifestFile,
        catalog: Catalog,
    ) -> Self {
        Self {
            watermark,
            ledger,
            spares,
            manifest,
            catalog,
            counters: Counters::default(),
            recent: Recent::default(),
            closing: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Tells the writer to seal the log and end. All permits must have come back.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.watermark.parker().wake();
    }

    /// Tells the writer to end where it is: nobody holds the store any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.watermark.parker().wake();
    }
}

/// What the log has done since it was opened.
#[derive(Debug, Default)]
pub struct Counters {
    pub groups: AtomicU64,
    pub units: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_nanos: AtomicU64,
    pub bytes: AtomicU64,
    pub rotations: AtomicU64,
    /// How long syncs took.
    pub sync_times: Times,
    /// Units of one group.
    pub group_units: Sizes,
    /// Units and bytes that one sync made durable.
    pub sync_units: Sizes,
    pub sync_bytes: Sizes,
    /// Turns that the writer's thread has ended, also those without work: it lives.
    pub turns: AtomicU64,
}
