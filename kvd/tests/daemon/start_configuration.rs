//! What a process makes of its settings: what cannot be used is refused, one row each with
//! its exit code and what it says; what is only unknown outside is warned about.

use std::fs;

use super::support::process::{expect, fill};
use super::support::{Process, command, run, serve_arguments};
use tempfile::TempDir;

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row each")]
fn a_configuration_that_cannot_be_used() {
    let root = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let torn = file("torn.toml", "[log]\nsync = \"always\n");
    let unknown = file("unknown.toml", "\n[log]\nsnyc = \"always\"\n");
    let bare = file("bare.toml", "[memory]\nmax_bytes = 1000000\n");
    let rows: &[(&str, &[&str], i32, &[&str])] = &[
        ("bad TOML", &["--config", &torn], 78, &["torn.toml:2"]),
        (
            "no file",
            &["--config", "/nonexistent/kvd.toml"],
            78,
            &["/nonexistent/kvd.toml"],
        ),
        (
            "unknown key in the file",
            &["--config", &unknown],
            78,
            &["unknown.toml:3", "log.snyc", "log.sync"],
        ),
        (
            "bare number in the file",
            &["--config", &bare],
            78,
            &["bare.toml:2", "memory.max_bytes", "unit"],
        ),
        (
            "unknown key in a flag",
            &["--set", "log.snyc=always"],
            78,
            &["--set log.snyc", "log.sync"],
        ),
        (
            "bare size",
            &["--set", "limits.key_bytes=64"],
            78,
            &["limits.key_bytes", "64KiB"],
        ),
        (
            "bare duration",
            &["--drain-timeout", "20"],
            78,
            &["--drain-timeout", "20ms"],
        ),
        (
            "bad policy",
            &["--sync", "sometimes"],
            78,
            &["--sync", "interval:"],
        ),
        (
            "out of range",
            &["--set", "server.max_streams=0"],
            78,
            &["1 to 65536"],
        ),
        (
            "bad address",
            &["--http-listen", "nowhere"],
            78,
            &["--http-listen", "IP:PORT"],
        ),
        (
            "unix socket without a path from the root",
            &["--listen", "unix:run/kvd"],
            78,
            &["unix:run/kvd", "absolute path"],
        ),
        (
            "others can reach it",
            &["--listen", "0.0.0.0:0"],
            78,
            &["--listen", "--allow-unauthenticated"],
        ),
        (
            "twice",
            &["--sync", "never", "--set", "log.sync=always"],
            78,
            &["twice", "log.sync"],
        ),
        (
            "units that fit no segment",
            &["--set", "log.segment_bytes=1MiB"],
            78,
            &["log.segment_bytes"],
        ),
        ("unknown flag", &["--frobnicate"], 2, &["--frobnicate"]),
        ("no value", &["--set", "log.sync"], 2, &["KEY=VALUE"]),
        ("unknown command", &["frobnicate"], 2, &["frobnicate"]),
    ];
    let data = root.path().join("data").display().to_string();
    for (name, arguments, code, texts) in rows {
        let with_dir = if *code == 2 {
            vec![]
        } else {
            vec!["--data-dir", &data]
        };
        let arguments: Vec<&str> = with_dir
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        expect(name, &run(&mut command(&arguments)), *code, texts);
    }
    let from_outside = run(command(&["--data-dir", &data]).env("KVD_LOG__SYNC", "sometimes"));
    expect(
        "environment",
        &from_outside,
        78,
        &["environment KVD_LOG__SYNC", "log.sync"],
    );
    assert!(!root.path().join("data").exists(), "nothing was touched");
}

#[tokio::test]
async fn an_unknown_variable_is_warned_about_and_the_daemon_serves() {
    let dir = TempDir::new().unwrap();
    let arguments = serve_arguments(dir.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::spawn(command(&arguments).env("KVD_LOG__SNYC", "never"));
    fill(&process, 0, 1).await;
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("KVD_LOG__SNYC"), "{ended:?}");
}
