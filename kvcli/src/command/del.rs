//! `del KEY…`.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1::{
    self, batch_write_operation::Operation, batch_write_result::Result as ItemResult,
};
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Prepared,
    condition::{ConditionArgs, stands},
    exit_of_items, mismatch,
    record::{insert_header, insert_replayed, not_repeated, other_object},
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::{Exit, Failure, Refusal},
    output::{self, Rows, number_line},
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &["key", "deleted", "revision"];
const HEADER_PREVIOUS: &[&str] = &["key", "deleted", "revision", "previous"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys to delete; after -- they may begin with a dash
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
    /// Also show what was removed; raw: each value and a newline, in place of
    /// the count
    #[arg(long)]
    previous: bool,
    #[command(flatten)]
    condition: ConditionArgs,
}

#[derive(Debug)]
pub(crate) struct Pending {
    keys: Vec<Bytes>,
    previous: bool,
    conditional: bool,
}

impl Args {
    /// `del KEY` without a flag.
    pub(crate) fn plain(key: OsString) -> Self {
        Self {
            keys: vec![key],
            condition: ConditionArgs::default(),
            previous: false,
        }
    }

    /// One key is one Delete; many are one BatchWrite, applied in their order.
    pub(super) fn prepare(self, flags: &CallFlags) -> Result<Prepared, Failure> {
        let keys: Vec<Bytes> = self.keys.into_iter().map(bytes_of).collect();
        let condition = self.condition.into_condition();
        let conditional = condition.is_some();
        let delete = |key: &Bytes| v1::DeleteRequest {
            key: key.clone(),
            return_previous: self.previous,
            ..Default::default()
        };
        let options = flags.write_options();
        let ask = match keys.as_slice() {
            [key] => Ask::Delete(v1::DeleteRequest {
                condition,
                options,
                ..delete(key)
            }),
            _ if conditional => {
                return Err(Failure::usage("a condition is for one key: del KEY --if-…"));
            }
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
        let pending = Pending {
            keys,
            previous: self.previous,
            conditional,
        };
        Ok(Prepared::new(ask, AnyPending::Del(pending)))
    }
}

impl Pending {
    /// Of one key among several.
    pub(crate) fn of(request: &v1::DeleteRequest) -> Self {
        Self {
            keys: vec![request.key.clone()],
            previous: request.return_previous,
            conditional: false,
        }
    }

    pub(super) fn read_one(self, reply: v1::DeleteResponse) -> Result<Report, Failure> {
        let (header, replayed) = (reply.header.clone(), reply.replayed);
        self.report(vec![Ok(reply)], header, replayed)
    }

    pub(super) fn read_many(self, reply: v1::BatchWriteResponse) -> Result<Report, Failure> {
        let outcomes = reply.results.into_iter().map(|result| match result.result {
            Some(ItemResult::Delete(reply)) => Ok(Ok(reply)),
            Some(ItemResult::Error(error)) => Ok(Err(Refusal::from_item(&error))),
            _ => Err(mismatch()),
        });
        let outcomes = outcomes.collect::<Result<_, _>>()?;
        self.report(outcomes, reply.header, reply.replayed)
    }

    fn report(
        self,
        outcomes: Vec<Result<v1::DeleteResponse, Refusal>>,
        header: Option<v1::ResponseHeader>,
        replayed: bool,
    ) -> Result<Report, Failure> {
        if self.keys.len() != outcomes.len() {
            return Err(mismatch());
        }
        Ok(Report {
            items: self.keys.into_iter().zip(outcomes).collect(),
            previous: self.previous,
            conditional: self.conditional,
            header,
            replayed,
        })
    }
}

pub(super) struct Report {
    items: Vec<(Bytes, Result<v1::DeleteResponse, Refusal>)>,
    previous: bool,
    conditional: bool,
    header: Option<v1::ResponseHeader>,
    replayed: bool,
}

impl Report {
    fn deleted(&self) -> usize {
        self.items
            .iter()
            .filter(|(_, outcome)| is_deleted(outcome))
            .count()
    }
}

fn previous_value(outcome: &Result<v1::DeleteResponse, Refusal>) -> &[u8] {
    let previous = outcome
        .as_ref()
        .ok()
        .and_then(|reply| reply.previous.as_ref());
    previous.map(|record| &*record.value).unwrap_or_default()
}

fn is_deleted(outcome: &Result<v1::DeleteResponse, Refusal>) -> bool {
    outcome.as_ref().is_ok_and(|reply| reply.deleted)
}

impl output::Report for Report {
    /// How many keys went, or what they held.
    fn raw(&self, out: &mut Vec<u8>) {
        if self.previous {
            for (_, outcome) in &self.items {
                out.extend_from_slice(previous_value(outcome));
                out.push(b'\n');
            }
            return;
        }
        number_line(out, self.deleted());
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
                        if self.previous && !self.replayed {
                            let previous = other_object(reply.previous.as_deref());
                            object.insert("previous".into(), previous);
                        }
                    } else if self.conditional {
                        let current = other_object(reply.current.as_deref());
                        object.insert("current".into(), current);
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
        insert_replayed(&mut object, self.replayed);
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let row = |(key, outcome): &(Bytes, Result<v1::DeleteResponse, Refusal>)| {
            let mut row = vec![show(key)];
            row.extend(match outcome {
                Ok(reply) if reply.deleted => ["true".to_owned(), reply.revision.to_string()],
                Ok(_) => ["false".to_owned(), String::new()],
                Err(_) => [String::new(), String::new()],
            });
            if self.previous {
                row.push(show(previous_value(outcome)));
            }
            row
        };
        Rows {
            header: if self.previous {
                HEADER_PREVIOUS
            } else {
                HEADER
            },
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
        let problem = |(key, outcome): &(Bytes, Result<v1::DeleteResponse, Refusal>)| {
            let key = show(key);
            match outcome {
                Err(refusal) => Some(format!("{key}: {refusal}")),
                Ok(_) if self.previous && self.replayed => Some(not_repeated(&key)),
                Ok(reply) if self.conditional && !reply.deleted => {
                    let stands = stands(&key, reply.current.as_deref());
                    Some(format!("not deleted: {stands}"))
                }
                Ok(_) => None,
            }
        };
        self.items.iter().filter_map(problem).collect()
    }
}
