//! What is kept of a call until it is sent, and the spans that come out of it.
//!
//! ```text
//! call:  ├──── rest ────┼─ queue ─┼─ lock ─┼── append ──┼─── sync ───┤
//!                       children, as far as their time is not nothing
//! ```
//! A record is of one size: nothing in it was allocated by what a client sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kvproto::v1::ErrorReason;
use tonic::Code;

use super::context::{self, Context};
use super::wire;
use crate::backend::Revision;
use crate::telemetry::slow::{PARTS, Parts};
use crate::telemetry::stats::Rpc;

/// The parts that become spans: all but the last, the rest.
const CHILDREN: usize = PARTS.len() - 1;

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) context: Context,
    pub(super) rpc: Rpc,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) code: Code,
    pub(super) reason: Option<ErrorReason>,
    pub(super) request_bytes: Option<usize>,
    pub(super) operations: Option<u64>,
    /// 0 is none.
    pub(super) revision: Revision,
    pub(super) parts: Parts,
}

impl Record {
    pub(super) fn new(context: Context, rpc: Rpc) -> Self {
        Self {
            context,
            rpc,
            started: SystemTime::now(),
            took: Duration::ZERO,
            code: Code::Cancelled,
            reason: None,
            request_bytes: None,
            operations: None,
            revision: 0,
            parts: Parts::default(),
        }
    }

    /// How many spans it is.
    pub(super) fn spans(&self) -> u64 {
        let children = self.parts[..CHILDREN].iter();
        1 + children.filter(|part| !part.is_zero()).count() as u64
    }

    /// The call's span first, then its parts in the order of their time.
    pub(super) fn write(&self, to: &mut Vec<wire::Span>) {
        to.push(self.call());
        let end = self.started + self.took;
        let all: Duration = self.parts[..CHILDREN].iter().sum();
        let mut at = end.checked_sub(all).unwrap_or(self.started);
        for (name, part) in PARTS.into_iter().zip(self.parts).take(CHILDREN) {
            if !part.is_zero() {
                to.push(self.child(name, at, part));
            }
            at += part;
        }
    }

    fn call(&self) -> wire::Span {
        let Context { parent, .. } = self.context;
        let remote = parent.map_or(0, |_| wire::IS_REMOTE);
        wire::Span {
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.to_vec()),
            span_id: self.context.span.to_vec(),
            name: method(self.rpc),
            kind: wire::SERVER,
            attributes: self.attributes(),
            status: is_error(self.code).then_some(wire::Status { code: wire::ERROR }),
            flags: u32::from(self.context.flags) | wire::HAS_IS_REMOTE | remote,
            ..self.span(self.started, self.took)
        }
    }

    fn child(&self, name: &str, at: SystemTime, took: Duration) -> wire::Span {
        wire::Span {
            parent_span_id: self.context.span.to_vec(),
            span_id: context::span_id().to_vec(),
            name: name.to_owned(),
            kind: wire::INTERNAL,
            flags: u32::from(self.context.flags) | wire::HAS_IS_REMOTE,
            ..self.span(at, took)
        }
    }

    fn span(&self, at: SystemTime, took: Duration) -> wire::Span {
        wire::Span {
            trace_id: self.context.trace.to_vec(),
            start_time_unix_nano: nanos(at),
            end_time_unix_nano: nanos(at + took),
            ..wire::Span::default()
        }
    }

    /// Names, numbers and words of fixed lists; never what a client has sent.
    fn attributes(&self) -> Vec<wire::KeyValue> {
        let code = code_name(self.code);
        let mut attributes = vec![
            wire::text("rpc.system.name", "grpc"),
            wire::text("rpc.method", method(self.rpc)),
            wire::text("rpc.response.status_code", code),
        ];
        if is_error(self.code) {
            attributes.push(wire::text("error.type", code));
        }
        if let Some(reason) = self.reason {
            attributes.push(wire::text("kvd.reason", reason.wire_name()));
        }
        if let Some(bytes) = self.request_bytes {
            attributes.push(wire::number("kvd.request_bytes", bytes as u64));
        }
        if let Some(operations) = self.operations {
            attributes.push(wire::number("kvd.operations", operations));
        }
        if self.revision > 0 {
            attributes.push(wire::number("kvd.revision", self.revision));
        }
        attributes
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The full name of a method, or what stands for one that is not built.
fn method(rpc: Rpc) -> String {
    let service = match rpc {
        Rpc::Get
        | Rpc::Set
        | Rpc::Delete
        | Rpc::Increment
        | Rpc::Expire
        | Rpc::BatchGet
        | Rpc::BatchWrite
        | Rpc::Txn
        | Rpc::Scan
        | Rpc::Count
        | Rpc::DeleteRange
        | Rpc::Pipeline
        | Rpc::WaitDurable => "KvService",
        Rpc::GetStatus
        | Rpc::GetLimits
        | Rpc::GetCapabilities
        | Rpc::GetConfig
        | Rpc::Reload
        | Rpc::GetSlowOperations
        | Rpc::Hash
        | Rpc::CreateSnapshot
        | Rpc::Backup
        | Rpc::Verify
        | Rpc::AcknowledgeRepair => "AdminService",
        Rpc::Watch => "WatchService",
        Rpc::NotYet => return "_OTHER".to_owned(),
    };
    format!("kvd.v1.{service}/{}", rpc.name())
}

/// What counts as a fault of the server.
const fn is_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
