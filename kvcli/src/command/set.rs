//! `set KEY (VALUE | --stdin | --file PATH)`.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use bytes::Bytes;
use clap::ArgGroup;
use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Place, Prepared,
    condition::{ConditionArgs, stands},
    expiry::ExpiryArgs,
    record::{
        insert_header, insert_numbers, insert_replayed, is_durable, not_repeated, other_object,
    },
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::{Exit, Failure, Refusal},
    output::{self, Rows},
    text::{insert_bytes, show},
};

/// What a server can be configured to take at most; more is not even read.
const MAX_VALUE: u64 = 16 * 1024 * 1024;

const HEADER: &[&str] = &[
    "key",
    "applied",
    "revision",
    "version",
    "create_revision",
    "durable",
];

/// The same with the value that was replaced.
const HEADER_PREVIOUS: &[&str] = &[
    "key",
    "applied",
    "revision",
    "version",
    "create_revision",
    "durable",
    "previous",
];

#[derive(Debug, clap::Args)]
#[command(override_usage = "kvcli set [OPTIONS] KEY (VALUE | --stdin | --file PATH)")]
#[command(group = ArgGroup::new("source").required(true))]
pub(crate) struct Args {
    /// Key to write; after -- it may begin with a dash
    #[arg(value_name = "KEY")]
    key: OsString,
    /// The value; it may begin with a dash, after -- even like a flag of set
    #[arg(value_name = "VALUE", group = "source", allow_hyphen_values = true)]
    value: Option<OsString>,
    /// Read the value from standard input, all of it
    #[arg(long, group = "source")]
    stdin: bool,
    /// Read the value from a file, all of it
    #[arg(long, group = "source", value_name = "PATH")]
    file: Option<PathBuf>,
    /// Also show what was replaced; raw: the value and a newline
    #[arg(long)]
    previous: bool,
    #[command(flatten)]
    expiry: ExpiryArgs,
    #[command(flatten)]
    condition: ConditionArgs,
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
    previous: bool,
}

impl Args {
    /// `set KEY VALUE` without a flag.
    pub(crate) fn plain(key: OsString, value: OsString) -> Self {
        Self {
            key,
            value: Some(value),
            stdin: false,
            file: None,
            expiry: ExpiryArgs::default(),
            condition: ConditionArgs::default(),
            previous: false,
        }
    }

    pub(super) fn prepare(self, flags: &CallFlags, place: Place) -> Result<Prepared, Failure> {
        let value = match (self.value, self.file) {
            (Some(value), _) => bytes_of(value),
            (None, Some(path)) => File::open(&path)
                .and_then(read_value)
                .map_err(|error| source_failure(&error, &path.display().to_string()))?,
            (None, None) if place != Place::CommandLine => {
                let what = if place == Place::Prompt {
                    "session; --file reads the value from a file"
                } else {
                    "script"
                };
                let text = format!("--stdin: standard input is this {what}");
                return Err(Failure::usage(text));
            }
            (None, None) => read_value(io::stdin().lock())
                .map_err(|error| source_failure(&error, "standard input"))?,
        };
        let key = bytes_of(self.key);
        let request = v1::SetRequest {
            key: key.clone(),
            value,
            expiry: self.expiry.into_expiry(),
            condition: self.condition.into_condition(),
            return_previous: self.previous,
            options: flags.write_options(),
        };
        let pending = Pending {
            key,
            previous: self.previous,
        };
        Ok(Prepared::new(Ask::Set(request), AnyPending::Set(pending)))
    }
}

/// Reads all of a source, but never more than any server would take.
fn read_value(source: impl Read) -> io::Result<Bytes> {
    let mut value = Vec::new();
    source.take(MAX_VALUE + 1).read_to_end(&mut value)?;
    if value.len() as u64 > MAX_VALUE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(value.into())
}

fn source_failure(error: &io::Error, source: &str) -> Failure {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return Failure::Refused(Box::new(Refusal::too_large(format!(
            "{source} holds more than {MAX_VALUE} bytes, the most that any kvd takes"
        ))));
    }
    Failure::usage(format!("cannot read {source}: {error}"))
}

impl Pending {
    pub(super) fn read(self, reply: v1::SetResponse) -> Report {
        Report {
            key: self.key,
            previous: self.previous,
            reply,
        }
    }
}

pub(super) struct Report {
    key: Bytes,
    previous: bool,
    reply: v1::SetResponse,
}

impl Report {
    fn previous_value(&self) -> &[u8] {
        let previous = self.reply.previous.as_ref();
        previous.map(|record| &*record.value).unwrap_or_default()
    }
}

impl output::Report for Report {
    /// Nothing: silence means done. Unless what was there before is asked for.
    fn raw(&self, out: &mut Vec<u8>) {
        if self.previous {
            out.extend_from_slice(self.previous_value());
            out.push(b'\n');
        }
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        object.insert("applied".into(), self.reply.applied.into());
        if self.reply.applied {
            object.insert("revision".into(), self.reply.revision.into());
            if let Some(record) = &self.reply.record {
                insert_numbers(&mut object, record);
            }
            if self.previous && !self.reply.replayed {
                let previous = other_object(self.reply.previous.as_deref());
                object.insert("previous".into(), previous);
            }
        } else {
            let current = other_object(self.reply.current.as_deref());
            object.insert("current".into(), current);
        }
        insert_replayed(&mut object, self.reply.replayed);
        insert_header(&mut object, self.reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let number = |number: i64| number.to_string();
        let record = self.reply.record.as_ref().filter(|_| self.reply.applied);
        let mut row = vec![
            show(&self.key),
            self.reply.applied.to_string(),
            if self.reply.applied {
                number(self.reply.revision)
            } else {
                String::new()
            },
            record
                .map(|record| number(record.version))
                .unwrap_or_default(),
            record
                .map(|record| number(record.create_revision))
                .unwrap_or_default(),
            is_durable(self.reply.header.as_ref()).to_string(),
        ];
        if self.previous {
            row.push(show(self.previous_value()));
        }
        let header = if self.previous {
            HEADER_PREVIOUS
        } else {
            HEADER
        };
        Rows::one(header, row)
    }

    fn exit(&self) -> Exit {
        if self.reply.applied {
            Exit::Success
        } else {
            Exit::Negative
        }
    }

    fn problems(&self) -> Vec<String> {
        if self.previous && self.reply.replayed {
            return vec![not_repeated(&show(&self.key))];
        }
        if self.reply.applied {
            return Vec::new();
        }
        let stands = stands(&show(&self.key), self.reply.current.as_deref());
        vec![format!("not set: {stands}")]
    }
}
