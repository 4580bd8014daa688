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
//! - Under --retry every write has an id, and the lines that a broken stream left
//!   unanswered are sent again, in order, before any other. A line is sent twice
//!   only if it has an id or changes nothing.

mod alone;
mod broken;
pub(crate) mod compile;
mod grammar;
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

pub(crate) use self::grammar::Grammar;
use self::{
    broken::span,
    compile::Compiler,
    lines::Lines,
    pipe::{Pipe, slot},
};
use crate::{
    call::{Caller, connection_lost, no_answer},
    command::{Answer, Pending, Place, Prepared},
    failure::{Exit, Failure, complain},
    output::Output,
    progress::Progress,
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

/// A line that was read and not answered yet.
struct Line {
    number: u64,
    prepared: Prepared,
    bytes: usize,
    /// On a stream that broke before the answer.
    sent_before: bool,
}

struct Script<'a> {
    settings: &'a Settings,
    output: &'a mut Output,
    lines: Lines<Stdin>,
    compiler: Compiler,
    caller: Option<Caller>,
    pipe: Option<Pipe>,
    /// On their way, in the order of the lines.
    sent: VecDeque<Line>,
    sent_bytes: usize,
    /// Waits until all before it are answered.
    held: Option<Line>,
    /// To be sent before anything that is read from now on.
    again: VecDeque<Line>,
    /// The line that is out alone.
    alone: Option<u64>,
    last_sent: u64,
    /// The line that ended the reading.
    stopped: Option<u64>,
    /// Whether a broken stream is outlived.
    retry: bool,
    worst: Exit,
    /// Of a script that is a file: how far it was read.
    bar: Progress,
    size: Option<u64>,
    /// When something was last sent or answered.
    progress: Instant,
}

impl<'a> Script<'a> {
    fn new(settings: &'a Settings, output: &'a mut Output) -> Self {
        Self {
            settings,
            output,
            lines: Lines::new(tokio::io::stdin()),
            compiler: Compiler::new(
                settings.call.clone(),
                Place::Script {
                    retry: settings.retry,
                },
            ),
            caller: None,
            pipe: None,
            sent: VecDeque::new(),
            sent_bytes: 0,
            held: None,
            again: VecDeque::new(),
            alone: None,
            last_sent: 0,
            stopped: None,
            retry: settings.retry,
            worst: Exit::Success,
            bar: Progress::of_output(),
            size: size_of_script(),
            progress: Instant::now(),
        }
    }

