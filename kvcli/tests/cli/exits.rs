//! Every exit code, each for the reasons it promises.

use std::{
    io::Read as _,
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use kvproto::v1::ErrorReason;
use tonic::Code;

use crate::{
    fake::{Fake, Mishap},
    run::{feed, kvcli, run, signal, until, wait},
};

#[test]
fn usage_is_2_and_says_what() {
    let fake = Fake::start();
    let table: [(&[&str], &str); 16] = [
        (&["frob"], "frob"),
        (&["get"], "<KEY>"),
        (&["get", "a", "b"], "'b'"),
        (&["set", "k"], "required"),
        (&["set", "k", "v", "--stdin"], "cannot be used with"),
        (
            &["set", "k", "v", "--if-absent", "--if-revision", "1"],
            "cannot be used with",
        ),
        (&["set", "k", "v", "--if-revision", "x"], "--if-revision"),
        (&["set", "k", "v", "--ttl", "5"], "no unit"),
        (&["--timeout", "5", "get", "k"], "no unit"),
        (&["--durability", "maybe", "set", "k", "v"], "maybe"),
        (&["-o", "yaml", "get", "k"], "yaml"),
        (&["--endpoint", "x", "get", "k"], "port is missing"),
        (&["-o", "jsonl", "get", "k", "--no-newline"], "raw"),
        (&["--window", "5", "get", "k"], "for scripts"),
        (&["--continue-on-error", "get", "k"], "for scripts"),
        (&["--window", "0"], "--window"),
    ];
    for (args, part) in table {
        run(&fake, args).exits(2).prints("").says(part);
    }
}

#[test]
fn help_and_version_are_0() {
    let fake = Fake::start();
    let help = run(&fake, &["--help"]).exits(0);
    for command in [
        "get", "mget", "set", "del", "incr", "expire", "ttl", "scan", "count", "rm", "txn", "hash",
        "status",
    ] {
        assert!(
            help.text().contains(&format!("\n  {command} ")),
            "{command}: {}",
            help.text()
        );
    }
    run(&fake, &["set", "--help"]).exits(0);
    run(&fake, &["--version"])
        .exits(0)
        .prints(concat!("kvcli ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn unreachable_is_3() {
    let mut command = kvcli();
    command.args([
        "--endpoint",
        "127.0.0.1:1",
        "--endpoint",
        "unix:/no/such",
        "set",
        "k",
        "v",
    ]);
    wait(command.spawn().expect("starts"))
        .exits(3)
        .says("nothing was sent")
        .says("127.0.0.1:1")
        .says("unix:/no/such");
    let mut command = kvcli();
    command.args(["--endpoint", "no-such-host.invalid:1", "get", "k"]);
    wait(command.spawn().expect("starts"))
        .exits(3)
        .says("no-such-host.invalid:1");
}

#[test]
fn refused_is_4_with_reason_and_hint() {
    let fake = Fake::start();
    run(&fake, &["set", "", "v"])
        .exits(4)
        .says("EMPTY_KEY")
        .says("hint");
    run(&fake, &["mget", "a", ""]).exits(4).says("EMPTY_KEY");
    run(&fake, &["del", "a", ""]).exits(4).says("EMPTY_KEY");
    fake.mishap(
        "full",
        Mishap::Refuse(Code::ResourceExhausted, ErrorReason::MemoryLimit),
    );
    run(&fake, &["set", "full", "v"])
        .exits(4)
        .says("MEMORY_LIMIT")
        .says("memory.max_bytes");
    fake.mishap(
        "drain",
        Mishap::Refuse(Code::Unavailable, ErrorReason::Draining),
    );
    run(&fake, &["get", "drain"]).exits(4).says("DRAINING");
    fake.mishap("proxy", Mishap::Transport(Code::Unimplemented));
    run(&fake, &["get", "proxy"])
        .exits(4)
        .says("Unimplemented")
        .says("kvd");
}

#[test]
fn undecided_is_5() {
    let fake = Fake::start();
    fake.mishap(
        "lost",
        Mishap::Refuse(Code::Unknown, ErrorReason::UnknownOutcome),
    );
    run(&fake, &["set", "lost", "v", "--no-request-id"])
        .exits(5)
        .says("UNKNOWN_OUTCOME")
        .says("read the key");
    for code in [
        Code::Unavailable,
        Code::Internal,
        Code::Unknown,
        Code::Cancelled,
    ] {
        fake.mishap("cut", Mishap::Transport(code));
        run(&fake, &["set", "cut", "v", "--no-request-id"])
            .exits(5)
            .says("undecided");
    }
    fake.mishap("slow", Mishap::Stall);
    let start = Instant::now();
    run(&fake, &["--timeout", "300ms", "set", "slow", "v"])
        .exits(5)
        .says("undecided");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
    fake.mishap("die", Mishap::Die);
    run(&fake, &["set", "die", "v", "--no-request-id"])
        .exits(5)
        .says("undecided");
}

/// Something that takes connections and is no kvd must not hang the client.
#[test]
fn a_silent_listener_is_5_within_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut command = kvcli();
    command.args(["--endpoint", &address, "--timeout", "300ms", "get", "k"]);
    wait(command.spawn().expect("starts"))
        .exits(5)
        .says("300ms");
}

#[test]
fn loading_is_retried_within_the_timeout() {
    let fake = Fake::start();
    fake.answer_loading(3);
    run(&fake, &["set", "k", "v"]).exits(0);
    assert_eq!(fake.seen(), ["k"]);
    fake.answer_loading(u32::MAX);
    run(&fake, &["--timeout", "200ms", "get", "k"])
        .exits(4)
        .says("LOADING")
        .says("--timeout");
    fake.answer_loading(2);
    feed(&fake, &[], "set l 1\nget k\n").exits(0).prints("v\n");
    assert_eq!(fake.seen(), ["k", "l"]);
    fake.answer_loading(u32::MAX);
    feed(&fake, &["--timeout", "200ms"], "set m 1\nget k\n")
        .exits(4)
        .says("line 1: refused: LOADING");
    assert_eq!(fake.seen(), ["k", "l"]);
}

#[test]
fn ctrl_c_is_130() {
    let fake = Fake::start();
    fake.mishap("slow", Mishap::Stall);
    let mut command = kvcli();
    command.args([
        "--endpoint",
        &fake.endpoint,
        "--timeout",
        "1m",
        "set",
        "slow",
        "v",
    ]);
    let child = command.spawn().expect("starts");
    until("the write has arrived", || fake.seen() == ["slow"]);
    signal(i32::try_from(child.id()).expect("an id"), "INT");
    wait(child).exits(130).says("interrupted").says("not known");
}

#[test]
fn ctrl_c_in_a_script_names_the_open_lines() {
    let fake = Fake::start();
    fake.mishap("slow", Mishap::Stall);
    let mut command = kvcli();
    command
        .args(["--endpoint", &fake.endpoint, "--timeout", "1m"])
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"set a 1\nset b 2\nset slow 3\nset c 4\n").expect("fed");
    until("the slow write has arrived", || {
        fake.seen().iter().any(|key| key == "slow")
    });
    // The line behind it may be on its way still.
    std::thread::sleep(Duration::from_millis(300));
    signal(i32::try_from(child.id()).expect("an id"), "INT");
    wait(child).exits(130).says("interrupted").says("3-4");
    drop(stdin);
}

#[test]
fn a_closed_standard_output_ends_quietly() {
    let fake = Fake::start();
    run(&fake, &["set", "k", &"x".repeat(1_000)]).exits(0);
    let mut command = kvcli();
    command
        .args(["--endpoint", &fake.endpoint])
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let feeder = std::thread::Builder::new().spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, "get k\n".repeat(50_000).as_bytes());
    });
    let mut first = [0; 10];
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_exact(&mut first)
        .expect("some output");
    let ended = wait(child).exits(0);
    assert_eq!(ended.err, "");
    feeder.expect("a thread").join().expect("the feeder ends");
}

#[test]
fn a_full_standard_output_is_no_success() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v"]).exits(0);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let mut command = kvcli();
    command
        .args(["--endpoint", &fake.endpoint, "get", "k"])
        .stdout(full);
    wait(command.spawn().expect("starts"))
        .exits(2)
        .says("cannot write to standard output");
}
