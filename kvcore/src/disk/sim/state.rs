//! The elementary operations, each of which a power cut can precede.

use crate::base::broken;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use super::dice::Dice;
use super::file::File;
use super::history::{Event, History};
use super::names::{Directory, FileId};
use super::page::PAGE;
use super::rng::SimRng;
use parking_lot::Condvar;

use crate::disk::durable::temporary;
use crate::disk::traits::{FileEntry, FsKind};

/// What outlives the process, in the cache or on the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) files: BTreeMap<FileId, File>,
    pub(super) directory: Directory,
    next_id: FileId,
}

impl Content {
    pub(super) fn find(&self, name: &str) -> Option<&File> {
        let id = self.directory.now().get(name)?;
        self.files.get(id)
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut File> {
        let id = self.directory.now().get(name)?;
        self.files.get_mut(id)
    }

    fn add(&mut self, file: File) -> FileId {
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, file);
        id
    }

    /// What the next boot finds, with `dice` deciding what had reached the device.
    pub(super) fn survivor(&self, dice: &mut dyn Dice, history: &mut History) -> Self {
        dice.begin_names(self.directory.pending());
        let mut kept = Vec::new();
        let names = self.directory.survivor(&mut |index| {
            kept.push(dice.keeps_change(index));
            kept[kept.len() - 1]
        });
        if !kept.is_empty() {
            let pending = self.directory.pending();
            history.push(Event::Note(format!(
                "kept of {pending} changes of names: {kept:?}"
            )));
        }
        let mut files = BTreeMap::new();
        for (name, id) in &names {
            let mut note = |text| history.push(Event::Note(text));
            let mut file = self.files[id].survivor(dice, &mut note);
            file.name = Arc::clone(name);
            files.insert(*id, file);
        }
        Self {
            files,
            directory: Directory::settled(names),
            next_id: self.next_id,
        }
    }
}

/// What is the same after the next boot.
#[derive(Clone, Debug)]
pub(super) struct Traits {
    pub(super) fs_kind: FsKind,
    pub(super) capacity: Option<u64>,
    /// The part of dirty pages that a failed sync loses.
    pub(super) ghosts: (u64, u64),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) content: Content,
    pub(super) traits: Traits,
    pub(super) rng: SimRng,
    pub(super) powered: bool,
    pub(super) cut_at: Option<u64>,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) fail_sync_at: Option<u64>,
    pub(super) sync_failures: (u64, u64),
    pub(super) locked: bool,
    /// Segment syncs wait, and how many do.
    pub(super) hold_syncs: bool,
    pub(super) waiting_syncs: usize,
    /// Wakes them.
    pub(super) released: Arc<Condvar>,
    pub(super) punched: u64,
    pub(super) history: History,
}

impl State {
    pub(super) fn boot(content: Content, traits: Traits, rng: SimRng) -> Self {
        Self {
            content,
            traits,
            rng,
            powered: true,
            cut_at: None,
            operations: 0,
            syncs: 0,
            fail_sync_at: None,
            sync_failures: (0, 1),
            locked: false,
            hold_syncs: false,
            waiting_syncs: 0,
            released: Arc::default(),
            punched: 0,
            history: History::default(),
        }
    }

    pub(super) fn cut_power(&mut self) {
        self.powered = false;
        self.released.notify_all();
    }

    /// Every call that only looks starts here.
    pub(super) fn check_power(&self) -> Result<()> {
        if self.powered {
            Ok(())
        } else {
            Err(Error::other("simulated: the power is cut"))
        }
    }

    /// Every elementary operation starts here.
    fn begin(&mut self, verb: &'static str, name: &str, range: Option<(u64, u64)>) -> Result<()> {
        if self.cut_at.is_some_and(|cut| self.operations >= cut) {
            self.cut_power();
        }
        self.check_power()?;
        self.operations += 1;
        self.history.push(Event::Operation {
            number: self.operations,
            verb,
            name: name.into(),
            range,
        });
        Ok(())
    }

