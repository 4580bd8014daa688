//! A directory in memory that can lose power, lie about syncs and run full, to order.
//!
//! What a test gets from it:
//!
//! * **Nothing is durable before its barrier.** A file's bytes wait for its sync, names
//!   for the sync of the directory. [`SimDisk::crash`] decides for every page and every
//!   change of a name by itself whether it arrived, and may tear a page in the middle.
//! * **A failed sync leaves ghosts**: pages that read as written, count as clean, and are
//!   not on the device. Later syncs succeed. Only `settle` or a crash shows the truth.
//! * **Every elementary operation is counted**, also the five inside `replace` and
//!   `create_segment`, so that a test can cut the power before each of them in turn.
//! * **The same seed and the same calls give the same bytes.** `history` tells what
//!   happened to whoever has to understand a seed.
//!
//! A [`SimDisk`] is a handle; clones are the same disk. [`SimDisk::crash`] and
//! [`SimDisk::kill`] return a new disk and leave the old one, with every open file of it,
//! without power; the same cut can be asked for its outcome under many seeds.

mod dice;
mod file;
mod handles;
mod history;
mod names;
mod page;
mod rng;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::traits::FsKind;
use dice::{Chance, Dice, Odometer};
use history::{Event, History};
pub use rng::SimRng;
use state::{Content, State, Traits};

#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("files", &state.content.directory.now().len())
            .field("operations", &state.operations)
            .field("powered", &state.powered)
            .finish()
    }
}

impl SimDisk {
    /// An empty directory. The seed decides which syncs fail, where that is left to chance,
    /// and which pages they lose.
    pub fn new(seed: u64) -> Self {
        let traits = Traits {
            fs_kind: FsKind::Local("simulated"),
            capacity: None,
            ghosts: (1, 2),
        };
        Self::boot(State::boot(Content::default(), traits, SimRng::new(seed)))
    }

    fn boot(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The next `operations` still happen; from then on every call fails, stores are void,
    /// and nothing more reaches the device.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.operations + operations);
        if operations == 0 {
            state.cut_power();
        }
    }

    pub fn power_is_cut(&self) -> bool {
        !self.state().powered
    }

    /// Cuts the power, if it is still on, and returns the disk as the next boot finds it.
    /// Open files and the lock stay with this one.
    pub fn crash(&self, seed: u64) -> SimDisk {
        let mut rng = SimRng::new(seed);
        let next = SimRng::new(rng.next_u64());
        self.crash_with(&mut Chance::new(rng), next)
    }

    /// Hands every possible outcome of a power cut to `visit`, torn pages aside, and
    /// returns their number. Panics if there are more than `limit`.
    pub fn crash_in_every_way(&self, limit: usize, mut visit: impl FnMut(SimDisk)) -> usize {
        let mut dice = Odometer::default();
        for count in 1..=limit {
            visit(self.crash_with(&mut dice, SimRng::new(count as u64)));
            if !dice.turn() {
                return count;
            }
        }
        too_many_outcomes(limit)
    }

    fn crash_with(&self, dice: &mut dyn Dice, rng: SimRng) -> SimDisk {
        self.cut_power_after(0);
        let state = self.state();
        let mut history = History::default();
        let at = state.operations;
        history.push(Event::Note(format!("power was cut after operation {at}")));
        let content = state.content.survivor(dice, &mut history);
        let mut next = State::boot(content, state.traits.clone(), rng);
        next.history = history;
        Self::boot(next)
    }

    /// Ends the process but not the machine: the cache stays, with its dirty pages and its
    /// ghosts; the lock is free. This handle is without power from now on.
    pub fn kill(&self) -> SimDisk {
        self.cut_power_after(0);
        let state = self.state();
        let rng = state.rng.clone();
        let mut next = State::boot(state.content.clone(), state.traits.clone(), rng);
        for file in next.content.files.values_mut() {
            file.faulted = false;
        }
        Self::boot(next)
    }

