//! Whether, when and how to ask again.
//!
//! Invariants:
//! - A write without a request id is never sent twice, unless the server said
//!   that it was not applied.
//! - Once an attempt may have been applied, a later refusal is the end only if
//!   it answers for the first attempt too. A server looks for the id before it
//!   looks at the data, so what the data decided does; being full, stopping or
//!   without rights does not.

use std::time::Duration;

use kvproto::v1::{self, ErrorReason};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::{connection_lost, no_answer, until};
use crate::{
    command::Identity,
    connect::was_lost_before,
    failure::{Failure, Refusal},
};

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Only while the server is loading.
    Never,
    /// Also when it is undecided.
    IfUndecided,
    /// Also when the server is stopping: another may take its place.
    ThroughRestarts,
}

impl Repeat {
    pub(crate) fn of(identity: Identity) -> Self {
        match identity {
            Identity::Absent => Self::Never,
            Identity::Given | Identity::Drawn => Self::IfUndecided,
        }
    }
}

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection was gone before it.
    Unsent,
    /// There is no new connection.
    NoConnection(String),
    Refused(Refusal),
    /// The time is up.
    Late,
}

impl Trouble {
    pub(crate) fn from_status(status: &Status) -> Self {
        if was_lost_before(status) {
            Self::Unsent
        } else {
            Self::Refused(Refusal::from_status(status))
        }
    }

    pub(crate) fn from_item(error: &v1::Error) -> Self {
        Self::Refused(Refusal::from_item(error))
    }

    /// Whether the server is one that does not know request ids.
    pub(crate) fn refuses_ids(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_about_ids())
    }
}

/// Where the next attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    SameConnection,
    NewConnection,
}

/// How long to go on asking, and what is known so far.
pub(crate) struct Patience {
    pub(crate) deadline: Instant,
    pub(crate) repeat: Repeat,
    limit: Duration,
    pause: Duration,
    /// How an attempt ended that may have been applied.
    doubt: Option<String>,
}

impl Patience {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    pub(crate) fn new(limit: Duration, repeat: Repeat) -> Self {
        Self {
            deadline: Instant::now() + limit,
            repeat,
            limit,
            pause: Self::FIRST_PAUSE,
            doubt: None,
        }
    }

    /// For what was sent once before.
    pub(crate) fn doubting(mut self, doubt: &str) -> Self {
        self.doubt = Some(doubt.to_owned());
        self
    }

    /// Whether an attempt may have been applied.
    pub(crate) fn doubts(&self) -> bool {
        self.doubt.is_some()
    }

    pub(crate) fn left(&self) -> Duration {
        until(self.deadline)
    }

    /// Takes the time for what came after the first answer from now on.
    pub(crate) fn renew(&mut self) {
        self.deadline = Instant::now() + self.limit;
        self.pause = Self::FIRST_PAUSE;
        self.doubt = None;
    }

    /// Waits before another attempt. Fails if there is none.
    pub(crate) async fn again(&mut self, trouble: Trouble) -> Result<Way, Failure> {
        let repeatable = self.repeat != Repeat::Never;
        let (way, wished, end) = match trouble {
            Trouble::Late => return Err(no_answer(self.limit)),
            Trouble::Unsent => (Way::NewConnection, None, connection_lost()),
            Trouble::NoConnection(error) => (Way::NewConnection, None, Failure::Unreachable(error)),
            Trouble::Refused(refusal) => {
                let way = self.way_after(&refusal);
                let wished = refusal.retry_after;
                if refusal.is_undecided() {
                    if refusal.reason.is_none() && self.left().is_zero() {
                        // The channel keeps the same deadline, and may be the first to see it.
                        return Err(no_answer(self.limit));
                    }
                    self.doubt = Some(refusal.to_string());
                }
                let end = self.verdict(refusal);
                match way {
                    Some(way) => (way, wished, end),
                    None => return Err(end),
                }
            }
        };
        if way == Way::NewConnection && !repeatable {
            return Err(end);
        }
        let pause = wished.unwrap_or_default();
        let pause = pause.clamp(self.pause, Self::LONGEST_PAUSE.max(self.pause));
        if self.left() <= pause {
            return Err(self.doubted(end));
        }
        sleep(pause).await;
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        Ok(way)
    }

    /// None: asking again cannot change it, or must not be tried.
    fn way_after(&self, refusal: &Refusal) -> Option<Way> {
        let restarts = self.repeat == Repeat::ThroughRestarts || self.doubts();
        if refusal.is(ErrorReason::Loading) {
            Some(Way::SameConnection)
        } else if refusal.is_undecided() || (restarts && refusal.is(ErrorReason::Draining)) {
            Some(Way::NewConnection)
        } else if self.doubts() && refusal.code == Code::ResourceExhausted {
            Some(Way::SameConnection)
        } else {
            None
        }
    }

