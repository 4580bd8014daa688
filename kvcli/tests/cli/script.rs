//! Script mode: order, results, where it stops and what it says then.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use kvproto::v1::ErrorReason;
use tonic::Code;

use crate::{
    fake::{Fake, Mishap, VALUE_LIMIT},
    run::{feed, kvcli, wait},
};

#[test]
fn results_come_in_the_order_of_the_lines() {
    let fake = Fake::start();
    let script = "# a comment\n\nset a 1\nget a\nset a 2\nget a\nget none\n\
                  mget a none a\ndel a none\nget a\n  \nset 'b c' \"\\x00\\n\"\nget 'b c'";
    feed(&fake, &[], script)
        .exits(0)
        .prints("1\n2\n\n2\n\n2\n1\n\n\0\n\n");
    assert_eq!(fake.seen(), ["a", "a", "a", "none", "b c"]);
}

#[test]
fn quotes_inside_words_are_letters() {
    let fake = Fake::start();
    feed(&fake, &[], "set Aaron's 12\nset C:\\dir \"a b\"\n")
        .exits(0)
        .prints("");
    assert_eq!(fake.value(b"Aaron's").as_deref(), Some(&b"12"[..]));
    assert_eq!(fake.value(b"C:\\dir").as_deref(), Some(&b"a b"[..]));
}

#[test]
fn many_lines_go_ahead_of_their_answers() {
    let fake = Fake::start();
    let mut script = String::new();
    let mut expected = String::new();
    for i in 0..20_000 {
        writeln!(script, "set key-{i} {i}").expect("a string");
        if i % 3 == 0 {
            writeln!(script, "get key-{i}").expect("a string");
            writeln!(expected, "{i}").expect("a string");
        }
    }
    feed(&fake, &[], &script).exits(0).prints(&expected);
    assert_eq!(fake.len(), 20_000);
    let seen = fake.seen();
    assert!(
        (0..20_000).all(|i| seen[i] == format!("key-{i}")),
        "strictly in order"
    );
    assert!(fake.most_ahead() > 100, "batches of {}", fake.most_ahead());
}

#[test]
fn the_window_is_kept() {
    let fake = Fake::start();
    let mut script = String::new();
    for i in 0..500 {
        writeln!(script, "set {i} {i}").expect("a string");
    }
    feed(&fake, &["--window", "3"], &script).exits(0);
    assert_eq!(fake.len(), 500);
    assert!(fake.most_ahead() <= 3, "{}", fake.most_ahead());
    let fake = Fake::start();
    feed(&fake, &["--window", "1"], &script).exits(0);
    assert_eq!((fake.len(), fake.most_ahead()), (500, 1));
}

#[test]
fn a_program_that_waits_for_each_result_is_not_kept_waiting() {
    let fake = Fake::start();
    let mut command = kvcli();
    command
        .args(["--endpoint", &fake.endpoint])
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for i in 0..50 {
        writeln!(stdin, "set k {i}\nget k").expect("fed");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("an answer");
        assert_eq!(line, format!("{i}\n"));
    }
    drop(stdin);
    wait(child).exits(0);
}

#[test]
fn a_line_after_the_server_went_away_is_not_undecided() {
    for line in ["set b 2", "set b --file /etc/passwd --if-absent", "status"] {
        let fake = Fake::start();
        let mut command = kvcli();
        command
            .args(["--endpoint", &fake.endpoint])
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        writeln!(stdin, "get k").expect("fed");
        stdout.read_line(&mut String::new()).expect("an answer");
        drop(fake);
        // The program learns of it on its own time.
        std::thread::sleep(std::time::Duration::from_millis(300));
        writeln!(stdin, "{line}").expect("fed");
        drop(stdin);
        wait(child)
            .exits(3)
            .says("line 2: unreachable, nothing was sent");
    }
}

#[test]
fn status_in_a_script_waits_for_the_lines_before() {
    let fake = Fake::start();
    let ended = feed(&fake, &[], "set a 1\nset b 2\nstatus\nset c 3\nstatus\n").exits(0);
    let keys: Vec<&str> = ended
        .text()
        .lines()
        .filter(|l| l.starts_with("keys="))
        .collect();
    assert_eq!(keys, ["keys=2", "keys=3"]);
}

#[test]
fn formats_work_in_scripts() {
    let fake = Fake::start();
    let jsonl = feed(&fake, &["-o", "jsonl"], "set a 1\nget a\ndel a\nget a\n").exits(0);
    assert_eq!(jsonl.text().lines().count(), 4);
    feed(&fake, &["-o", "csv"], "set a 1\nget a\nget b\ndel a\n")
        .exits(0)
        .prints(
            "key,applied,revision,version,create_revision,durable\na,true,4,1,4,true\n\
         key,found,value,mod_revision,version,create_revision,expires_at_ms\na,true,1,4,1,4,0\n\
         b,false,,,,,\nkey,deleted,revision\na,true,5\n",
        );
}

#[test]
fn a_condition_not_met_is_a_result() {
    let fake = Fake::start();
    feed(&fake, &[], "set a 1\nset a 2 --if-absent\nget a\n")
        .exits(0)
        .prints("1\n")
        .says("line 2: not set: a exists");
}

