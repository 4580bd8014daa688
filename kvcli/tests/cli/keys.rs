//! Counters, expiries and conditions on single keys.

use crate::{
    fake::Fake,
    run::{feed, run},
};

#[test]
fn incr_prints_the_sum() {
    let fake = Fake::start();
    run(&fake, &["incr", "n"]).exits(0).prints("1\n");
    run(&fake, &["incr", "n", "--by", "41"])
        .exits(0)
        .prints("42\n");
    run(&fake, &["incr", "n", "--by", "-2"])
        .exits(0)
        .prints("40\n");
    run(&fake, &["incr", "m", "--initial", "-5", "--by=3"])
        .exits(0)
        .prints("-2\n");
    run(&fake, &["incr", "n", "--max", "41", "--by", "5"])
        .exits(4)
        .prints("")
        .says("OUT_OF_BOUNDS");
    run(
        &fake,
        &["incr", "n", "--max", "41", "--by", "5", "--saturate"],
    )
    .exits(0)
    .prints("41\n");
    run(
        &fake,
        &["incr", "n", "--min", "0", "--by", "-50", "--saturate"],
    )
    .exits(0)
    .prints("0\n");
    run(&fake, &["set", "text", "abc"]).exits(0);
    run(&fake, &["incr", "text"])
        .exits(4)
        .says("NOT_AN_INTEGER")
        .says("decimal");
}

#[test]
fn incr_in_every_format() {
    let fake = Fake::start();
    run(&fake, &["-o", "jsonl", "incr", "n"]).exits(0).prints(
        "{\"key\":\"n\",\"value\":1,\"revision\":2,\"mod_revision\":2,\"version\":1,\
         \"create_revision\":2,\"expires_at_ms\":0,\"durable\":true}\n",
    );
    run(&fake, &["-o", "csv", "incr", "n"])
        .exits(0)
        .prints("key,value,revision,version,expires_at_ms,durable\nn,2,3,2,0,true\n");
    let json = run(&fake, &["-o", "json", "incr", "n"]).exits(0);
    assert!(
        json.text().contains("\n  \"value\": 3,\n"),
        "{}",
        json.text()
    );
    let table = run(&fake, &["-o", "table", "incr", "n"]).exits(0);
    assert!(table.text().contains("expires_at_ms"), "{}", table.text());
}

#[test]
fn expire_changes_and_removes_the_end() {
    let fake = Fake::start();
    run(&fake, &["expire", "k", "1h"])
        .exits(1)
        .prints("")
        .says("k does not exist");
    run(&fake, &["set", "k", "v"]).exits(0);
    run(&fake, &["ttl", "k"]).exits(0).prints("-1\n");
    run(&fake, &["expire", "k", "--persist", "--if-expiry"])
        .exits(1)
        .says("k has no expiry");
    run(&fake, &["expire", "k", "1h", "--if-no-expiry"])
        .exits(0)
        .prints("");
    let ended = run(&fake, &["ttl", "k"]).exits(0);
    let ms: i64 = ended.text().trim().parse().expect("a number");
    assert!(ms > 0 && ms <= 3_600_000, "{ms}");
    run(&fake, &["expire", "k", "2h", "--if-earlier"])
        .exits(1)
        .says("k ends at");
    run(&fake, &["expire", "k", "2h", "--if-later"]).exits(0);
    run(&fake, &["expire", "k", "--persist"]).exits(0);
    run(&fake, &["ttl", "k"]).exits(0).prints("-1\n");
    run(&fake, &["expire", "k", "--at", "-1"]).exits(0);
    run(&fake, &["ttl", "k"]).exits(1).prints("\n");
    run(&fake, &["get", "k"]).exits(1);
}

