//! One present key: its metadata, key and value in a single shared allocation.
//!
//! ```text
//!  0            8               16       24        28            36         44
//!  | mod_revision | create_revision | version | klen, flags | [deadline] | [lease] | key | value |
//! ```
//! `flags` are the top two bits of the word at 24 (deadline present, lease present).
//! A record is filled in while it has one owner and never changes once it is shared,
//! so readers need no lock. A create revision of 0 in the log means "this unit";
//! here it is always resolved.

use std::fmt;
use std::sync::Arc;

use crate::base::revision::Revision;

const MOD: usize = 0;
const CREATE: usize = 8;
const VERSION: usize = 16;
const WORD: usize = 24;
const FIXED: usize = 28;
const HAS_DEADLINE: u32 = 1 << 31;
const HAS_LEASE: u32 = 1 << 30;
const KEY_LEN: u32 = HAS_LEASE - 1;

/// What the allocator adds to a record (two reference counts), and what the table
/// spends on its slot (fat pointer and control byte, at a mean load of two thirds).
/// The key stands in the index once more, a deadline in the set of deadlines.
const ALLOCATION_BYTES: u64 = 16;
const SLOT_BYTES: u64 = 26;

/// A key with its value and metadata, as committed. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Arc<[u8]>);

impl Record {
    /// A record without revision or version: they are known under the shard's lock
    /// only, and given by [`Record::stamp`].
    pub fn new(key: &[u8], value: &[u8], deadline_ms: u64, lease_id: u64) -> Self {
        let mut word = u32::try_from(key.len()).expect("keys are at most 64 KiB");
        let mut head = FIXED;
        if deadline_ms != 0 {
            word |= HAS_DEADLINE;
            head += 8;
        }
        if lease_id != 0 {
            word |= HAS_LEASE;
            head += 8;
        }
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, head + key.len() + value.len()).collect();
        let b = Arc::get_mut(&mut bytes).expect("just made");
        b[WORD..FIXED].copy_from_slice(&word.to_le_bytes());
        let mut at = FIXED;
        for field in [deadline_ms, lease_id] {
            if field != 0 {
                b[at..at + 8].copy_from_slice(&field.to_le_bytes());
                at += 8;
            }
        }
        b[at..at + key.len()].copy_from_slice(key);
        b[at + key.len()..].copy_from_slice(value);
        Self(bytes)
    }

    /// Whether the two are one record, not just equal.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Writes a deadline in place of the one that the record was made with.
    pub fn set_deadline(&mut self, deadline_ms: u64) {
        debug_assert_ne!(self.deadline_ms(), 0, "made without room for a deadline");
        let b = Arc::get_mut(&mut self.0).expect("a record is filled in before it is shared");
        b[FIXED..FIXED + 8].copy_from_slice(&deadline_ms.to_le_bytes());
    }

    /// Writes what is known only once the change is ordered. Called once, before the
    /// record is shared.
    pub fn stamp(&mut self, modified: Revision, created: Revision, version: u64) {
        let b = Arc::get_mut(&mut self.0).expect("a record is stamped before it is shared");
        b[MOD..CREATE].copy_from_slice(&modified.0.to_le_bytes());
        b[CREATE..VERSION].copy_from_slice(&created.0.to_le_bytes());
        b[VERSION..WORD].copy_from_slice(&version.to_le_bytes());
    }

    fn u64_at(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[at..at + 8]);
        u64::from_le_bytes(word)
    }

    fn word(&self) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[WORD..FIXED]);
        u32::from_le_bytes(word)
    }

    /// Looks at the first and the last of its bytes: of a small record these are all cache
    /// lines, of a large one the processor fetches the rest by itself. The number only keeps
    /// the look alive.
    pub fn fetch(&self) -> u64 {
        let last = self.0.last().copied().map_or(0, u64::from);
        self.u64_at(MOD).wrapping_add(last)
    }

    /// Where key and value begin.
    fn bounds(&self) -> (usize, usize) {
        let word = self.word();
        let key = FIXED
            + if word & HAS_DEADLINE == 0 { 0 } else { 8 }
            + if word & HAS_LEASE == 0 { 0 } else { 8 };
        (key, key + (word & KEY_LEN) as usize)
    }

    pub fn key(&self) -> &[u8] {
        let (key, value) = self.bounds();
        &self.0[key..value]
    }

    pub fn value(&self) -> &[u8] {
        &self.0[self.bounds().1..]
    }

    /// The revision of the last change.
    pub fn mod_revision(&self) -> Revision {
        Revision(self.u64_at(MOD))
    }

    /// The revision that brought the key into being.
    pub fn create_revision(&self) -> Revision {
        Revision(self.u64_at(CREATE))
    }

    /// How many times the key was changed since it was created; starts at 1.
    pub fn version(&self) -> u64 {
        self.u64_at(VERSION)
    }

    /// Engine clock in ms; 0 = never.
    pub fn deadline_ms(&self) -> u64 {
        if self.word() & HAS_DEADLINE == 0 {
            0
        } else {
            self.u64_at(FIXED)
        }
    }

    /// 0 = none.
    pub fn lease_id(&self) -> u64 {
        let word = self.word();
        match (word & HAS_LEASE, word & HAS_DEADLINE) {
            (0, _) => 0,
            (_, 0) => self.u64_at(FIXED),
            _ => self.u64_at(FIXED + 8),
        }
    }

    /// What this record costs the store, by the accounting rule.
    pub fn accounted_bytes(&self) -> u64 {
        let deadline = if self.deadline_ms() == 0 {
            0
        } else {
            super::deadlines::ENTRY_BYTES
        };
        let index = self.key().len() as u64 + super::index::KEY_OVERHEAD;
        self.0.len() as u64 + ALLOCATION_BYTES + SLOT_BYTES + index + deadline
    }

    /// Its deadline has passed: nobody may see it any more.
    pub fn is_expired(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let deadline = self.deadline_ms();
        deadline != 0 && deadline <= now_ms()
    }

    /// Are these one and the same change of one key?
    pub fn is(&self, other: &Self) -> bool {
        self.mod_revision() == other.mod_revision() && self.key() == other.key()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("value_bytes", &self.value().len())
            .field("mod_revision", &self.mod_revision())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
