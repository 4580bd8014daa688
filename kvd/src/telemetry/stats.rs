//! Counts of one runtime: who is being served, and how calls ended.
//!
//! Each runtime has its own, so counting is an uncontended addition at a fixed
//! place; `/metrics` adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Code;

/// A call, or an operation of a pipeline, that is counted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Rpc {
    Get,
    Set,
    Delete,
    Increment,
    Expire,
    BatchGet,
    BatchWrite,
    Txn,
    Scan,
    Count,
    DeleteRange,
    Pipeline,
    WaitDurable,
    GetStatus,
    GetLimits,
    GetCapabilities,
    Hash,
    CreateSnapshot,
    Backup,
    Watch,
    /// Declared, not built.
    NotYet,
}

impl Rpc {
    pub const ALL: [Self; 21] = [
        Self::Get,
        Self::Set,
        Self::Delete,
        Self::Increment,
        Self::Expire,
        Self::BatchGet,
        Self::BatchWrite,
        Self::Txn,
        Self::Scan,
        Self::Count,
        Self::DeleteRange,
        Self::Pipeline,
        Self::WaitDurable,
        Self::GetStatus,
        Self::GetLimits,
        Self::GetCapabilities,
        Self::Hash,
        Self::CreateSnapshot,
        Self::Backup,
        Self::Watch,
        Self::NotYet,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Set => "Set",
            Self::Delete => "Delete",
            Self::Increment => "Increment",
            Self::Expire => "Expire",
            Self::BatchGet => "BatchGet",
            Self::BatchWrite => "BatchWrite",
            Self::Txn => "Txn",
            Self::Scan => "Scan",
            Self::Count => "Count",
            Self::DeleteRange => "DeleteRange",
            Self::Pipeline => "Pipeline",
            Self::WaitDurable => "WaitDurable",
            Self::GetStatus => "GetStatus",
            Self::GetLimits => "GetLimits",
            Self::GetCapabilities => "GetCapabilities",
            Self::Hash => "Hash",
            Self::CreateSnapshot => "CreateSnapshot",
            Self::Backup => "Backup",
            Self::Watch => "Watch",
            Self::NotYet => "not_yet",
        }
    }
}

/// gRPC has 17 codes, 0 to 16.
pub const CODES: usize = 17;

type ByCode = [AtomicU64; CODES];

/// The counts of one runtime.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stats {
    in_flight: AtomicU64,
    calls: [ByCode; Rpc::ALL.len()],
    operations: [ByCode; Rpc::ALL.len()],
}

impl Stats {
    /// Counts a call as begun; the guard counts its end.
    pub fn begin(&self, rpc: Rpc) -> Call<'_> {
        self.enter();
        Call {
            stats: self,
            rpc,
            code: Code::Cancelled,
        }
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn exit(&self, rpc: Rpc, code: Code) {
        self.calls[rpc as usize][code as usize].fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// Counts one operation of a pipeline.
    pub fn operation(&self, rpc: Rpc, code: Code) {
        self.operations[rpc as usize][code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Calls begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    pub fn calls(&self, rpc: Rpc, code: Code) -> u64 {
        self.calls[rpc as usize][code as usize].load(Ordering::Relaxed)
    }

    pub fn operations(&self, rpc: Rpc, code: Code) -> u64 {
        self.operations[rpc as usize][code as usize].load(Ordering::Relaxed)
    }
}

/// A call in flight. Dropped without an end, it was cancelled by its caller.
#[derive(Debug)]
pub struct Call<'a> {
    stats: &'a Stats,
    rpc: Rpc,
    code: Code,
}

impl Call<'_> {
    pub fn ended(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.stats.exit(self.rpc, self.code);
    }
}
