//! What the fake keeps, and how an operation goes through it: what is told to go
//! wrong, the memory of request ids, then the operation itself.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use kvproto::v1::{
    self, Capability, ErrorReason, Record, ResponseHeader, operation::Operation as Op,
    operation_result::Result as OpResult, txn_result::Result as StepResult,
};
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

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
    /// Applied, but the answer gets lost on the way.
    LoseReply,
    /// Applied, then the server crashes before it answers and starts again.
    Crash,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) records: BTreeMap<Bytes, Record>,
    pub(super) revision: i64,
    pub(super) loading: u32,
    /// What goes wrong at a key, one after the other, and how often still.
    pub(super) mishaps: HashMap<Bytes, VecDeque<(Mishap, u32)>>,
    /// Keys of the mutations that were executed or refused, in their order.
    pub(super) seen: Vec<Bytes>,
    pub(super) options: Vec<v1::WriteOptions>,
    /// How often the status is that of a server that still loads.
    pub(super) status_loading: u32,
    /// As an older server.
    pub(super) no_slow_operations: bool,
    /// Every operation that arrived, also those that were answered from memory.
    pub(super) arrived: Vec<Op>,
    pub(super) scans: Vec<v1::ScanRequest>,
    pub(super) hashes: Vec<v1::HashRequest>,
    /// How many scans break after a page.
    pub(super) broken_scans: u32,
    /// How request ids are refused, if they are.
    pub(super) no_ids: Option<ErrorReason>,
    /// Outcomes by request id, with the request that had it.
    pub(super) outcomes: HashMap<Bytes, (Vec<u8>, OpResult)>,
    pub(super) watches: Vec<v1::WatchCreate>,
    /// What the watches to come are sent.
    pub(super) watch_scripts: VecDeque<Vec<v1::WatchResponse>>,
    pub(super) reloads: u32,
    pub(super) most_ahead: usize,
    pub(super) die: Option<oneshot::Sender<()>>,
    pub(super) restarts: bool,
    pub(super) stopping: bool,
}

/// Why an operation has no result.
pub(super) enum Stop {
    Item(v1::Error),
    Call(Status),
    Never,
}

pub(super) fn item(code: Code, reason: ErrorReason, message: &str) -> Stop {
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
                let info = error.reason().wire_name();
                let mut details =
                    ErrorDetails::with_error_info(info, kvproto::ERROR_DOMAIN, HashMap::new());
                if !error.field.is_empty() {
                    details.add_bad_request_violation(&error.field, &error.message);
                }
                Status::with_error_details(Code::from_i32(error.code), &error.message, details)
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

    pub(super) fn check_key(&mut self, key: &Bytes) -> Result<(), Stop> {
        if key.is_empty() {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::EmptyKey,
                "key is empty",
            ));
        }
        match self.mishap(key, |mishap| {
            !matches!(mishap, Mishap::LoseReply | Mishap::Crash)
        }) {
            None => Ok(()),
            Some(Mishap::Refuse(code, reason)) => Err(item(code, reason, "told to refuse")),
            Some(Mishap::Transport(code)) => Err(Stop::Call(Status::new(code, "told to break"))),
            Some(Mishap::Kvd(code, reason)) => {
                Err(Stop::Call(kvd_status(code, reason, "told to end")))
            }
            Some(Mishap::Die) => {
                if let Some(die) = self.die.take() {
                    let _ = die.send(());
                }
                Err(Stop::Never)
            }
            Some(_) => Err(Stop::Never),
        }
    }

    /// What goes wrong once a key is done with.
    fn check_reply(&mut self, key: &Bytes) -> Result<(), Stop> {
        match self.mishap(key, |mishap| {
            matches!(mishap, Mishap::LoseReply | Mishap::Crash)
        }) {
            None => Ok(()),
            Some(Mishap::Crash) => {
                self.restarts = true;
                if let Some(die) = self.die.take() {
                    let _ = die.send(());
                }
                Err(Stop::Never)
            }
            Some(_) => Err(Stop::Call(Status::unavailable("the answer got lost"))),
        }
    }

    fn mishap(&mut self, key: &Bytes, fits: impl Fn(&Mishap) -> bool) -> Option<Mishap> {
        let list = self.mishaps.get_mut(key)?;
        let (mishap, times) = list.front_mut().filter(|(mishap, _)| fits(mishap))?;
        let mishap = mishap.clone();
        *times -= 1;
        if *times == 0 {
            list.pop_front();
        }
        Some(mishap)
    }

    /// Runs an operation of a call or of a pipeline.
    pub(super) fn run(&mut self, operation: Op) -> Result<OpResult, Stop> {
        self.check_loading()?;
        self.arrived.push(operation.clone());
        let id = self.request_id(&operation)?;
        let key = key_of(&operation);
        let outcome = match id {
            Some(id) => self.once(id, operation)?,
            None => self.execute(operation)?,
        };
        self.check_reply(&key)?;
        Ok(outcome)
    }

    /// Runs an operation, or repeats what came of it.
    fn once(&mut self, id: Bytes, operation: Op) -> Result<OpResult, Stop> {
        let body = v1::Operation {
            id: 0,
            operation: Some(operation.clone()),
        };
        let body = body.encode_to_vec();
        if let Some((earlier, outcome)) = self.outcomes.get(&id) {
            if *earlier != body {
                return Err(item(
                    Code::AlreadyExists,
                    ErrorReason::RequestIdReused,
                    "another body",
                ));
            }
            return Ok(replayed(outcome.clone()));
        }
        let outcome = self.execute(operation)?;
        self.outcomes.insert(id, (body, outcome.clone()));
        Ok(outcome)
    }

    /// The request id of a write, if ids are known here.
    fn request_id(&mut self, operation: &Op) -> Result<Option<Bytes>, Stop> {
        let Some(options) = options_of(operation).cloned() else {
            return Ok(None);
        };
        self.options.push(options.clone());
        let required = options.require.contains(&Capability::RequestId.into());
        match self.no_ids {
            Some(ErrorReason::CapabilityMissing) if required => {
                let text = "no such capability";
                Err(item(
                    Code::Unimplemented,
                    ErrorReason::CapabilityMissing,
                    text,
                ))
            }
            Some(_) if !options.request_id.is_empty() => Err(Stop::Item(v1::Error {
                code: Code::InvalidArgument.into(),
                reason: ErrorReason::UnsupportedOption.into(),
                message: "no ids here".to_owned(),
                field: "options.request_id".to_owned(),
                ..Default::default()
            })),
            _ => Ok(Some(options.request_id).filter(|id| !id.is_empty())),
        }
    }

    fn execute(&mut self, operation: Op) -> Result<OpResult, Stop> {
        Ok(match operation {
            Op::Get(request) => OpResult::Get(self.get(&request)?),
            Op::Set(request) => OpResult::Set(self.set(request)?),
            Op::Delete(request) => OpResult::Delete(self.delete(&request)?),
            Op::Increment(request) => OpResult::Increment(self.increment(&request)?),
            Op::Expire(request) => OpResult::Expire(self.expire(&request)?),
            Op::BatchGet(request) => OpResult::BatchGet(self.batch_get(&request)?),
            Op::BatchWrite(request) => OpResult::BatchWrite(self.batch_write(request)?),
            Op::Txn(request) => OpResult::Txn(self.txn(request)?),
            Op::Count(request) => OpResult::Count(self.count(&request)?),
            Op::DeleteRange(request) => OpResult::DeleteRange(self.delete_range(&request)?),
        })
    }
}

