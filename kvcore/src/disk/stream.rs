//! A file of the operating system that is written from front to back.

use std::fs::File;
use std::io::{Error, Result, Write};
use std::path::PathBuf;

use super::traits::StreamFile;

#[derive(Debug)]
pub(super) struct OsStreamFile {
    file: File,
    path: PathBuf,
}

impl OsStreamFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    fn told(&self, doing: &str, done: Result<()>) -> Result<()> {
        done.map_err(|error| {
            let path = self.path.display();
            Error::new(error.kind(), format!("cannot {doing} {path}: {error}"))
        })
    }
}

impl StreamFile for OsStreamFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let done = self.file.write_all(bytes);
        self.told("write", done)
    }

    fn sync(&mut self) -> Result<()> {
        let done = self.file.sync_all();
        self.told("sync", done)
    }
}
