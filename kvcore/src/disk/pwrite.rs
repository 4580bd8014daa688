//! A segment written with `pwrite`: the twin of the mapping for file systems where a
//! shared mapping cannot be trusted.
//!
//! The first write that fails leaves the file in an unknown state. It is remembered,
//! shows in `faulted`, and fails every later sync with its cause.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

use super::bounds::{check_last, check_range};
use super::traits::SegmentFile;

#[derive(Debug)]
pub(super) struct PwriteSegment {
    file: File,
    size: u64,
    fault: Option<Error>,
}

impl PwriteSegment {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size,
            fault: None,
        }
    }
}

impl SegmentFile for PwriteSegment {
    fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        check_range(self.size, offset, bytes.len());
        if self.fault.is_none() {
            self.fault = self.file.write_all_at(bytes, offset).err();
        }
    }

    fn write_last(&mut self, offset: u64, bytes: [u8; 8]) {
        check_last(offset);
        self.write(offset, &bytes);
    }

    fn sync(&mut self) -> Result<()> {
        match &self.fault {
            Some(cause) => Err(Error::new(
                cause.kind(),
                format!("an earlier write did not reach the file: {cause}"),
            )),
            None => self.file.sync_data(),
        }
    }

    fn faulted(&self) -> bool {
        self.fault.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_shows_as_a_fault_and_fails_every_later_sync() {
        let path = tempfile::NamedTempFile::new().unwrap();
        path.as_file().set_len(4096).unwrap();
        let read_only = File::open(path.path()).unwrap();
        let mut segment = PwriteSegment::new(read_only, 4096);
        assert!(!segment.faulted());
        segment.write(0, b"lost");
        assert!(segment.faulted());
        for _ in 0..2 {
            let error = segment.sync().unwrap_err().to_string();
            assert!(error.contains("did not reach the file"), "{error}");
        }
    }
}