    /// What a refusal means if it is the last word.
    fn verdict(&self, refusal: Refusal) -> Failure {
        let decides = matches!(
            refusal.code,
            Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::AlreadyExists
        );
        let end = Failure::from_refusal(refusal);
        if decides { end } else { self.doubted(end) }
    }

    /// A failure of this attempt that leaves open what became of another.
    fn doubted(&self, end: Failure) -> Failure {
        match (end, &self.doubt) {
            (Failure::Refused(refusal), Some(doubt)) => Failure::Undecided(format!(
                "{doubt}; tried again with the same id, and refused: {refusal}"
            )),
            (Failure::Unreachable(error), Some(doubt)) => {
                Failure::Undecided(format!("{doubt}; tried again, and unreachable: {error}"))
            }
            (end, _) => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use kvproto::ERROR_DOMAIN;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::failure::Exit;

    fn kvd(code: Code, reason: &str) -> Trouble {
        let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
        Trouble::from_status(&Status::with_error_details(code, "said so", details))
    }

    fn transport(code: Code) -> Trouble {
        Trouble::from_status(&Status::new(code, "cut"))
    }

    fn patience(repeat: Repeat) -> Patience {
        Patience::new(Duration::from_secs(60), repeat)
    }

    #[tokio::test]
    async fn without_an_id_only_loading_is_asked_again() {
        let way = patience(Repeat::Never)
            .again(kvd(Code::Unavailable, "LOADING"))
            .await;
        assert_eq!(way.expect("again"), Way::SameConnection);
        for (trouble, exit) in [
            (transport(Code::Unavailable), Exit::Undecided),
            (kvd(Code::Unknown, "UNKNOWN_OUTCOME"), Exit::Undecided),
            (kvd(Code::Unavailable, "DRAINING"), Exit::Refused),
            (kvd(Code::InvalidArgument, "EMPTY_KEY"), Exit::Refused),
            (Trouble::Unsent, Exit::Unreachable),
            (Trouble::Late, Exit::Undecided),
        ] {
            let text = format!("{trouble:?}");
            let end = patience(Repeat::Never).again(trouble).await;
            assert_eq!(end.expect_err(&text).exit(), exit, "{text}");
        }
    }

    #[tokio::test]
    async fn with_an_id_what_is_undecided_is_asked_again() {
        for trouble in [
            transport(Code::Unavailable),
            transport(Code::Internal),
            kvd(Code::Unknown, "UNKNOWN_OUTCOME"),
            Trouble::Unsent,
        ] {
            let way = patience(Repeat::IfUndecided).again(trouble).await;
            assert_eq!(way.expect("again"), Way::NewConnection);
        }
        let end = patience(Repeat::IfUndecided)
            .again(kvd(Code::Unavailable, "DRAINING"))
            .await;
        assert_eq!(end.expect_err("refused").exit(), Exit::Refused);
        let way = patience(Repeat::ThroughRestarts)
            .again(kvd(Code::Unavailable, "DRAINING"))
            .await;
        assert_eq!(way.expect("again"), Way::NewConnection);
    }

    #[tokio::test]
    async fn a_doubt_is_settled_only_by_what_answers_for_it() {
        for (trouble, exit) in [
            (
                kvd(Code::FailedPrecondition, "NOT_AN_INTEGER"),
                Exit::Refused,
            ),
            (kvd(Code::AlreadyExists, "REQUEST_ID_REUSED"), Exit::Refused),
            (
                kvd(Code::PermissionDenied, "PERMISSION_DENIED"),
                Exit::Undecided,
            ),
            (kvd(Code::Unavailable, "LOG_FAILED"), Exit::Undecided),
        ] {
            let text = format!("{trouble:?}");
            let mut patience = patience(Repeat::IfUndecided).doubting("cut");
            let end = patience.again(trouble).await.expect_err(&text);
            assert_eq!(end.exit(), exit, "{text}");
        }
    }

    #[tokio::test]
    async fn it_ends_with_the_time() {
        let mut patience = Patience::new(Duration::from_millis(150), Repeat::IfUndecided);
        patience
            .again(transport(Code::Unavailable))
            .await
            .expect("again");
        let end = loop {
            let trouble = Trouble::NoConnection("no such port".to_owned());
            if let Err(end) = patience.again(trouble).await {
                break end;
            }
        };
        assert_eq!(end.exit(), Exit::Undecided);
        assert!(end.to_string().contains("no such port"), "{end}");
        assert!(end.to_string().contains("cut"), "{end}");
    }
}
