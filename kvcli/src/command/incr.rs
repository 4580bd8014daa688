//! `incr KEY`.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1;
use serde_json::Map;

use super::{
    Ask, Pending as AnyPending, Prepared,
    expiry::ExpiryArgs,
    record::{insert_header, insert_numbers, insert_replayed, is_durable},
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::Exit,
    output::{self, Rows, number_line},
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &[
    "key",
    "value",
    "revision",
    "version",
    "expires_at_ms",
    "durable",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Key of the counter; after -- it may begin with a dash
    #[arg(value_name = "KEY")]
    key: OsString,
    /// What to add [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    by: Option<i64>,
    /// What a missing key is taken to hold before the addition [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    initial: Option<i64>,
    /// Lowest result that is allowed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    min: Option<i64>,
    /// Highest result that is allowed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max: Option<i64>,
    /// At a bound, stop there instead of being refused
    #[arg(long)]
    saturate: bool,
    #[command(flatten)]
    expiry: ExpiryArgs,
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
}

impl Args {
    /// `incr KEY` without a flag.
    pub(crate) fn plain(key: OsString) -> Self {
        Self {
            key,
            by: None,
            initial: None,
            min: None,
            max: None,
            saturate: false,
            expiry: ExpiryArgs::default(),
        }
    }

    pub(super) fn prepare(self, flags: &CallFlags) -> Prepared {
        let key = bytes_of(self.key);
        let request = v1::IncrementRequest {
            key: key.clone(),
            delta: self.by,
            initial: self.initial.unwrap_or_default(),
            min: self.min,
            max: self.max,
            saturate: self.saturate,
            expiry: self.expiry.into_expiry(),
            options: flags.write_options(),
        };
        Prepared::new(Ask::Increment(request), AnyPending::Incr(Pending { key }))
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::IncrementResponse) -> Report {
        Report {
            key: self.key,
            reply,
        }
    }
}

pub(super) struct Report {
    key: Bytes,
    reply: v1::IncrementResponse,
}

impl output::Report for Report {
    /// The value after the addition.
    fn raw(&self, out: &mut Vec<u8>) {
        number_line(out, self.reply.value);
    }

    fn object(&self) -> Map<String, serde_json::Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        object.insert("value".into(), self.reply.value.into());
        object.insert("revision".into(), self.reply.revision.into());
        if let Some(record) = &self.reply.record {
            insert_numbers(&mut object, record);
        }
        insert_replayed(&mut object, self.reply.replayed);
        insert_header(&mut object, self.reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let record = self.reply.record.as_ref();
        let row = vec![
            show(&self.key),
            self.reply.value.to_string(),
            self.reply.revision.to_string(),
            record
                .map(|record| record.version.to_string())
                .unwrap_or_default(),
            record
                .map(|record| record.expires_at_ms.to_string())
                .unwrap_or_default(),
            is_durable(self.reply.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
