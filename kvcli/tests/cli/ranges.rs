//! scan, count and hash.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use kvproto::v1::{key_range::Range, operation::Operation as Op};

use crate::{
    fake::Fake,
    run::{feed, filled, run, wait},
};

#[test]
fn scan_prints_records_in_key_order() {
    let fake = filled(&["b", "a", "c", "ab"]);
    run(&fake, &["scan"])
        .exits(0)
        .prints("a\tva\nab\tvab\nb\tvb\nc\tvc\n");
    run(&fake, &["scan", "a"])
        .exits(0)
        .prints("a\tva\nab\tvab\n");
    run(&fake, &["scan", "x"]).exits(0).prints("");
    run(&fake, &["scan", "--keys-only", "--reverse"])
        .exits(0)
        .prints("c\nb\nab\na\n");
    run(
        &fake,
        &["scan", "--start", "ab", "--end", "c", "--keys-only"],
    )
    .exits(0)
    .prints("ab\nb\n");
    run(&fake, &["scan", "--start", "b", "--keys-only"])
        .exits(0)
        .prints("b\nc\n");
    run(&fake, &["scan", "--end", "b", "--keys-only"])
        .exits(0)
        .prints("a\nab\n");
    run(&fake, &["scan", "--key", "a"])
        .exits(0)
        .prints("a\tva\n");
    run(
        &fake,
        &["scan", "--limit", "3", "--page-size", "2", "--keys-only"],
    )
    .exits(0)
    .prints("a\nab\nb\n");
}

#[test]
fn scan_in_every_format() {
    let fake = filled(&["a", "b"]);
    run(&fake, &["-o", "jsonl", "scan", "--page-size", "1"])
        .exits(0)
        .prints(
            "{\"key\":\"a\",\"value\":\"va\",\"mod_revision\":2,\"version\":1,\
             \"create_revision\":2,\"expires_at_ms\":0}\n\
             {\"key\":\"b\",\"value\":\"vb\",\"mod_revision\":3,\"version\":1,\
             \"create_revision\":3,\"expires_at_ms\":0}\n",
        );
    let a = "    {\n      \"key\": \"a\",\n      \"mod_revision\": 2,\n      \"version\": 1,\n      \
             \"create_revision\": 2,\n      \"expires_at_ms\": 0\n    }";
    let b = a.replace("\"a\"", "\"b\"").replace(": 2,", ": 3,");
    run(
        &fake,
        &["-o", "json", "scan", "--keys-only", "--page-size", "1"],
    )
    .exits(0)
    .prints(format!(
        "{{\n  \"records\": [\n{a},\n{b}\n  ],\n  \"durable\": true\n}}\n"
    ));
    run(&fake, &["-o", "json", "scan", "none"])
        .exits(0)
        .prints("{\n  \"records\": [],\n  \"durable\": true\n}\n");
    run(&fake, &["-o", "jsonl", "scan", "none"])
        .exits(0)
        .prints("");
    let head = "key,value,mod_revision,version,create_revision,expires_at_ms\n";
    run(&fake, &["-o", "csv", "scan", "--page-size", "1"])
        .exits(0)
        .prints(format!("{head}a,va,2,1,2,0\nb,vb,3,1,3,0\n"));
    run(&fake, &["-o", "csv", "scan", "none"])
        .exits(0)
        .prints(head);
    run(&fake, &["-o", "csv", "scan", "--keys-only"])
        .exits(0)
        .prints("key,mod_revision,version,create_revision,expires_at_ms\na,2,1,2,0\nb,3,1,3,0\n");
    let table = run(&fake, &["-o", "table", "scan"]).exits(0);
    assert!(
        table.text().contains("va") && table.text().contains("vb"),
        "{}",
        table.text()
    );
}

