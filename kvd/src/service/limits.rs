//! The limits that the services enforce, as lengths.

use crate::backend::{PageLimit, Patience, TxnLimits};
use crate::config::Settings;
use crate::live::Millis;

/// What the decoder of a message may need beside its keys and values.
const SLACK: usize = 64 << 10;
/// Unanswered operations and bytes at which a pipeline stops reading.
pub const PIPELINE_OPERATIONS: usize = 4096;
pub const PIPELINE_BYTES: usize = 4 << 20;
/// Most records and bytes of one page of a scan.
pub const PAGE_RECORDS: usize = 1000;
pub const PAGE_BYTES: usize = 1 << 20;
/// Bytes and events of one message of a watch, a single event excepted; how many watches
/// there may be on one stream, and in all; how often one may tell its progress.
pub const WATCH_BYTES: usize = 1 << 20;
pub const WATCH_EVENTS: usize = 1000;
pub const STREAM_WATCHES: usize = 10_000;
pub const WATCHES: usize = 100_000;
pub const PROGRESS_MS: u64 = 100;
/// Longest request id.
pub const REQUEST_ID_BYTES: usize = 64;
/// What the engine sets for every server.
pub use kvcore::base::limits::{
    NESTING as TXN_DEPTH, RANGE_DELETE_KEYS, RANGE_VISITS as TXN_RANGE_KEYS, TTL_MAX_MS,
};

#[derive(Debug)]
pub struct Limits {
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub batch_operations: usize,
    pub batch_bytes: usize,
    pub reply_bytes: usize,
    pub admission_wait: Millis,
}

impl Limits {
    pub fn new(settings: &Settings) -> Self {
        Self {
            key_bytes: settings.key_bytes.bytes(),
            value_bytes: settings.value_bytes.bytes(),
            batch_operations: settings.batch_operations,
            batch_bytes: settings.batch_bytes.bytes(),
            reply_bytes: settings.reply_bytes.bytes(),
            admission_wait: Millis::new(settings.admission_wait),
        }
    }

    /// Longest request message that is decoded.
    pub fn request_message(&self) -> usize {
        self.batch_bytes.max(self.key_bytes + self.value_bytes) + SLACK
    }

    /// Longest reply message that is encoded.
    pub fn reply_message(&self) -> usize {
        self.reply_bytes.max(self.key_bytes + self.value_bytes) + SLACK
    }

    pub fn txn(&self) -> TxnLimits {
        TxnLimits {
            reply_bytes: self.reply_bytes,
        }
    }

    /// A page of at most `records`; 0 is as many as there may be.
    pub fn page(&self, records: usize) -> PageLimit {
        PageLimit {
            records: match records {
                0 => PAGE_RECORDS,
                asked => asked.min(PAGE_RECORDS),
            },
            bytes: PAGE_BYTES.min(self.reply_bytes),
        }
    }

    pub fn patience(&self, deadline: Option<std::time::Instant>) -> Patience {
        Patience {
            wait: self.admission_wait.get(),
            deadline,
        }
    }
}
