//! The lines of a session, one after the other.

use std::{cell::Cell, io, path::PathBuf, time::Duration};

use rustyline::{Editor, error::ReadlineError, history::MemHistory};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use super::{
    Prompt, changes, config, forget_typed, history,
    link::Link,
    own::{self, Own},
    pieces::{Open, pieces},
    terminal,
    typed::Overflow,
};
use crate::{
    call::Caller,
    command::{Place, Prepared, confirm::Question},
    failure::{Exit, Failure, complain},
    output::{
        Output,
        pager::Pager,
        paint::{Kind, Paint},
    },
    run::ask_and_print,
    script::compile::Compiler,
    settings::Settings,
};

/// How long the greeting may look for a server.
const GREETING: Duration = Duration::from_secs(2);
/// A narrower terminal gets a short prompt.
const NARROW: u16 = 60;

pub(super) struct Session<'a> {
    settings: &'a Settings,
    output: Output,
    editor: Prompt,
    overflow: Overflow,
    link: Link,
    handle: &'a Handle,
    interrupts: Signal,
    compiler: Compiler,
    history: Option<PathBuf>,
    paint: Paint,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        output: Output,
        mut editor: Prompt,
        overflow: Overflow,
        link: Link,
        handle: &'a Handle,
    ) -> Result<Self, Failure> {
        let entered = handle.enter();
        let interrupts = signal(SignalKind::interrupt())
            .map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
        drop(entered);
        let history = history::path().filter(|path| history::prepare(path));
        if let Some(path) = history.as_ref().filter(|path| path.exists())
            && let Err(error) = editor.load_history(path)
        {
            complain(&format!("cannot read {}: {error}", path.display()));
        }
        Ok(Self {
            settings,
            output,
            editor,
            overflow,
            link,
            handle,
            interrupts,
            compiler: Compiler::new(settings.call.clone(), Place::Prompt),
            history,
            paint: Paint(settings.prompt_paint),
        })
    }

    /// Says where this is, and whether anybody is there.
    pub(super) fn greet(&mut self) {
        let settings = self.settings;
        let link = &self.link;
        let hello = async {
            let mut caller = link.caller(settings).await?;
            let status = caller
                .admin
                .get_status(kvproto::v1::GetStatusRequest {})
                .await;
            Ok::<_, Failure>((caller.endpoint, status.map(tonic::Response::into_inner)))
        };
        let hello = self
            .handle
            .block_on(async { timeout(GREETING, hello).await });
        let version = env!("CARGO_PKG_VERSION");
        let text = match hello {
            Ok(Ok((endpoint, Ok(status)))) => {
                let keys = if status.keys == 1 { "key" } else { "keys" };
                let (server, count) = (status.version, status.keys);
                format!("kvcli {version}: kvd {server} at {endpoint}, {count} {keys}")
            }
            Ok(Ok((endpoint, Err(status)))) => {
                format!("kvcli {version}: {endpoint} answers: {}", status.message())
            }
            Ok(Err(failure)) => format!("{failure}; trying again, and commands try too"),
            Err(_) => format!("no answer within {GREETING:?}; commands wait longer"),
        };
        complain(&text);
        complain("help lists the commands; Ctrl-C clears the line, Ctrl-D ends");
    }

    pub(super) fn work(&mut self) -> Result<Exit, Failure> {
        loop {
            if let Some(helper) = self.editor.helper() {
                helper.open.set(None);
            }
            let (raw, styled) = self.prompt();
            match self.editor.readline(&(raw, styled)) {
                Ok(mut text) => {
                    text.push_str(&self.overflow.take());
                    self.remember(&text);
                    match self.run(&text) {
                        Ok(Flow::On) => {}
                        Ok(Flow::End) => return Ok(Exit::Success),
                        Err(failure) => return Err(failure),
                    }
                }
                Err(ReadlineError::Interrupted) => drop(self.overflow.take()),
                Err(ReadlineError::Eof) => return Ok(self.end_of_input()),
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    self.overflow.take();
                    forget_typed();
                    complain(
                        "this is no UTF-8, and the line is dropped; \
                         write such bytes as \"\\xNN\"",
                    );
                }
                // The terminal is gone.
                Err(ReadlineError::Io(error)) if error.raw_os_error() == Some(5) => {
                    return Ok(self.end_of_input());
                }
                Err(error) => return Err(terminal(&error)),
            }
        }
    }

    fn end_of_input(&self) -> Exit {
        let open = self.editor.helper().and_then(|helper| helper.open.get());
        let what = match open {
            None => return Exit::Success,
            Some(Open::Quote) => "a quote",
            Some(Open::Transaction) => "a transaction",
        };
        complain(&format!(
            "the input ended inside {what}: nothing of it was run"
        ));
        Exit::Usage
    }

    fn prompt(&self) -> (String, String) {
        let size = rustix::termios::tcgetwinsize(io::stdin()).ok();
        let narrow = size.is_some_and(|size| size.ws_col > 0 && size.ws_col < NARROW);
        let caller = self.link.current();
        let name = match &caller {
            _ if narrow => "kvd".to_owned(),
            Some(caller) => caller.endpoint.to_string(),
            None => "no connection".to_owned(),
        };
        let kind = if caller.is_some() {
            Kind::Heading
        } else {
            Kind::Wrong
        };
        let raw = format!("{name}> ");
        let styled = format!("{}> ", self.paint.text(kind, &name));
        (raw, styled)
    }

    fn remember(&mut self, text: &str) {
        if !history::is_kept(text) {
            return;
        }
        let added = self.editor.add_history_entry(text).unwrap_or(false);
        let Some(path) = self.history.as_ref().filter(|_| added) else {
            return;
        };
        if let Err(error) = self.editor.append_history(path) {
            complain(&format!(
                "no history: cannot write {}: {error}",
                path.display()
            ));
            self.history = None;
        }
    }

    /// Runs a text of one or several lines.
    fn run(&mut self, text: &str) -> Result<Flow, Failure> {
        let pieces = pieces(text);
        for (at, piece) in pieces.iter().enumerate() {
            let own = if self.compiler.is_open() {
                None
            } else {
                own::parse(piece.text)
            };
            let end = match own {
                Some(Ok(Own::Quit)) => return Ok(Flow::End),
                Some(Ok(Own::Help(topic))) => self.help(topic.as_deref()),
                Some(Ok(Own::Changes(line))) => self.changes(line),
                Some(Ok(Own::Watch { pause, line })) => self.watch(pause, line),
                Some(Err(text)) => Err(Failure::Usage(text)),
                None => self.line(piece.number, piece.text),
            };
            let end = match end {
                Ok(()) if at + 1 == pieces.len() => self.compiler.at_end().map_or(Ok(()), Err),
                end => end,
            };
            let Err(failure) = end else {
                continue;
            };
            if matches!(failure, Failure::Output(_)) {
                return Err(failure);
            }
            // A transaction that was not whole is none.
            self.compiler.at_end();
            report(&failure, piece.number, pieces.len());
            break;
        }
        Ok(Flow::On)
    }

    fn line(&mut self, number: u64, text: &str) -> Result<(), Failure> {
        match self.compiler.compile(number, text.as_bytes())? {
            Some(prepared) => self.execute(prepared, true),
            None => Ok(()),
        }
    }

    /// Asks if it has to be asked, then runs one command.
    fn execute(&mut self, prepared: Prepared, paged: bool) -> Result<(), Failure> {
        if prepared.confirm.is_some() {
            let question = self.with_caller(": nothing was sent", async |caller, _| {
                Question::about(&prepared, caller).await
            })?;
            if let Some(question) = question
                && !self.agrees(&question)
            {
                complain("nothing was removed");
                return Ok(());
            }
        }
        let pager = if paged { pager() } else { None };
        self.output.enter_pager(pager);
        let end = self.with_caller(prepared.interrupted(), async |caller, output| {
            ask_and_print(caller, prepared, output).await
        });
        if end.is_err() {
            self.output.break_off();
        }
        let flushed = self.output.flush();
        let left = self.output.leave_pager().map_err(failure_of_pager)?;
        match end {
            Err(Failure::Output(_)) | Ok(_) if left => Ok(()),
            Err(failure) => Err(failure),
            Ok(_) => flushed,
        }
    }

    /// Does something over the connection, until Ctrl-C.
    fn with_caller<T>(
        &mut self,
        interrupted: &str,
        work: impl AsyncFnOnce(&mut Caller, &mut Output) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Self {
            link,
            settings,
            output,
            interrupts,
            handle,
            ..
        } = self;
        handle.block_on(async {
            forget_pressed(interrupts).await;
            let asked = Cell::new(false);
            let work = async {
                let mut caller = link.caller(settings).await?;
                asked.set(true);
                let end = work(&mut caller, output).await;
                link.put(caller);
                end
            };
            tokio::select! {
                end = work => end,
                _ = interrupts.recv() => {
                    let open = if asked.get() { interrupted } else { ": nothing was sent" };
                    Err(Failure::Interrupted(open.to_owned()))
                }
            }
        })
    }

    fn agrees(&self, question: &Question) -> bool {
        let editor = Editor::<(), MemHistory>::with_history(config(self.paint), MemHistory::new());
        let answer = editor.and_then(|mut editor| editor.readline(&question.text));
        answer.is_ok_and(|answer| question.is_yes(&answer))
    }

    fn help(&mut self, topic: Option<&str>) -> Result<(), Failure> {
        let Some(helper) = self.editor.helper() else {
            return Ok(());
        };
        let text = own::help(&helper.vocabulary, topic, self.paint).map_err(Failure::Usage)?;
        self.output.enter_pager(pager());
        self.output.bytes(text.as_bytes());
        let shown = self.output.flush();
        let left = self.output.leave_pager().map_err(failure_of_pager)?;
        if left { Ok(()) } else { shown }
    }

    /// Shows changes until Ctrl-C, past a pager: they come as long as one likes.
    fn changes(&mut self, line: &str) -> Result<(), Failure> {
        let (call, args) = changes::read(line)?;
        let call = call.or(&self.settings.call);
        let Self {
            settings,
            output,
            interrupts,
            handle,
            ..
        } = self;
        let end = handle.block_on(async {
            forget_pressed(interrupts).await;
            let interrupt = async {
                interrupts.recv().await;
                Ok(())
            };
            crate::watch::until(interrupt, settings, &call, args, output).await
        });
        end.map(drop)
    }

    /// Runs a line again and again until Ctrl-C.
    fn watch(&mut self, pause: Duration, line: &str) -> Result<(), Failure> {
        complain(&format!("every {pause:?}, Ctrl-C ends it"));
        loop {
            let Some(prepared) = self.compiler.compile(1, line.as_bytes())? else {
                return Err(Failure::usage("\\watch repeats one command on one line"));
            };
            if prepared.confirm.is_some() {
                return Err(Failure::usage(
                    "\\watch does not repeat what has to be asked; rm takes --yes",
                ));
            }
            match self.execute(prepared, false) {
                Ok(()) => {}
                Err(Failure::Interrupted(_)) => return Ok(()),
                // The daemon may come back.
                Err(failure @ (Failure::Unreachable(_) | Failure::Undecided(_))) => {
                    complain(&failure.to_string());
                }
                Err(failure) => return Err(failure),
            }
            let interrupts = &mut self.interrupts;
            let stopped = self.handle.block_on(async {
                tokio::select! {
                    () = sleep(pause) => false,
                    _ = interrupts.recv() => true,
                }
            });
            if stopped {
                return Ok(());
            }
        }
    }
}

/// A Ctrl-C that was pressed before is not meant.
async fn forget_pressed(interrupts: &mut Signal) {
    while timeout(Duration::ZERO, interrupts.recv()).await.is_ok() {}
}

/// A pager for a terminal of some height.
fn pager() -> Option<Pager> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    if size.ws_row < 3 || size.ws_col == 0 {
        return None;
    }
    Pager::from_environment(usize::from(size.ws_row) - 2, usize::from(size.ws_col))
}

fn report(failure: &Failure, line: u64, lines: usize) {
    if lines == 1 || matches!(failure, Failure::Block(_)) {
        complain(&failure.to_string());
    } else {
        complain(&format!("line {line}: {failure}"));
        complain("no line after it was run");
    }
}

/// A pager that fails ends the command, not the session.
fn failure_of_pager(failure: Failure) -> Failure {
    match failure {
        Failure::Output(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Failure::usage(error.to_string())
        }
        failure => failure,
    }
}
