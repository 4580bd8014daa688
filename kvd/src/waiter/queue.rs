//! The queues of waits and their slots; no locks, no clocks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

use crate::backend::Revision;

/// Entries by level, lowest revision first; each names the slot of its waiter.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) queues: [BinaryHeap<Reverse<(Revision, u32)>>; 2],
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    /// Entries whose waiter has gone.
    pub(super) dead: usize,
}

#[derive(Default)]
pub(super) struct Slot {
    /// Tells this use of the slot from earlier ones.
    pub(super) generation: u32,
    pub(super) expires: u32,
    pub(super) waker: Option<Waker>,
}

impl Inner {
    pub(super) fn allocate(&mut self, expires: u32, waker: Waker) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Waits are bounded by streams times connections, far below 2^32.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.slots[slot as usize];
        entry.expires = expires;
        entry.waker = Some(waker);
        slot
    }

    pub(super) fn release(&mut self, slot: u32) -> Option<Waker> {
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        entry.waker.take()
    }

    pub(super) fn live(&mut self, entry: &Entry) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(entry.slot as usize)?;
        (slot.generation == entry.generation).then_some(slot)
    }

    pub(super) fn sweep(&mut self) {
        for level in 0..self.queues.len() {
            let (live, dead): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queues[level])
                .into_iter()
                .partition(|Reverse((_, slot))| self.slots[*slot as usize].waker.is_some());
            for Reverse((_, slot)) in dead {
                self.release(slot);
            }
            self.queues[level] = live.into();
        }
        self.dead = 0;
    }
}

/// A place in a queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) revision: Revision,
    pub(super) expires: u32,
}
