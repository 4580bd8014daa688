//! Script mode: lines from standard input, strictly in order, many on their way
//! at a time.
//!
//! Invariants:
//! - Results are printed in the order of the lines, each as soon as it is there;
//!   a program that writes a line and waits for its result is not kept waiting.
//! - After the first refusal or syntax error no further line is sent, unless
//!   asked to go on; those already sent are still answered and printed. After an
//!   undecided line nothing goes on.
//! - What may have to be repeated (the first operation on a stream, which may
//!   meet a server that is loading), what is too large for the window and what
//!   is no operation of a pipeline (`status`) travels alone, so that repeating
//!   never changes the order and a stream that breaks blames the right line.

mod alone;
mod compile;
mod lines;
pub(crate) mod parse;
mod pipe;

use std::{collections::VecDeque, io, mem};

use kvproto::v1::{self, OperationResult};
use prost::Message as _;
use tokio::{
    io::Stdin,
    time::{Instant, sleep_until, timeout},
};
use tonic::Status;

use self::{
    compile::Compiler,
    lines::Lines,
    pipe::{Pipe, slot},
};
use crate::{
    call::{Caller, connection_lost, no_answer},
    command::{Answer, Ask, Pending, Prepared},
    failure::{Exit, Failure, Refusal, complain},
    output::Output,
    settings::Settings,
};

/// Unanswered bytes; a server need not read more.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one message, but for its last operation.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Operations of one message; a server takes no more.
const MESSAGE_OPERATIONS: usize = 1_024;
/// From here on an operation travels alone.
const ALONE_BYTES: usize = 2 * 1024 * 1024;

/// Runs the script on standard input.
pub(crate) async fn run(settings: &Settings, output: &mut Output) -> Result<Exit, Failure> {
    let mut script = Script::new(settings, output);
    tokio::select! {
        end = script.work() => end,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
            Err(Failure::Interrupted(script.unanswered()))
        }
    }
}

/// A line that was sent and not answered yet.
struct Sent {
    line: u64,
    pending: Pending,
    bytes: usize,
}

/// A line that waits until all before it are answered.
struct Held {
    line: u64,
    ask: Ask,
    pending: Pending,
}

struct Script<'a> {
    settings: &'a Settings,
    output: &'a mut Output,
    lines: Lines<Stdin>,
    compiler: Compiler,
    caller: Option<Caller>,
    pipe: Option<Pipe>,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    held: Option<Held>,
    /// The line that is out alone.
    alone: Option<u64>,
    last_sent: u64,
    /// The line that ended the reading.
    stopped: Option<u64>,
    worst: Exit,
    /// When something was last sent or answered.
    progress: Instant,
}

impl<'a> Script<'a> {
    fn new(settings: &'a Settings, output: &'a mut Output) -> Self {
        Self {
            settings,
            output,
            lines: Lines::new(tokio::io::stdin()),
            compiler: Compiler::new(settings.call),
            caller: None,
            pipe: None,
            sent: VecDeque::new(),
            sent_bytes: 0,
            held: None,
            alone: None,
            last_sent: 0,
            stopped: None,
            worst: Exit::Success,
            progress: Instant::now(),
        }
    }

