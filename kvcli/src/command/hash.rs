//! `hash [PREFIX]`.

use std::{ffi::OsString, fmt::Write as _};

use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Ask, Pending, Prepared, RangeArgs, range,
    record::{insert_header, is_durable},
};
use crate::{
    args::CallFlags,
    failure::{Exit, Failure},
    output::{self, Rows},
};

const HEADER: &[&str] = &["hash", "count", "durable"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    #[command(flatten)]
    range: RangeArgs,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags) -> Result<Prepared, Failure> {
        let range = self.range.into_range(self.prefix)?;
        let request = v1::HashRequest {
            range: Some(range.unwrap_or_else(range::all)),
            options: flags.read_options(),
        };
        Ok(Prepared::new(Ask::Hash(request), Pending::Hash))
    }
}

pub(super) struct Report {
    reply: v1::HashResponse,
}

impl Report {
    pub(super) fn new(reply: v1::HashResponse) -> Self {
        Self { reply }
    }

    /// The digest in hexadecimal.
    fn hex(&self) -> String {
        let mut hex = String::with_capacity(self.reply.hash.len() * 2);
        for byte in &self.reply.hash {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.hex().as_bytes());
        out.push(b'\n');
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("hash".into(), self.hex().into());
        object.insert("count".into(), self.reply.count.into());
        insert_header(&mut object, self.reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let row = vec![
            self.hex(),
            self.reply.count.to_string(),
            is_durable(self.reply.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
