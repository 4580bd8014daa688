//! Scripts under --retry: what a broken stream leaves is sent again, in order.

use std::fmt::Write as _;

use kvproto::v1::ErrorReason;
use tonic::Code;

use crate::{
    fake::{Fake, Mishap},
    run::feed,
};

#[test]
fn a_script_outlives_broken_streams() {
    for mishap in [Mishap::LoseReply, Mishap::Crash] {
        let fake = Fake::start();
        for key in ["n3", "n7", "n8"] {
            fake.mishaps(key, mishap.clone(), 1);
        }
        let mut script = String::new();
        let mut expected = String::new();
        for i in 0..50 {
            writeln!(script, "incr n{}\nget n{i}", i % 10).expect("a string");
            let first = if i < 10 { "1" } else { "" };
            writeln!(expected, "{}\n{first}", i / 10 + 1).expect("a string");
        }
        feed(&fake, &["--retry"], script).exits(0).prints(expected);
        assert_eq!(fake.seen().len(), 50, "{mishap:?}: each applied once");
        let order: Vec<String> = (0..50).map(|i| format!("n{}", i % 10)).collect();
        assert_eq!(fake.seen(), order);
        assert!(fake.ids().len() > 50, "some were sent again");
    }
}

#[test]
fn a_script_without_retry_does_not() {
    let fake = Fake::start();
    fake.mishaps("x", Mishap::LoseReply, 1);
    feed(&fake, &[], "set a 1\nset b 2\nincr x\nset c 3\n")
        .exits(5)
        .says("lines 3-4: undecided");
    assert!(fake.ids().is_empty());
    assert_eq!(fake.value(b"c"), None);
}

#[test]
fn a_script_with_retry_gives_up_without_progress() {
    for mishap in [
        Mishap::Transport(Code::Unavailable),
        Mishap::Stall,
        Mishap::Die,
    ] {
        let fake = Fake::start();
        fake.mishap("x", mishap);
        feed(
            &fake,
            &["--retry", "--timeout", "1s"],
            "set a 1\nset b 2\nget b\nset x 3\nset c 4\n",
        )
        .exits(5)
        .prints("2\n")
        .says("undecided");
        assert_eq!(fake.value(b"c"), None);
    }
}

#[test]
fn a_script_with_retry_waits_for_a_restart() {
    let fake = Fake::start();
    fake.mishaps(
        "x",
        Mishap::Refuse(Code::Unavailable, ErrorReason::Draining),
        2,
    );
    fake.mishaps(
        "y",
        Mishap::Kvd(Code::Unavailable, ErrorReason::Draining),
        2,
    );
    fake.mishaps(
        "z",
        Mishap::Refuse(Code::Unknown, ErrorReason::UnknownOutcome),
        2,
    );
    let script = "set a 1\nset b 2\nset x 3\nset y 4\nset z 5\nscan --keys-only\n";
    feed(&fake, &["--retry"], script)
        .exits(0)
        .prints("a\nb\nx\ny\nz\n");
}

#[test]
fn refusals_still_end_a_script_with_retry() {
    let fake = Fake::start();
    fake.mishaps("a", Mishap::LoseReply, 1);
    feed(
        &fake,
        &["--retry"],
        "set b 1\nset a 1\nset '' 2\nset c 3\nget c\n",
    )
    .exits(4)
    .says("line 3: refused: EMPTY_KEY");
    let fake = Fake::start();
    fake.mishaps("a", Mishap::LoseReply, 1);
    let script = "set b 1\nset a 1\nset '' 2\nset c 3\nget c\n";
    feed(&fake, &["--retry", "--continue-on-error"], script)
        .exits(4)
        .prints("3\n");
}

#[test]
fn an_older_server_runs_scripts_without_retry() {
    for first in ["set a 1", "get a"] {
        let fake = Fake::start();
        fake.refuse_ids(ErrorReason::CapabilityMissing);
        let script = format!("{first}\nset b 2\nget b\n");
        let ended = feed(&fake, &["--retry"], script).exits(0);
        assert!(ended.text().ends_with("2\n"), "{}", ended.text());
        ended.says("going on without --retry");
        assert!(fake.ids().is_empty());
    }
}

#[test]
fn a_line_without_an_id_is_not_sent_again() {
    let fake = Fake::start();
    fake.mishaps("a", Mishap::LoseReply, 1);
    let script = "get x\nincr a\nincr b --no-request-id\nincr c\n";
    feed(&fake, &["--retry", "--timeout", "2s"], script)
        .exits(5)
        .says("lines 2-4: undecided");
    assert_eq!(fake.seen(), ["a"]);
    let fake = Fake::start();
    fake.mishaps("a", Mishap::LoseReply, 1);
    feed(
        &fake,
        &["--retry"],
        "incr b --no-request-id\nincr a\nincr c\n",
    )
    .exits(0)
    .prints("1\n1\n1\n");
}
