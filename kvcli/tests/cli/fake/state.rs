//! What the fake keeps, and what an operation does to it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason, Record, ResponseHeader, batch_get_result::Result as KeyResult,
    batch_write_operation::Operation as WriteOp, batch_write_result::Result as WriteResult,
    condition::Test, operation::Operation as Op, operation_result::Result as OpResult,
};
use tokio::sync::oneshot;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::VALUE_LIMIT;

/// What happens when an operation touches a certain key.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    /// The item is refused.
    Refuse(Code, ErrorReason),
    /// The call or the stream ends with a status that kvd did not make.
    Transport(Code),
    /// The call or the stream ends with a status that kvd made.
    Kvd(Code, ErrorReason),
    /// There is never an answer.
    Stall,
    /// The whole server goes away, its sockets with it.
    Die,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) records: BTreeMap<Bytes, Record>,
    pub(super) revision: i64,
    pub(super) loading: u32,
    pub(super) mishaps: HashMap<Bytes, Mishap>,
    /// Keys of the mutations that were executed or refused, in their order.
    pub(super) seen: Vec<Bytes>,
    pub(super) options: Vec<v1::WriteOptions>,
    pub(super) most_ahead: usize,
    pub(super) die: Option<oneshot::Sender<()>>,
}

/// Why an operation has no result.
pub(super) enum Stop {
    Item(v1::Error),
    Call(Status),
    Never,
}

fn item(code: Code, reason: ErrorReason, message: &str) -> Stop {
    Stop::Item(v1::Error {
        code: code.into(),
        reason: reason.into(),
        message: message.to_owned(),
        ..Default::default()
    })
}

