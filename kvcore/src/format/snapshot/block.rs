//! A block: its head, and the payload of the last one.

use super::{BLOCK_HEAD_BYTES, BLOCK_PAYLOAD_CAP};
use crate::base::revision::Revision;
use crate::format::checksum::Seed;
use crate::format::error::assert_writable;
use crate::format::field::Field;
use crate::format::{FormatError, NUMBER_CAP};

const HEAD_CRC: Field = Field::first("head_crc", 4);
const PAYLOAD_BYTES: Field = HEAD_CRC.then("payload_bytes", 4);
const BODY_CRC: Field = PAYLOAD_BYTES.then("body_crc", 4);
const KIND: Field = BODY_CRC.then("kind", 1);
const RESERVED: Field = KIND.then("reserved", 3);
const ENTRIES: Field = RESERVED.then("entries", 4);
const LINK: Field = ENTRIES.then("link", 4);
const _: () = assert!(LINK.end() == BLOCK_HEAD_BYTES);

/// The layout of a head, as `docs/format.md` has it.
pub const BLOCK_FIELDS: [Field; 7] = [
    HEAD_CRC,
    PAYLOAD_BYTES,
    BODY_CRC,
    KIND,
    RESERVED,
    ENTRIES,
    LINK,
];

const END: Field = Field::first("end", 8);
const RECORDS: Field = END.then("records", 8);
const REQUESTS: Field = RECORDS.then("requests", 8);
const BLOCKS: Field = REQUESTS.then("blocks", 8);

/// The layout of the last payload, as `docs/format.md` has it.
pub const END_FIELDS: [Field; 4] = [END, RECORDS, REQUESTS, BLOCKS];

const END_BYTES: usize = BLOCKS.end();

const UNITS: Field = BLOCKS.then("units", 8);
const EXACT_FROM: Field = UNITS.then("exact_from", 8);
const BEYOND_LOG: Field = EXACT_FROM.then("beyond_log", 8);

/// The layout of the last payload of a backup, as `docs/format.md` has it.
pub const BACKUP_END_FIELDS: [Field; 7] = [
    END, RECORDS, REQUESTS, BLOCKS, UNITS, EXACT_FROM, BEYOND_LOG,
];

const BACKUP_END_BYTES: usize = BEYOND_LOG.end();
const WHAT: &str = "snapshot block";

/// What a block holds. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    Records = 1,
    Requests = 2,
    /// The last one: says what the others held.
    End = 3,
    /// Units of one frame of the log.
    Units = 4,
    /// The last one of a backup or an increment.
    BackupEnd = 5,
}

impl BlockKind {
    pub const ALL: [Self; 5] = [
        Self::Records,
        Self::Requests,
        Self::End,
        Self::Units,
        Self::BackupEnd,
    ];
}

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    pub kind: BlockKind,
    pub payload_bytes: usize,
    pub entries: u32,
    /// The checksum of this head: the link of the next.
    pub crc: u32,
    body_crc: u32,
}

