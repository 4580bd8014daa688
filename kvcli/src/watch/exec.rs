//! A command of the user's for each event.

use std::{
    ffi::{OsStr, OsString},
    io::{ErrorKind, Write as _},
    process::{Command as Process, Stdio},
    sync::Arc,
};

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

pub(super) struct Command {
    text: Arc<OsStr>,
    /// The one that runs.
    running: Option<JoinHandle<Result<(), String>>>,
}

impl Command {
    pub(super) fn new(text: OsString) -> Self {
        Self {
            text: text.into(),
            running: None,
        }
    }

    /// Runs it to its end. The error says how it failed.
    ///
    /// On a thread for what blocks, so that the connection lives meanwhile.
    pub(super) async fn run(&mut self, event: Map<String, Value>) -> Result<(), String> {
        let text = Arc::clone(&self.text);
        let begun = tokio::task::spawn_blocking(move || run(&text, &event));
        let ended = self.running.insert(begun).await;
        self.running = None;
        ended.map_err(|error| format!("the command could not be run: {error}"))?
    }

    /// Waits for one that was left running: it is not to write into what comes after.
    pub(super) async fn ended(&mut self) {
        if let Some(running) = self.running.take() {
            // How it ended is of no matter: its event comes again.
            let _ = running.await;
        }
    }
}

fn run(text: &OsStr, event: &Map<String, Value>) -> Result<(), String> {
    let word = |name: &str| match event.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let spawned = Process::new("sh")
        .arg("-c")
        .arg(text)
        .env("KVD_TYPE", word("type"))
        .env("KVD_CAUSE", word("cause"))
        .env("KVD_REVISION", word("mod_revision"))
        // A key that is no text, or has a zero byte, is in the object on standard input.
        .env("KVD_KEY", word("key").replace('\0', ""))
        .stdin(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| format!("cannot run sh: {error}"))?;
    let object = Value::Object(event.clone()).to_string();
    if let Some(mut input) = child.stdin.take() {
        match writeln!(input, "{object}") {
            // Whoever does not read it does not need it.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(format!("cannot write to the command: {error}"));
            }
            _ => {}
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for the command: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("the command failed with {status}"))
}
