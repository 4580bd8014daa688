//! `watch`: every event once, in every format, over connections that break.

use std::fs;

use kvproto::v1::{
    self, ErrorReason, EventCause, EventType, watch_response::Response as Message,
    watch_start::Start,
};
use tempfile::TempDir;
use tonic::Code;

use crate::{fake::Fake, run::run};

fn message(message: Message) -> v1::WatchResponse {
    v1::WatchResponse {
        watch_id: 1,
        response: Some(message),
        ..v1::WatchResponse::default()
    }
}

pub(crate) fn created(start_revision: i64) -> v1::WatchResponse {
    message(Message::Created(v1::WatchCreated { start_revision }))
}

fn event(kind: EventType, cause: EventCause, key: &str, value: &str, revision: i64) -> v1::Event {
    v1::Event {
        r#type: kind.into(),
        cause: cause.into(),
        record: Some(v1::Record {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            mod_revision: revision,
            version: 1,
            create_revision: revision,
            ..v1::Record::default()
        }),
        ..v1::Event::default()
    }
}

pub(crate) fn set(key: &str, value: &str, revision: i64) -> v1::Event {
    event(EventType::Set, EventCause::Written, key, value, revision)
}

pub(crate) fn events(revision: i64, events: Vec<v1::Event>, more: bool) -> v1::WatchResponse {
    message(Message::Events(v1::WatchEvents {
        events,
        revision,
        more_of_revision: more,
        position: if more {
            bytes::Bytes::new()
        } else {
            format!("p{revision}").into()
        },
    }))
}

fn canceled(code: Code, reason: ErrorReason, compact_revision: i64) -> v1::WatchResponse {
    message(Message::Canceled(v1::WatchCanceled {
        error: Some(v1::Error {
            code: code.into(),
            reason: reason.into(),
            message: "said so".to_owned(),
            ..v1::Error::default()
        }),
        compact_revision,
        position: bytes::Bytes::new(),
    }))
}

pub(crate) fn start(create: &v1::WatchCreate) -> Start {
    let start = create.start.clone().expect("a start");
    start.start.expect("of some kind")
}

#[test]
fn events_in_every_format() {
    let gone = event(EventType::Delete, EventCause::Expired, "b", "last", 3);
    let script = vec![
        created(2),
        events(2, vec![set("a", "1", 2)], false),
        events(3, vec![gone], false),
    ];
    let shown = |format: &str| {
        let fake = Fake::start();
        fake.watch_script(script.clone());
        let ended = run(&fake, &["-o", format, "watch", "--limit", "2"]).exits(0);
        ended.text().to_owned()
    };
    assert_eq!(shown("raw"), "SET\ta\t1\nDELETE\tb\tlast\n");
    let lines = shown("jsonl");
    let objects: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(objects[0]["type"], "SET");
    assert_eq!(objects[0]["value"], "1");
    assert_eq!(objects[1]["cause"], "EXPIRED");
    assert_eq!(objects[1]["mod_revision"], 3);
    let whole: serde_json::Value = serde_json::from_str(&shown("json")).expect("one object");
    assert_eq!(whole["records"].as_array().expect("events").len(), 2);
    assert!(shown("csv").contains("3,DELETE,EXPIRED,b,last,1"));
    assert!(shown("table").contains("EXPIRED"));
}

#[test]
fn a_broken_connection_is_gone_on_behind_what_was_shown() {
    let fake = Fake::start();
    // Cut within a revision: the part of it comes again, and is shown once.
    fake.watch_script(vec![
        created(2),
        events(2, vec![set("a", "1", 2)], false),
        events(3, vec![set("b", "1", 3)], true),
    ]);
    fake.watch_script(vec![
        created(3),
        events(3, vec![set("b", "1", 3)], true),
        events(3, vec![set("c", "1", 3)], false),
        canceled(Code::Unavailable, ErrorReason::Draining, 0),
    ]);
    fake.watch_script(vec![created(4), events(4, vec![set("d", "1", 4)], false)]);
    run(&fake, &["-o", "raw", "watch", "--limit", "4"])
        .exits(0)
        .prints("SET\ta\t1\nSET\tb\t1\nSET\tc\t1\nSET\td\t1\n")
        .says("going on behind revision 2")
        .says("the server is stopping; going on behind revision 3");
    let starts: Vec<Start> = fake.watches().iter().map(start).collect();
    assert_eq!(
        starts,
        [
            Start::Now(v1::StartNow {}),
            Start::Position("p2".into()),
            Start::Position("p3".into())
        ]
    );
}

#[test]
fn a_watch_from_now_that_breaks_before_its_first_event_leaves_nothing_out() {
    let fake = Fake::start();
    fake.watch_script(vec![created(7)]);
    fake.watch_script(vec![created(7), events(7, vec![set("a", "1", 7)], false)]);
    run(&fake, &["-o", "raw", "watch", "a", "--limit", "1"])
        .exits(0)
        .prints("SET\ta\t1\n");
    let starts: Vec<Start> = fake.watches().iter().map(start).collect();
    assert_eq!(starts, [Start::Now(v1::StartNow {}), Start::Revision(7)]);
}

#[test]
fn what_was_asked_for_arrives_and_what_cannot_be_is_refused() {
    let fake = Fake::start();
    fake.watch_script(vec![canceled(Code::OutOfRange, ErrorReason::Compacted, 40)]);
    let arguments = [
        "watch",
        "--prefix",
        "user:",
        "--from",
        "7",
        "--previous",
        "--keys-only",
        "--exclude-type",
        "delete",
        "--exclude-cause",
        "expiry-changed",
        "--read-level",
        "latest",
        "--on-compacted",
        "end",
    ];
    run(&fake, &arguments)
        .exits(4)
        .says("COMPACTED")
        .says("before revision 40 are no longer held");
    let create = &fake.watches()[0];
    assert_eq!(start(create), Start::Revision(7));
    assert!(create.previous_values && create.keys_only);
    assert_eq!(create.exclude_types, [i32::from(EventType::Delete)]);
    assert_eq!(
        create.exclude_causes,
        [i32::from(EventCause::ExpiryChanged)]
    );
    assert_eq!(create.read_level, i32::from(v1::ReadLevel::Latest));

    for wrong in [
        &["watch", "k", "--prefix", "p"][..],
        &["watch", "--from", "0"],
        &["watch", "--from", "3", "--current-state"],
        &["watch", "--position", "not base64!"],
        &["watch", "--exclude-cause", "boredom"],
        &["watch", "--min-position", "AAAA"],
    ] {
        run(&fake, wrong).exits(2);
    }
    assert_eq!(fake.watches().len(), 1, "nothing else was sent");
}

#[test]
fn a_command_gets_each_event_and_ends_the_watch_when_it_fails() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("seen");
    let script = vec![
        created(2),
        events(2, vec![set("a", "1", 2), set("b", "2", 2)], false),
        events(3, vec![set("stop", "3", 3)], false),
    ];
    let fake = Fake::start();
    fake.watch_script(script);
    let command = format!(
        "read -r object; test \"$KVD_KEY\" != stop && \
         echo \"$KVD_TYPE $KVD_CAUSE $KVD_KEY $KVD_REVISION $object\" >> {}",
        file.display()
    );
    run(&fake, &["watch", "--exec", &command])
        .exits(1)
        .says("the command failed")
        // The base64 of p2.
        .says("--position cDI=");
    let seen = fs::read_to_string(&file).expect("written");
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 2, "{seen}");
    assert!(lines[0].starts_with("SET WRITTEN a 2 {\"type\":\"SET\""));
    assert!(lines[1].contains("\"value\":\"2\""));
}
