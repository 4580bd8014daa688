//! `kvd dump` on what a daemon has left.

use super::support::{Process, channel, command, run, serve_arguments, set};
use kvproto::v1::kv_service_client::KvServiceClient;
use kvproto::v1::{self, SetRequest, WriteOptions};
use tempfile::TempDir;

fn dump(arguments: &[&str]) -> super::support::Ended {
    run(command(&["dump"]).args(arguments))
}

#[tokio::test]
async fn every_change_is_a_line_for_people_and_an_object_for_programs() {
    let root = TempDir::new().unwrap();
    let dir = root.path().to_str().unwrap();
    let process = Process::spawn(command(&[]).args(serve_arguments(root.path())));
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    kv.set(set("colour", "blue")).await.unwrap();
    kv.set(set("long", "x".repeat(100))).await.unwrap();
    kv.set(SetRequest {
        key: vec![0xff, b'"'].into(),
        options: Some(WriteOptions {
            request_id: "request".to_owned().into(),
            ..WriteOptions::default()
        }),
        ..set("", "v")
    })
    .await
    .unwrap();
    let key = "colour".to_owned().into();
    let delete = v1::DeleteRequest {
        key,
        ..v1::DeleteRequest::default()
    };
    kv.delete(delete).await.unwrap();

    let refused = dump(&[dir]);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    drop(process);

    let text = dump(&[dir]);
    assert_eq!(text.code, Some(0), "{text:?}");
    let lines: Vec<&str> = text.stdout.lines().collect();
    for (line, parts) in lines.iter().zip([
        ["SET", "\"colour\" = \"blue\"", "WRITTEN version=1"],
        ["SET", "xxx\"… (100 bytes)", "version=1"],
        ["SET", r#""\xff\"" = "v""#, "request=\"request\""],
        ["DELETE", "\"colour\"", "DELETED"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part:?} in {line}");
        }
    }
    assert_eq!(lines.len(), 4, "{text:?}");
    assert!(text.stderr.contains("4 changes of the log"), "{text:?}");

    let objects = dump(&[
        dir,
        "-o",
        "jsonl",
        "--from-revision",
        "4",
        "--to-revision",
        "5",
    ]);
    let objects: Vec<serde_json::Value> = objects
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects[0]["key_base64"], "/yI=");
    assert_eq!(objects[0]["request_id"], "request");
    assert_eq!(objects[0]["create_revision"], 4);
    assert_eq!(objects[1]["cause"], "DELETED");
    assert_eq!(objects[1]["previous_mod_revision"], 2);
    assert_eq!(objects.len(), 2);
}

#[test]
fn what_cannot_be_shown_is_said() {
    let root = TempDir::new().unwrap();
    let nowhere = root.path().join("nowhere");
    let refused = dump(&[nowhere.to_str().unwrap()]);
    assert_eq!(refused.code, Some(74), "{refused:?}");
    assert!(refused.stderr.contains("not a directory"), "{refused:?}");
    let both = dump(&["d", "--key", "k", "--prefix", "p"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}
