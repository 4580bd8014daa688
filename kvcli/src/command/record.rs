//! How a record looks in every format: that of one key of a read, which is
//! there, is not there or could not be read, and what answers have in common.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use kvproto::v1::{Record, ResponseHeader};
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
    if record.lease_id != 0 {
        object.insert("lease_id".into(), json!(record.lease_id));
    }
}

/// A record that is not the one asked for, such as the one that was replaced.
pub(super) fn other_object(record: Option<&Record>) -> Value {
    let Some(record) = record else {
        return Value::Null;
    };
    let mut object = Map::new();
    insert_bytes(&mut object, "value", &record.value);
    insert_numbers(&mut object, record);
    object.into()
}

pub(super) fn is_durable(header: Option<&ResponseHeader>) -> bool {
    header.is_some_and(|header| header.durable)
}

/// What the header says, the same at the end of every object.
pub(crate) fn insert_header(object: &mut Map<String, Value>, header: Option<&ResponseHeader>) {
    object.insert("durable".into(), is_durable(header).into());
    if let Some(header) = header.filter(|header| !header.position.is_empty()) {
        object.insert("position".into(), BASE64.encode(&header.position).into());
    }
}

/// Whether the answer is that of an earlier attempt, where it is.
pub(super) fn insert_replayed(object: &mut Map<String, Value>, replayed: bool) {
    if replayed {
        object.insert("replayed".into(), true.into());
    }
}

/// Of what an answer lacks because it is that of an earlier attempt.
pub(super) fn not_repeated(what: &str) -> String {
    format!(
        "{what}: applied by an earlier attempt with the same request id; \
         what was read then is not repeated"
    )
}
