//! Events in every format.

use kvproto::v1::{self, EventCause, EventType};
use serde_json::{Map, Value};

use crate::{
    failure::Exit,
    output::{self, Rows},
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &["revision", "type", "cause", "key", "value", "version"];

/// Events of whole revisions.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<v1::Event>);

impl Events {
    /// Adds what came, but no more than `left` in all.
    pub(super) fn add(&mut self, events: Vec<v1::Event>, left: Option<u64>) {
        self.0.extend(events);
        if let Some(left) = left.and_then(|left| usize::try_from(left).ok()) {
            self.0.truncate(left);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn as_objects(&self) -> Vec<Map<String, Value>> {
        self.0.iter().map(object).collect()
    }
}

fn record(event: &v1::Event) -> v1::Record {
    event.record.clone().unwrap_or_default()
}

/// `EVENT_TYPE_SET` -> `SET`; a number that a newer server sent as it is.
fn type_name(event: &v1::Event) -> String {
    EventType::try_from(event.r#type).map_or_else(
        |unknown| unknown.0.to_string(),
        |known| known.as_str_name().replace("EVENT_TYPE_", ""),
    )
}

fn cause_name(event: &v1::Event) -> String {
    EventCause::try_from(event.cause).map_or_else(
        |unknown| unknown.0.to_string(),
        |known| known.as_str_name().replace("EVENT_CAUSE_", ""),
    )
}

/// Whether there is a value to show: a removal has one if it was not asked for.
fn has_value(event: &v1::Event, record: &v1::Record) -> bool {
    !event.value_unavailable
        && (event.r#type != i32::from(EventType::Delete) || !record.value.is_empty())
}

fn object(event: &v1::Event) -> Map<String, Value> {
    let record = record(event);
    let mut object = Map::new();
    object.insert("type".into(), type_name(event).into());
    object.insert("cause".into(), cause_name(event).into());
    insert_bytes(&mut object, "key", &record.key);
    if has_value(event, &record) {
        insert_bytes(&mut object, "value", &record.value);
    }
    insert_numbers(&mut object, &record);
    if let Some(previous) = &event.previous {
        let mut before = Map::new();
        insert_bytes(&mut before, "value", &previous.value);
        insert_numbers(&mut before, previous);
        object.insert("previous".into(), before.into());
    }
    for (name, holds) in [
        ("previous_unavailable", event.previous_unavailable),
        ("value_unavailable", event.value_unavailable),
    ] {
        if holds {
            object.insert(name.into(), true.into());
        }
    }
    object
}

fn insert_numbers(object: &mut Map<String, Value>, record: &v1::Record) {
    let numbers = [
        ("mod_revision", record.mod_revision),
        ("version", record.version),
        ("create_revision", record.create_revision),
        ("expires_at_ms", record.expires_at_ms),
    ];
    for (name, number) in numbers {
        object.insert(name.into(), number.into());
    }
}

impl output::Report for Events {
    /// Type, key and value, with tabs between.
    fn raw(&self, out: &mut Vec<u8>) {
        for event in &self.0 {
            let record = record(event);
            out.extend_from_slice(type_name(event).as_bytes());
            out.push(b'\t');
            out.extend_from_slice(&record.key);
            if has_value(event, &record) {
                out.push(b'\t');
                out.extend_from_slice(&record.value);
            }
            out.push(b'\n');
        }
    }

    fn object(&self) -> Map<String, Value> {
        let events: Vec<Value> = self.as_objects().into_iter().map(Value::from).collect();
        let mut object = Map::new();
        object.insert("events".into(), events.into());
        object
    }

    fn objects(&self) -> Vec<Map<String, Value>> {
        self.as_objects()
    }

    fn rows(&self) -> Rows {
        let row = |event: &v1::Event| {
            let record = record(event);
            let value = if has_value(event, &record) {
                show(&record.value)
            } else {
                String::new()
            };
            vec![
                record.mod_revision.to_string(),
                type_name(event),
                cause_name(event),
                show(&record.key),
                value,
                record.version.to_string(),
            ]
        };
        Rows {
            header: HEADER,
            rows: self.0.iter().map(row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
