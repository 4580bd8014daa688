//! One key of a read: how a record that is there, is not there, or could not be
//! read looks in every format. Shared by get and mget.

use bytes::Bytes;
use kvproto::v1::Record;
use serde_json::{Map, Value, json};

use crate::{
    failure::Refusal,
    text::{insert_bytes, show},
};

pub(super) const HEADER: &[&str] = &[
    "key",
    "found",
    "value",
    "mod_revision",
    "version",
    "create_revision",
    "expires_at_ms",
];

/// What became of one key.
#[derive(Debug)]
pub(super) enum State {
    Found(Record),
    Missing,
    Refused(Refusal),
}

/// One key that was asked for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: Bytes,
    pub(super) state: State,
}

impl Item {
    pub(super) fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        match &self.state {
            State::Found(record) => {
                object.insert("found".into(), true.into());
                insert_bytes(&mut object, "value", &record.value);
                insert_numbers(&mut object, record);
            }
            State::Missing => {
                object.insert("found".into(), false.into());
            }
            State::Refused(refusal) => {
                object.insert("error".into(), refusal.to_string().into());
            }
        }
        object
    }

    pub(super) fn row(&self) -> Vec<String> {
        let mut row = vec![show(&self.key)];
        match &self.state {
            State::Found(record) => {
                row.extend(["true".to_owned(), show(&record.value)]);
                row.extend(
                    [record.mod_revision, record.version, record.create_revision]
                        .map(|number| number.to_string()),
                );
                row.push(record.expires_at_ms.to_string());
            }
            State::Missing => row.push("false".to_owned()),
            State::Refused(_) => {}
        }
        row.resize(HEADER.len(), String::new());
        row
    }

    pub(super) fn value(&self) -> &[u8] {
        match &self.state {
            State::Found(record) => &record.value,
            State::Missing | State::Refused(_) => &[],
        }
    }

    pub(super) fn is_found(&self) -> bool {
        matches!(self.state, State::Found(_))
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match &self.state {
            State::Refused(refusal) => Some(refusal),
            State::Found(_) | State::Missing => None,
        }
    }
}

/// The numbers of a record, the same in every object.
pub(super) fn insert_numbers(object: &mut Map<String, Value>, record: &Record) {
    object.insert("mod_revision".into(), json!(record.mod_revision));
    object.insert("version".into(), json!(record.version));
    object.insert("create_revision".into(), json!(record.create_revision));
    object.insert("expires_at_ms".into(), json!(record.expires_at_ms));
}