#[test]
fn scan_shows_any_bytes() {
    let fake = Fake::start();
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    run(&fake, &[os(b"set"), os(b"\xff\x01"), os(b"\x80\t")]).exits(0);
    run(&fake, &[os(b"scan"), os(b"\xff")])
        .exits(0)
        .prints(b"\xff\x01\t\x80\t\n");
    run(
        &fake,
        &[
            os(b"scan"),
            os(b"-o"),
            os(b"csv"),
            os(b"--start"),
            os(b"\xff"),
        ],
    )
    .exits(0)
    .prints(
        "key,value,mod_revision,version,create_revision,expires_at_ms\n\
             \"\"\"\\xff\\x01\"\"\",\"\"\"\\x80\\x09\"\"\",2,1,2,0\n",
    );
    let ended = run(&fake, &["-o", "jsonl", "scan"]).exits(0);
    assert!(
        ended.text().contains("\"key_base64\":\"/wE=\""),
        "{}",
        ended.text()
    );
    assert!(
        ended.text().contains("\"value_base64\":\"gAk=\""),
        "{}",
        ended.text()
    );
}

#[test]
fn a_scan_goes_on_after_a_broken_stream() {
    let fake = filled(&["a", "b", "c", "d", "e"]);
    fake.break_scans(3);
    run(
        &fake,
        &["scan", "--keys-only", "--page-size", "1", "--limit", "4"],
    )
    .exits(0)
    .prints("a\nb\nc\nd\n");
    let limits: Vec<i64> = fake.scans().iter().map(|scan| scan.limit).collect();
    assert_eq!(limits, [4, 3, 2, 1]);
    assert!(fake.scans()[0].token.is_empty() && !fake.scans()[1].token.is_empty());
    fake.break_scans(u32::MAX);
    run(
        &fake,
        &["scan", "--keys-only", "--reverse", "--page-size", "2"],
    )
    .exits(0)
    .prints("e\nd\nc\nb\na\n");
}

#[test]
fn a_scan_goes_on_by_hand_with_the_token() {
    let fake = filled(&["a", "b", "c"]);
    let ended = run(&fake, &["-o", "json", "scan", "--limit", "2"]).exits(0);
    let rest = ended.text().split("\"token\": \"").nth(1).expect("a token");
    let token = rest.split('"').next().expect("its end");
    run(&fake, &["scan", "--keys-only", "--token", token])
        .exits(0)
        .prints("c\n");
    run(&fake, &["scan", "--reverse", "--token", token])
        .exits(4)
        .says("BAD_TOKEN");
    run(&fake, &["scan", "--token", "%"])
        .exits(2)
        .says("no base64");
    let whole = run(&fake, &["-o", "json", "scan"]).exits(0);
    assert!(!whole.text().contains("token"), "{}", whole.text());
}

#[test]
fn a_scan_that_nobody_serves_ends_with_5() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut command = crate::run::kvcli();
    command.args(["--endpoint", &address, "--timeout", "300ms", "scan"]);
    wait(command.spawn().expect("starts"))
        .exits(5)
        .says("300ms");
}

#[test]
fn loading_is_waited_for_by_scans_too() {
    let fake = filled(&["a"]);
    fake.answer_loading(3);
    run(&fake, &["scan", "--keys-only"]).exits(0).prints("a\n");
}

