//! Transactions, alone and in scripts.

use std::fs;

use kvproto::v1::operation::Operation as Op;

use crate::{
    fake::Fake,
    run::{feed, kvcli, run, wait},
};

const TRANSFER: &str = "if a value = 10\nif b exists\nthen\nset a 5\nincr b --by 5\nget b\n\
                        else\nmget a b none\nend\n";

#[test]
fn one_of_two_lists_runs() {
    let fake = Fake::start();
    feed(&fake, &[], "set a 10\nset b 1\n").exits(0);
    feed(&fake, &["txn"], TRANSFER).exits(0).prints("6\n6\n");
    feed(&fake, &["txn"], TRANSFER).exits(1).prints("5\n6\n\n");
    assert_eq!(fake.value(b"a").as_deref(), Some(&b"5"[..]));
    feed(&fake, &["txn"], "if a value = 10\nthen\nset a 1\nend\n")
        .exits(1)
        .prints("")
        .says("a test did not hold");
}

#[test]
fn every_step_prints_its_result() {
    let fake = Fake::start();
    feed(&fake, &[], "set a 1\nset b 2\nset p/1 x\nset p/2 y\n").exits(0);
    let text = "then\nget a\nget none\nset c 3 --previous\ndel a b none\nincr n --by 7\n\
                expire c 1h\nscan p/ --limit 1\nrm --prefix p/\nttl none\ntxn\n\
                if c value = 3\nthen\nget c\nend\nend";
    feed(&fake, &["txn"], text)
        .exits(0)
        .prints("1\n\n\n1\n1\n0\n7\np/1\tx\n2\n\n3\n");
}

#[test]
fn results_in_every_format() {
    let fake = Fake::start();
    run(&fake, &["set", "a", "1"]).exits(0);
    let text = "if a value = 1\nthen\nget a\nset b 2\nscan a\nrm --prefix a\nend\n";
    feed(&fake, &["-o", "jsonl", "txn"], text).exits(0).prints(
        "{\"succeeded\":true,\"revision\":4,\"results\":[\
         {\"command\":\"get\",\"key\":\"a\",\"found\":true,\"value\":\"1\",\"mod_revision\":2,\
         \"version\":1,\"create_revision\":2,\"expires_at_ms\":0,\"durable\":true},\
         {\"command\":\"set\",\"key\":\"b\",\"applied\":true,\"revision\":3,\"mod_revision\":3,\
         \"version\":1,\"create_revision\":3,\"expires_at_ms\":0,\"durable\":true},\
         {\"command\":\"scan\",\"records\":[{\"key\":\"a\",\"value\":\"1\",\"mod_revision\":2,\
         \"version\":1,\"create_revision\":2,\"expires_at_ms\":0}],\"more\":false},\
         {\"command\":\"rm\",\"deleted\":1}],\"durable\":true}\n",
    );
    let text = "if a exists\nthen\nelse\nget a\nincr n\nincr n\ntxn\nthen\nend\nend\n";
    feed(&fake, &["-o", "csv", "txn"], text).exits(1).prints(
        "succeeded,revision,durable\nfalse,6,true\n\
         key,found,value,mod_revision,version,create_revision,expires_at_ms\na,false,,,,,\n\
         key,value,revision,version,expires_at_ms,durable\nn,1,5,1,0,true\nn,2,6,2,0,true\n\
         succeeded,revision,durable\ntrue,0,true\n",
    );
    let json = feed(&fake, &["-o", "json", "txn"], "then\nget b\n").exits(0);
    assert!(
        json.text()
            .contains("  \"results\": [\n    {\n      \"command\": \"get\","),
        "{}",
        json.text()
    );
    let table = feed(&fake, &["-o", "table", "txn"], "then\nget b\nincr n\n").exits(0);
    assert!(
        table.text().contains("succeeded") && table.text().contains("found"),
        "{}",
        table.text()
    );
}

#[test]
fn bytes_of_any_kind_go_through() {
    let fake = Fake::start();
    let text = b"if \"\\xff\" absent\nthen\nset \"\\xff\" '\xfe \x00'\nget \"\\xff\"\nend\n";
    feed(&fake, &["txn"], text).exits(0).prints(b"\xfe \x00\n");
    assert_eq!(fake.value(b"\xff").as_deref(), Some(&b"\xfe \x00"[..]));
}

#[test]
fn a_refused_step_undoes_the_whole() {
    let fake = Fake::start();
    run(&fake, &["set", "text", "abc"]).exits(0);
    feed(&fake, &["txn"], "then\nset a 1\nincr text\nend\n")
        .exits(4)
        .prints("")
        .says("NOT_AN_INTEGER");
    assert_eq!(fake.value(b"a"), None);
}