    pub(super) fn id(&self, name: &str) -> Result<FileId> {
        self.check_power()?;
        let found = self.content.directory.now().get(name);
        found
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("simulated: no file {name}")))
    }

    pub(super) fn file(&mut self, id: FileId) -> &mut File {
        self.content
            .files
            .get_mut(&id)
            .expect("files stay as long as the boot")
    }

    pub(super) fn list(&self) -> Result<Vec<FileEntry>> {
        self.check_power()?;
        let names = self.content.directory.now();
        let entries = names.iter().map(|(name, id)| {
            let file = &self.content.files[id];
            FileEntry {
                name: name.to_string(),
                len: file.size(),
                allocated: file.allocated(),
                is_file: true,
            }
        });
        Ok(entries.collect())
    }

    /// The lock's file appears beside the others, as in a real directory.
    pub(super) fn lock(&mut self) -> Result<()> {
        self.check_power()?;
        if std::mem::replace(&mut self.locked, true) {
            return Err(Error::new(
                ErrorKind::WouldBlock,
                "simulated: the directory is locked",
            ));
        }
        if self.content.find("LOCK").is_none() {
            let id = self.content.add(File::empty("LOCK".into()));
            self.content.directory.place("LOCK".into(), id);
        }
        Ok(())
    }

    pub(super) fn allocated(&self) -> u64 {
        let names = self.content.directory.now();
        let files = names.values().map(|id| self.content.files[id].allocated());
        files.sum()
    }

    /// The life of a file that appears complete: see [`crate::disk::durable`].
    pub(super) fn create_file(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut Self, FileId) -> Result<()>,
    ) -> Result<FileId> {
        let temporary = temporary(name);
        let id = self.create_empty(&temporary)?;
        let renamed = fill(self, id)
            .and_then(|()| self.sync_file(id))
            .and_then(|()| self.rename(&temporary, name));
        if let Err(error) = renamed {
            let _leftover = self.remove(&temporary);
            return Err(error);
        }
        if !broken::is(broken::Build::SkipDirSync) {
            self.sync_dir()?;
        }
        Ok(id)
    }

    /// A file without bytes, in place of an older one of that name.
    pub(super) fn create_empty(&mut self, name: &str) -> Result<FileId> {
        if self.content.find(name).is_some() {
            self.remove(name)?;
        }
        self.begin("create", name, None)?;
        let shared: Arc<str> = name.into();
        let id = self.content.add(File::empty(Arc::clone(&shared)));
        self.content.directory.create(shared, id);
        Ok(id)
    }

    pub(super) fn fill_zeros(&mut self, id: FileId, len: u64) -> Result<()> {
        let name = Arc::clone(&self.file(id).name);
        self.begin("zero-fill", &name, Some((0, len)))?;
        self.check_space(len)?;
        self.file(id).extend(len);
        Ok(())
    }

    fn check_space(&self, len: u64) -> Result<()> {
        let used = self.allocated();
        if self.traits.capacity.is_some_and(|all| used + len > all) {
            return Err(Error::new(
                ErrorKind::StorageFull,
                format!("simulated: {used} bytes are in use, no space for {len} more"),
            ));
        }
        Ok(())
    }

    /// Asks for space first, which comes in pages.
    pub(super) fn append(&mut self, id: FileId, bytes: &[u8]) -> Result<()> {
        let file = self.file(id);
        let end = file.size() + bytes.len() as u64;
        let more = end
            .next_multiple_of(PAGE as u64)
            .saturating_sub(file.allocated());
        self.check_space(more)?;
        let end = self.file(id).size();
        self.write(id, end, bytes)
    }

    pub(super) fn write(&mut self, id: FileId, offset: u64, bytes: &[u8]) -> Result<()> {
        let name = Arc::clone(&self.file(id).name);
        self.begin("write", &name, Some((offset, bytes.len() as u64)))?;
        self.file(id).write(offset, bytes);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, id: FileId) -> Result<()> {
        let name = Arc::clone(&self.file(id).name);
        self.begin("sync", &name, None)?;
        let aimed_at = std::mem::take(&mut self.file(id).fails_sync);
        if self.sync_fails() || aimed_at {
            let (ghosts, mut rng) = (self.traits.ghosts, self.rng.clone());
            self.file(id).sync_failed(ghosts, &mut rng);
            self.rng = rng;
            return Err(self.failed(&format!("the sync of {name}")));
        }
        self.file(id).synced();
        Ok(())
    }

    pub(super) fn sync_dir(&mut self) -> Result<()> {
        self.begin("sync", "the directory", None)?;
        if self.sync_fails() {
            let (ghosts, rng) = (self.traits.ghosts, &mut self.rng);
            let mut keeps = |_| !rng.chance(ghosts.0, ghosts.1);
            self.content.directory.sync_failed(&mut keeps);
            return Err(self.failed("the sync of the directory"));
        }
        self.content.directory.synced();
        Ok(())
    }

    fn sync_fails(&mut self) -> bool {
        let number = self.syncs;
        self.syncs += 1;
        let (num, den) = self.sync_failures;
        self.fail_sync_at == Some(number) || (num > 0 && self.rng.chance(num, den))
    }

    fn failed(&mut self, what: &str) -> Error {
        self.history.push(Event::Note(format!("{what} failed")));
        Error::other(format!("simulated: {what} failed"))
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let id = self.id(from)?;
        self.begin("rename", &format!("{from} to {to}"), None)?;
        let to: Arc<str> = to.into();
        self.file(id).name = Arc::clone(&to);
        self.content.directory.rename(from.into(), to, id);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        self.id(name)?;
        self.begin("remove", name, None)?;
        self.content.directory.remove(name.into());
        Ok(())
    }

    /// Takes away what lies behind `len`.
    pub(super) fn truncate(&mut self, id: FileId, len: u64) -> Result<()> {
        let name = Arc::clone(&self.file(id).name);
        self.begin("truncate", &name, Some((0, len)))?;
        self.file(id).truncate(len);
        Ok(())
    }

    pub(super) fn punch(&mut self, name: &str, from: u64) -> Result<()> {
        let id = self.id(name)?;
        let size = self.file(id).size();
        if from < size {
            self.begin("punch", name, Some((from, size - from)))?;
            self.punched += self.file(id).punch(from);
        }
        Ok(())
    }

    pub(super) fn read(&mut self, id: FileId, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_power()?;
        let file = self.file(id);
        let end = offset.saturating_add(buf.len() as u64);
        if end > file.size() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(bad) = file.unreadable.range(offset..end).next() {
            let name = &file.name;
            return Err(Error::other(format!(
                "simulated: byte {bad} of {name} cannot be read"
            )));
        }
        file.read(offset, buf);
        Ok(())
    }
}
