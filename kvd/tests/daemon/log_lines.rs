//! Where a process logs to, and in which form.

use std::path::Path;

use super::support::{Process, command, run, serve_arguments};
use tempfile::TempDir;

#[test]
fn logs_can_be_json() {
    let dir = TempDir::new().unwrap();
    let mut arguments = serve_arguments(dir.path());
    arguments.extend(["--set".to_owned(), "telemetry.log_format=json".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Not the stream to the journal: the variable names something else.
    let mut command = command(&arguments);
    let ended = Process::spawn(command.env("JOURNAL_STREAM", "1:1")).stop();
    assert_eq!(ended.code, Some(0));
    let lines: Vec<serde_json::Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert!(messages.iter().any(|m| *m == "serving"), "{messages:?}");
    assert!(
        messages.iter().any(|m| *m == "stopped in order"),
        "{messages:?}"
    );
    assert!(lines.iter().all(|line| line["level"].is_string()));
}

#[test]
fn a_journal_that_is_asked_for_and_not_there_is_an_error() {
    if Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let mut arguments = serve_arguments(dir.path());
    arguments.extend([
        "--set".to_owned(),
        "telemetry.log_format=journald".to_owned(),
    ]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(&mut command(&arguments));
    assert_eq!(ended.code, Some(78));
    for part in [
        "telemetry.log_format",
        "/run/systemd/journal/socket",
        "auto",
    ] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}
