//! From a command to the steps it is inside a transaction.

use bytes::Bytes;
use kvproto::v1::{
    BatchWriteOperation, GetRequest, RangeDelete, RangeGet, TxnOperation,
    batch_write_operation::Operation as Write, txn_operation::Operation,
};

use crate::command::{Ask, Pending, Prepared, del, get, txn::Step};

/// Why a command cannot stand in a transaction.
pub(super) struct Unfit {
    /// The flag that is at fault; empty for the command itself.
    pub(super) flag: &'static str,
    pub(super) message: String,
}

fn unfit(flag: &'static str, message: impl Into<String>) -> Unfit {
    Unfit {
        flag,
        message: message.into(),
    }
}

/// The operations of a command, and what to make of their results.
pub(super) fn steps(prepared: Prepared) -> Result<Vec<(TxnOperation, Step)>, Unfit> {
    let Prepared { ask, pending, .. } = prepared;
    let (name, operation) = match ask {
        Ask::BatchGet(request) => return Ok(request.keys.into_iter().map(get_of).collect()),
        Ask::BatchWrite(request) => {
            return Ok(request
                .operations
                .into_iter()
                .filter_map(delete_of)
                .collect());
        }
        Ask::Get(request) => {
            let name = match pending {
                Pending::Ttl(_) => "ttl",
                _ => "get",
            };
            (name, Operation::Get(request))
        }
        Ask::Set(request) if request.condition.is_some() => return Err(condition()),
        Ask::Delete(request) if request.condition.is_some() => return Err(condition()),
        Ask::Set(request) => ("set", Operation::Set(request)),
        Ask::Delete(request) => ("del", Operation::Delete(request)),
        Ask::Increment(request) => ("incr", Operation::Increment(request)),
        Ask::Expire(request) if request.condition != 0 => return Err(condition()),
        Ask::Expire(request) => ("expire", Operation::Expire(request)),
        Ask::Scan(request) => {
            if request.page_size != 0 {
                return Err(unfit(
                    "--page-size",
                    "a transaction is answered in one piece",
                ));
            }
            if !request.token.is_empty() {
                return Err(unfit("--token", "a transaction always begins at the start"));
            }
            let range_get = RangeGet {
                range: request.range,
                limit: request.limit,
                reverse: request.reverse,
                keys_only: request.keys_only,
            };
            ("scan", Operation::RangeGet(range_get))
        }
        Ask::DeleteRange(request) => {
            let flag = match &request {
                request if request.dry_run => "--dry-run",
                request if request.atomic.is_some() => "--chunked",
                request if request.limit != 0 => "--limit",
                _ => "",
            };
            if !flag.is_empty() {
                return Err(unfit(
                    flag,
                    "a transaction removes the whole range in one step",
                ));
            }
            let range = request.range;
            ("rm", Operation::RangeDelete(RangeDelete { range }))
        }
        Ask::Txn(_)
        | Ask::Count(_)
        | Ask::Hash(_)
        | Ask::Status(_)
        | Ask::Config(_)
        | Ask::Reload(_)
        | Ask::Snapshot(_) => {
            return Err(unfit("", "this cannot be part of a transaction"));
        }
    };
    Ok(vec![step(name, operation, pending)])
}

/// One key of several that are read.
fn get_of(key: Bytes) -> (TxnOperation, Step) {
    let pending = Pending::Get(get::Pending::of(key.clone()));
    step(
        "get",
        Operation::Get(GetRequest { key, options: None }),
        pending,
    )
}

/// One key of several that are removed.
fn delete_of(operation: BatchWriteOperation) -> Option<(TxnOperation, Step)> {
    let Some(Write::Delete(request)) = operation.operation else {
        return None;
    };
    let pending = Pending::Del(del::Pending::of(&request));
    Some(step("del", Operation::Delete(request), pending))
}

fn step(name: &'static str, operation: Operation, pending: Pending) -> (TxnOperation, Step) {
    let operation = TxnOperation {
        operation: Some(operation),
    };
    (operation, Step::new(name, pending))
}

fn condition() -> Unfit {
    unfit(
        "--if",
        "a transaction has its conditions before then: if KEY …",
    )
}
