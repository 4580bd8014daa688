//! `set KEY (VALUE | --stdin | --file PATH)`.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use bytes::Bytes;
use clap::ArgGroup;
use kvproto::v1::{self, condition::Test};
use serde_json::{Map, Value};

use super::{Ask, Pending as AnyPending, Prepared, record::insert_numbers};
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

#[derive(Debug, clap::Args)]
#[command(override_usage = "kvcli set [OPTIONS] KEY (VALUE | --stdin | --file PATH)")]
#[command(group = ArgGroup::new("source").required(true))]
#[command(group = ArgGroup::new("if"))]
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
    /// Only if the key does not exist
    #[arg(long, group = "if")]
    if_absent: bool,
    /// Only if the key exists
    #[arg(long, group = "if")]
    if_present: bool,
    /// Only if the key was last changed at this revision (0: does not exist)
    #[arg(long, group = "if", value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    if_revision: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
}

impl Args {
    /// `set KEY VALUE` without a flag.
    pub(crate) fn plain(key: OsString, value: OsString) -> Self {
        Self {
            key,
            value: Some(value),
            stdin: false,
            file: None,
            if_absent: false,
            if_present: false,
            if_revision: None,
        }
    }

    pub(super) fn prepare(self, flags: CallFlags, in_script: bool) -> Result<Prepared, Failure> {
        let condition = self.condition();
        let value = match (self.value, self.file) {
            (Some(value), _) => bytes_of(value),
            (None, Some(path)) => File::open(&path)
                .and_then(read_value)
                .map_err(|error| source_failure(&error, &path.display().to_string()))?,
            (None, None) if in_script => {
                return Err(Failure::usage("--stdin: standard input is this script"));
            }
            (None, None) => read_value(io::stdin().lock())
                .map_err(|error| source_failure(&error, "standard input"))?,
        };
        let key = bytes_of(self.key);
        let request = v1::SetRequest {
            key: key.clone(),
            value,
            condition,
            options: flags.write_options(),
            ..Default::default()
        };
        Ok(Prepared {
            ask: Ask::Set(request),
            pending: AnyPending::Set(Pending { key }),
        })
    }

    fn condition(&self) -> Option<v1::Condition> {
        let test = if self.if_absent {
            Test::Exists(false)
        } else if self.if_present {
            Test::Exists(true)
        } else {
            Test::ModRevision(self.if_revision?)
        };
        Some(v1::Condition { test: Some(test) })
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
            reply,
        }
    }
}

pub(super) struct Report {
    key: Bytes,
    reply: v1::SetResponse,
}

impl Report {
    fn durable(&self) -> bool {
        self.reply
            .header
            .as_ref()
            .is_some_and(|header| header.durable)
    }
}

impl output::Report for Report {
    /// Nothing: silence means done.
    fn raw(&self, _out: &mut Vec<u8>) {}

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        object.insert("applied".into(), self.reply.applied.into());
        if self.reply.applied {
            object.insert("revision".into(), self.reply.revision.into());
            if let Some(record) = &self.reply.record {
                insert_numbers(&mut object, record);
            }
        } else {
            let current = self.reply.current.as_ref().map(|record| {
                let mut object = Map::new();
                insert_bytes(&mut object, "value", &record.value);
                insert_numbers(&mut object, record);
                object
            });
            object.insert("current".into(), current.map_or(Value::Null, Value::from));
        }
        object.insert("durable".into(), self.durable().into());
        object
    }

    fn rows(&self) -> Rows {
        let number = |number: i64| number.to_string();
        let record = self.reply.record.as_ref().filter(|_| self.reply.applied);
        let row = vec![
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
            self.durable().to_string(),
        ];
        Rows {
            header: HEADER,
            rows: vec![row],
        }
    }

    fn exit(&self) -> Exit {
        if self.reply.applied {
            Exit::Success
        } else {
            Exit::Negative
        }
    }

    fn problems(&self) -> Vec<String> {
        if self.reply.applied {
            return Vec::new();
        }
        let key = show(&self.key);
        vec![match &self.reply.current {
            Some(current) => {
                format!(
                    "not set: {key} exists, last changed at revision {}",
                    current.mod_revision
                )
            }
            None => format!("not set: {key} does not exist"),
        }]
    }
}
