//! `count [PREFIX]`.

use std::ffi::OsString;

use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Ask, Pending, Prepared, RangeArgs, range,
    record::{insert_header, is_durable},
};
use crate::{
    args::CallFlags,
    failure::{Exit, Failure},
    output::{self, Rows, number_line},
};

const HEADER: &[&str] = &["count", "durable"];

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
        let request = v1::CountRequest {
            range: Some(range.unwrap_or_else(range::all)),
            options: flags.read_options(),
        };
        Ok(Prepared::new(Ask::Count(request), Pending::Count))
    }
}

pub(super) struct Report {
    reply: v1::CountResponse,
}

impl Report {
    pub(super) fn new(reply: v1::CountResponse) -> Self {
        Self { reply }
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        number_line(out, self.reply.count);
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("count".into(), self.reply.count.into());
        insert_header(&mut object, self.reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let row = vec![
            self.reply.count.to_string(),
            is_durable(self.reply.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    /// A count of nothing is a result.
    fn exit(&self) -> Exit {
        Exit::Success
    }
}