#[test]
fn nothing_said_is_all_and_an_empty_prefix_is_refused() {
    let fake = filled(&["a"]);
    run(&fake, &["scan"]).exits(0);
    run(&fake, &["count"]).exits(0);
    run(&fake, &["hash"]).exits(0);
    let all = |range: &Option<kvproto::v1::KeyRange>| {
        matches!(
            range.as_ref().and_then(|r| r.range.as_ref()),
            Some(Range::All(_))
        )
    };
    assert!(fake.scans().iter().all(|scan| all(&scan.range)));
    assert!(fake.hashes().iter().all(|hash| all(&hash.range)));
    let counts: Vec<Op> = fake
        .arrived()
        .into_iter()
        .filter(|op| matches!(op, Op::Count(_)))
        .collect();
    assert!(
        matches!(&counts[..], [Op::Count(count)] if all(&count.range)),
        "{counts:?}"
    );
    for command in ["scan", "count", "hash"] {
        run(&fake, &[command, ""]).exits(4).says("BAD_RANGE");
        run(&fake, &[command, "a", "--start", "b"])
            .exits(2)
            .says("a prefix cannot");
        run(&fake, &[command, "--start", ""])
            .exits(2)
            .says("--start needs a key");
        run(&fake, &[command, "--end", ""])
            .exits(2)
            .says("--end needs a key");
    }
    run(&fake, &["rm", "--prefix", "", "--yes"])
        .exits(4)
        .says("BAD_RANGE");
    run(&fake, &["rm", "--yes"]).exits(2).says("needs a range");
    run(&fake, &["rm", "--yes", "--start", ""])
        .exits(2)
        .says("--start needs a key");
    assert_eq!(fake.len(), 1);
}

#[test]
fn count_in_every_format() {
    let fake = filled(&["a", "ab", "b"]);
    run(&fake, &["count"]).exits(0).prints("3\n");
    run(&fake, &["count", "a"]).exits(0).prints("2\n");
    run(&fake, &["count", "x"]).exits(0).prints("0\n");
    run(&fake, &["count", "--start", "ab", "--end", "b"])
        .exits(0)
        .prints("1\n");
    run(&fake, &["-o", "jsonl", "count"])
        .exits(0)
        .prints("{\"count\":3,\"durable\":true}\n");
    run(&fake, &["-o", "json", "count"])
        .exits(0)
        .prints("{\n  \"count\": 3,\n  \"durable\": true\n}\n");
    run(&fake, &["-o", "csv", "count"])
        .exits(0)
        .prints("count,durable\n3,true\n");
    let table = run(&fake, &["-o", "table", "count"]).exits(0);
    assert!(table.text().contains("count"), "{}", table.text());
}

#[test]
fn hash_in_every_format() {
    let fake = filled(&["a", "b"]);
    let raw = run(&fake, &["hash"]).exits(0);
    let digest = raw.text().trim().to_owned();
    assert_eq!(digest.len(), 16, "{digest}");
    run(&fake, &["hash", "a"]).exits(0);
    run(&fake, &["-o", "jsonl", "hash"])
        .exits(0)
        .prints(format!(
            "{{\"hash\":\"{digest}\",\"count\":2,\"durable\":true}}\n"
        ));
    run(&fake, &["-o", "csv", "hash"])
        .exits(0)
        .prints(format!("hash,count,durable\n{digest},2,true\n"));
    run(&fake, &["-o", "json", "hash", "none"]).exits(0);
    let table = run(&fake, &["-o", "table", "hash"]).exits(0);
    assert!(table.text().contains(&digest), "{}", table.text());
    feed(&fake, &[], "set c 1\nhash\n").exits(0);
}

#[test]
fn ranges_work_on_script_lines() {
    let fake = Fake::start();
    let script = "set a 1\nset b 2\nscan\ncount\nset c 3\nscan --keys-only --reverse\n\
                  rm --prefix b --yes\nscan\n";
    feed(&fake, &[], script)
        .exits(0)
        .prints("a\t1\nb\t2\n2\nc\nb\na\n1\na\t1\nc\t3\n");
    feed(
        &fake,
        &["-o", "jsonl"],
        "scan --keys-only\nscan none\ncount\n",
    )
    .exits(0)
    .prints(
        "{\"key\":\"a\",\"mod_revision\":2,\"version\":1,\"create_revision\":2,\
             \"expires_at_ms\":0}\n{\"key\":\"c\",\"mod_revision\":4,\"version\":1,\
             \"create_revision\":4,\"expires_at_ms\":0}\n{\"count\":2,\"durable\":true}\n",
    );
    feed(&fake, &["--continue-on-error"], "scan ''\ncount\n")
        .exits(4)
        .prints("2\n")
        .says("line 1: refused: BAD_RANGE");
}
