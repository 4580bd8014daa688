//! What the server is asked and what it answers, whichever way it is asked.

use bytes::Bytes;
use kvproto::v1::{
    self, Capability, operation::Operation, operation_result::Result as ItemResult,
    txn_result::Result as StepResult,
};

use super::mismatch;
use crate::failure::{Failure, Refusal};

/// What the server is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Get(v1::GetRequest),
    Set(v1::SetRequest),
    Delete(v1::DeleteRequest),
    Increment(v1::IncrementRequest),
    Expire(v1::ExpireRequest),
    BatchGet(v1::BatchGetRequest),
    BatchWrite(v1::BatchWriteRequest),
    Txn(v1::TxnRequest),
    /// Answered in pages, see [`crate::call::Pages`].
    Scan(v1::ScanRequest),
    Count(v1::CountRequest),
    DeleteRange(v1::DeleteRangeRequest),
    Hash(v1::HashRequest),
    Status(v1::GetStatusRequest),
    Config(v1::GetConfigRequest),
    Reload(v1::ReloadRequest),
    Snapshot(v1::CreateSnapshotRequest),
}

/// What the server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Get(v1::GetResponse),
    Set(v1::SetResponse),
    Delete(v1::DeleteResponse),
    Increment(v1::IncrementResponse),
    Expire(v1::ExpireResponse),
    BatchGet(v1::BatchGetResponse),
    BatchWrite(v1::BatchWriteResponse),
    Txn(v1::TxnResponse),
    /// Only inside a transaction.
    RangeGet(v1::RangeGetResult),
    /// Only inside a transaction.
    RangeDelete(v1::RangeDeleteResult),
    Count(v1::CountResponse),
    DeleteRange(v1::DeleteRangeResponse),
    Hash(v1::HashResponse),
    Status(Box<v1::GetStatusResponse>),
    Config(v1::GetConfigResponse),
    Reload(v1::ReloadResponse),
    Snapshot(v1::CreateSnapshotResponse),
}

/// How the server can tell a request from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It cannot.
    #[default]
    Absent,
    /// By an id that the user gave.
    Given,
    /// By an id drawn here.
    Drawn,
}

impl Ask {
    /// Whether this may change anything.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Set(_)
            | Self::Delete(_)
            | Self::Increment(_)
            | Self::Expire(_)
            | Self::BatchWrite(_)
            | Self::Txn(_) => true,
            Self::DeleteRange(request) => !request.dry_run,
            Self::Get(_)
            | Self::BatchGet(_)
            | Self::Scan(_)
            | Self::Count(_)
            | Self::Hash(_)
            | Self::Status(_)
            | Self::Config(_)
            // Of no key; and once more does no harm.
            | Self::Reload(_)
            | Self::Snapshot(_) => false,
        }
    }

    /// The options of a write. None if this is a read.
    fn write_options(&mut self) -> Option<&mut Option<v1::WriteOptions>> {
        if !self.changes() {
            return None;
        }
        Some(match self {
            Self::Set(request) => &mut request.options,
            Self::Delete(request) => &mut request.options,
            Self::Increment(request) => &mut request.options,
            Self::Expire(request) => &mut request.options,
            Self::BatchWrite(request) => &mut request.options,
            Self::Txn(request) => &mut request.options,
            Self::DeleteRange(request) => &mut request.options,
            _ => return None,
        })
    }

    /// Gives a write an id of its own, unless it has one. A server that does not
    /// know ids must say so.
    pub(super) fn identify(&mut self) -> Result<Identity, Failure> {
        let Some(options) = self.write_options() else {
            return Ok(Identity::Absent);
        };
        let options = options.get_or_insert_default();
        if !options.request_id.is_empty() {
            return Ok(Identity::Given);
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|error| Failure::usage(format!("cannot draw a request id: {error}")))?;
        options.request_id = Bytes::copy_from_slice(&id);
        options.require.push(Capability::RequestId.into());
        Ok(Identity::Drawn)
    }

    /// Takes back what [`Ask::identify`] did.
    pub(crate) fn forget_id(&mut self) {
        let Some(slot) = self.write_options() else {
            return;
        };
        if let Some(options) = slot {
            options.request_id.clear();
            options
                .require
                .retain(|number| *number != i32::from(Capability::RequestId));
            if *options == v1::WriteOptions::default() {
                *slot = None;
            }
        }
    }

    /// The same as an operation of a pipeline, if it can be one. Keys and values
    /// are shared, not copied.
    pub(crate) fn to_operation(&self) -> Option<Operation> {
        Some(match self.clone() {
            Self::Get(request) => Operation::Get(request),
            Self::Set(request) => Operation::Set(request),
            Self::Delete(request) => Operation::Delete(request),
            Self::Increment(request) => Operation::Increment(request),
            Self::Expire(request) => Operation::Expire(request),
            Self::BatchGet(request) => Operation::BatchGet(request),
            Self::BatchWrite(request) => Operation::BatchWrite(request),
            Self::Txn(request) => Operation::Txn(request),
            Self::Count(request) => Operation::Count(request),
            Self::DeleteRange(request) => Operation::DeleteRange(request),
            Self::Scan(_)
            | Self::Hash(_)
            | Self::Status(_)
            | Self::Config(_)
            | Self::Reload(_)
            | Self::Snapshot(_) => return None,
        })
    }
}

