//! `del KEY…`.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1::{
    self, batch_write_operation::Operation, batch_write_result::Result as ItemResult,
};
use serde_json::{Map, Value};

use super::{Ask, Pending as AnyPending, Prepared, exit_of_items, mismatch};
use crate::{
    args::{CallFlags, bytes_of},
    failure::{Exit, Failure, Refusal},
    output::{self, Rows},
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &["key", "deleted", "revision"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys to delete; after -- they may begin with a dash
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    keys: Vec<Bytes>,
}

impl Args {
    /// `del KEY` without a flag.
    pub(crate) fn plain(key: OsString) -> Self {
        Self { keys: vec![key] }
    }

    /// One key is one Delete; many are one BatchWrite, applied in their order.
    pub(super) fn prepare(self, flags: CallFlags) -> Prepared {
        let keys: Vec<Bytes> = self.keys.into_iter().map(bytes_of).collect();
        let delete = |key: &Bytes| v1::DeleteRequest {
            key: key.clone(),
            ..Default::default()
        };
        let options = flags.write_options();
        let ask = match keys.as_slice() {
            [key] => Ask::Delete(v1::DeleteRequest {
                options,
                ..delete(key)
            }),
            keys => {
                let operation = |key| v1::BatchWriteOperation {
                    operation: Some(Operation::Delete(delete(key))),
                };
                let operations = keys.iter().map(operation).collect();
                Ask::BatchWrite(v1::BatchWriteRequest {
                    operations,
                    options,
                })
            }
        };
        Prepared {
            ask,
            pending: AnyPending::Del(Pending { keys }),
        }
    }
}

impl Pending {
    pub(super) fn read_one(self, reply: v1::DeleteResponse) -> Result<Report, Failure> {
        let durable = reply.header.as_ref().is_some_and(|header| header.durable);
        Self::report(self.keys, vec![Ok(reply)], durable)
    }

    pub(super) fn read_many(self, reply: v1::BatchWriteResponse) -> Result<Report, Failure> {
        let outcomes = reply.results.into_iter().map(|result| match result.result {
            Some(ItemResult::Delete(reply)) => Ok(Ok(reply)),
            Some(ItemResult::Error(error)) => Ok(Err(Refusal::from_item(&error))),
            _ => Err(mismatch()),
        });
        let outcomes = outcomes.collect::<Result<_, _>>()?;
        Self::report(
            self.keys,
            outcomes,
            reply.header.is_some_and(|header| header.durable),
        )
    }

    fn report(
        keys: Vec<Bytes>,
        outcomes: Vec<Result<v1::DeleteResponse, Refusal>>,
        durable: bool,
    ) -> Result<Report, Failure> {
        if keys.len() != outcomes.len() {
            return Err(mismatch());
        }
        Ok(Report {
            items: keys.into_iter().zip(outcomes).collect(),
            durable,
        })
    }
}

pub(super) struct Report {
    items: Vec<(Bytes, Result<v1::DeleteResponse, Refusal>)>,
    durable: bool,
}

impl Report {
    fn deleted(&self) -> usize {
        self.items
            .iter()
            .filter(|(_, outcome)| is_deleted(outcome))
            .count()
    }
}

fn is_deleted(outcome: &Result<v1::DeleteResponse, Refusal>) -> bool {
    outcome.as_ref().is_ok_and(|reply| reply.deleted)
}

impl output::Report for Report {
    /// How many keys went.
    fn raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.deleted().to_string().as_bytes());
        out.push(b'\n');
    }

    fn object(&self) -> Map<String, Value> {
        let item = |(key, outcome): &(Bytes, Result<v1::DeleteResponse, Refusal>)| {
            let mut object = Map::new();
            insert_bytes(&mut object, "key", key);
            match outcome {
                Ok(reply) => {
                    object.insert("deleted".into(), reply.deleted.into());
                    if reply.deleted {
                        object.insert("revision".into(), reply.revision.into());
                    }
                }
                Err(refusal) => {
                    object.insert("error".into(), refusal.to_string().into());
                }
            }
            Value::from(object)
        };
        let mut object = Map::new();
        object.insert("deleted".into(), self.deleted().into());
        object.insert(
            "keys".into(),
            self.items.iter().map(item).collect::<Vec<_>>().into(),
        );
        object.insert("durable".into(), self.durable.into());
        object
    }

    fn rows(&self) -> Rows {
        let row = |(key, outcome): &(Bytes, Result<v1::DeleteResponse, Refusal>)| match outcome {
            Ok(reply) if reply.deleted => {
                vec![show(key), "true".to_owned(), reply.revision.to_string()]
            }
            Ok(_) => vec![show(key), "false".to_owned(), String::new()],
            Err(_) => vec![show(key), String::new(), String::new()],
        };
        Rows {
            header: HEADER,
            rows: self.items.iter().map(row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        let refusals: Vec<&Refusal> = self
            .items
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err())
            .collect();
        exit_of_items(
            &refusals,
            self.items.iter().all(|(_, outcome)| is_deleted(outcome)),
        )
    }

    fn problems(&self) -> Vec<String> {
        let refused = |(key, outcome): &(Bytes, Result<_, Refusal>)| {
            let refusal = outcome.as_ref().err()?;
            Some(format!("{}: {refusal}", show(key)))
        };
        self.items.iter().filter_map(refused).collect()
    }
}
