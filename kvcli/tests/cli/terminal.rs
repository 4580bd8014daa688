//! A terminal around the program, made by script(1): what is typed goes in, what is
//! shown comes out, and both wait for each other.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::run::signal;

/// What a session is started with.
#[derive(Clone)]
pub(crate) struct Start<'a> {
    /// Flags and endpoint, as a shell reads them.
    pub(crate) args: String,
    /// Where the history goes.
    pub(crate) state: &'a Path,
    pub(crate) columns: u16,
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Behind the program's name in the shell line, such as `| head -n 1`.
    pub(crate) behind: &'a str,
}

pub(crate) struct Terminal {
    child: Child,
    stdin: Option<ChildStdin>,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Up to here it was looked at.
    seen: usize,
}

impl Terminal {
    /// None where script(1) is not installed.
    pub(crate) fn start(start: &Start<'_>) -> Option<Self> {
        let line = format!(
            "trap : INT; stty cols {} rows 24; {} {} {}; echo \"exit $?\"",
            start.columns,
            env!("CARGO_BIN_EXE_kvcli"),
            start.args,
            start.behind
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("XDG_STATE_HOME", start.state)
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env("NO_COLOR", "1")
            .env_remove("PAGER")
            .env_remove("KVCLI_ENDPOINT")
            .envs(start.environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else {
            let _ = writeln!(io::stdout(), "skipped: script(1) is not installed");
            return None;
        };
        let mut stdout = child.stdout.take().expect("a pipe");
        let stdin = child.stdin.take();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&shown);
        let read = move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(len @ 1..) = stdout.read(&mut chunk) {
                sink.lock()
                    .expect("the reader")
                    .extend_from_slice(&chunk[..len]);
            }
        };
        thread::Builder::new().spawn(read).expect("a thread");
        Some(Self {
            child,
            stdin,
            shown,
            seen: 0,
        })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(bytes.as_ref()).expect("typed");
        stdin.flush().expect("typed");
    }

    /// Types a line and its Enter.
    pub(crate) fn line(&mut self, line: &str) {
        self.send(format!("{line}\r"));
    }

    /// Waits until a text is shown that was not looked at, and gives what came before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        self.wait(text, |lines, last| {
            if let Some(at) = lines.find(text) {
                return Some((lines[..at].to_owned(), at + text.len()));
            }
            // The line of the cursor may still change: it stays to be looked at.
            let at = last.find(text)?;
            Some((format!("{lines}{}", &last[..at]), lines.len()))
        })
    }

    /// Waits for a prompt with nothing behind it.
    #[track_caller]
    pub(crate) fn prompt(&mut self) -> String {
        self.wait("a prompt", |lines, last| {
            let idle = last.ends_with("> ") && last.len() > 2;
            idle.then(|| (lines.to_owned(), lines.len()))
        })
    }

    /// Types a line, and gives what was shown between its echo and the next prompt.
    #[track_caller]
    pub(crate) fn answer(&mut self, line: &str) -> String {
        self.line(line);
        let echo = format!("{line}\n");
        self.wait(line, |lines, _| {
            let at = lines.find(&echo)?;
            Some((String::new(), at + echo.len()))
        });
        self.prompt()
    }

    /// Waits until what is shown is as wanted: whole lines that were not looked at,
    /// and the line of the cursor.
    #[track_caller]
    fn wait(&mut self, what: &str, find: impl Fn(&str, &str) -> Option<(String, usize)>) -> String {
        let start = Instant::now();
        loop {
            let shown = bare(&self.shown.lock().expect("the reader"));
            let (lines, last) = shown.split_at(shown.rfind('\n').map_or(0, |at| at + 1));
            if let Some((before, seen)) = find(&lines[self.seen..], last) {
                self.seen += seen;
                return before;
            }
            let late = start.elapsed() > Duration::from_secs(20);
            assert!(!late, "no {what:?} at the end of {:?}", end(&shown));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is shown and was not looked at.
    pub(crate) fn rest(&self) -> String {
        bare(&self.shown.lock().expect("the reader"))[self.seen..].to_owned()
    }

    /// All bytes that were shown, with their colours.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("the reader")).into_owned()
    }

    /// Ends the session as a person does, and checks the exit code.
    #[track_caller]
    pub(crate) fn end(mut self, code: i32) {
        self.send([4]);
        self.expect(&format!("exit {code}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.stdin.take();
        let id = i32::try_from(self.child.id()).expect("a process id");
        if self.child.try_wait().ok().flatten().is_none() && !thread::panicking() {
            signal(id, "KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As much as a person wants to read of it.
fn end(shown: &str) -> &str {
    let from = shown.len().saturating_sub(1_500);
    let from = (from..shown.len()).find(|at| shown.is_char_boundary(*at));
    &shown[from.unwrap_or(shown.len())..]
}

/// What a terminal shows: the lines that are done, and the one that the cursor is in,
/// with what was written over and taken away. Colours and other lines are left out.
fn bare(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut line: Vec<char> = Vec::new();
    let mut column = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                let sequence = chars.as_str();
                let Some(sequence) = sequence.strip_prefix('[') else {
                    continue;
                };
                let len = sequence.find(|c: char| c.is_ascii_alphabetic());
                let (number, rest) = sequence.split_at(len.unwrap_or(sequence.len()));
                let number = number.parse().unwrap_or(1);
                match rest.chars().next() {
                    Some('C') => column += number,
                    Some('D') => column -= number.min(column),
                    Some('K' | 'J') => line.truncate(column),
                    _ => {}
                }
                chars = rest.chars();
                chars.next();
            }
            '\r' => column = 0,
            '\n' => {
                out.extend(line.drain(..));
                out.push('\n');
                column = 0;
            }
            '\x07' => {}
            c => {
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    out.extend(line);
    out
}