impl Answer {
    /// The answer in a pipeline's slot.
    pub(crate) fn from_result(result: Option<ItemResult>) -> Result<Self, Failure> {
        Ok(match result {
            Some(ItemResult::Get(reply)) => Self::Get(reply),
            Some(ItemResult::Set(reply)) => Self::Set(reply),
            Some(ItemResult::Delete(reply)) => Self::Delete(reply),
            Some(ItemResult::Increment(reply)) => Self::Increment(reply),
            Some(ItemResult::Expire(reply)) => Self::Expire(reply),
            Some(ItemResult::BatchGet(reply)) => Self::BatchGet(reply),
            Some(ItemResult::BatchWrite(reply)) => Self::BatchWrite(reply),
            Some(ItemResult::Txn(reply)) => Self::Txn(reply),
            Some(ItemResult::Count(reply)) => Self::Count(reply),
            Some(ItemResult::DeleteRange(reply)) => Self::DeleteRange(reply),
            Some(ItemResult::Error(error)) => {
                return Err(Failure::from_refusal(Refusal::from_item(&error)));
            }
            None => return Err(mismatch()),
        })
    }

    /// The answer of a step inside a transaction, under the header of the whole.
    pub(super) fn from_step(
        result: Option<StepResult>,
        header: Option<&v1::ResponseHeader>,
        replayed: bool,
    ) -> Result<Self, Failure> {
        let mut answer = match result {
            Some(StepResult::Get(reply)) => Self::Get(reply),
            Some(StepResult::Set(reply)) => Self::Set(reply),
            Some(StepResult::Delete(reply)) => Self::Delete(reply),
            Some(StepResult::Increment(reply)) => Self::Increment(reply),
            Some(StepResult::Expire(reply)) => Self::Expire(reply),
            Some(StepResult::RangeGet(result)) => Self::RangeGet(result),
            Some(StepResult::RangeDelete(result)) => Self::RangeDelete(result),
            Some(StepResult::Txn(reply)) => Self::Txn(reply),
            None => return Err(mismatch()),
        };
        if let Some(slot) = answer.header() {
            *slot = header.cloned();
        }
        if let Self::Txn(inner) = &mut answer {
            inner.replayed |= replayed;
        }
        Ok(answer)
    }

    fn header(&mut self) -> Option<&mut Option<v1::ResponseHeader>> {
        Some(match self {
            Self::Get(reply) => &mut reply.header,
            Self::Set(reply) => &mut reply.header,
            Self::Delete(reply) => &mut reply.header,
            Self::Increment(reply) => &mut reply.header,
            Self::Expire(reply) => &mut reply.header,
            Self::Txn(reply) => &mut reply.header,
            _ => return None,
        })
    }
}
