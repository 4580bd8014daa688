//! Every bound of the engine, in one file.

/// Largest key that any configuration may allow, in bytes.
pub const KEY_BYTES_CAP: usize = 64 << 10;
/// Largest value that any configuration may allow, in bytes.
pub const VALUE_BYTES_CAP: usize = 16 << 20;
/// Operations that a caller may ask for in one unit.
pub const UNIT_OPERATIONS: usize = 1024;
/// Changes that one unit may hold: a range delete makes more of them than was asked for.
pub const UNIT_CHANGES: usize = 16_384;
/// Keys that one atomic range delete may remove.
pub const RANGE_DELETE_KEYS: usize = 4096;
/// Keys that the ranges of one transaction may visit, under the locks of all shards.
pub const RANGE_VISITS: usize = 10_000;
/// Keys that one chunk of a range delete removes, and one page of a count visits.
pub const CHUNK_KEYS: usize = 1000;
/// Transactions inside transactions.
pub const NESTING: usize = 8;
/// Longest time to live, ms: 100 years.
pub const TTL_MAX_MS: u64 = 100 * 366 * 86_400_000;
/// Bytes of the decimal text of a 64-bit integer.
pub const COUNTER_BYTES: usize = 20;
/// Bytes of an encoded unit that any configuration may allow.
pub const UNIT_BYTES_CAP: usize = 24 << 20;
/// Units drained into one group, and their encoded bytes.
pub const GROUP_UNITS: usize = 4096;
pub const GROUP_BYTES: usize = 4 << 20;
/// A frame is closed when its payload reaches this, unless one unit is larger.
pub const FRAME_BYTES: usize = 64 << 10;
/// Shards of the map. Many, so that a rehash (under the shard's lock) stays small.
pub const SHARDS: usize = 4096;
/// Numbers between the durable and the newest revision after which the writer syncs unasked.
pub const SYNC_DISTANCE: u64 = 1 << 23;
/// Removals of expired keys that may be on their way to the log beside all else.
pub const OWN_UNITS: usize = 64;
pub const OWN_BYTES: u64 = 32 << 20;
/// Torn tails kept, and their bytes.
pub const QUARANTINE_FILES: usize = 4;
pub const QUARANTINE_BYTES: u64 = 64 << 20;

/// Limits an embedder may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key, 1..=[`KEY_BYTES_CAP`]. Default 4 KiB.
    pub key_bytes: usize,
    /// Bytes of a value, 0..=[`VALUE_BYTES_CAP`]. Default 1 MiB.
    pub value_bytes: usize,
    /// Operations of one unit, 1..=[`UNIT_OPERATIONS`]. Default 1,024.
    pub unit_operations: usize,
    /// Keys and values of one unit together. Default 8 MiB.
    pub unit_bytes: usize,
    /// Units accepted and not yet in the log. Default 65,536.
    pub in_flight_units: usize,
    /// Their bytes. Default 64 MiB.
    pub in_flight_bytes: usize,
    /// Requests with an id that are remembered: how many, their bytes, and how long in ms.
    /// Default 1,048,576, 128 MiB, ten minutes.
    pub request_ids: usize,
    pub request_id_bytes: usize,
    pub request_id_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 4 << 10,
            value_bytes: 1 << 20,
            unit_operations: UNIT_OPERATIONS,
            unit_bytes: 8 << 20,
            in_flight_units: 65_536,
            in_flight_bytes: 64 << 20,
            request_ids: 1 << 20,
            request_id_bytes: 128 << 20,
            request_id_ms: 600_000,
        }
    }
}
