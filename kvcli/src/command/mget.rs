//! `mget KEY…`.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1::{self, batch_get_result::Result as KeyResult};
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Prepared, exit_of_items, mismatch,
    record::{HEADER, Item, State, insert_header},
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::{Exit, Failure, Refusal},
    output::{self, Rows},
    text::show,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys to read; after -- they may begin with a dash
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    keys: Vec<Bytes>,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags) -> Prepared {
        let keys: Vec<Bytes> = self.keys.into_iter().map(bytes_of).collect();
        let request = v1::BatchGetRequest {
            keys: keys.clone(),
            options: flags.read_options(),
        };
        Prepared::new(Ask::BatchGet(request), AnyPending::Mget(Pending { keys }))
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::BatchGetResponse) -> Result<Report, Failure> {
        if reply.results.len() != self.keys.len() {
            return Err(mismatch());
        }
        let items = self
            .keys
            .into_iter()
            .zip(reply.results)
            .map(|(key, result)| {
                let state = match result.result {
                    Some(KeyResult::Record(record)) => State::Found(record),
                    Some(KeyResult::Missing(_)) => State::Missing,
                    Some(KeyResult::Error(error)) => State::Refused(Refusal::from_item(&error)),
                    None => return Err(mismatch()),
                };
                Ok(Item { key, state })
            });
        Ok(Report {
            items: items.collect::<Result<_, _>>()?,
            header: reply.header,
        })
    }
}

pub(super) struct Report {
    items: Vec<Item>,
    header: Option<v1::ResponseHeader>,
}

impl output::Report for Report {
    /// A line per key; one that is missing or refused has an empty line.
    fn raw(&self, out: &mut Vec<u8>) {
        for item in &self.items {
            out.extend_from_slice(item.value());
            out.push(b'\n');
        }
    }

    fn object(&self) -> Map<String, Value> {
        let items: Vec<Value> = self.items.iter().map(|item| item.object().into()).collect();
        let mut object = Map::new();
        object.insert("results".into(), items.into());
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        Rows {
            header: HEADER,
            rows: self.items.iter().map(Item::row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        let refusals: Vec<&Refusal> = self.items.iter().filter_map(Item::refusal).collect();
        exit_of_items(&refusals, self.items.iter().all(Item::is_found))
    }

    fn problems(&self) -> Vec<String> {
        let refused = |item: &Item| Some(format!("{}: {}", show(&item.key), item.refusal()?));
        self.items.iter().filter_map(refused).collect()
    }
}
