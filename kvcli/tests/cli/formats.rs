//! What commands print, in every format.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use crate::{fake::Fake, run::run};

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[test]
fn raw_is_what_a_shell_script_wants() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v"]).exits(0).prints("");
    run(&fake, &["get", "k"]).exits(0).prints("v\n");
    run(&fake, &["get", "k", "--no-newline"])
        .exits(0)
        .prints("v");
    run(&fake, &["get", "none"]).exits(1).prints("\n");
    run(&fake, &["get", "none", "--no-newline"])
        .exits(1)
        .prints("");
    run(&fake, &["mget", "k", "none", "k"])
        .exits(1)
        .prints("v\n\nv\n");
    run(&fake, &["mget", "k", "k"]).exits(0).prints("v\nv\n");
    run(&fake, &["set", "l", ""]).exits(0);
    run(&fake, &["get", "l"]).exits(0).prints("\n");
    run(&fake, &["del", "k"]).exits(0).prints("1\n");
    run(&fake, &["del", "k"]).exits(1).prints("0\n");
    run(&fake, &["del", "k", "l"]).exits(1).prints("1\n");
}

#[test]
fn jsonl_is_one_object_per_command() {
    let fake = Fake::start();
    run(&fake, &["-o", "jsonl", "set", "k", "v"])
        .exits(0)
        .prints(
            "{\"key\":\"k\",\"applied\":true,\"revision\":2,\"mod_revision\":2,\"version\":1,\
         \"create_revision\":2,\"expires_at_ms\":0,\"durable\":true}\n",
        );
    run(&fake, &["-o", "jsonl", "get", "k"]).exits(0).prints(
        "{\"key\":\"k\",\"found\":true,\"value\":\"v\",\"mod_revision\":2,\"version\":1,\
         \"create_revision\":2,\"expires_at_ms\":0,\"durable\":true}\n",
    );
    run(&fake, &["-o", "jsonl", "mget", "x", "y"])
        .exits(1)
        .prints(
            "{\"results\":[{\"key\":\"x\",\"found\":false},{\"key\":\"y\",\"found\":false}],\
         \"durable\":true}\n",
        );
    run(&fake, &["-o", "jsonl", "set", "k", "w", "--if-absent"])
        .exits(1)
        .prints(
            "{\"key\":\"k\",\"applied\":false,\"current\":{\"value\":\"v\",\"mod_revision\":2,\
         \"version\":1,\"create_revision\":2,\"expires_at_ms\":0},\"durable\":true}\n",
        );
    run(&fake, &["-o", "jsonl", "del", "k", "x"])
        .exits(1)
        .prints(
            "{\"deleted\":1,\"keys\":[{\"key\":\"k\",\"deleted\":true,\"revision\":3},\
         {\"key\":\"x\",\"deleted\":false}],\"durable\":true}\n",
        );
}

#[test]
fn jsonl_names_bytes_that_are_no_text() {
    let fake = Fake::start();
    run(&fake, &[os(b"set"), os(b"\xff\xfe"), os(b"\x80\n")]).exits(0);
    let ended = run(
        &fake,
        &[os(b"-o"), os(b"jsonl"), os(b"get"), os(b"\xff\xfe")],
    )
    .exits(0);
    let object = ended.text();
    assert!(object.contains("\"key_base64\":\"//4=\""), "{object}");
    assert!(object.contains("\"value_base64\":\"gAo=\""), "{object}");
    assert!(!object.contains("\"key\""), "{object}");
}

#[test]
fn json_is_the_same_object_indented() {
    let fake = Fake::start();
    let ended = run(&fake, &["-o", "json", "get", "k"]).exits(1);
    ended.prints("{\n  \"key\": \"k\",\n  \"found\": false,\n  \"durable\": true\n}\n");
}

#[test]
fn csv_quotes_what_is_no_plain_text() {
    let fake = Fake::start();
    let head = "key,found,value,mod_revision,version,create_revision,expires_at_ms\n";
    run(&fake, &["set", "a,b", "x y"]).exits(0);
    run(&fake, &[os(b"set"), os(b"bin"), os(b"\xff\\\"")]).exits(0);
    run(&fake, &["-o", "csv", "mget", "a,b", "bin", "no"])
        .exits(1)
        .prints(format!(
            "{head}\"a,b\",true,x y,2,1,2,0\nbin,true,\"\"\"\\xff\\\\\\\"\"\"\"\",3,1,3,0\n\
         no,false,,,,,\n",
        ));
    run(&fake, &["-o", "csv", "set", "k", "v"])
        .exits(0)
        .prints("key,applied,revision,version,create_revision,durable\nk,true,4,1,4,true\n");
    run(&fake, &["-o", "csv", "del", "k", "k"])
        .exits(1)
        .prints("key,deleted,revision\nk,true,5\nk,false,\n");
}

#[test]
fn table_has_headings_and_no_control_characters() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "\u{1b}[31m"]).exits(0);
    let ended = run(&fake, &["-o", "table", "get", "k"]).exits(0);
    let text = ended.text();
    assert!(
        text.contains("mod_revision") && text.contains(r#""\x1b[31m""#),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn status_is_shown_in_every_format() {
    let fake = Fake::start();
    run(&fake, &["set", "k", "v"]).exits(0);
    let raw = run(&fake, &["status"]).exits(0);
    for line in [
        "state=no-log-space",
        "keys=1",
        "store_revision=2",
        "sync_policy=always",
        "data_dir=\"/data dir/\\x07\"",
        "recovery_started_clean=true",
        "revision_gaps=5-9,20-30",
    ] {
        assert!(
            raw.text().lines().any(|l| l == line),
            "{line} in {}",
            raw.text()
        );
    }
    let jsonl = run(&fake, &["-o", "jsonl", "status"]).exits(0);
    assert_eq!(jsonl.text().lines().count(), 1);
    assert!(jsonl.text().contains("\"keys\":1,"), "{}", jsonl.text());
    assert!(
        jsonl
            .text()
            .contains("\"revision_gaps\":[\"5-9\",\"20-30\"]"),
        "{}",
        jsonl.text()
    );
    let csv = run(&fake, &["-o", "csv", "status"]).exits(0);
    assert!(
        csv.text().starts_with("name,value\nstate,no-log-space\n"),
        "{}",
        csv.text()
    );
    let table = run(&fake, &["-o", "table", "status"]).exits(0);
    assert!(table.text().contains("no-log-space"), "{}", table.text());
}
