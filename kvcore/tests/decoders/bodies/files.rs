//! A file in memory.

use std::io::{ErrorKind, Result};

use kvcore::disk::ReadFile;

#[derive(Debug)]
pub(super) struct InMemory<'a>(pub(super) &'a [u8]);

impl ReadFile for InMemory<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.0.get(from..).and_then(|rest| rest.get(..buf.len()));
        match there {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
