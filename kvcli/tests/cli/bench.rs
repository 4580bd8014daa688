//! bench: what it measures, what it checks, and what it leaves.

use std::{fmt::Write as _, thread, time::Duration};

use serde_json::Value;

use crate::{
    fake::Fake,
    run::{Ended, filled, kvcli, run, signal, until, wait},
};

const SMALL: [&str; 8] = [
    "bench",
    "--keys",
    "50",
    "--connections",
    "2",
    "--in-flight",
    "3",
    "--metrics=off",
];

fn bench(fake: &Fake, more: &[&str]) -> Ended {
    run(fake, &[&SMALL, more].concat())
}

fn json(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.out).expect("json")
}

#[test]
fn it_ends_by_count_checks_and_cleans_up() {
    let fake = Fake::start();
    let ended = bench(&fake, &["-o", "json", "--count", "400", "--threads", "2"]).exits(0);
    let report = json(&ended);
    assert_eq!(report["operations"], 400, "{report}");
    assert_eq!(report["loop"], "closed");
    assert_eq!(
        (&report["wrong"], &report["failed"]),
        (&0.into(), &0.into())
    );
    let latency = &report["latency"];
    let count = |kind: &str| latency[kind]["count"].as_u64().expect("a count");
    assert_eq!(count("get") + count("set"), 400);
    assert!((100..300).contains(&count("get")), "{latency}");
    assert!(latency["get"]["p99.9_us"].as_f64() >= latency["get"]["p50_us"].as_f64());
    assert_eq!(fake.len(), 0);
    let all_reads = bench(&fake, &["-o", "json", "--count", "60", "--reads", "100"]).exits(0);
    assert_eq!(json(&all_reads)["latency"]["set"]["count"], 0);
}

#[test]
fn it_ends_by_time_and_keeps_a_rate() {
    let fake = Fake::start();
    let args = ["-o", "json", "--duration", "1s", "--rate", "200"];
    let report = json(&bench(&fake, &args).exits(0));
    assert_eq!(report["loop"], "open");
    let operations = report["operations"].as_u64().expect("a count");
    assert!((150..=200).contains(&operations), "{report}");
    assert_eq!(report["latency"]["sent_late"]["count"], operations);
    for format in ["table", "csv", "raw", "jsonl"] {
        let ended = bench(&fake, &["-o", format, "--count", "20"]).exits(0);
        assert!(
            ended.text().contains("operations_per_second"),
            "{}",
            ended.text()
        );
        assert!(ended.text().contains("p99.9_us"), "{}", ended.text());
    }
}

#[test]
fn a_store_with_keys_is_left_alone_unless_asked_for() {
    let fake = filled(&["mine"]);
    let ended = bench(&fake, &["--count", "10"]).exits(2);
    ended.says("holds 1 keys").says("--beside-data");
    assert_eq!(fake.len(), 1);
    // While it loads nobody knows what it holds.
    fake.load_for(2);
    bench(&fake, &["--count", "10"])
        .exits(2)
        .says("--beside-data");
    fake.load_for(u32::MAX);
    let ended = bench(&fake, &["--count", "10", "--timeout", "300ms"]);
    ended.exits(2).says("still reads its log");
    fake.load_for(0);
    bench(&fake, &["--count", "10", "--beside-data"]).exits(0);
    assert_eq!(fake.value(b"mine").expect("left alone"), "vmine");
    assert_eq!(fake.len(), 1);
    let kept = bench(&fake, &["--count", "10", "--beside-data", "--keep"]).exits(0);
    kept.says("kept: the keys that begin with kvcli-bench/");
    assert_eq!(fake.len(), 51);
}

#[test]
fn a_wrong_answer_is_noticed() {
    let fake = Fake::start();
    let mut command = kvcli();
    command.args(["--endpoint", &fake.endpoint]);
    command.args(SMALL).args(["--duration", "3s"]);
    let child = command.spawn().expect("the program starts");
    until("it has filled", || fake.len() == 50);
    // Somebody else writes to its keys.
    let keys = run(&fake, &["-o", "raw", "scan", "--keys-only"]).exits(0);
    let mut script = String::new();
    for key in keys.text().lines() {
        writeln!(script, "set {key} other").expect("a string");
    }
    for _ in 0..3 {
        crate::run::feed(&fake, &[], &script).exits(0);
        thread::sleep(Duration::from_millis(100));
    }
    wait(child)
        .exits(1)
        .says("holds something else than was written");
}

#[test]
fn ctrl_c_ends_it_with_what_there_is_and_cleans_up() {
    let fake = Fake::start();
    let mut command = kvcli();
    command.args(["--endpoint", &fake.endpoint]);
    command.args(SMALL).args(["--duration", "10m"]);
    let child = command.spawn().expect("the program starts");
    let id = i32::try_from(child.id()).expect("a process id");
    until("it works", || fake.seen().len() > 100);
    signal(id, "INT");
    let ended = wait(child).exits(130);
    assert!(ended.text().contains("operations="), "{}", ended.text());
    assert_eq!(fake.len(), 0);
}

#[test]
fn what_cannot_be_benched_is_told() {
    let fake = Fake::start();
    for (args, part) in [
        (&["--value-size", "8B"][..], "at least 16B"),
        (&["--value-size", "64"], "no unit"),
        (&["--key-size", "12B"], "at least 29B"),
        (&["--rate", "0"], "--rate"),
        (&["--reads", "101"], "--reads"),
        (&["--duration", "0s"], "longer than nothing"),
        (&["--connections", "1024", "--in-flight", "1000"], "65536"),
        (&["--metrics", "nowhere"], "port"),
    ] {
        // The later flag counts.
        let args = [&["bench"], args].concat();
        run(&fake, &args).exits(2).says(part);
    }
    assert_eq!(fake.seen().len(), 0);
    let mut command = kvcli();
    command.args(["--endpoint", "127.0.0.1:1", "bench"]);
    wait(command.spawn().expect("the program starts")).exits(3);
}
