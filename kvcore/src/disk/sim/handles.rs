//! The simulated disk behind the seam.

use std::io::{ErrorKind, Result};
use std::sync::Arc;

use super::SimDisk;
use super::names::FileId;
use crate::disk::bounds::{check_fits, check_last, check_name, check_range, check_segment_len};
use crate::disk::traits::{
    DirLock, Disk, FileEntry, FsKind, LogIo, ReadFile, SegmentFile, StreamFile,
};

impl Disk for SimDisk {
    fn describe(&self) -> String {
        "the simulated disk".to_owned()
    }

    fn fs_kind(&self) -> Result<FsKind> {
        let state = self.state();
        state.check_power()?;
        Ok(state.traits.fs_kind)
    }

    fn lock(&self) -> Result<Box<dyn DirLock>> {
        self.state().lock()?;
        Ok(Box::new(SimLock(self.clone())))
    }

    fn list(&self) -> Result<Vec<FileEntry>> {
        self.state().list()
    }

    fn create_segment(&self, name: &str, len: u64, _io: LogIo) -> Result<Box<dyn SegmentFile>> {
        check_name(name)?;
        check_segment_len(len)?;
        let mut state = self.state();
        if state.content.find(name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.create_file(name, |state, id| state.fill_zeros(id, len))?;
        Ok(self.segment(id, len))
    }

    fn open_segment(&self, name: &str, _io: LogIo) -> Result<Box<dyn SegmentFile>> {
        check_name(name)?;
        let mut state = self.state();
        let id = state.id(name)?;
        let size = state.file(id).size();
        check_segment_len(size)?;
        Ok(self.segment(id, size))
    }

    fn create_stream(&self, name: &str) -> Result<Box<dyn StreamFile>> {
        check_name(name)?;
        let id = self.state().create_empty(name)?;
        let disk = self.clone();
        Ok(Box::new(SimStreamFile { disk, id }))
    }

    fn open_read(&self, name: &str) -> Result<Box<dyn ReadFile>> {
        check_name(name)?;
        let mut state = self.state();
        let id = state.id(name)?;
        let size = state.file(id).size();
        let disk = self.clone();
        Ok(Box::new(SimReadFile { disk, id, size }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        check_name(name)?;
        self.state()
            .create_file(name, |state, id| state.append(id, bytes))
            .map(drop)
    }

    fn reserve(&self, name: &str, len: u64) -> Result<()> {
        check_name(name)?;
        let mut state = self.state();
        let id = state.create_empty(name)?;
        let filled = state.fill_zeros(id, len).and_then(|()| state.sync_file(id));
        if filled.is_err() {
            let _leftover = state.remove(name);
        }
        filled
    }

    fn replace_with(&self, room: &str, name: &str, bytes: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut state = self.state();
        let id = state.id(room)?;
        check_fits(state.file(id).size(), bytes.len())?;
        state.write(id, 0, bytes)?;
        state.truncate(id, bytes.len() as u64)?;
        state.sync_file(id)?;
        state.rename(room, name)?;
        state.sync_dir()
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.state().rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.state().remove(name)
    }

    fn sync_dir(&self) -> Result<()> {
        self.state().sync_dir()
    }

    fn punch_tail(&self, name: &str, from: u64) -> Result<()> {
        check_name(name)?;
        self.state().punch(name, from)
    }
}

impl SimDisk {
    fn segment(&self, id: FileId, size: u64) -> Box<dyn SegmentFile> {
        let disk = self.clone();
        Box::new(SimSegment { disk, id, size })
    }
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

#[derive(Debug)]
struct SimSegment {
    disk: SimDisk,
    id: FileId,
    size: u64,
}

impl SegmentFile for SimSegment {
    fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        check_range(self.size, offset, bytes.len());
        // Without power a store goes nowhere, and nobody is told.
        let _void = self.disk.state().write(self.id, offset, bytes);
    }

    fn write_last(&mut self, offset: u64, bytes: [u8; 8]) {
        check_last(offset);
        self.write(offset, &bytes);
    }

    fn sync(&mut self) -> Result<()> {
        let mut state = self.disk.state();
        let released = Arc::clone(&state.released);
        state.waiting_syncs += 1;
        while state.hold_syncs && state.powered {
            released.wait(&mut state);
        }
        state.waiting_syncs -= 1;
        state.sync_file(self.id)
    }

    fn faulted(&self) -> bool {
        self.disk.state().file(self.id).faulted
    }
}

#[derive(Debug)]
struct SimStreamFile {
    disk: SimDisk,
    id: FileId,
}

impl StreamFile for SimStreamFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.disk.state().append(self.id, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.disk.state().sync_file(self.id)
    }
}

#[derive(Debug)]
struct SimReadFile {
    disk: SimDisk,
    id: FileId,
    size: u64,
}

impl ReadFile for SimReadFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn settle(&self) -> Result<()> {
        let mut state = self.disk.state();
        state.sync_file(self.id)?;
        state.file(self.id).forget_cache();
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.state().read(self.id, offset, buf)
    }

    fn sync(&self) -> Result<()> {
        self.disk.state().sync_file(self.id)
    }
}