pub(super) fn kvd_status(code: Code, reason: ErrorReason, message: &str) -> Status {
    let details =
        ErrorDetails::with_error_info(reason.wire_name(), kvproto::ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

impl Stop {
    /// As the status of a unary call. A stalled call waits for ever.
    pub(super) async fn into_status(self) -> Status {
        match self {
            Self::Item(error) => {
                kvd_status(Code::from_i32(error.code), error.reason(), &error.message)
            }
            Self::Call(status) => status,
            Self::Never => std::future::pending().await,
        }
    }
}

impl State {
    pub(super) fn header(&self) -> ResponseHeader {
        ResponseHeader {
            store_revision: self.revision,
            durable_revision: self.revision,
            durable: true,
            ..Default::default()
        }
    }

    pub(super) fn check_loading(&mut self) -> Result<(), Stop> {
        if self.loading == 0 {
            return Ok(());
        }
        self.loading -= 1;
        Err(item(Code::Unavailable, ErrorReason::Loading, "loading"))
    }

    fn check_key(&mut self, key: &Bytes) -> Result<(), Stop> {
        if key.is_empty() {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::EmptyKey,
                "key is empty",
            ));
        }
        match self.mishaps.get(key).cloned() {
            None => Ok(()),
            Some(Mishap::Refuse(code, reason)) => Err(item(code, reason, "told to refuse")),
            Some(Mishap::Transport(code)) => Err(Stop::Call(Status::new(code, "told to break"))),
            Some(Mishap::Kvd(code, reason)) => {
                Err(Stop::Call(kvd_status(code, reason, "told to end")))
            }
            Some(Mishap::Stall) => Err(Stop::Never),
            Some(Mishap::Die) => {
                if let Some(die) = self.die.take() {
                    let _ = die.send(());
                }
                Err(Stop::Never)
            }
        }
    }

    pub(super) fn get(&mut self, request: &v1::GetRequest) -> Result<v1::GetResponse, Stop> {
        self.check_key(&request.key)?;
        let record = self.records.get(&request.key).cloned();
        Ok(v1::GetResponse {
            header: Some(self.header()),
            found: record.is_some(),
            record,
        })
    }

    fn holds(&self, key: &Bytes, condition: Option<&v1::Condition>) -> bool {
        let record = self.records.get(key);
        match condition.and_then(|condition| condition.test.as_ref()) {
            None => true,
            Some(Test::Exists(wanted)) => record.is_some() == *wanted,
            Some(Test::ModRevision(wanted)) => record.map_or(0, |r| r.mod_revision) == *wanted,
            Some(other) => unreachable!("kvcli does not use {other:?}"),
        }
    }

    pub(super) fn set(&mut self, request: v1::SetRequest) -> Result<v1::SetResponse, Stop> {
        self.seen.push(request.key.clone());
        self.options.extend(request.options);
        self.check_key(&request.key)?;
        if request.value.len() > VALUE_LIMIT {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::ValueTooLarge,
                "value too large",
            ));
        }
        if !self.holds(&request.key, request.condition.as_ref()) {
            let current = self.records.get(&request.key).cloned();
            return Ok(v1::SetResponse {
                header: Some(self.header()),
                current,
                ..Default::default()
            });
        }
        self.revision += 1;
        let old = self.records.get(&request.key);
        let record = Record {
            key: request.key.clone(),
            value: request.value,
            create_revision: old.map_or(self.revision, |record| record.create_revision),
            mod_revision: self.revision,
            version: old.map_or(0, |record| record.version) + 1,
            ..Default::default()
        };
        self.records.insert(request.key, record.clone());
        let metadata = Record {
            key: Bytes::new(),
            value: Bytes::new(),
            ..record
        };
        Ok(v1::SetResponse {
            header: Some(self.header()),
            applied: true,
            revision: self.revision,
            record: Some(metadata),
            ..Default::default()
        })
    }

    pub(super) fn delete(
        &mut self,
        request: &v1::DeleteRequest,
    ) -> Result<v1::DeleteResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        let deleted = self.records.remove(&request.key).is_some();
        self.revision += i64::from(deleted);
        let revision = if deleted { self.revision } else { 0 };
        Ok(v1::DeleteResponse {
            header: Some(self.header()),
            deleted,
            revision,
            ..Default::default()
        })
    }

    pub(super) fn batch_get(
        &mut self,
        request: &v1::BatchGetRequest,
    ) -> Result<v1::BatchGetResponse, Stop> {
        let mut results = Vec::new();
        for key in &request.keys {
            let request = v1::GetRequest {
                key: key.clone(),
                ..Default::default()
            };
            let result = match self.get(&request) {
                Ok(v1::GetResponse {
                    record: Some(record),
                    ..
                }) => KeyResult::Record(record),
                Ok(_) => KeyResult::Missing(v1::Missing {}),
                Err(Stop::Item(error)) => KeyResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchGetResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchGetResponse {
            header: Some(self.header()),
            results,
        })
    }

    pub(super) fn batch_write(
        &mut self,
        request: v1::BatchWriteRequest,
    ) -> Result<v1::BatchWriteResponse, Stop> {
        self.options.extend(request.options);
        let mut results = Vec::new();
        for operation in request.operations {
            let Some(WriteOp::Delete(delete)) = operation.operation else {
                unreachable!("kvcli batches nothing but deletes")
            };
            let result = match self.delete(&delete) {
                Ok(reply) => WriteResult::Delete(v1::DeleteResponse {
                    header: None,
                    ..reply
                }),
                Err(Stop::Item(error)) => WriteResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchWriteResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchWriteResponse {
            header: Some(self.header()),
            results,
            replayed: false,
        })
    }

    pub(super) fn run(&mut self, operation: Op) -> Result<OpResult, Stop> {
        self.check_loading()?;
        Ok(match operation {
            Op::Get(request) => OpResult::Get(self.get(&request)?),
            Op::Set(request) => OpResult::Set(self.set(request)?),
            Op::Delete(request) => OpResult::Delete(self.delete(&request)?),
            Op::BatchGet(request) => OpResult::BatchGet(self.batch_get(&request)?),
            Op::BatchWrite(request) => OpResult::BatchWrite(self.batch_write(request)?),
            other => unreachable!("kvcli does not send {other:?}"),
        })
    }
}
