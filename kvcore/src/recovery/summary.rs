//! What recovery tells: on the way, and at the end.

/// How far loading has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// What the last start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    pub took_ms: u64,
    pub units: u64,
    pub segments: u64,
    /// The snapshot that the start began with, and its records.
    pub snapshot: Option<String>,
    pub snapshot_records: u64,
    pub log_bytes: u64,
    /// Bytes of a torn tail that were cut off, and the file that keeps a copy.
    pub torn_bytes: u64,
    pub quarantined: Option<String>,
    /// The previous run was closed in order.
    pub clean_start: bool,
}