#[test]
fn a_syntax_error_stops_before_anything_after_it() {
    let fake = Fake::start();
    feed(&fake, &[], "set a 1\nset b 2\nset 'c 3\nset d 4\n")
        .exits(2)
        .says("line 3: quote opened in column 5")
        .says("stopped at line 3: lines up to 2 had been sent");
    assert_eq!(fake.seen(), ["a", "b"]);
    feed(&fake, &[], "frob\nset d 4\n")
        .exits(2)
        .says("line 1")
        .says("nothing was sent");
    assert_eq!(fake.seen(), ["a", "b"]);
}

#[test]
fn the_first_refusal_stops_the_reading() {
    let fake = Fake::start();
    feed(&fake, &["--window", "1"], "set a 1\nset '' 2\nset c 3\n")
        .exits(4)
        .says("line 2: refused: EMPTY_KEY")
        .says("stopped at line 2: no line after it was sent");
    assert_eq!(fake.seen(), ["a", ""]);
}

#[test]
fn lines_already_sent_are_answered_and_named() {
    let fake = Fake::start();
    let ended = feed(&fake, &[], "set a 1\nset '' 2\nset c 3\nget c\n").exits(4);
    let ended = ended.says("line 2: refused: EMPTY_KEY").prints("3\n");
    ended.says("stopped at line 2: lines 3-4 had been sent already");
}

#[test]
fn continue_on_error_goes_on_and_keeps_the_worst_code() {
    let fake = Fake::start();
    let script = "set a 1\nfrob\nset '' 2\nset c 3\nget c\n";
    feed(&fake, &["--continue-on-error"], script)
        .exits(4)
        .prints("3\n")
        .says("line 2: unrecognized subcommand")
        .says("line 3: refused: EMPTY_KEY");
    feed(&fake, &["--continue-on-error"], "frob\nget c\n")
        .exits(2)
        .prints("3\n");
}

#[test]
fn items_refused_inside_a_line_are_refusals() {
    let fake = Fake::start();
    feed(&fake, &["--window", "1"], "set a 1\nmget a ''\nset b 2\n")
        .exits(4)
        .prints("1\n\n")
        .says("line 2: : EMPTY_KEY");
    assert_eq!(fake.seen(), ["a"]);
}

#[test]
fn nothing_goes_on_after_an_undecided_line() {
    let fake = Fake::start();
    fake.mishap(
        "lost",
        Mishap::Refuse(Code::Unknown, ErrorReason::UnknownOutcome),
    );
    let script = "set a 1\nset lost 2\nset c 3\n";
    feed(&fake, &["--window", "1", "--continue-on-error"], script)
        .exits(5)
        .says("line 2: undecided: UNKNOWN_OUTCOME");
    assert_eq!(fake.seen(), ["a", "lost"]);
}

#[test]
fn a_broken_stream_leaves_the_open_lines_undecided() {
    for mishap in [
        Mishap::Die,
        Mishap::Transport(Code::Unavailable),
        Mishap::Stall,
    ] {
        let fake = Fake::start();
        fake.mishap("x", mishap.clone());
        let script = "set a 1\nset b 2\nget b\nset x 3\nset c 4\n";
        feed(&fake, &["--timeout", "500ms"], script)
            .exits(5)
            .prints("2\n")
            .says("lines 4-5: undecided");
        assert_eq!(fake.value(b"c"), None, "{mishap:?}");
    }
}

#[test]
fn a_stream_that_kvd_ends_refuses_the_open_lines() {
    let fake = Fake::start();
    fake.mishap("x", Mishap::Kvd(Code::Unavailable, ErrorReason::Draining));
    feed(&fake, &[], "set a 1\nset b 2\nset x 3\nset c 4\n")
        .exits(4)
        .says("lines 3-4: refused: DRAINING");
}

#[test]
fn an_unreachable_server_is_3_and_only_when_it_is_needed() {
    let script = |input: &str| {
        let mut command = kvcli();
        command
            .args(["--endpoint", "127.0.0.1:1"])
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("fed");
        drop(stdin);
        wait(child)
    };
    script("set a 1\n").exits(3).says("nothing was sent");
    script("").exits(0);
    script("# only a comment\n").exits(0);
    script("frob\n").exits(2);
}

#[test]
fn large_values_travel_and_are_refused_alone() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let small = dir.path().join("small");
    let large = dir.path().join("large");
    std::fs::write(&small, vec![b'x'; VALUE_LIMIT]).expect("written");
    std::fs::write(&large, vec![b'y'; 10 * VALUE_LIMIT]).expect("written");
    let mut script = String::new();
    for i in 0..20 {
        writeln!(script, "set s{i} --file '{}'", small.display()).expect("a string");
    }
    writeln!(script, "set large --file '{}'", large.display()).expect("a string");
    writeln!(script, "set after 1").expect("a string");
    feed(&fake, &["--continue-on-error"], &script)
        .exits(4)
        .says("line 21: refused: VALUE_TOO_LARGE");
    assert_eq!(fake.len(), 21);
    assert_eq!(
        fake.value(b"s19").map(|value| value.len()),
        Some(VALUE_LIMIT)
    );
}

#[test]
fn flags_on_a_line_hold_for_that_line() {
    let fake = Fake::start();
    let script = "set a 1\nset b 2 --durability none\nset c 3\n";
    feed(&fake, &["--durability", "logged"], script).exits(0);
    let asked: Vec<i32> = fake.write_options().iter().map(|o| o.durability).collect();
    assert_eq!(asked, [2, 1, 2]);
}
