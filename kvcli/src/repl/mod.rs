//! The session at a terminal.
//!
//! A line goes the way of a script line until it is ready to be sent, and from
//! there the way of a command line: the prompt adds no command and changes none.
//! What it does add is in its modules: [`helper`] while typing, [`own`] for help and
//! repeating, [`changes`] for `watch`, [`history`], and [`link`], which outlives the daemon.
//!
//! Invariants:
//! - One thread reads the terminal and runs the lines, one after the other; another
//!   drives the connection, so that it is noticed when the daemon goes.
//! - A mistake, a refusal or Ctrl-C ends the line, never the session. What ends it:
//!   Ctrl-D, `quit`, and an output that is closed.
//! - Of a text with several lines nothing runs after the first that failed.

mod changes;
mod cursor;
mod helper;
mod history;
mod link;
mod own;
mod pieces;
mod session;
mod typed;
mod vocabulary;

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustyline::{
    Behavior, ColorMode, Config, Editor, Event, EventHandler, ExternalPrinter,
    error::ReadlineError, history::FileHistory,
};
use tokio::{runtime, sync::oneshot};

use self::{helper::Assistant, link::Link, session::Session, typed::Overflow};
use crate::{
    failure::{Exit, Failure, complain},
    output::{Output, paint::Paint},
    settings::Settings,
};

type Prompt = Editor<Assistant, FileHistory>;

/// Runs a session to its end.
pub(crate) fn run(settings: &Settings, output: Output) -> Result<Exit, Failure> {
    if settings.for_scripts {
        return Err(Failure::usage(
            "--window, --continue-on-error and --retry are for scripts, \
             and standard input is a terminal",
        ));
    }
    let io_thread = IoThread::start()?;
    let paint = Paint(settings.prompt_paint);
    let link = Link::new(settings);
    let mut editor = editor(&link, io_thread.handle.clone(), paint)?;
    let overflow = Overflow::default();
    editor.bind_sequence(
        Event::Any,
        EventHandler::Conditional(Box::new(overflow.clone())),
    );
    let news = news(&mut editor)?;
    let handle = io_thread.handle.clone();
    let mut session = Session::new(settings, output, editor, overflow, link.clone(), &handle)?;
    session.greet();
    handle.spawn(link.watch(news));
    let end = session.work();
    drop(session);
    drop(io_thread);
    end
}

/// The thread that drives connections and timers while a line is typed.
struct IoThread {
    handle: runtime::Handle,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl IoThread {
    fn start() -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::usage(format!("cannot start: {error}"));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let drive = move || {
            // An error is what a dropped sender is.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread::Builder::new()
            .name("kvcli-io".to_owned())
            .spawn(drive)
            .map_err(cannot)?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }
}

fn editor(link: &Link, handle: runtime::Handle, paint: Paint) -> Result<Prompt, Failure> {
    let mut editor = Editor::with_config(config(paint)).map_err(|error| terminal(&error))?;
    editor.set_helper(Some(Assistant::new(link.clone(), handle, paint)));
    Ok(editor)
}

/// The same for lines and for answers to questions.
fn config(paint: Paint) -> Config {
    let builder = Config::builder()
        .auto_add_history(false)
        .completion_type(rustyline::CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .bracketed_paste(true)
        .color_mode(if paint.0 {
            ColorMode::Forced
        } else {
            ColorMode::Disabled
        })
        // The data may go elsewhere than the lines come from.
        .behavior(if io::stdout().is_terminal() {
            Behavior::Stdio
        } else {
            Behavior::PreferTerm
        });
    match builder.max_history_size(history::MOST) {
        Ok(builder) => builder.build(),
        Err(_) => Config::default(),
    }
}

fn terminal(error: &ReadlineError) -> Failure {
    Failure::usage(format!("cannot use the terminal: {error}"))
}

/// Who tells the person at the prompt what happens meanwhile.
fn news(editor: &mut Prompt) -> Result<mpsc::Sender<String>, Failure> {
    let (sender, receiver) = mpsc::channel::<String>();
    let mut printer = editor.create_external_printer().ok();
    let tell = move || {
        for text in receiver {
            let printed = printer
                .as_mut()
                .is_some_and(|printer| printer.print(format!("kvcli: {text}\n")).is_ok());
            if !printed {
                complain(&text);
            }
        }
    };
    // A thread of its own: the printer may have to wait for the prompt.
    thread::Builder::new()
        .name("kvcli-news".to_owned())
        .spawn(tell)
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    Ok(sender)
}

/// Throws away what was typed and not read yet: the rest of a line of which a part
/// could not be read is not a line.
fn forget_typed() {
    for _ in 0..4 {
        let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
        thread::sleep(Duration::from_millis(25));
    }
    let _ = io::stderr().flush();
}
