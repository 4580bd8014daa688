//! One file: its pages, of which all-zero ones need no memory, and its size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dice::{Dice, Tear};
use super::page::{PAGE, Page};
use super::rng::SimRng;

#[derive(Clone, Debug)]
pub(super) struct File {
    /// The last name it had; for messages.
    pub(super) name: Arc<str>,
    size: u64,
    /// What a crash cannot take below: the size at the last successful sync.
    durable_size: u64,
    allocated: u64,
    /// Absent pages are zeros, in the cache and on the device.
    pages: BTreeMap<u64, Page>,
    dirty: BTreeSet<u64>,
    /// Bytes that cannot be read.
    pub(super) unreadable: BTreeSet<u64>,
    /// The next sync of this file fails.
    pub(super) fails_sync: bool,
    /// Stores go nowhere, as after a substituted page.
    pub(super) faulted: bool,
}

impl File {
    pub(super) fn empty(name: Arc<str>) -> Self {
        Self {
            name,
            size: 0,
            durable_size: 0,
            allocated: 0,
            pages: BTreeMap::new(),
            dirty: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            fails_sync: false,
            faulted: false,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Grows the file with zeros.
    pub(super) fn extend(&mut self, size: u64) {
        self.size = self.size.max(size);
        self.allocated = self.allocated.max(size.next_multiple_of(PAGE as u64));
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if self.faulted {
            return;
        }
        self.extend(offset + bytes.len() as u64);
        for (number, at, part) in split(offset, bytes.len()) {
            self.page(number).write(at, &bytes[part]);
            self.dirty.insert(number);
        }
    }

    fn page(&mut self, number: u64) -> &mut Page {
        self.pages.entry(number).or_insert_with(Page::zeros)
    }

    /// Copies out of the cache; the caller has checked the range.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) {
        self.copy_out(offset, buf, Page::cached);
    }

    /// Copies what would be read if the cache were empty.
    pub(super) fn read_device(&self, offset: u64, buf: &mut [u8]) {
        self.copy_out(offset, buf, Page::on_device);
    }

    fn copy_out(&self, offset: u64, buf: &mut [u8], image: fn(&Page) -> &[u8; PAGE]) {
        for (number, at, part) in split(offset, buf.len()) {
            let buf = &mut buf[part];
            match self.pages.get(&number) {
                Some(page) => buf.copy_from_slice(&image(page)[at..at + buf.len()]),
                None => buf.fill(0),
            }
        }
    }

    pub(super) fn synced(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.page(number).clean();
        }
        self.durable_size = self.size;
    }

    /// All dirty pages count as clean from now on; `ghosts` of them never arrived.
    pub(super) fn sync_failed(&mut self, ghosts: (u64, u64), rng: &mut SimRng) {
        for number in std::mem::take(&mut self.dirty) {
            if rng.chance(ghosts.0, ghosts.1) {
                self.page(number).lose();
            } else {
                self.page(number).clean();
            }
        }
        if !rng.chance(ghosts.0, ghosts.1) {
            self.durable_size = self.size;
        }
    }

    pub(super) fn forget_cache(&mut self) {
        self.pages.values_mut().for_each(Page::forget_cache);
    }

    pub(super) fn corrupt(&mut self, offset: u64, xor: u8) {
        for (number, at, _) in split(offset, 1) {
            self.page(number).corrupt(at, xor);
        }
    }

    /// Writes zeros where there is something else, and gives the space back.
    /// Returns how much.
    pub(super) fn punch(&mut self, from: u64) -> u64 {
        let touched: Vec<u64> = self
            .pages
            .range(from / PAGE as u64..)
            .map(|(&number, _)| number)
            .collect();
        for number in touched {
            let start = from.saturating_sub(number * PAGE as u64);
            let start = usize::try_from(start).expect("within the first page");
            let page = self.page(number);
            if page.cached()[start..].iter().any(|&byte| byte != 0) {
                page.write(start, &[0; PAGE][start..]);
                self.dirty.insert(number);
            }
        }
        let before = self.allocated;
        self.allocated = before.min(from.next_multiple_of(PAGE as u64));
        before - self.allocated
    }

    /// The file as the next boot finds it. Tells `note` about every page that was dirty.
    pub(super) fn survivor(&self, dice: &mut dyn Dice, note: &mut dyn FnMut(String)) -> Self {
        let mut survivor = Self {
            size: self.size,
            allocated: self.allocated,
            unreadable: self.unreadable.clone(),
            ..Self::empty(Arc::clone(&self.name))
        };
        dice.begin_file(self.dirty.len());
        let mut index = 0;
        for (&number, page) in &self.pages {
            let (mut version, mut tear) = (0, Tear::Whole);
            if page.dirt() > 0 {
                version = dice.version(index, page.dirt());
                tear = dice.tear();
                index += 1;
                note(format!(
                    "page {number} of {}: version {version} of {}, torn: {tear:?}",
                    self.name,
                    page.dirt()
                ));
            }
            survivor
                .pages
                .insert(number, page.survivor(version, tear, dice));
        }
        if self.durable_size < self.size {
            let size = dice.size(self.durable_size, self.size);
            note(format!("size of {}: {size} of {}", self.name, self.size));
            survivor.shorten(size);
        }
        survivor.durable_size = survivor.size;
        survivor
    }

    /// The new size counts at once: this is done to files that no start reads unless a sync
    /// and a rename came after it.
    pub(super) fn truncate(&mut self, size: u64) {
        self.punch(size);
        self.size = size;
        self.durable_size = self.durable_size.min(size);
    }

    fn shorten(&mut self, size: u64) {
        self.punch(size);
        self.synced();
        self.size = size;
    }
}

/// The parts of `len` bytes at `offset`: page number, offset in the page, range of the bytes.
fn split(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let place = offset + done as u64;
        let at = usize::try_from(place % PAGE as u64).expect("below the size of a page");
        let part = done..len.min(done + PAGE - at);
        done = part.end;
        Some((place / PAGE as u64, at, part))
    })
}
