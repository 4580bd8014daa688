//! rm: what it removes, and whom it asks.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use crate::{
    fake::Fake,
    run::{Ended, feed, filled, run, wait},
};

#[test]
fn rm_removes_a_range() {
    let fake = filled(&["a", "ab", "b", "c", "d"]);
    run(&fake, &["rm", "--prefix", "a", "--dry-run"])
        .exits(0)
        .prints("2\n");
    assert_eq!(fake.len(), 5);
    run(&fake, &["rm", "--prefix", "a", "--yes"])
        .exits(0)
        .prints("2\n");
    run(&fake, &["rm", "--prefix", "a", "--yes"])
        .exits(0)
        .prints("0\n");
    run(
        &fake,
        &[
            "-o", "jsonl", "rm", "--start", "b", "--end", "d", "--limit", "1", "-y",
        ],
    )
    .exits(0)
    .prints(
        "{\"deleted\":1,\"dry_run\":false,\"more\":true,\"first_revision\":8,\
             \"last_revision\":8,\"durable\":true}\n",
    );
    run(
        &fake,
        &["-o", "csv", "rm", "--key", "c", "--yes", "--chunked"],
    )
    .exits(0)
    .prints(
        "deleted,dry_run,more,first_revision,last_revision,durable\n\
             1,false,false,9,9,true\n",
    );
    let table = run(&fake, &["-o", "table", "rm", "--all", "--dry-run"]).exits(0);
    assert!(table.text().contains("dry_run"), "{}", table.text());
    run(&fake, &["rm", "--all", "--yes"]).exits(0).prints("1\n");
    assert_eq!(fake.len(), 0);
}

#[test]
fn rm_asks_or_is_told() {
    let fake = filled(&["a", "ab"]);
    run(&fake, &["rm", "--prefix", "a"]).exits(2).says("--yes");
    feed(&fake, &["rm", "--prefix", "a"], "y\n")
        .exits(2)
        .says("--yes");
    feed(&fake, &[], "rm --prefix a\n").exits(2).says("--yes");
    feed(&fake, &[], "rm --prefix a --dry-run\n")
        .exits(0)
        .prints("2\n");
    run(&fake, &["rm", "--prefix", "a", "--all", "--yes"]).exits(2);
    assert_eq!(fake.len(), 2);
    let Some(ended) = at_a_terminal(&fake, "rm --prefix a", "n\n") else {
        println!("skipped: script(1) is not installed");
        return;
    };
    let ended = ended.exits(1);
    assert!(
        ended
            .text()
            .contains("remove 2 keys that begin with a? [y/N]"),
        "{}",
        ended.text()
    );
    assert_eq!(fake.len(), 2);
    at_a_terminal(&fake, "rm --prefix a", "y\n")
        .expect("script(1)")
        .exits(0);
    assert_eq!(fake.len(), 0);
}

/// Runs a command with a terminal around it, which script(1) makes.
fn at_a_terminal(fake: &Fake, command: &str, input: &str) -> Option<Ended> {
    let line = format!(
        "{} --endpoint {} {command}",
        env!("CARGO_BIN_EXE_kvcli"),
        fake.endpoint
    );
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = script.spawn().ok()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("fed");
    let ended = wait(child);
    drop(stdin);
    Some(ended)
}

#[test]
fn too_many_keys_for_one_step_are_refused_with_the_way_out() {
    let fake = Fake::start();
    let mut script = String::new();
    for i in 0..5_000 {
        writeln!(script, "set {i} x").expect("a string");
    }
    feed(&fake, &[], script).exits(0);
    run(&fake, &["rm", "--all", "--yes"])
        .exits(4)
        .says("RANGE_TOO_LARGE")
        .says("--chunked");
    run(&fake, &["scan", "--keys-only"]).exits(0);
    run(&fake, &["rm", "--all", "--yes", "--chunked"])
        .exits(0)
        .prints("5000\n");
}
