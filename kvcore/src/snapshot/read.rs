//! Reads a snapshot block by block, so that memory stays bounded and several threads can
//! decode.

use std::io;

use crate::disk::ReadFile;
use crate::format::FormatError;
use crate::format::checksum::Seed;
use crate::format::snapshot::{
    BLOCK_HEAD_BYTES, BackupEnd, BlockHead, BlockKind, End, Purpose, SNAPSHOT_HEADER_BYTES,
    SnapshotHeader, frame, records, requests,
};
use crate::format::unit::check_units;

/// Why a snapshot was not read to its end.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// What is wrong at this byte of the file.
    Damaged {
        offset: u64,
        what: String,
    },
}

impl ReadError {
    fn at(offset: u64) -> impl FnOnce(FormatError) -> Self {
        move |error| Self::Damaged {
            offset,
            what: error.to_string(),
        }
    }

    pub fn damaged(offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            offset,
            what: what.into(),
        }
    }
}

/// A block whose payload was not looked at yet.
#[derive(Debug)]
pub struct Block {
    /// Of its head in the file.
    pub offset: u64,
    pub head: BlockHead,
    pub payload: Vec<u8>,
    seed: Seed,
}

impl Block {
    /// Holds the payload against its checksum. To be called before any entry is believed.
    pub fn check(&self) -> Result<(), ReadError> {
        self.head
            .check_payload(self.seed, self.offset, &self.payload)
            .map_err(ReadError::at(self.offset))
    }
}

/// Walks over a file from its header to its End.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a dyn ReadFile,
    pub header: SnapshotHeader,
    offset: u64,
    link: u32,
    seen: Counts,
    end: Option<BackupEnd>,
}

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    requests: u64,
    blocks: u64,
    units: u64,
}

impl<'a> Reader<'a> {
    /// Reads the header.
    pub fn open(file: &'a dyn ReadFile) -> Result<Self, ReadError> {
        let mut bytes = [0; SNAPSHOT_HEADER_BYTES];
        read(file, 0, &mut bytes)?;
        let header = SnapshotHeader::decode(&bytes).map_err(ReadError::at(0))?;
        Ok(Self {
            file,
            header,
            offset: SNAPSHOT_HEADER_BYTES as u64,
            link: SnapshotHeader::crc_of(&bytes),
            seen: Counts::default(),
            end: None,
        })
    }

    /// The next block of records or requests; None at the End, which is checked then.
    pub fn next_block(&mut self) -> Result<Option<Block>, ReadError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let seed = self.header.seed();
        let offset = self.offset;
        let mut head = [0; BLOCK_HEAD_BYTES];
        read(self.file, offset, &mut head)?;
        let head =
            BlockHead::decode(&head, seed, offset, self.link).map_err(ReadError::at(offset))?;
        let begin = offset + BLOCK_HEAD_BYTES as u64;
        let left = self.file.size().saturating_sub(begin);
        if head.payload_bytes as u64 > left {
            let what = format!(
                "a block of {} bytes, of which {left} are there",
                head.payload_bytes
            );
            return Err(ReadError::damaged(offset, what));
        }
        let mut payload = vec![0; head.payload_bytes];
        read(self.file, begin, &mut payload)?;
        self.offset = begin + head.payload_bytes as u64;
        self.link = head.crc;
        let block = Block {
            offset,
            head,
            payload,
            seed,
        };
        let entries = u64::from(head.entries);
        match head.kind {
            BlockKind::Records => self.seen.records += entries,
            BlockKind::Requests => self.seen.requests += entries,
            BlockKind::Units => self.seen.units += entries,
            BlockKind::End | BlockKind::BackupEnd => return self.finish(&block).map(|()| None),
        }
        if !fits(self.header.purpose, head.kind) {
            let what = format!(
                "a block of {:?} in a file that is {:?}",
                head.kind, self.header.purpose
            );
            return Err(ReadError::damaged(offset, what));
        }
        self.seen.blocks += 1;
        Ok(Some(block))
    }

    fn finish(&mut self, block: &Block) -> Result<(), ReadError> {
        block.check()?;
        let is_snapshot = self.header.purpose == Purpose::Snapshot;
        if is_snapshot != (block.head.kind == BlockKind::End) {
            let what = "it ends like another kind of file";
            return Err(ReadError::damaged(block.offset, what));
        }
        if block.head.entries != 0 {
            let what = format!("its end has {} entries of its own", block.head.entries);
            return Err(ReadError::damaged(block.offset, what));
        }
        let full = read_end(block).map_err(ReadError::at(block.offset))?;
        let (end, seen) = (full.end, &self.seen);
        let counted = [end.records, end.requests, end.blocks, full.units];
        let found = [seen.records, seen.requests, seen.blocks, seen.units];
        if counted != found {
            let what = format!(
                "its end counts {counted:?} records, requests, blocks and units; {found:?} are \
                 there"
            );
            return Err(ReadError::damaged(block.offset, what));
        }
        if end.end < self.header.start {
            return Err(ReadError::damaged(block.offset, "it ends before it starts"));
        }
        if self.offset != self.file.size() {
            let left = self.file.size() - self.offset;
            let what = format!("{left} bytes follow its end");
            return Err(ReadError::damaged(self.offset, what));
        }
        self.end = Some(full);
        Ok(())
    }

    /// What the end says, once it was reached.
    pub fn end(&self) -> Option<BackupEnd> {
        self.end
    }

    /// The checksum of the last head that was read: at the End, that of the file.
    pub fn crc(&self) -> u32 {
        self.link
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// The end of a snapshot is told as that of a backup without units.
fn read_end(block: &Block) -> Result<BackupEnd, FormatError> {
    if block.head.kind == BlockKind::BackupEnd {
        return BackupEnd::decode(&block.payload);
    }
    let end = End::decode(&block.payload)?;
    Ok(BackupEnd {
        end,
        units: 0,
        exact_from: end.end,
        beyond_log: false,
    })
}

/// What a file of this purpose may hold.
fn fits(purpose: Purpose, kind: BlockKind) -> bool {
    match purpose {
        Purpose::Snapshot => kind != BlockKind::Units,
        Purpose::Backup => true,
        Purpose::Increment => kind == BlockKind::Units,
    }
}

fn read(file: &dyn ReadFile, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
    file.read_exact_at(offset, buf)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                ReadError::damaged(offset, format!("the file ends here, at {}", file.size()))
            }
            _ => ReadError::Io(error),
        })
}

/// Reads a whole file, every checksum and every entry. Returns its header, its end and
/// its checksum.
pub fn verify(file: &dyn ReadFile) -> Result<(SnapshotHeader, BackupEnd, u32), ReadError> {
    let mut reader = Reader::open(file)?;
    while let Some(block) = reader.next_block()? {
        block.check()?;
        let entries = block.head.entries;
        let bad = match block.head.kind {
            BlockKind::Records => records(&block.payload, entries).find_map(Result::err),
            BlockKind::Requests => requests(&block.payload, entries).find_map(Result::err),
            BlockKind::Units => frame(&block.payload)
                .and_then(|frame| check_units(frame.units, entries))
                .err(),
            BlockKind::End | BlockKind::BackupEnd => None,
        };
        if let Some(error) = bad {
            return Err(ReadError::at(block.offset)(error));
        }
    }
    let end = reader.end().expect("the walk is over");
    Ok((reader.header, end, reader.crc()))
}