    /// The `n`-th sync from now fails, of a file or of the directory; 0 is the next one.
    pub fn fail_sync_at(&self, n: u64) {
        let mut state = self.state();
        state.fail_sync_at = Some(state.syncs + n);
    }

    /// The next sync of the file that has this name now fails. Panics if there is none.
    pub fn fail_next_sync_of(&self, name: &str) {
        self.on_file(name, |file| file.fails_sync = true);
    }

    /// Each sync fails with the probability `num / den`.
    pub fn fail_syncs(&self, num: u64, den: u64) {
        self.state().sync_failures = (num, den);
    }

    /// The part of the dirty pages that a failed sync loses; at first one half.
    pub fn set_ghosts(&self, num: u64, den: u64) {
        self.state().traits.ghosts = (num, den);
    }

    /// `create_segment` finds no space if all files together would occupy more.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().traits.capacity = bytes;
    }

    pub fn set_fs_kind(&self, kind: FsKind) {
        self.state().traits.fs_kind = kind;
    }

    /// Every read that covers this byte fails, also after a crash.
    pub fn fail_reads_at(&self, name: &str, offset: u64) {
        self.on_file(name, |file| {
            file.unreadable.insert(offset);
        });
    }

    /// Stores into this file go nowhere from now on, and `faulted` tells so; syncs succeed,
    /// as they do after a substituted page.
    pub fn fault_stores(&self, name: &str) {
        self.on_file(name, |file| file.faulted = true);
    }

    /// Flips the bits of `xor` in one byte, in the cache and on the device.
    pub fn corrupt(&self, name: &str, offset: u64, xor: u8) {
        self.on_file(name, |file| {
            let size = file.size();
            assert!(offset < size, "byte {offset} of a file of {size}");
            file.corrupt(offset, xor);
        });
    }

    fn on_file(&self, name: &str, change: impl FnOnce(&mut file::File)) {
        match self.state().content.find_mut(name) {
            Some(file) => change(file),
            None => no_such_file(name),
        }
    }

    /// Makes syncs of segments wait until [`SimDisk::release_syncs`] or a power cut.
    pub fn hold_syncs(&self) {
        self.state().hold_syncs = true;
    }

    pub fn release_syncs(&self) {
        let mut state = self.state();
        state.hold_syncs = false;
        state.released.notify_all();
    }

    /// How many syncs wait.
    pub fn held_syncs(&self) -> usize {
        self.state().waiting_syncs
    }

    /// What reads of the file see, ghosts included; `None` if there is no such file.
    pub fn file_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.bytes_of(name, file::File::read)
    }

    /// What the device holds of the file.
    pub fn device_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.bytes_of(name, file::File::read_device)
    }

    fn bytes_of(&self, name: &str, read: fn(&file::File, u64, &mut [u8])) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.content.find(name)?;
        let size = usize::try_from(file.size()).expect("it is in memory");
        let mut bytes = vec![0; size];
        read(file, 0, &mut bytes);
        Some(bytes)
    }

    /// Elementary operations since the boot.
    pub fn op_count(&self) -> u64 {
        self.state().operations
    }

    /// Syncs since the boot, of files and of the directory, also failed ones.
    pub fn sync_count(&self) -> u64 {
        self.state().syncs
    }

    /// Bytes that all files together occupy.
    pub fn allocated(&self) -> u64 {
        self.state().allocated()
    }

    /// Bytes that `punch_tail` has given back since the boot.
    pub fn punched(&self) -> u64 {
        self.state().punched
    }

    /// One line per operation since the boot, the last ten thousand; before them what the
    /// crash that led to this boot did.
    pub fn history(&self) -> Vec<String> {
        self.state().history.lines()
    }
}

#[expect(
    clippy::panic,
    reason = "a test that names a wrong file must not go on"
)]
fn no_such_file(name: &str) -> ! {
    panic!("the simulated disk has no file {name}")
}

#[expect(clippy::panic, reason = "a test must not pass on half of the outcomes")]
fn too_many_outcomes(limit: usize) -> ! {
    panic!("a power cut has more than {limit} outcomes here")
}
