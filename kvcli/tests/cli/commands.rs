//! Commands as they are given: conditions, values, files, flags, endpoints; and the examples
//! in the help.

use std::fs;

use kvproto::v1;

use crate::{
    fake::{Fake, VALUE_LIMIT},
    run::{feed, kvcli, run, wait},
};

#[test]
fn conditions_decide_and_tell() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "1", "--if-present"])
        .exits(1)
        .says("k does not exist");
    run(&fake, &["set", "k", "1", "--if-revision", "3"])
        .exits(1)
        .says("k does not exist");
    run(&fake, &["set", "k", "1", "--if-revision", "0"]).exits(0);
    run(&fake, &["set", "k", "2", "--if-absent"])
        .exits(1)
        .says("k exists")
        .says("revision 2");
    run(&fake, &["set", "k", "2", "--if-present"]).exits(0);
    run(&fake, &["set", "k", "3", "--if-revision", "2"])
        .exits(1)
        .says("revision 3");
    run(&fake, &["set", "k", "3", "--if-revision", "3"]).exits(0);
    assert_eq!(fake.value(b"k").as_deref(), Some(&b"3"[..]));
}

#[test]
fn values_begin_with_dashes_and_hold_any_byte() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "-5"]).exits(0);
    run(&fake, &["get", "k"]).exits(0).prints("-5\n");
    run(&fake, &["set", "k", "--verbose"]).exits(0);
    run(&fake, &["get", "k"]).exits(0).prints("--verbose\n");
    run(&fake, &["set", "--", "-k", "--if-absent"]).exits(0);
    run(&fake, &["get", "--", "-k"])
        .exits(0)
        .prints("--if-absent\n");
    let all: Vec<u8> = (0..=255).collect();
    feed(&fake, &["set", "all", "--stdin"], &all).exits(0);
    run(&fake, &["get", "all", "--no-newline"])
        .exits(0)
        .prints(&all);
}

#[test]
fn files_are_stored_byte_for_byte() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("value");
    let path_text = path.to_str().expect("a plain path");
    for size in [0, 1, 4_096, 100_000, VALUE_LIMIT] {
        let value: Vec<u8> = (0..size)
            .map(|i| u8::try_from(i * 31 % 251).expect("small"))
            .collect();
        fs::write(&path, &value).expect("written");
        run(&fake, &["set", "f", "--file", path_text]).exits(0);
        run(&fake, &["get", "f", "--no-newline"])
            .exits(0)
            .prints(&value);
    }
    for size in [VALUE_LIMIT + 1, 6_000_000, 16 * 1024 * 1024] {
        fs::write(&path, vec![7; size]).expect("written");
        run(&fake, &["set", "f", "--file", path_text])
            .exits(4)
            .says("VALUE_TOO_LARGE");
    }
    fs::write(&path, vec![7; 16 * 1024 * 1024 + 1]).expect("written");
    run(&fake, &["set", "f", "--file", path_text])
        .exits(4)
        .says("VALUE_TOO_LARGE");
    run(&fake, &["set", "f", "--file", "/no/such/file"])
        .exits(2)
        .says("/no/such/file");
    run(&fake, &["get", "f"]).exits(0);
}

#[test]
fn durability_is_passed_on_before_and_after_the_command() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v", "--no-request-id"]).exits(0);
    assert!(
        fake.write_options().is_empty(),
        "server defaults need no options"
    );
    run(&fake, &["--durability", "none", "set", "k", "v"]).exits(0);
    run(&fake, &["set", "k", "v", "--durability", "synced"]).exits(0);
    run(&fake, &["del", "a", "b", "--durability", "logged"]).exits(1);
    let wanted = [
        v1::Durability::None,
        v1::Durability::Synced,
        v1::Durability::Logged,
    ];
    let asked: Vec<v1::Durability> = fake
        .write_options()
        .iter()
        .map(v1::WriteOptions::durability)
        .collect();
    assert_eq!(asked, wanted);
    run(&fake, &["--read-level", "latest", "get", "k"])
        .exits(0)
        .prints("v\n");
}

#[test]
fn flags_after_many_keys_are_flags() {
    let fake = Fake::start();
    run(&fake, &["set", "a", "1"]).exits(0);
    let ended = run(&fake, &["mget", "a", "a", "-o", "jsonl"]).exits(0);
    assert!(
        ended.text().starts_with("{\"results\":["),
        "{}",
        ended.text()
    );
    run(&fake, &["del", "a", "--durability", "none"])
        .exits(0)
        .prints("1\n");
}

#[test]
fn endpoints_come_from_the_environment_and_are_tried_in_order() {
    let fake = Fake::start();
    let mut command = kvcli();
    command
        .env("KVCLI_ENDPOINT", &fake.endpoint)
        .args(["set", "k", "v"]);
    wait(command.spawn().expect("starts")).exits(0);
    let mut command = kvcli();
    command.args([
        "--endpoint",
        "127.0.0.1:1",
        "--endpoint",
        &fake.endpoint,
        "get",
        "k",
    ]);
    wait(command.spawn().expect("starts"))
        .exits(0)
        .prints("v\n")
        .says("skipped 127.0.0.1:1");
    let mut command = kvcli();
    command.env("KVCLI_ENDPOINT", "nonsense").args(["get", "k"]);
    wait(command.spawn().expect("starts"))
        .exits(2)
        .says("KVCLI_ENDPOINT");
}

