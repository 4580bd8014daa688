//! How a refusal is told: the one place where reasons become codes and details.
//!
//! A [`Refusal`] is made where something is found wrong, and turned at the edge
//! into a [`tonic::Status`] with `google.rpc.ErrorInfo {domain: "kvd"}`, or into the
//! [`v1::Error`] of one item. `docs/errors.md` lists every reason; a test compares.

use std::fmt;
use std::time::Duration;

use kvproto::ERROR_DOMAIN;
use kvproto::v1::{self, ErrorReason as Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::backend::{Error, ErrorKind, Revision};
use crate::waiter::Unreached;

/// Something that is not done, and why.
#[derive(Clone)]
pub struct Refusal(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    reason: Reason,
    message: String,
    field: String,
    retry_after: Option<Duration>,
    metadata: Vec<(&'static str, String)>,
    /// See [`Refusal::revealed`].
    revealed: Revision,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The code of a reason. `UNKNOWN_OUTCOME` alone has a second one, for deadlines.
pub const fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::NotYet | Reason::CapabilityMissing => Code::Unimplemented,
        Reason::UnsupportedOption
        | Reason::OptionConflict
        | Reason::MissingField
        | Reason::BadRange
        | Reason::EmptyKey
        | Reason::KeyTooLarge
        | Reason::ValueTooLarge
        | Reason::EmptyBatch
        | Reason::TooManyOperations
        | Reason::BatchTooLarge
        | Reason::DuplicateKey
        | Reason::BadRequestId
        | Reason::BadTtl
        | Reason::BadToken
        | Reason::BadNumber
        | Reason::NestedTooDeep => Code::InvalidArgument,
        Reason::RequestIdReused | Reason::LeaseExists => Code::AlreadyExists,
        Reason::LeaseNotFound => Code::NotFound,
        Reason::NotAnInteger
        | Reason::NotConfigured
        | Reason::RangeTooLarge
        | Reason::StoreMismatch
        | Reason::BadConfig => Code::FailedPrecondition,
        Reason::OutOfBounds | Reason::FutureRevision | Reason::RevisionLost | Reason::Compacted => {
            Code::OutOfRange
        }
        Reason::MemoryLimit
        | Reason::NoLogSpace
        | Reason::Overloaded
        | Reason::Quota
        | Reason::ReplyTooLarge
        | Reason::TooManyStreams => Code::ResourceExhausted,
        Reason::Loading | Reason::Draining | Reason::LogFailed => Code::Unavailable,
        Reason::UnknownOutcome => Code::Unknown,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::Cancelled => Code::Cancelled,
        Reason::DataLoss => Code::DataLoss,
        Reason::Unspecified | Reason::Internal => Code::Internal,
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
    }
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: code_of(reason),
            reason,
            message: message.into(),
            field: String::new(),
            retry_after: retry_after(reason),
            metadata: Vec::new(),
            revealed: 0,
        }))
    }

    /// Names the request's field that is at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = field.into();
        self
    }

    /// Adds a figure that belongs to the reason.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Figure>) -> Self {
        self.0.metadata.push((name, value.into().0));
        self
    }

    /// What the refusal gives away of the state: it is told when this is durable.
    /// 0: nothing.
    pub fn revealed(&self) -> Revision {
        self.0.revealed
    }

    #[must_use]
    pub fn revealing(mut self, revision: Revision) -> Self {
        self.0.revealed = revision;
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Puts the item's place before the field: `operations[3].` and `set.key`.
    #[must_use]
    pub fn inside(mut self, place: &str) -> Self {
        self.0.field = match self.0.field.as_str() {
            "" => place.to_owned(),
            field => format!("{place}.{field}"),
        };
        self
    }

    /// A write whose revision was not reached: applied in memory, not known on disk.
    pub fn write_unreached(unreached: &Unreached, revision: u64) -> Self {
        let why = match unreached {
            Unreached::Failed(reason) => format!("the log failed: {reason}"),
            Unreached::Deadline => "the deadline passed".to_owned(),
            Unreached::Cut => "the server stopped".to_owned(),
        };
        let mut refusal = Self::new(
            Reason::UnknownOutcome,
            format!(
                "the write was applied at revision {revision}, but {why} before it was known to \
                 be in the log as asked: read the key to learn whether it survived"
            ),
        )
        .with("revision", revision);
        if *unreached == Unreached::Deadline {
            refusal.0.code = Code::DeadlineExceeded;
        }
        refusal
    }

    /// A read whose state did not become durable.
    pub fn read_unreached(unreached: &Unreached, revision: u64) -> Self {
        let (reason, why) = match unreached {
            Unreached::Failed(reason) => (Reason::LogFailed, format!("the log failed: {reason}")),
            Unreached::Deadline => (Reason::Deadline, "the deadline passed".to_owned()),
            Unreached::Cut => (Reason::Draining, "the server is stopping".to_owned()),
        };
        Self::new(
            reason,
            format!(
                "the state asked for is of revision {revision}, which is not durable, and {why}: \
                 ask again, or read at LATEST"
            ),
        )
        .with("revision", revision)
    }

    /// As the whole answer of a call.
    pub fn into_status(self) -> Status {
        let inner = *self.0;
        let mut details = ErrorDetails::new();
        let figures = inner.metadata.iter();
        let mut metadata: std::collections::HashMap<_, _> = figures
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        if !inner.field.is_empty() {
            if inner.code == Code::InvalidArgument {
                details.add_bad_request_violation(&inner.field, &inner.message);
            } else {
                // No bad request, but the place still helps.
                metadata.insert("field".to_owned(), inner.field.clone());
            }
        }
        details.set_error_info(inner.reason.wire_name(), ERROR_DOMAIN, metadata);
        if let Some(wait) = inner.retry_after {
            details.set_retry_info(Some(wait));
        }
        match inner.reason {
            Reason::MemoryLimit => details.add_quota_failure_violation("memory", &inner.message),
            Reason::NoLogSpace => details.add_quota_failure_violation("log", &inner.message),
            Reason::FutureRevision | Reason::RevisionLost => {
                details.add_precondition_failure_violation("REVISION", &inner.field, &inner.message)
            }
            Reason::LogFailed => {
                details.add_precondition_failure_violation("LOG", "log", &inner.message)
            }
            _ => &mut details,
        };
        Status::with_error_details(inner.code, inner.message, details)
    }

    /// As the answer of one item.
    pub fn into_item(self) -> v1::Error {
        let inner = *self.0;
        let retry_after = inner.retry_after.unwrap_or_default().as_millis();
        v1::Error {
            code: inner.code.into(),
            reason: inner.reason.into(),
            message: inner.message,
            field: inner.field,
            retry_after_ms: i64::try_from(retry_after).unwrap_or(i64::MAX),
            metadata: inner
                .metadata
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }
}

/// A value of the metadata.
#[derive(Debug)]
pub struct Figure(String);

macro_rules! figures {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Figure {
            fn from(value: $kind) -> Self {
                Self(value.to_string())
            }
        })*
    };
}

