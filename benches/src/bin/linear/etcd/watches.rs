//! Watches in the form of etcd's validators.
//!
//! | here | there |
//! | --- | --- |
//! | a key, or the prefix of the run | `Key`, `WithPrefix` |
//! | from now, a revision, a position | `Revision`: the first that the watch said, when it was created, that it has to tell. etcd says nothing of the kind for "now", and 0 would ask for less |
//! | one message, or the fragments of one revision | one `WatchResponse` |
//! | progress | `IsProgressNotify` |
//! | `create_revision == mod_revision` | `IsCreate` |
//! | the record from before | `PrevValue`, without `create_revision` |
//! | a watch that ends with its daemon | a `WatchOperation` without an end: theirs have none either |
//!
//! What has no place there is not in a recorded run: expiries and their causes (they have
//! leases), filters, keys without values, resync and compaction, LATEST.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use kvproto::v1::{self, EventType};
use serde_json::{Value, json};

use super::super::persisted::{Change, Log};
use super::super::watchers::{Told, Watched};

/// Watchers are clients of their own, behind those with operations.
const FIRST_CLIENT: usize = 1_000_000;

/// Writes the watches and what the log holds below `dir`.
pub(crate) fn write(dir: &Path, prefix: &str, log: &Log, watches: &[Watched]) -> io::Result<()> {
    let mut persisted = String::new();
    for (_, changes) in log.revisions() {
        // Writing to a string does not fail.
        let _ = writeln!(persisted, "{}", request(changes));
    }
    fs::write(dir.join("persisted.json"), persisted)?;
    let mut clients: BTreeMap<usize, String> = BTreeMap::new();
    for watched in watches {
        let operation = operation(prefix, log, watched);
        let text = clients.entry(FIRST_CLIENT + watched.watcher).or_default();
        let _ = writeln!(text, "{operation}");
    }
    for (client, text) in clients {
        let dir = dir.join(format!("client-{client}"));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("watch.json"), text)?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a revision did, as if it had been asked for without conditions.
fn request(changes: &[Change]) -> Value {
    let steps: Vec<Value> = changes
        .iter()
        .map(|change| match &change.value {
            Some(value) => json!({
                "Type": "put-operation",
                "Put": { "Key": change.key, "Value": { "Value": value, "Hash": 0 }, "LeaseID": 0 },
            }),
            None => json!({ "Type": "delete-operation", "Delete": { "Key": change.key } }),
        })
        .collect();
    super::txn(&[], &steps, &[])
}

fn operation(prefix: &str, log: &Log, watched: &Watched) -> Value {
    let key = match watched.only {
        Some(key) => format!("{prefix}{key}"),
        None => prefix.to_owned(),
    };
    let told: Vec<Value> = watched
        .told
        .iter()
        .map(|told| response(log, told))
        .collect();
    json!({
        "Request": {
            "Key": key,
            "Revision": log.from(watched.from),
            "WithPrefix": watched.only.is_none(),
            "WithProgressNotify": true,
            "WithPrevKV": watched.previous,
        },
        "Responses": told,
    })
}

fn response(log: &Log, told: &Told) -> Value {
    let mut response = json!({
        "IsProgressNotify": told.events.is_none(),
        // Of events it is that of each; of progress, all up to it was told.
        "Revision": log.rank(told.revision),
        "Time": told.at,
    });
    if let Some(events) = &told.events {
        let events: Vec<Value> = events.iter().map(|told| event(log, told)).collect();
        response["Events"] = events.into();
    }
    response
}

fn event(log: &Log, event: &v1::Event) -> Value {
    let record = event.record.clone().unwrap_or_default();
    let is_set = event.r#type == i32::from(EventType::Set);
    let mut told = json!({
        "Type": if is_set { "put-operation" } else { "delete-operation" },
        "Key": text(&record.key),
        // One that the log does not hold has a number that they know nothing of.
        "Revision": log.exact(record.mod_revision),
        "IsCreate": is_set && record.create_revision == record.mod_revision,
    });
    if is_set {
        told["Value"] = json!({ "Value": text(&record.value), "Hash": 0 });
    }
    if let Some(previous) = &event.previous {
        told["PrevValue"] = json!({
            "Value": { "Value": text(&previous.value), "Hash": 0 },
            "ModRevision": log.exact(previous.mod_revision),
            "Version": previous.version,
        });
    }
    told
}