fn options_of(operation: &Op) -> Option<&v1::WriteOptions> {
    match operation {
        Op::Set(request) => request.options.as_ref(),
        Op::Delete(request) => request.options.as_ref(),
        Op::Increment(request) => request.options.as_ref(),
        Op::Expire(request) => request.options.as_ref(),
        Op::BatchWrite(request) => request.options.as_ref(),
        Op::Txn(request) => request.options.as_ref(),
        Op::DeleteRange(request) => request.options.as_ref(),
        Op::Get(_) | Op::BatchGet(_) | Op::Count(_) => None,
    }
}

/// The key that a mishap after the operation hangs on: the operation's, or its
/// name if it has none.
fn key_of(operation: &Op) -> Bytes {
    match operation {
        Op::Set(request) => request.key.clone(),
        Op::Delete(request) => request.key.clone(),
        Op::Increment(request) => request.key.clone(),
        Op::Expire(request) => request.key.clone(),
        Op::BatchWrite(_) => "batch".into(),
        Op::Txn(_) => "txn".into(),
        Op::DeleteRange(_) => "rm".into(),
        Op::Get(_) | Op::BatchGet(_) | Op::Count(_) => Bytes::new(),
    }
}

/// What is remembered of an outcome: nothing that was read.
fn replayed(mut outcome: OpResult) -> OpResult {
    match &mut outcome {
        OpResult::Set(reply) => {
            reply.replayed = true;
            reply.previous = None;
        }
        OpResult::Delete(reply) => {
            reply.replayed = true;
            reply.previous = None;
        }
        OpResult::Increment(reply) => reply.replayed = true,
        OpResult::Expire(reply) => reply.replayed = true,
        OpResult::BatchWrite(reply) => reply.replayed = true,
        OpResult::DeleteRange(reply) => reply.replayed = true,
        OpResult::Txn(reply) => {
            reply.replayed = true;
            forget_reads(reply);
        }
        _ => {}
    }
    outcome
}

fn forget_reads(reply: &mut v1::TxnResponse) {
    for response in &mut reply.responses {
        match &mut response.result {
            Some(StepResult::Get(reply)) => *reply = v1::GetResponse::default(),
            Some(StepResult::RangeGet(result)) => *result = v1::RangeGetResult::default(),
            Some(StepResult::Txn(reply)) => forget_reads(reply),
            _ => {}
        }
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("not that late")
}