#[test]
fn expire_and_ttl_in_every_format() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v"]).exits(0);
    // A moment that this century does not see.
    let at = "4102444800000";
    run(&fake, &["-o", "jsonl", "expire", "k", "--at", at])
        .exits(0)
        .prints(
            "{\"key\":\"k\",\"found\":true,\"applied\":true,\"revision\":3,\"mod_revision\":3,\
             \"version\":2,\"create_revision\":2,\"expires_at_ms\":4102444800000,\
             \"durable\":true}\n",
        );
    run(&fake, &["-o", "jsonl", "expire", "x", "--at", at])
        .exits(1)
        .prints("{\"key\":\"x\",\"found\":false,\"applied\":false,\"durable\":true}\n");
    run(
        &fake,
        &["-o", "csv", "expire", "k", "--at", at, "--if-no-expiry"],
    )
    .exits(1)
    .prints(
        "key,found,applied,expires_at_ms,revision,durable\n\
             k,true,false,4102444800000,,true\n",
    );
    let table = run(&fake, &["-o", "table", "expire", "k", "--persist"]).exits(0);
    assert!(table.text().contains("applied"), "{}", table.text());
    run(&fake, &["-o", "jsonl", "ttl", "k"]).exits(0).prints(
        "{\"key\":\"k\",\"found\":true,\"remaining_ms\":-1,\"expires_at_ms\":0,\
         \"durable\":true}\n",
    );
    run(&fake, &["-o", "csv", "ttl", "x"])
        .exits(1)
        .prints("key,found,remaining_ms,expires_at_ms\nx,false,,\n");
    run(&fake, &["-o", "json", "ttl", "x"])
        .exits(1)
        .prints("{\n  \"key\": \"x\",\n  \"found\": false,\n  \"durable\": true\n}\n");
    let table = run(&fake, &["-o", "table", "ttl", "k"]).exits(0);
    assert!(table.text().contains("remaining_ms"), "{}", table.text());
}

#[test]
fn set_gives_an_end_and_keeps_one() {
    let fake = Fake::start();
    let end = |ended: crate::run::Ended| -> i64 {
        let text = ended.text();
        let rest = text.split("\"expires_at_ms\":").nth(1).expect("an end");
        rest.split(',')
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    };
    run(&fake, &["set", "k", "v", "--ttl", "1h"]).exits(0);
    let first = end(run(&fake, &["-o", "jsonl", "get", "k"]));
    assert!(first > 0);
    run(&fake, &["set", "k", "w", "--keep-ttl"]).exits(0);
    assert_eq!(end(run(&fake, &["-o", "jsonl", "get", "k"])), first);
    run(&fake, &["set", "k", "w"]).exits(0);
    assert_eq!(end(run(&fake, &["-o", "jsonl", "get", "k"])), 0);
    run(&fake, &["set", "k", "w", "--expire-at", "4102444800000"]).exits(0);
    assert_eq!(
        end(run(&fake, &["-o", "jsonl", "get", "k"])),
        4_102_444_800_000
    );
    run(&fake, &["set", "k", "w", "--expire-at", "5"]).exits(0);
    run(&fake, &["get", "k"]).exits(1);
    let ended = run(&fake, &["-o", "jsonl", "set", "k", "w", "--lease", "77"]).exits(0);
    assert!(ended.text().contains("\"lease_id\":77"), "{}", ended.text());
    run(&fake, &["incr", "n", "--ttl", "1h"]).exits(0);
    let first = end(run(&fake, &["-o", "jsonl", "get", "n"]));
    assert!(first > 0);
    run(&fake, &["incr", "n"]).exits(0);
    assert_eq!(end(run(&fake, &["-o", "jsonl", "get", "n"])), first);
}

#[test]
fn every_condition_decides() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "1", "--if-version", "0"]).exits(0);
    run(&fake, &["set", "k", "2", "--if-version", "2"])
        .exits(1)
        .says("not set: k exists, last changed at revision 2");
    run(&fake, &["set", "k", "2", "--if-created", "2"]).exits(0);
    run(&fake, &["set", "k", "3", "--if-created", "1"]).exits(1);
    run(&fake, &["set", "k", "-3", "--if-value", "2"]).exits(0);
    run(&fake, &["set", "k", "4", "--if-value", "-3"]).exits(0);
    run(&fake, &["set", "k", "5", "--if-value", ""]).exits(1);
    run(&fake, &["del", "k", "--if-value", "5"])
        .exits(1)
        .prints("0\n")
        .says("not deleted: k exists");
    run(&fake, &["-o", "jsonl", "del", "k", "--if-version", "9"])
        .exits(1)
        .prints(
            "{\"deleted\":0,\"keys\":[{\"key\":\"k\",\"deleted\":false,\"current\":{\"value\":\
             \"4\",\"mod_revision\":5,\"version\":4,\"create_revision\":2,\"expires_at_ms\":0}}],\
             \"durable\":true}\n",
        );
    run(&fake, &["del", "none", "--if-present"])
        .exits(1)
        .says("not deleted: none does not exist");
    run(&fake, &["del", "k", "--if-revision", "5"])
        .exits(0)
        .prints("1\n");
}