figures!(usize, u64, bool, &str);

/// When it makes sense to ask again.
const fn retry_after(reason: Reason) -> Option<Duration> {
    match reason {
        Reason::Overloaded => Some(Duration::from_millis(100)),
        Reason::Loading => Some(Duration::from_millis(250)),
        // How often the disk is asked whether there is room again.
        Reason::NoLogSpace | Reason::Draining => Some(Duration::from_secs(1)),
        _ => None,
    }
}

/// The one mapping from what the engine says to what the wire says.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (reason, field) = match error.kind {
            ErrorKind::EmptyKey => (Reason::EmptyKey, "key"),
            ErrorKind::KeyTooLarge => (Reason::KeyTooLarge, "key"),
            ErrorKind::ValueTooLarge => (Reason::ValueTooLarge, "value"),
            ErrorKind::TooManyOperations => (Reason::TooManyOperations, ""),
            ErrorKind::UnitTooLarge => (Reason::BatchTooLarge, ""),
            ErrorKind::DuplicateKey => (Reason::DuplicateKey, "key"),
            ErrorKind::MemoryLimit => (Reason::MemoryLimit, ""),
            ErrorKind::NoLogSpace => (Reason::NoLogSpace, ""),
            ErrorKind::Overloaded => (Reason::Overloaded, ""),
            ErrorKind::Draining => (Reason::Draining, ""),
            ErrorKind::LogFailed => (Reason::LogFailed, ""),
            ErrorKind::UnknownOutcome => (Reason::UnknownOutcome, ""),
            ErrorKind::FutureRevision => (Reason::FutureRevision, "revision"),
            ErrorKind::RevisionLost => (Reason::RevisionLost, "revision"),
            ErrorKind::NotAnInteger => (Reason::NotAnInteger, ""),
            ErrorKind::OutOfBounds => (Reason::OutOfBounds, ""),
            ErrorKind::RangeTooLarge => (Reason::RangeTooLarge, "range"),
            ErrorKind::ReplyTooLarge => (Reason::ReplyTooLarge, ""),
            ErrorKind::RequestIdReused => (Reason::RequestIdReused, "options.request_id"),
            ErrorKind::BadRequestId => (Reason::BadRequestId, "options.request_id"),
            ErrorKind::BadTtl => (Reason::BadTtl, "expiry"),
            ErrorKind::BadNumber => (Reason::BadNumber, ""),
            ErrorKind::NestedTooDeep => (Reason::NestedTooDeep, ""),
            ErrorKind::SnapshotFailed
            | ErrorKind::BackupFailed
            | ErrorKind::VerifyFailed
            | ErrorKind::NotAcknowledged => (Reason::Internal, ""),
            ErrorKind::Compacted => (Reason::Compacted, "after_revision"),
            ErrorKind::Deadline => (Reason::Deadline, ""),
        };
        let mut refusal = Self::new(reason, error.message)
            .field(field)
            .revealing(error.revealed);
        if !error.place.is_empty() {
            refusal = refusal.inside(&error.place);
        }
        if let Some(index) = error.operation_index {
            refusal = refusal.with("operation_index", index);
        }
        for (name, figure) in error.figures {
            refusal = refusal.with(name, figure);
        }
        refusal
    }
}
