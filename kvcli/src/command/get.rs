//! `get KEY`.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Prepared,
    record::{HEADER, Item, State, insert_header},
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::Exit,
    output::{self, Rows},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Key to read; after -- it may begin with a dash
    #[arg(value_name = "KEY")]
    key: OsString,
    /// Print the value's exact bytes, without a newline after it (raw format)
    #[arg(long)]
    pub(super) no_newline: bool,
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
    newline: bool,
}

impl Args {
    /// `get KEY` without a flag.
    pub(crate) fn plain(key: OsString) -> Self {
        Self {
            key,
            no_newline: false,
        }
    }

    pub(super) fn prepare(self, flags: &CallFlags) -> Prepared {
        let key = bytes_of(self.key);
        let request = v1::GetRequest {
            key: key.clone(),
            options: flags.read_options(),
        };
        let pending = Pending {
            key,
            newline: !self.no_newline,
        };
        Prepared::new(Ask::Get(request), AnyPending::Get(pending))
    }
}

impl Pending {
    /// One key of several.
    pub(crate) fn of(key: Bytes) -> Self {
        Self { key, newline: true }
    }

    pub(super) fn read(self, reply: v1::GetResponse) -> Report {
        let state = if reply.found {
            State::Found(reply.record.unwrap_or_default())
        } else {
            State::Missing
        };
        Report {
            item: Item {
                key: self.key,
                state,
            },
            header: reply.header,
            newline: self.newline,
        }
    }
}

pub(super) struct Report {
    item: Item,
    header: Option<v1::ResponseHeader>,
    newline: bool,
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.item.value());
        if self.newline {
            out.push(b'\n');
        }
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = self.item.object();
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        Rows::one(HEADER, self.item.row())
    }

    fn exit(&self) -> Exit {
        if self.item.is_found() {
            Exit::Success
        } else {
            Exit::Negative
        }
    }
}
