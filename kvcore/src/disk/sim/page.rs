//! One page of a file: what the device holds, what the cache holds, and every state in
//! between that write-back may have caught.
//!
//! ```text
//! device ──┐
//!          ├ equal, unless a write-back failed: then `base` is a ghost of what was lost
//! base ────┘── write 1 ── write 2 ── … ── write n = cache
//! ```
//!
//! A page is dirty while it has writes. Since a device takes whole pages, writing to a
//! ghost brings the ghost's bytes along.

use std::sync::{Arc, LazyLock};

use super::dice::{Dice, Tear};

pub(super) const PAGE: usize = 4096;
const SECTOR: usize = 512;
const LINE: usize = 64;
/// Copies advance by words.
const WORD: usize = 8;

type Bytes = [u8; PAGE];

static ZEROS: LazyLock<Arc<Bytes>> = LazyLock::new(|| Arc::new([0; PAGE]));

#[derive(Clone, Debug)]
struct Write {
    at: usize,
    bytes: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub(super) struct Page {
    device: Arc<Bytes>,
    base: Arc<Bytes>,
    cache: Arc<Bytes>,
    writes: Vec<Write>,
}

impl Page {
    pub(super) fn zeros() -> Self {
        Self::settled(Arc::clone(&ZEROS))
    }

    fn settled(bytes: Arc<Bytes>) -> Self {
        Self {
            device: Arc::clone(&bytes),
            base: Arc::clone(&bytes),
            cache: bytes,
            writes: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        Arc::make_mut(&mut self.cache)[at..at + bytes.len()].copy_from_slice(bytes);
        self.writes.push(Write {
            at,
            bytes: bytes.into(),
        });
    }

    pub(super) fn cached(&self) -> &Bytes {
        &self.cache
    }

    pub(super) fn on_device(&self) -> &Bytes {
        &self.device
    }

    /// How many writes the device has not seen.
    pub(super) fn dirt(&self) -> usize {
        self.writes.len()
    }

    pub(super) fn is_ghost(&self) -> bool {
        self.writes.is_empty() && !Arc::ptr_eq(&self.device, &self.cache)
    }

    /// Write-back succeeded.
    pub(super) fn clean(&mut self) {
        *self = Self::settled(Arc::clone(&self.cache));
    }

    /// Write-back failed: clean in the cache, and not on the device.
    pub(super) fn lose(&mut self) {
        self.base = Arc::clone(&self.cache);
        self.writes.clear();
    }

    /// Reads the page afresh from the device, unless it is dirty.
    pub(super) fn forget_cache(&mut self) {
        if self.is_ghost() {
            *self = Self::settled(Arc::clone(&self.device));
        }
    }

    /// Flips bits wherever the byte is kept.
    pub(super) fn corrupt(&mut self, at: usize, xor: u8) {
        for image in [&mut self.device, &mut self.base, &mut self.cache] {
            Arc::make_mut(image)[at] ^= xor;
        }
        if self.writes.is_empty() && self.device == self.cache {
            self.clean();
        }
    }

    /// The page as the next boot reads it.
    pub(super) fn survivor(&self, version: usize, tear: Tear, dice: &mut dyn Dice) -> Self {
        let states = self.writes.len() + 1;
        let bytes = match tear {
            Tear::MidCopy if version > 0 => self.caught_copying(version, dice),
            Tear::Sectors => {
                let other = self.reached(dice.pick(states));
                mix(self.reached(version), &other, SECTOR, dice)
            }
            Tear::Lines => {
                let other = self.in_cache(dice.pick(states));
                mix(self.in_cache(version), &other, LINE, dice)
            }
            Tear::Whole | Tear::MidCopy => self.reached(version),
        };
        Self::settled(bytes)
    }

    /// Zero for what the device had before, else the state after that many writes.
    fn reached(&self, version: usize) -> Arc<Bytes> {
        if version == 0 {
            Arc::clone(&self.device)
        } else {
            self.in_cache(version)
        }
    }

    fn in_cache(&self, writes: usize) -> Arc<Bytes> {
        if writes == self.writes.len() {
            return Arc::clone(&self.cache);
        }
        let mut bytes = Arc::clone(&self.base);
        for write in &self.writes[..writes] {
            apply(&mut bytes, write, write.bytes.len());
        }
        bytes
    }

    /// The state in the middle of a write's copy, which goes forward word by word.
    fn caught_copying(&self, version: usize, dice: &mut dyn Dice) -> Arc<Bytes> {
        let write = &self.writes[version - 1];
        let first = write.at / WORD + 1;
        let words = (write.at + write.bytes.len()).div_ceil(WORD) - write.at / WORD;
        let cut = (first + dice.pick(words)) * WORD;
        let mut bytes = self.in_cache(version - 1);
        apply(&mut bytes, write, (cut - write.at).min(write.bytes.len()));
        bytes
    }
}

fn apply(to: &mut Arc<Bytes>, write: &Write, len: usize) {
    Arc::make_mut(to)[write.at..write.at + len].copy_from_slice(&write.bytes[..len]);
}

fn mix(mut into: Arc<Bytes>, other: &Bytes, unit: usize, dice: &mut dyn Dice) -> Arc<Bytes> {
    let pairs = Arc::make_mut(&mut into)
        .chunks_mut(unit)
        .zip(other.chunks(unit));
    for (kept, other) in pairs {
        if dice.pick(2) == 1 {
            kept.copy_from_slice(other);
        }
    }
    into
}