#[test]
fn what_was_there_before_is_shown() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "1", "--previous"])
        .exits(0)
        .prints("\n");
    run(&fake, &["set", "k", "2", "--previous"])
        .exits(0)
        .prints("1\n");
    run(&fake, &["-o", "jsonl", "set", "k", "3", "--previous"])
        .exits(0)
        .prints(
            "{\"key\":\"k\",\"applied\":true,\"revision\":4,\"mod_revision\":4,\"version\":3,\
             \"create_revision\":2,\"expires_at_ms\":0,\"previous\":{\"value\":\"2\",\
             \"mod_revision\":3,\"version\":2,\"create_revision\":2,\"expires_at_ms\":0},\
             \"durable\":true}\n",
        );
    run(&fake, &["-o", "csv", "set", "k", "4", "--previous"])
        .exits(0)
        .prints(
            "key,applied,revision,version,create_revision,durable,previous\n\
             k,true,5,4,2,true,3\n",
        );
    run(&fake, &["set", "l", "x"]).exits(0);
    run(&fake, &["del", "k", "none", "l", "--previous"])
        .exits(1)
        .prints("4\n\nx\n");
    run(&fake, &["set", "k", "5"]).exits(0);
    run(&fake, &["-o", "csv", "del", "k", "--previous"])
        .exits(0)
        .prints("key,deleted,revision,previous\nk,true,10,5\n");
    run(&fake, &["set", "k", "6"]).exits(0);
    let ended = run(&fake, &["-o", "jsonl", "del", "k", "--previous"]).exits(0);
    assert!(
        ended.text().contains("\"previous\":{\"value\":\"6\""),
        "{}",
        ended.text()
    );
}

#[test]
fn two_options_of_one_kind_are_2() {
    let fake = Fake::start();
    let table: [(&[&str], &str); 14] = [
        (
            &["set", "k", "v", "--ttl", "5s", "--keep-ttl"],
            "cannot be used",
        ),
        (
            &["set", "k", "v", "--ttl", "5s", "--expire-at", "5"],
            "cannot be used",
        ),
        (
            &["set", "k", "v", "--if-version", "1", "--if-value", "x"],
            "cannot be used",
        ),
        (
            &["set", "k", "v", "--if-created", "1", "--if-absent"],
            "cannot be used",
        ),
        (
            &["del", "k", "--if-created", "1", "--if-present"],
            "cannot be used",
        ),
        (&["del", "k", "l", "--if-present"], "for one key"),
        (&["expire", "k"], "DURATION"),
        (&["expire", "k", "5s", "--persist"], "cannot be used"),
        (&["expire", "k", "5s", "--at", "5"], "cannot be used"),
        (
            &["expire", "k", "5s", "--if-later", "--if-earlier"],
            "cannot be used",
        ),
        (&["expire", "k", "0s"], "longer than nothing"),
        (&["expire", "k", "5"], "no unit"),
        (&["incr", "n", "--by", "x"], "--by"),
        (
            &["incr", "n", "--ttl", "5s", "--lease", "5"],
            "cannot be used",
        ),
    ];
    for (args, part) in table {
        run(&fake, args).exits(2).prints("").says(part);
    }
    assert!(fake.arrived().is_empty());
}

#[test]
fn they_work_on_script_lines() {
    let fake = Fake::start();
    let script = "incr n --by 5\nexpire n 1h --if-expiry\nttl n\nset n 7 --if-value 5 --previous\n\
                  del n --if-value 5\ncount\nincr n\n";
    feed(&fake, &[], script)
        .exits(0)
        .prints("5\n-1\n5\n0\n1\n8\n")
        .says("line 2: not changed: n has no expiry")
        .says("line 5: not deleted: n exists");
}
