//! Counts of one runtime: who is being served, how calls ended, and how long they took.
//!
//! Each runtime has its own, so counting is an uncontended addition at a fixed
//! place; `/metrics` adds them up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvcore::{Distribution, Times};
use tonic::Code;

use super::slow::{Applied, Slow};
use super::trace::Span;
use crate::backend::Revision;
use crate::service::status::Refusal;

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
    GetConfig,
    Reload,
    GetSlowOperations,
    Hash,
    CreateSnapshot,
    Backup,
    Verify,
    AcknowledgeRepair,
    Watch,
    /// Declared, not built.
    NotYet,
}

impl Rpc {
    pub const ALL: [Self; 26] = [
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
        Self::GetConfig,
        Self::Reload,
        Self::GetSlowOperations,
        Self::Hash,
        Self::CreateSnapshot,
        Self::Backup,
        Self::Verify,
        Self::AcknowledgeRepair,
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
            Self::GetConfig => "GetConfig",
            Self::Reload => "Reload",
            Self::GetSlowOperations => "GetSlowOperations",
            Self::Hash => "Hash",
            Self::CreateSnapshot => "CreateSnapshot",
            Self::Backup => "Backup",
            Self::Verify => "Verify",
            Self::AcknowledgeRepair => "AcknowledgeRepair",
            Self::Watch => "Watch",
            Self::NotYet => "not_yet",
        }
    }
}

/// gRPC has 17 codes, 0 to 16.
pub const CODES: usize = 17;

type ByCode = [AtomicU64; CODES];

/// By how it ended: well, or with any other code.
type ByOutcome = [Times; 2];
pub(super) const OUTCOMES: [&str; 2] = ["ok", "error"];

const fn outcome(code: Code) -> usize {
    match code {
        Code::Ok => 0,
        _ => 1,
    }
}

/// The counts of one runtime.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stats {
    in_flight: [AtomicU64; Rpc::ALL.len()],
    calls: [ByCode; Rpc::ALL.len()],
    operations: [ByCode; Rpc::ALL.len()],
    call_times: [ByOutcome; Rpc::ALL.len()],
    operation_times: [ByOutcome; Rpc::ALL.len()],
}

impl Stats {
    /// Counts a call as begun; the guard counts its end, and ends its span.
    pub(crate) fn begin<'a>(&'a self, rpc: Rpc, slow: &'a Slow, span: Span) -> Call<'a> {
        self.enter(rpc);
        Call {
            stats: self,
            slow,
            span,
            rpc,
            begun: Instant::now(),
            applied: None,
            waits: false,
            code: Code::Cancelled,
        }
    }

    pub(crate) fn enter(&self, rpc: Rpc) {
        self.in_flight[rpc as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// `took` is absent for streams that last as long as their client likes.
    pub(crate) fn exit(&self, rpc: Rpc, code: Code, took: Option<Duration>) {
        self.calls[rpc as usize][code as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            self.call_times[rpc as usize][outcome(code)].record(nanos(took));
        }
        self.in_flight[rpc as usize].fetch_sub(1, Ordering::Release);
    }

    /// Counts so many operations of a pipeline, each of which took that long.
    pub fn operations_ended(&self, rpc: Rpc, code: Code, took: Duration, count: u64) {
        self.operations[rpc as usize][code as usize].fetch_add(count, Ordering::Relaxed);
        self.operation_times[rpc as usize][outcome(code)].record_many(nanos(took), count);
    }

    /// Calls begun and not ended.
    pub fn in_flight(&self) -> u64 {
        Rpc::ALL.into_iter().map(|rpc| self.in_flight_of(rpc)).sum()
    }

    pub fn in_flight_of(&self, rpc: Rpc) -> u64 {
        self.in_flight[rpc as usize].load(Ordering::Acquire)
    }

    pub fn calls(&self, rpc: Rpc, code: Code) -> u64 {
        self.calls[rpc as usize][code as usize].load(Ordering::Relaxed)
    }

    pub fn operations(&self, rpc: Rpc, code: Code) -> u64 {
        self.operations[rpc as usize][code as usize].load(Ordering::Relaxed)
    }

    /// Adds the times of calls, or of operations of pipelines.
    pub(super) fn add_times(&self, kind: Kind, rpc: Rpc, outcome: usize, to: &mut Distribution) {
        let times = match kind {
            Kind::Calls => &self.call_times,
            Kind::Operations => &self.operation_times,
        };
        times[rpc as usize][outcome].add_to(to);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Calls,
    /// Of pipelines.
    Operations,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A call in flight. Dropped without an end, it was cancelled by its caller.
#[derive(Debug)]
pub struct Call<'a> {
    stats: &'a Stats,
    slow: &'a Slow,
    span: Span,
    rpc: Rpc,
    begun: Instant,
    applied: Option<Applied>,
    waits: bool,
    code: Code,
}

impl Call<'_> {
    /// All is done but waiting for the log to reach `revision`.
    pub(crate) fn applied(&mut self, revision: Revision, wrote: bool) {
        self.applied = if self.span.is_sampled() {
            Some(Slow::measured(revision, wrote))
        } else {
            self.slow.applied(revision, wrote)
        };
    }

    /// Whether it has to wait for the log; asked only if somebody wants to know.
    pub(crate) fn waits(&mut self, waits: impl FnOnce() -> bool) {
        self.waits = self.span.is_sampled() && waits();
    }

    /// How many bytes the request has; asked only if somebody wants to know.
    pub(crate) fn brings(&mut self, bytes: impl FnOnce() -> usize) {
        self.span.brings(bytes);
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.span.refused(refusal.reason());
        self.code = refusal.code();
    }

    pub fn ended(&mut self, code: Code) {
        self.code = code;
    }

    fn end_span(&mut self, took: Duration) {
        let revision = self.applied.map_or(0, Applied::revision);
        let mut parts = self.slow.parts(took, self.applied);
        if !self.waits {
            // Of the way from there to the end nothing was a wait.
            let [_, _, append, sync, rest] = &mut parts;
            *rest += std::mem::take(append) + std::mem::take(sync);
        }
        self.span.parts(parts, revision);
        self.span.end(self.code, Some(took));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.slow.ended(self.rpc, self.code, took, self.applied);
        if self.span.is_sampled() {
            self.end_span(took);
        }
        self.stats.exit(self.rpc, self.code, Some(took));
    }
}