#[test]
fn unix_sockets_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let fake = Fake::start_unix(&dir.path().join("kvd.sock"));
    run(&fake, &["set", "k", "v"]).exits(0);
    run(&fake, &["get", "k"]).exits(0).prints("v\n");
}

/// The examples in the help of a command: its lines, without what they do.
pub(crate) fn examples(command: &str) -> String {
    let mut kvcli = kvcli();
    let child = kvcli
        .args([command, "--help"])
        .env("COLUMNS", "200")
        .spawn();
    let ended = wait(child.expect("the program starts")).exits(0);
    let text = ended.text();
    let (_, examples) = text
        .split_once("Examples, as lines of a ")
        .expect("examples");
    let (_, examples) = examples.split_once(":\n").expect("examples");
    let line = |line: &str| line.trim_start().split("  ").next().map(str::to_owned);
    let lines: Vec<String> = examples.lines().filter_map(line).collect();
    lines.join("\n") + "\n"
}

#[test]
fn every_example_in_the_help_runs() {
    let fake = Fake::start();
    let mut script = String::new();
    let order = [
        "set", "get", "mget", "incr", "expire", "ttl", "scan", "count", "hash", "txn", "del", "rm",
        "status", "config", "reload", "snapshot",
    ];
    for command in order {
        script += &examples(command);
    }
    let lines = script.lines().count();
    assert!(lines > 25, "{script}");
    feed(&fake, &[], &script).exits(0);
    let help = run(&fake, &["--help"]).exits(0);
    let commands = help
        .text()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        let Some(name) = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))
        else {
            continue;
        };
        let name = name.split(' ').next().expect("a word");
        // Those that run only alone are run by the test of the pages, the watch at a prompt.
        if [
            "acknowledge-repair",
            "backup",
            "bench",
            "top",
            "verify",
            "watch",
        ]
        .contains(&name)
        {
            continue;
        }
        assert!(
            order.contains(&name),
            "{name} has no examples that were run"
        );
    }
}

#[test]
fn a_snapshot_tells_what_it_holds() {
    let fake = Fake::start();
    let raw = run(&fake, &["snapshot"]).exits(0);
    assert_eq!(
        raw.text(),
        "records=3\nbytes=400\nstart_revision=7\nend_revision=9\ntook_ms=2\n"
    );
    let line = run(&fake, &["-o", "jsonl", "snapshot"]).exits(0);
    assert!(
        line.text().contains("\"end_revision\":9"),
        "{}",
        line.text()
    );
}

#[test]
fn settings_are_listed_with_where_they_come_from() {
    let fake = Fake::start();
    let raw = run(&fake, &["config", "--set"]).exits(0);
    assert_eq!(raw.text(), "log.sync=never\nmemory.max_bytes=1GiB\n");
    let table = run(&fake, &["-o", "table", "config"]).exits(0);
    let table = table.text();
    let line = |name: &str| {
        let line = table.lines().find(|line| line.contains(name));
        let words = line.expect(name).split([' ', '\u{2502}', '\u{2506}']);
        let words = words.filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    assert!(
        line("log.io").contains("log.io mmap default restart"),
        "{table}"
    );
    assert!(line("log.sync").contains("log.sync never /k.toml:3 restart"));
    // An older server does not say the place.
    assert!(line("memory").contains("memory.max_bytes 1GiB flag reload"));
    let line = run(&fake, &["-o", "jsonl", "config", "log.s"]).exits(0);
    let expected = "{\"settings\":[{\"name\":\"log.sync\",\"value\":\"never\",\"origin\":\"file\",\
                    \"place\":\"/k.toml:3\",\"change\":\"restart\"}]}\n";
    assert_eq!(line.text(), expected);
    let none = run(&fake, &["config", "no.such"]).exits(1);
    assert_eq!(none.text(), "");
}

#[test]
fn a_reload_tells_what_it_came_to() {
    let fake = Fake::start();
    let raw = run(&fake, &["reload"]).exits(0);
    assert_eq!(
        raw.text(),
        "changed=memory.max_bytes\nneeds_restart=log.sync\n"
    );
    assert!(raw.err.contains("odd"), "{}", raw.err);
    let refused = run(&fake, &["reload"]).exits(4);
    assert_eq!(refused.text(), "");
    for part in ["BAD_CONFIG", "log.sync: bad", "\n  /k.toml:4:1: worse"] {
        assert!(refused.err.contains(part), "{}", refused.err);
    }
    let json = run(&fake, &["-o", "jsonl", "reload"]).exits(0);
    let change = "{\"name\":\"log.sync\",\"before\":\"always\",\"after\":\"never\",\
                  \"place\":\"/k.toml:9\",\"takes_effect\":\"restart\"}";
    assert!(json.text().contains(change), "{}", json.text());
}