    async fn work(&mut self) -> Result<Exit, Failure> {
        loop {
            self.gather();
            self.output.flush()?;
            if let Some(size) = self.size {
                self.bar.part(self.lines.read, size, "of the script");
            }
            if !self.sent.is_empty() {
                self.wait().await?;
            } else if let Some(held) = self.held.take() {
                self.run_alone(held).await?;
            } else if self.stopped.is_some() {
                return self.finish().await;
            } else if self.lines.is_ended() {
                if let Some(failure) = self.compiler.at_end() {
                    self.failed(self.last_sent + 1, &failure);
                }
                return self.finish().await;
            } else {
                let filled = self.lines.fill().await;
                self.filled(filled);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.held.is_none()
            && !self.is_cut()
            && self.sent.len() < self.settings.window
            && self.sent_bytes < WINDOW_BYTES
    }

    /// Whether lines have to wait for another stream.
    fn is_cut(&self) -> bool {
        self.retry && self.pipe.as_ref().is_some_and(Pipe::is_closed)
    }

    fn wants_lines(&self) -> bool {
        self.has_room() && self.again.is_empty() && self.stopped.is_none()
    }

    /// Sends the lines that are here, as far as there is room.
    fn gather(&mut self) {
        if self.is_cut() && self.sent.is_empty() {
            self.pipe = None;
        }
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while self.has_room() {
            let Some(line) = self.again.pop_front().or_else(|| self.next_line()) else {
                break;
            };
            if let Some(operation) = self.admit(line) {
                batch_bytes += operation.encoded_len();
                batch.push(operation);
            }
            if batch_bytes >= MESSAGE_BYTES || batch.len() >= MESSAGE_OPERATIONS {
                self.send(mem::take(&mut batch));
                batch_bytes = 0;
            }
        }
        self.send(batch);
    }

    /// The next line that asks for something, if it is here.
    fn next_line(&mut self) -> Option<Line> {
        while self.stopped.is_none() {
            let (number, text) = self.lines.next()?;
            match self.compiler.compile(number, text) {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    return Some(Line {
                        number,
                        prepared,
                        bytes: 0,
                        sent_before: false,
                    });
                }
                Err(failure) => self.failed(number, &failure),
            }
        }
        None
    }

    /// Takes a line up: into the stream, or aside if it has to go alone.
    fn admit(&mut self, mut line: Line) -> Option<v1::Operation> {
        match line.prepared.ask.to_operation() {
            Some(operation) if self.pipe.is_some() && operation.encoded_len() < ALONE_BYTES => {
                line.bytes = operation.encoded_len();
                self.sent_bytes += line.bytes;
                let slot = slot(line.number, operation);
                self.sent.push_back(line);
                Some(slot)
            }
            _ => {
                self.held = Some(line);
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
            self.last_sent = self.last_sent.max(last);
            self.progress = Instant::now();
            return;
        }
        // The stream is closed: these have certainly not left.
        let unsent = self.sent.partition_point(|sent| sent.number < first);
        let unsent = self.sent.split_off(unsent);
        self.sent_bytes = self.sent.iter().map(|sent| sent.bytes).sum();
        if self.retry {
            self.send_later(unsent);
        } else {
            self.failed(first, &connection_lost());
        }
    }

    /// Waits for answers, and for lines if there is room for them.
    async fn wait(&mut self) -> Result<(), Failure> {
        let wants_lines = self.wants_lines() && !self.lines.is_ended();
        let late = self.progress + self.settings.timeout;
        let Some(pipe) = &mut self.pipe else {
            self.abandon(&no_answer(self.settings.timeout));
            return Ok(());
        };
        tokio::select! {
            answers = pipe.next() => match answers {
                Ok(answers) => {
                    for answer in answers {
                        // Nothing counts any more after a stream was given up.
                        if self.pipe.is_some() {
                            self.answered(answer)?;
                        }
                    }
                    Ok(())
                }
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
            self.complain(&format!("cannot read the script: {error}"));
            self.stopped.get_or_insert(self.last_sent + 1);
        }
    }

    fn answered(&mut self, answer: OperationResult) -> Result<(), Failure> {
        self.progress = Instant::now();
        match self.sent.pop_front() {
            Some(sent) if sent.number == answer.id => {
                if self.may_start_over(&sent, &answer) {
                    self.sent.push_front(sent);
                    self.start_over();
                    return Ok(());
                }
                self.sent_bytes -= sent.bytes;
                let answer = Answer::from_result(answer.result);
                self.settle(sent.number, sent.prepared.pending, answer)
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
            self.complain(&format!("line {line}: {problem}"));
        }
        // In a script a missing key is a result.
        if report.exit() > Exit::Negative {
            self.count(line, report.exit());
        }
        Ok(())
    }

    fn failed(&mut self, line: u64, failure: &Failure) {
        if matches!(failure, Failure::Block(_)) {
            // Knows its line better.
            self.complain(&failure.to_string());
        } else {
            self.complain(&format!("line {line}: {failure}"));
        }
        self.count(line, failure.exit());
    }

    /// Takes note of a failure, and stops if nothing may come after it.
    fn count(&mut self, line: u64, exit: Exit) {
        self.worst = self.worst.max(exit);
        let may_go_on = matches!(exit, Exit::Usage | Exit::Refused);
        if self.settings.continue_on_error && may_go_on {
            return;
        }
        self.stopped.get_or_insert(line);
        // What was sent before is still answered, unless nobody is there to do it.
        self.held.take_if(|held| !held.sent_before);
        self.again.retain(|line| line.sent_before);
        if !may_go_on && self.pipe.is_none() {
            self.sent.append(&mut self.again);
            self.sent.extend(self.held.take());
            self.abandon(&Failure::Undecided("the connection was lost".to_owned()));
        }
    }

    /// Says what is wrong, where the bar does not stand in the way.
    fn complain(&mut self, text: &str) {
        self.bar.clear();
        complain(text);
    }

    async fn finish(&mut self) -> Result<Exit, Failure> {
        if let Some(pipe) = self.pipe.take() {
            // All is answered; a server that is slow to hang up is not waited for.
            let _ = timeout(self.settings.timeout, pipe.close()).await;
        }
        if let Some(line) = self.stopped {
            self.complain(&stop_notice(line, self.last_sent));
        }
        Ok(self.worst)
    }
}

/// The size of a script that is a file.
fn size_of_script() -> Option<u64> {
    let stat = rustix::fs::fstat(io::stdin()).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    u64::try_from(stat.st_size).ok().filter(|_| is_file)
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
