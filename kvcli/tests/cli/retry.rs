//! Writes whose answer gets lost: request ids, and sending again.

use kvproto::v1::{Capability, ErrorReason, operation::Operation as Op};
use tonic::Code;

use crate::{
    fake::{Fake, Mishap},
    run::{feed, kvcli, run, wait},
};

/// A write as one shot.
struct Write {
    args: &'static [&'static str],
    /// What its mishap hangs on.
    key: &'static str,
    code: i32,
    prints: &'static str,
    /// How many changes the fake counts if it is applied once.
    changes: usize,
}

const fn write(args: &'static [&'static str], key: &'static str, prints: &'static str) -> Write {
    Write {
        args,
        key,
        code: 0,
        prints,
        changes: 1,
    }
}

const WRITES: [Write; 7] = [
    write(&["set", "k", "v"], "k", ""),
    write(&["incr", "n"], "n", "1\n"),
    write(&["expire", "e", "1h"], "e", ""),
    write(&["del", "e"], "e", "1\n"),
    write(&["rm", "--prefix", "p", "--yes"], "rm", "2\n"),
    Write {
        code: 1,
        changes: 2,
        ..write(&["del", "l", "none"], "batch", "1\n")
    },
    Write {
        changes: 2,
        ..write(&["txn", "--file"], "txn", "8\n")
    },
];