#[test]
fn the_text_may_come_from_a_file() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("transfer");
    fs::write(&path, "txn\r\nthen\r\nset a 1\r\nget a\r\nend\r\n").expect("written");
    let path = path.to_str().expect("a plain path");
    run(&fake, &["txn", "--file", path]).exits(0).prints("1\n");
    feed(&fake, &[], format!("txn --file {path}\nget a\n"))
        .exits(0)
        .prints("1\n1\n");
    run(&fake, &["txn", "--file", "/no/such"])
        .exits(2)
        .says("/no/such");
}

#[test]
fn mistakes_have_a_line_and_a_column() {
    let fake = Fake::start();
    let table = [
        ("", "there is no transaction"),
        ("get a\n", "line 1, column 1: expected if or then"),
        (
            "if a valu = 1\nthen\nend\n",
            "line 1, column 6: if: valu cannot",
        ),
        ("then\nset a 'x\nend\n", "line 2, column 7: quote opened"),
        (
            "# c\n\nthen\n  frob\nend\n",
            "line 4, column 3: unrecognized subcommand",
        ),
        ("then\nset a 1 --if-absent\n", "line 2, column 9"),
        ("then\nend\nget a\n", "line 3, column 1: nothing follows"),
        (
            "txn\nthen\nget a\n",
            "line 1, column 1: this transaction is never closed",
        ),
    ];
    for (text, part) in table {
        feed(&fake, &["txn"], text).exits(2).prints("").says(part);
    }
    assert!(fake.arrived().is_empty());
}

#[test]
fn a_script_has_blocks() {
    let fake = Fake::start();
    let script = "set a 1\ntxn\nif a value = 1\nthen\nincr a\ntxn\nthen\nset b 2\nend\nelse\n\
                  set a 0\nend\nget a\nget b\ntxn --durability none\nthen\nget a\nend\n";
    feed(&fake, &[], script).exits(0).prints("2\n2\n2\n2\n");
    let txns: Vec<Op> = fake
        .arrived()
        .into_iter()
        .filter(|op| matches!(op, Op::Txn(_)))
        .collect();
    let [Op::Txn(first), Op::Txn(second)] = &txns[..] else {
        panic!("{txns:?}")
    };
    assert_eq!(first.options, None);
    assert_eq!(
        second.options.as_ref().map(|options| options.durability),
        Some(1)
    );
    feed(&fake, &[], "txn\nif a absent\nthen\nset a 9\nend\nget a\n")
        .exits(0)
        .prints("2\n");
}

#[test]
fn a_bad_block_is_not_run_in_parts() {
    let fake = Fake::start();
    let script = "set a 1\ntxn\nthen\nset b 2\nfrob\nset c 3\nend\nset d 4\n";
    feed(&fake, &[], script)
        .exits(2)
        .says("kvcli: line 5, column 1: unrecognized subcommand")
        .says("stopped at line 7: lines up to 1 had been sent");
    assert_eq!(fake.seen(), ["a"]);
    feed(&fake, &["--continue-on-error"], script)
        .exits(2)
        .says("line 5, column 1");
    assert_eq!(fake.seen(), ["a", "a", "d"]);
    let script = "txn --frob\nthen\nset b 2\ntxn\nend\nend\nset d 4\n";
    feed(&fake, &["--continue-on-error"], script)
        .exits(2)
        .says("line 1: unexpected argument '--frob'");
    assert_eq!(fake.seen(), ["a", "a", "d", "d"]);
    let script = "set e 5\ntxn\nthen\nset b 2\n";
    feed(&fake, &["--continue-on-error"], script)
        .exits(2)
        .says("line 2, column 1: this transaction is never closed");
    assert_eq!(fake.value(b"b"), None);
    assert!(fake.value(b"e").is_some());
}

#[test]
fn help_shows_the_whole_syntax() {
    let mut command = kvcli();
    command.args(["txn", "--help"]);
    let help = wait(command.spawn().expect("starts")).exits(0);
    for part in [
        "if KEY value = 10",
        "then",
        "else",
        "kvcli txn <<'END'",
        "--prefix",
    ] {
        assert!(help.text().contains(part), "{part} in {}", help.text());
    }
    // The example of the help works.
    let fake = Fake::start();
    feed(&fake, &[], "set balance/anna 10\nset balance/bert 1\n").exits(0);
    let text = help.text();
    let start = text.find("<<'END'\n").expect("an example") + "<<'END'\n".len();
    let end = start + text[start..].find("END").expect("its end");
    let example: Vec<&str> = text[start..end].lines().map(str::trim).collect();
    let example = example.join("\n");
    feed(&fake, &["txn"], example).exits(0).prints("6\n");
}
