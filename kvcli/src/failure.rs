//! How a run can end: the exit codes, the failures behind them, and what is
//! said about each on standard error.
//!
//! The hard line is between *refused* and *undecided*. A status with kvd's own
//! ErrorInfo says that nothing was applied, unless its reason is
//! UNKNOWN_OUTCOME. A status without one was made by the transport, which cannot
//! know; of these only the codes that no transport failure has are refusals.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use kvproto::{ERROR_DOMAIN, v1, v1::ErrorReason};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::block::BlockError;

/// The exit codes, mildest first, so that the worst of several is their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    Success,
    /// Not found, or a condition was not met.
    Negative,
    Usage,
    /// No server could be reached: nothing was sent.
    Unreachable,
    Refused,
    /// Sent, and nobody knows whether it was applied.
    Undecided,
    Interrupted,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Undecided => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a server, or the transport in its place, said no with.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// Known reason, or its spelling by a newer server.
    pub(crate) reason: Option<Result<ErrorReason, String>>,
    message: String,
    field: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == ERROR_DOMAIN)
            .map(|info| {
                ErrorReason::from_wire_name(&info.reason).ok_or_else(|| info.reason.clone())
            });
        let field = details
            .bad_request()
            .and_then(|bad| bad.field_violations.first());
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            field: field
                .map(|violation| violation.field.clone())
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    pub(crate) fn from_item(error: &v1::Error) -> Self {
        // An item's error is always kvd's own; a number this version does not
        // know comes from a newer server.
        let reason = ErrorReason::try_from(error.reason)
            .map_err(|unknown| format!("reason number {}", unknown.0));
        Self {
            code: Code::from_i32(error.code),
            reason: Some(reason),
            message: error.message.clone(),
            field: error.field.clone(),
            retry_after: u64::try_from(error.retry_after_ms)
                .ok()
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
        }
    }

    /// A value that no server can be configured to take, refused on its behalf.
    pub(crate) fn too_large(message: String) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: Some(Ok(ErrorReason::ValueTooLarge)),
            message,
            field: String::new(),
            retry_after: None,
        }
    }

    pub(crate) fn is(&self, reason: ErrorReason) -> bool {
        matches!(&self.reason, Some(Ok(known)) if *known == reason)
    }

    /// Whether the server is one that does not know request ids.
    pub(crate) fn is_about_ids(&self) -> bool {
        self.is(ErrorReason::CapabilityMissing)
            || (self.is(ErrorReason::UnsupportedOption) && self.field.ends_with("request_id"))
    }

    /// Whether the request may or may not have been applied.
    pub(crate) fn is_undecided(&self) -> bool {
        match &self.reason {
            Some(Ok(ErrorReason::UnknownOutcome)) => true,
            Some(Ok(ErrorReason::Unspecified)) | None => matches!(
                self.code,
                Code::Unavailable
                    | Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Internal
                    | Code::Unknown
            ),
            // A newer kvd may have reasons of its own to be undecided; it would
            // give them these codes.
            Some(Err(_)) => matches!(self.code, Code::Unknown | Code::DeadlineExceeded),
            Some(Ok(_)) => false,
        }
    }

    /// Whether another attempt, perhaps after a restart of the server, may end
    /// otherwise.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_undecided() || self.is(ErrorReason::Draining) || self.is(ErrorReason::Loading)
    }

    fn hint(&self) -> Option<&'static str> {
        let Some(Ok(reason)) = &self.reason else {
            return match self.code {
                Code::Unimplemented => Some("is this the port of a kvd of this version?"),
                _ => None,
            };
        };
        Some(match reason {
            ErrorReason::NotYet => "this version of kvd does not serve it yet",
            ErrorReason::CapabilityMissing => "the server is older than this kvcli",
            ErrorReason::EmptyKey => "a key has at least one byte",
            ErrorReason::KeyTooLarge | ErrorReason::ValueTooLarge => {
                "the limit is the server's configuration"
            }
            ErrorReason::TooManyOperations | ErrorReason::BatchTooLarge => {
                "split it into several commands"
            }
            ErrorReason::ReplyTooLarge => "get these keys one by one",
            ErrorReason::MemoryLimit => "delete keys or raise memory.max_bytes",
            ErrorReason::NoLogSpace => "free disk space; deletes are still taken",
            ErrorReason::Overloaded => "try again shortly",
            ErrorReason::Loading => "the server still reads its log; wait longer with --timeout",
            ErrorReason::Draining => "the server is stopping",
            ErrorReason::LogFailed => "see the server's log; it has to be restarted",
            ErrorReason::RangeTooLarge => "--chunked removes it in several steps",
            ErrorReason::NotAnInteger => "incr works on whole numbers written in decimal",
            ErrorReason::RequestIdReused => "this id belongs to another command",
            ErrorReason::StoreMismatch => "`kvcli status` tells this store's id",
            ErrorReason::UnknownOutcome => "read the key to see whether it was applied",
            ErrorReason::BadConfig => "mend them and reload again",
            ErrorReason::DataLoss => "see the server's log and `kvd check`",
            _ => return None,
        })
    }

    /// The reason as a script would look for it.
    pub(crate) fn name(&self) -> String {
        match &self.reason {
            Some(Ok(ErrorReason::Unspecified)) | None => format!("{:?}", self.code),
            Some(Ok(reason)) => reason.wire_name().to_owned(),
            Some(Err(unknown)) => unknown.clone(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message)?;
        if !self.field.is_empty() {
            write!(f, " [field {}]", self.field)?;
        }
        if let Some(hint) = self.hint() {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

/// Why a run did not get its answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("unreachable, nothing was sent: {0}")]
    Unreachable(String),
    #[error("refused: {0}")]
    Refused(Box<Refusal>),
    #[error("undecided: {0}")]
    Undecided(String),
    /// Something is wrong with the text of a transaction.
    #[error("{0}")]
    Block(#[from] BlockError),
    #[error("interrupted{0}")]
    Interrupted(String),
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Sorts what was said no with into refused and undecided.
    pub(crate) fn from_refusal(refusal: Refusal) -> Self {
        if refusal.is_undecided() {
            Self::Undecided(refusal.to_string())
        } else {
            Self::Refused(Box::new(refusal))
        }
    }

    /// A reader that went away has seen all it wanted.
    fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Refused(_) => Exit::Refused,
            Self::Undecided(_) => Exit::Undecided,
            Self::Interrupted(_) => Exit::Interrupted,
            Self::Output(_) if self.is_closed_output() => Exit::Success,
            Self::Usage(_) | Self::Block(_) | Self::Output(_) => Exit::Usage,
        }
    }

    pub(crate) fn report(&self) {
        if !self.is_closed_output() {
            complain(&self.to_string());
        }
    }
}

/// One line on standard error, or several of which only the first can be taken for one of
/// ours. Control characters come from elsewhere and do not reach the terminal. If standard
/// error is gone nobody can be told.
pub(crate) fn complain(message: &str) {
    let _ = io::stderr().write_all(complaint(message).as_bytes());
}

fn complaint(message: &str) -> String {
    let mut text = "kvcli: ".to_owned();
    for (at, line) in message.lines().enumerate() {
        text.push_str(if at == 0 { "" } else { "\n  " });
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn kvd_status(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
        Status::with_error_details(code, "said so", details)
    }

    #[test]
    fn refused_and_undecided_are_told_apart() {
        let table = [
            (kvd_status(Code::Unavailable, "DRAINING"), Exit::Refused),
            (
                kvd_status(Code::InvalidArgument, "KEY_TOO_LARGE"),
                Exit::Refused,
            ),
            (
                kvd_status(Code::Unavailable, "FROM_A_NEWER_SERVER"),
                Exit::Refused,
            ),
            (
                kvd_status(Code::Unknown, "FROM_A_NEWER_SERVER"),
                Exit::Undecided,
            ),
            (
                kvd_status(Code::Unknown, "UNKNOWN_OUTCOME"),
                Exit::Undecided,
            ),
            (
                kvd_status(Code::DeadlineExceeded, "UNKNOWN_OUTCOME"),
                Exit::Undecided,
            ),
            (
                kvd_status(Code::DeadlineExceeded, "DEADLINE"),
                Exit::Refused,
            ),
            (Status::unavailable("tcp reset"), Exit::Undecided),
            (Status::cancelled("timeout"), Exit::Undecided),
            (Status::deadline_exceeded("late"), Exit::Undecided),
            (Status::internal("h2"), Exit::Undecided),
            (Status::unknown("h2"), Exit::Undecided),
            (Status::out_of_range("message too large"), Exit::Refused),
            (Status::unimplemented("no such method"), Exit::Refused),
            (
                Status::resource_exhausted("too many streams"),
                Exit::Refused,
            ),
        ];
        for (status, exit) in table {
            let failure = Failure::from_refusal(Refusal::from_status(&status));
            assert_eq!(failure.exit(), exit, "{status:?}");
        }
    }

    #[test]
    fn another_domain_is_not_kvd() {
        let details = ErrorDetails::with_error_info("DRAINING", "proxy", HashMap::new());
        let status = Status::with_error_details(Code::Unavailable, "no", details);
        assert!(Refusal::from_status(&status).is_undecided());
    }

    #[test]
    fn the_message_names_reason_field_and_hint() {
        let mut details = ErrorDetails::with_error_info("EMPTY_KEY", ERROR_DOMAIN, HashMap::new());
        details.add_bad_request_violation("key", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "key is empty", details);
        assert_eq!(
            Refusal::from_status(&status).to_string(),
            "EMPTY_KEY: key is empty [field key] (hint: a key has at least one byte)"
        );
    }

    #[test]
    fn control_characters_stay_here_and_further_lines_are_told_apart() {
        assert_eq!(complaint("a\x1b[31m\tb"), "kvcli: a [31m b\n");
        assert_eq!(complaint("a:\nb\rc\n"), "kvcli: a:\n  b c\n");
        assert_eq!(complaint(""), "kvcli: \n");
    }

    #[test]
    fn a_closed_output_is_quiet_and_a_full_one_is_not() {
        let closed = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit(), Exit::Success);
        let full = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Usage);
    }
}
