//! What one change of one key is: absolute state, resolved before it is logged.

/// What an operation does to its key. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// The key now has this value and this metadata.
    Set = 1,
    /// The key is gone.
    Delete = 2,
    /// The key keeps its value and has this metadata (deadline, version).
    Metadata = 3,
}

/// Why a key changed. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    Written = 1,
    Deleted = 2,
    RangeDeleted = 3,
    Expired = 4,
    Evicted = 5,
    ExpiryChanged = 6,
}

/// How many operations a unit may have been made of, and how it is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UnitKind {
    /// One operation.
    Single = 1,
    /// A transaction: all of its operations or none.
    Txn = 2,
}

/// One operation as the log holds it; borrows its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpView<'a> {
    pub code: OpCode,
    pub cause: Cause,
    /// The write met an expired key that had not been swept yet.
    pub replaces_expired: bool,
    pub key: &'a [u8],
    /// Present for [`OpCode::Set`] only.
    pub value: Option<&'a [u8]>,
    /// Engine clock, ms; 0 = never.
    pub deadline_ms: u64,
    /// 0 for deletes.
    pub version: u64,
    /// 0 = created by this very unit.
    pub create_revision: u64,
    /// 0 = no lease.
    pub lease_id: u64,
    /// The key's mod_revision before this unit; 0 = it was absent.
    pub previous_mod_revision: u64,
    /// What the key held, for removals that nobody asked for (expiry, eviction).
    pub last_record: Option<LastRecord<'a>>,
}

/// The record that an expiry or an eviction took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord<'a> {
    pub value: &'a [u8],
    pub create_revision: u64,
    pub version: u64,
    pub deadline_ms: u64,
    pub lease_id: u64,
}

/// A client's name for one mutation, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTag<'a> {
    /// 1-64 bytes.
    pub id: &'a [u8],
    /// Of the request's body, so that an id used for another body is noticed.
    pub fingerprint: u128,
    /// The reply to repeat, encoded by the caller; at most 4 KiB.
    pub outcome: &'a [u8],
}