    async fn work(&mut self) -> Result<Exit, Failure> {
        loop {
            self.gather();
            self.output.flush()?;
            if !self.sent.is_empty() {
                self.wait().await?;
            } else if self.stopped.is_some() {
                return self.finish().await;
            } else if let Some(held) = self.held.take() {
                self.run_alone(held).await?;
            } else if self.lines.is_ended() {
                return self.finish().await;
            } else {
                let filled = self.lines.fill().await;
                self.filled(filled);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.stopped.is_none()
            && self.held.is_none()
            && self.sent.len() < self.settings.window
            && self.sent_bytes < WINDOW_BYTES
    }

    /// Sends the lines that are here, as far as there is room.
    fn gather(&mut self) {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while self.has_room() {
            let Some((line, text)) = self.lines.next() else {
                break;
            };
            match self.compiler.compile(text) {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    if let Some(operation) = self.admit(line, prepared) {
                        batch_bytes += operation.encoded_len();
                        batch.push(operation);
                    }
                }
                Err(failure) => self.failed(line, &failure),
            }
            if batch_bytes >= MESSAGE_BYTES || batch.len() >= MESSAGE_OPERATIONS {
                self.send(mem::take(&mut batch));
                batch_bytes = 0;
            }
        }
        self.send(batch);
    }

    /// Takes a line up: into the stream, or aside if it has to go alone.
    fn admit(&mut self, line: u64, prepared: Prepared) -> Option<v1::Operation> {
        let Prepared { ask, pending } = prepared;
        match ask.to_operation() {
            Some(operation) if self.pipe.is_some() && operation.encoded_len() < ALONE_BYTES => {
                let bytes = operation.encoded_len();
                self.sent.push_back(Sent {
                    line,
                    pending,
                    bytes,
                });
                self.sent_bytes += bytes;
                Some(slot(line, operation))
            }
            _ => {
                self.held = Some(Held { line, ask, pending });
                None
            }
        }
    }

    fn send(&mut self, batch: Vec<v1::Operation>) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return;
        };
        let (first, last) = (first.id, last.id);
        if self.pipe.as_ref().is_some_and(|pipe| pipe.send(batch)) {
            self.last_sent = last;
            self.progress = Instant::now();
            return;
        }
        // The stream is closed: these have certainly not left.
        self.sent.retain(|sent| sent.line < first);
        self.sent_bytes = self.sent.iter().map(|sent| sent.bytes).sum();
        self.failed(first, &connection_lost());
    }

    /// Waits for answers, and for lines if there is room for them.
    async fn wait(&mut self) -> Result<(), Failure> {
        let wants_lines = self.has_room() && !self.lines.is_ended();
        let late = self.progress + self.settings.timeout;
        let Some(pipe) = &mut self.pipe else {
            self.abandon(&no_answer(self.settings.timeout));
            return Ok(());
        };
        tokio::select! {
            answers = pipe.next() => match answers {
                Ok(answers) => answers.into_iter().try_for_each(|answer| self.answered(answer)),
                Err(status) => {
                    self.broken(&status);
                    Ok(())
                }
            },
            filled = self.lines.fill(), if wants_lines => {
                self.filled(filled);
                Ok(())
            }
            () = sleep_until(late) => {
                self.abandon(&no_answer(self.settings.timeout));
                Ok(())
            }
        }
    }

    fn filled(&mut self, filled: io::Result<()>) {
        if let Err(error) = filled {
            self.worst = self.worst.max(Exit::Usage);
            complain(&format!("cannot read the script: {error}"));
            self.stopped.get_or_insert(self.last_sent + 1);
        }
    }

    fn answered(&mut self, answer: OperationResult) -> Result<(), Failure> {
        self.progress = Instant::now();
        match self.sent.pop_front() {
            Some(sent) if sent.line == answer.id => {
                self.sent_bytes -= sent.bytes;
                self.settle(sent.line, sent.pending, Answer::from_result(answer.result))
            }
            other => {
                if let Some(sent) = other {
                    self.sent.push_front(sent);
                }
                self.abandon(&Failure::Undecided("answers come out of order".to_owned()));
                Ok(())
            }
        }
    }

    /// Prints the result of a line.
    fn settle(
        &mut self,
        line: u64,
        pending: Pending,
        answer: Result<Answer, Failure>,
    ) -> Result<(), Failure> {
        let report = match answer.and_then(|answer| pending.read(answer)) {
            Ok(report) => report,
            Err(failure) => {
                self.failed(line, &failure);
                return Ok(());
            }
        };
        self.output.print(report.as_ref())?;
        for problem in report.problems() {
            complain(&format!("line {line}: {problem}"));
        }
        // In a script a missing key is a result.
        if report.exit() > Exit::Negative {
            self.count(line, report.exit());
        }
        Ok(())
    }

    fn failed(&mut self, line: u64, failure: &Failure) {
        complain(&format!("line {line}: {failure}"));
        self.count(line, failure.exit());
    }

    /// Takes note of a failure, and stops if nothing may come after it.
    fn count(&mut self, line: u64, exit: Exit) {
        self.worst = self.worst.max(exit);
        let may_go_on = matches!(exit, Exit::Usage | Exit::Refused);
        if !(self.settings.continue_on_error && may_go_on) {
            self.stopped.get_or_insert(line);
        }
    }

    /// The stream broke with lines unanswered. A status that kvd made speaks for
    /// all of them; one that did not can be pinned on a line only if it is alone.
    fn broken(&mut self, status: &Status) {
        let refusal = Refusal::from_status(status);
        let failure = if refusal.reason.is_some() || self.sent.len() == 1 {
            Failure::from_refusal(refusal)
        } else {
            Failure::Undecided(refusal.to_string())
        };
        self.abandon(&failure);
    }

    /// Gives up what is unanswered.
    fn abandon(&mut self, failure: &Failure) {
        self.pipe = None;
        self.sent_bytes = 0;
        let unanswered = mem::take(&mut self.sent);
        let (Some(first), Some(last)) = (unanswered.front(), unanswered.back()) else {
            return;
        };
        complain(&format!("{}: {failure}", span(first.line, last.line)));
        self.count(last.line, failure.exit());
    }

    /// Which lines an interruption leaves open.
    fn unanswered(&self) -> String {
        let lines = match (self.sent.front(), self.sent.back(), self.alone) {
            (Some(first), Some(last), _) => span(first.line, last.line),
            (_, _, Some(line)) => span(line, line),
            _ => return "; all lines sent were answered".to_owned(),
        };
        format!("; {lines}: sent, and whether they were applied is not known")
    }

    async fn finish(&mut self) -> Result<Exit, Failure> {
        if let Some(pipe) = self.pipe.take() {
            // All is answered; a server that is slow to hang up is not waited for.
            let _ = timeout(self.settings.timeout, pipe.close()).await;
        }
        if let Some(line) = self.stopped {
            complain(&stop_notice(line, self.last_sent));
        }
        Ok(self.worst)
    }
}

fn span(first: u64, last: u64) -> String {
    if first == last {
        format!("line {first}")
    } else {
        format!("lines {first}-{last}")
    }
}

/// Which lines had been sent when line `line` ended the script.
fn stop_notice(line: u64, last_sent: u64) -> String {
    let sent = match last_sent {
        0 => "nothing was sent".to_owned(),
        last if last < line => format!("lines up to {last} had been sent"),
        last if last == line => "no line after it was sent".to_owned(),
        last => format!(
            "{} had been sent already, no line after that",
            span(line + 1, last)
        ),
    };
    format!("stopped at line {line}: {sent}")
}

#[cfg(test)]
mod tests {
    use super::stop_notice;

    #[test]
    fn the_notice_says_what_had_been_sent() {
        let table = [
            (1, 0, "stopped at line 1: nothing was sent"),
            (7, 5, "stopped at line 7: lines up to 5 had been sent"),
            (7, 7, "stopped at line 7: no line after it was sent"),
            (
                7,
                8,
                "stopped at line 7: line 8 had been sent already, no line after that",
            ),
            (
                7,
                12,
                "stopped at line 7: lines 8-12 had been sent already, no line after that",
            ),
        ];
        for (line, last_sent, expected) in table {
            assert_eq!(stop_notice(line, last_sent), expected);
        }
    }
}