#[test]
fn every_write_has_a_new_id_of_16_bytes() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v"]).exits(0);
    run(&fake, &["set", "k", "v"]).exits(0);
    run(&fake, &["incr", "n"]).exits(0);
    run(&fake, &["expire", "k", "1h"]).exits(0);
    run(&fake, &["del", "k"]).exits(0);
    run(&fake, &["del", "k", "n"]).exits(1);
    run(&fake, &["rm", "--prefix", "p", "--yes"]).exits(0);
    feed(&fake, &["txn"], "then\nset k 1\nend\n").exits(0);
    let mut ids = fake.ids();
    assert_eq!(ids.len(), 8);
    assert!(ids.iter().all(|id| id.len() == 16), "{ids:?}");
    let required = i32::from(Capability::RequestId);
    assert!(
        fake.write_options()
            .iter()
            .all(|options| options.require == [required])
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    run(&fake, &["rm", "--prefix", "p", "--dry-run"]).exits(0);
    run(&fake, &["get", "k"]).exits(0);
    feed(&fake, &[], "set k v\n").exits(0);
    run(&fake, &["set", "k", "v", "--no-request-id"]).exits(0);
    assert_eq!(fake.ids().len(), 8);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_applied_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("txn");
    std::fs::write(&path, "then\nincr t --by 8\nend\n").expect("written");
    let path = path.to_str().expect("a plain path");
    for mishap in [Mishap::LoseReply, Mishap::Crash] {
        for write in &WRITES {
            let fake = Fake::start();
            feed(&fake, &[], "set l 1\nset e 1\nset p1 1\nset p2 1\n").exits(0);
            let before = fake.seen().len();
            fake.mishaps(write.key, mishap.clone(), 2);
            let mut args = write.args.to_vec();
            if args[0] == "txn" {
                args.push(path);
            }
            run(&fake, &args).exits(write.code).prints(write.prints);
            let seen = fake.seen().split_off(before);
            assert_eq!(seen.len(), write.changes, "{mishap:?} {args:?}: {seen:?}");
            let ids = fake.ids();
            assert_eq!(ids.len(), 3, "{mishap:?} {args:?}");
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}

#[test]
fn without_an_id_nothing_is_sent_twice() {
    let fake = Fake::start();
    fake.mishaps("m", Mishap::Transport(Code::Unavailable), u32::MAX);
    run(&fake, &["incr", "m", "--no-request-id"])
        .exits(5)
        .says("undecided");
    assert_eq!(fake.seen(), ["m"]);
    run(&fake, &["get", "m"]).exits(5);
    assert_eq!(fake.arrived().len(), 2);
}

#[test]
fn an_answer_that_never_comes_is_undecided() {
    let fake = Fake::start();
    fake.mishap("k", Mishap::Transport(Code::Unavailable));
    run(&fake, &["--timeout", "1s", "set", "k", "v"])
        .exits(5)
        .says("undecided");
    let ids = fake.ids();
    assert!(
        ids.len() > 2 && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    fake.mishap(
        "u",
        Mishap::Refuse(Code::Unknown, ErrorReason::UnknownOutcome),
    );
    run(&fake, &["--timeout", "1s", "set", "u", "v"])
        .exits(5)
        .says("UNKNOWN_OUTCOME");
    fake.mishap("d", Mishap::Die);
    run(&fake, &["--timeout", "1s", "set", "d", "v"])
        .exits(5)
        .says("undecided")
        .says("unreachable");
}

#[test]
fn a_refusal_after_a_lost_answer_does_not_decide() {
    let fake = Fake::start();
    fake.mishaps("k", Mishap::Transport(Code::Unavailable), 1);
    fake.mishap_later(
        "k",
        Mishap::Refuse(Code::Unavailable, ErrorReason::Draining),
    );
    run(&fake, &["--timeout", "1s", "set", "k", "v"])
        .exits(5)
        .says("undecided")
        .says("DRAINING");
    fake.mishaps("m", Mishap::Transport(Code::Unavailable), 1);
    fake.mishap_later(
        "m",
        Mishap::Refuse(Code::FailedPrecondition, ErrorReason::NotAnInteger),
    );
    run(&fake, &["incr", "m"]).exits(4).says("NOT_AN_INTEGER");
    let fake = Fake::start();
    fake.mishap(
        "k",
        Mishap::Refuse(Code::Unavailable, ErrorReason::Draining),
    );
    run(&fake, &["set", "k", "v"])
        .exits(4)
        .says("refused: DRAINING");
    assert_eq!(fake.arrived().len(), 1);
}

#[test]
fn an_older_server_is_served_without_ids() {
    for reason in [
        ErrorReason::CapabilityMissing,
        ErrorReason::UnsupportedOption,
    ] {
        let fake = Fake::start();
        fake.refuse_ids(reason);
        run(&fake, &["incr", "n"]).exits(0).prints("1\n");
        run(&fake, &["set", "k", "v", "--durability", "none"]).exits(0);
        assert_eq!(fake.seen(), ["n", "k"]);
        let asked: Vec<i32> = fake.write_options().iter().map(|o| o.durability).collect();
        assert_eq!(asked, [0, 1, 1]);
        fake.mishap("x", Mishap::Transport(Code::Unavailable));
        run(&fake, &["set", "x", "v"]).exits(5).says("undecided");
        assert_eq!(fake.seen(), ["n", "k", "x"]);
        // Who gives an id wants it kept.
        run(&fake, &["set", "k", "v", "--request-id", "mine"]).exits(4);
    }
}

#[test]
fn a_given_id_is_the_same_write() {
    let fake = Fake::start();
    run(&fake, &["incr", "n", "--request-id", "once"])
        .exits(0)
        .prints("1\n");
    run(&fake, &["incr", "n", "--request-id", "once"])
        .exits(0)
        .prints("1\n");
    let ended = run(&fake, &["-o", "jsonl", "incr", "n", "--request-id", "once"]).exits(0);
    assert!(
        ended.text().contains("\"replayed\":true"),
        "{}",
        ended.text()
    );
    assert_eq!(fake.seen(), ["n"]);
    run(&fake, &["incr", "n", "--by", "2", "--request-id", "once"])
        .exits(4)
        .says("REQUEST_ID_REUSED");
    run(&fake, &["set", "k", "1"]).exits(0);
    run(&fake, &["set", "k", "2", "--previous", "--request-id", "p"])
        .exits(0)
        .prints("1\n");
    run(&fake, &["set", "k", "2", "--previous", "--request-id", "p"])
        .exits(0)
        .prints("\n")
        .says("not repeated");
    let text = "then\nget k\nincr n\nend\n";
    feed(&fake, &["txn", "--request-id", "t"], text)
        .exits(0)
        .prints("2\n2\n");
    feed(&fake, &["txn", "--request-id", "t"], text)
        .exits(0)
        .prints("\n2\n")
        .says("not repeated");
    feed(
        &fake,
        &[],
        "incr n --request-id line\nincr n --request-id line\n",
    )
    .exits(0)
    .prints("3\n3\n");
    run(&fake, &["set", "k", "v", "--request-id", ""])
        .exits(2)
        .says("at least one byte");
    run(&fake, &["get", "k", "--request-id", "x"])
        .exits(2)
        .says("for writes");
    run(
        &fake,
        &["set", "k", "v", "--request-id", "x", "--no-request-id"],
    )
    .exits(2)
    .says("cannot be used with");
    run(&fake, &["--request-id", "x"])
        .exits(2)
        .says("on the line");
    run(&fake, &["--retry", "get", "k"])
        .exits(2)
        .says("for scripts");
    run(&fake, &["--retry", "--no-request-id"])
        .exits(2)
        .says("cannot be used with");
}

#[test]
fn a_batch_has_one_id() {
    let fake = Fake::start();
    run(&fake, &["del", "a", "b", "c"]).exits(1);
    let arrived = fake.arrived();
    let [Op::BatchWrite(batch)] = &arrived[..] else {
        panic!("{arrived:?}")
    };
    assert_eq!(batch.operations.len(), 3);
    assert_eq!(fake.ids().len(), 1);
}

#[test]
fn nothing_sent_is_3_also_with_an_id() {
    let table: [&[&str]; 6] = [
        &["incr", "n"],
        &["scan"],
        &["count"],
        &["hash"],
        &["rm", "--prefix", "p", "--yes"],
        &["expire", "k", "1h"],
    ];
    for args in table {
        let mut command = kvcli();
        command.args(["--endpoint", "127.0.0.1:1"]).args(args);
        wait(command.spawn().expect("starts"))
            .exits(3)
            .prints("")
            .says("nothing was sent");
    }
}