/// Appends a block that will lie at `offset` of the file behind one whose link is `link`;
/// returns its own.
///
/// # Panics
/// If the payload is longer than any reader would accept.
pub fn put_block(
    out: &mut Vec<u8>,
    seed: Seed,
    offset: u64,
    link: u32,
    (kind, entries): (BlockKind, u32),
    payload: &[u8],
) -> u32 {
    let len = payload.len() as u64;
    let cap = (0, BLOCK_PAYLOAD_CAP as u64);
    assert_writable(WHAT, FormatError::range("payload", 0, len, cap));
    let mut head = [0; BLOCK_HEAD_BYTES];
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    PAYLOAD_BYTES.put(&mut head, &len.to_le_bytes());
    BODY_CRC.put(&mut head, &seed.crc(offset, payload).to_le_bytes());
    KIND.put(&mut head, &[kind as u8]);
    ENTRIES.put(&mut head, &entries.to_le_bytes());
    LINK.put(&mut head, &link.to_le_bytes());
    let crc = crc_of(seed, offset, &head);
    HEAD_CRC.put(&mut head, &crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    crc
}

fn crc_of(seed: Seed, offset: u64, head: &[u8; BLOCK_HEAD_BYTES]) -> u32 {
    let (_, covered) = head.split_at_checked(HEAD_CRC.end()).unwrap_or_default();
    seed.crc(offset, covered)
}

impl BlockHead {
    /// Reads the head that lies at `offset` of the file behind one whose link is `link`.
    pub fn decode(
        head: &[u8; BLOCK_HEAD_BYTES],
        seed: Seed,
        offset: u64,
        link: u32,
    ) -> Result<Self, FormatError> {
        let crc = HEAD_CRC.u32(head);
        check_crc("head of a snapshot block", crc, crc_of(seed, offset, head))?;
        let payload_bytes = u64::from(PAYLOAD_BYTES.u32(head));
        let cap = (0, BLOCK_PAYLOAD_CAP as u64);
        FormatError::range("payload_bytes", PAYLOAD_BYTES.at, payload_bytes, cap)?;
        if let Some((at, found)) = RESERVED.first_non_zero(head) {
            return Err(FormatError::Reserved {
                what: WHAT,
                at,
                found,
            });
        }
        let follows = LINK.u32(head) == link;
        FormatError::rule(follows, WHAT, "it does not follow the block before it")?;
        Ok(Self {
            kind: kind(KIND.u8(head))?,
            payload_bytes: usize::try_from(payload_bytes).unwrap_or(usize::MAX),
            entries: ENTRIES.u32(head),
            crc,
            body_crc: BODY_CRC.u32(head),
        })
    }

    /// The head that stands here, whatever it follows: for a search behind damage.
    pub fn probe(head: &[u8; BLOCK_HEAD_BYTES], seed: Seed, offset: u64) -> Option<Self> {
        // Rejects nearly everything, and costs less than the checksum.
        let likely = RESERVED.first_non_zero(head).is_none() && kind(KIND.u8(head)).is_ok();
        if !likely {
            return None;
        }
        Self::decode(head, seed, offset, LINK.u32(head)).ok()
    }

    /// Is this the payload that lies behind the head at `offset`?
    pub fn check_payload(
        &self,
        seed: Seed,
        offset: u64,
        payload: &[u8],
    ) -> Result<(), FormatError> {
        let what = "payload of a snapshot block";
        check_crc(what, self.body_crc, seed.crc(offset, payload))
    }
}

fn check_crc(what: &'static str, stored: u32, computed: u32) -> Result<(), FormatError> {
    if stored == computed {
        return Ok(());
    }
    Err(FormatError::Checksum {
        what,
        stored,
        computed,
    })
}

fn kind(number: u8) -> Result<BlockKind, FormatError> {
    BlockKind::ALL
        .into_iter()
        .find(|kind| *kind as u8 == number)
        .ok_or(FormatError::UnknownSnapshotBlock { kind: number })
}

/// What the file holds, and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Nothing newer is in it.
    pub end: Revision,
    pub records: u64,
    pub requests: u64,
    /// Blocks before this one.
    pub blocks: u64,
}

impl End {
    pub fn encode(&self) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        END.put(&mut bytes, &self.end.0.to_le_bytes());
        RECORDS.put(&mut bytes, &self.records.to_le_bytes());
        REQUESTS.put(&mut bytes, &self.requests.to_le_bytes());
        BLOCKS.put(&mut bytes, &self.blocks.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let size = (END_BYTES as u64, END_BYTES as u64);
        FormatError::range("size of an End", 0, bytes.len() as u64, size)?;
        let end = Self {
            end: Revision(END.u64(bytes)),
            records: RECORDS.u64(bytes),
            requests: REQUESTS.u64(bytes),
            blocks: BLOCKS.u64(bytes),
        };
        FormatError::range("end", END.at, end.end.0, (1, NUMBER_CAP))?;
        Ok(end)
    }
}

/// What a backup or an increment holds, and which moments it can bring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupEnd {
    pub end: End,
    /// Units in all blocks; those at or before the start, or behind the end, do not count.
    pub units: u64,
    /// The first revision whose state it can bring back exactly.
    pub exact_from: Revision,
    /// The log had failed: it holds changes that are in no log.
    pub beyond_log: bool,
}

impl BackupEnd {
    pub fn encode(&self) -> [u8; BACKUP_END_BYTES] {
        let mut bytes = [0; BACKUP_END_BYTES];
        END.put(&mut bytes, &self.end.end.0.to_le_bytes());
        RECORDS.put(&mut bytes, &self.end.records.to_le_bytes());
        REQUESTS.put(&mut bytes, &self.end.requests.to_le_bytes());
        BLOCKS.put(&mut bytes, &self.end.blocks.to_le_bytes());
        UNITS.put(&mut bytes, &self.units.to_le_bytes());
        EXACT_FROM.put(&mut bytes, &self.exact_from.0.to_le_bytes());
        BEYOND_LOG.put(&mut bytes, &u64::from(self.beyond_log).to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let size = (BACKUP_END_BYTES as u64, BACKUP_END_BYTES as u64);
        FormatError::range("size of a backup's end", 0, bytes.len() as u64, size)?;
        let (plain, _) = bytes.split_at_checked(END_BYTES).unwrap_or_default();
        let beyond = BEYOND_LOG.u64(bytes);
        FormatError::range("beyond_log", BEYOND_LOG.at, beyond, (0, 1))?;
        let end = Self {
            end: End::decode(plain)?,
            units: UNITS.u64(bytes),
            exact_from: Revision(EXACT_FROM.u64(bytes)),
            beyond_log: beyond == 1,
        };
        let exact = (1, end.end.end.0);
        FormatError::range("exact_from", EXACT_FROM.at, end.exact_from.0, exact)?;
        Ok(end)
    }
}
