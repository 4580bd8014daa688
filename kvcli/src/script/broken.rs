//! What becomes of lines that a stream left unanswered: sent again under
//! --retry, else given up and named.

use std::{collections::VecDeque, mem};

use kvproto::v1::{OperationResult, operation_result::Result as ItemResult};
use tonic::Status;

use super::{Line, Script};
use crate::{
    call::Repeat,
    failure::{Failure, Refusal},
};

impl Script<'_> {
    /// The stream broke with lines unanswered. A status that kvd made speaks for
    /// all of them; one that did not can be pinned on a line only if it is alone.
    pub(super) fn broken(&mut self, status: &Status) {
        let refusal = Refusal::from_status(status);
        if self.retry && refusal.may_pass() && self.can_start_over() {
            self.start_over();
            return;
        }
        let failure = if refusal.reason.is_some() || self.sent.len() == 1 {
            Failure::from_refusal(refusal)
        } else {
            Failure::Undecided(refusal.to_string())
        };
        self.abandon(&failure);
    }

    /// Whether an answer says that another server may answer better.
    pub(super) fn may_start_over(&self, line: &Line, answer: &OperationResult) -> bool {
        let Some(ItemResult::Error(error)) = &answer.result else {
            return false;
        };
        let repeatable = self.repeat(line) != Repeat::Never && self.can_start_over();
        repeatable && Refusal::from_item(error).may_pass()
    }

    fn can_start_over(&self) -> bool {
        self.sent
            .iter()
            .all(|line| self.repeat(line) != Repeat::Never)
    }

    /// Sends what is unanswered again, on another stream.
    pub(super) fn start_over(&mut self) {
        self.pipe = None;
        self.sent_bytes = 0;
        let mut unanswered = mem::take(&mut self.sent);
        for line in &mut unanswered {
            line.sent_before = true;
        }
        self.send_later(unanswered);
    }

    /// Puts lines before all that are not sent yet.
    pub(super) fn send_later(&mut self, lines: VecDeque<Line>) {
        self.again.extend(self.held.take());
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }

    /// Gives up what is unanswered.
    pub(super) fn abandon(&mut self, failure: &Failure) {
        self.pipe = None;
        self.sent_bytes = 0;
        let unanswered = mem::take(&mut self.sent);
        let (Some(first), Some(last)) = (unanswered.front(), unanswered.back()) else {
            return;
        };
        self.complain(&format!("{}: {failure}", span(first.number, last.number)));
        self.count(last.number, failure.exit());
    }

    /// Which lines an interruption leaves open.
    pub(super) fn unanswered(&self) -> String {
        let again = self.again.iter().filter(|line| line.sent_before);
        let sent = self.sent.iter().chain(again).map(|line| line.number);
        let open = self.alone.into_iter().chain(sent);
        let lines = match (open.clone().min(), open.max()) {
            (Some(first), Some(last)) => span(first, last),
            _ => return "; all lines sent were answered".to_owned(),
        };
        format!("; {lines}: sent, and whether they were applied is not known")
    }
}

pub(super) fn span(first: u64, last: u64) -> String {
    if first == last {
        format!("line {first}")
    } else {
        format!("lines {first}-{last}")
    }
}
