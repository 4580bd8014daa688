//! How many bytes of keys and values an operation brings, and an answer takes along.

use kvproto::v1::{
    self, batch_write_operation::Operation as Item, operation::Operation as Op,
    operation_result::Result as OpResult, txn_operation::Operation as Step,
};

/// Of an operation of a pipeline.
pub(super) fn operation(operation: &v1::Operation) -> usize {
    match &operation.operation {
        Some(Op::Get(get)) => get.key.len(),
        Some(Op::Set(set)) => set.key.len() + set.value.len(),
        Some(Op::Delete(delete)) => delete.key.len(),
        Some(Op::Increment(increment)) => increment.key.len(),
        Some(Op::Expire(expire)) => expire.key.len(),
        Some(Op::BatchWrite(batch)) => batch.operations.iter().map(item).sum(),
        Some(Op::Txn(transaction)) => txn(transaction),
        Some(other) => other.encoded_len(),
        None => 0,
    }
}

/// Of a transaction, with those inside it.
fn txn(transaction: &v1::TxnRequest) -> usize {
    let step = |step: &v1::TxnOperation| match &step.operation {
        Some(Step::Set(set)) => set.key.len() + set.value.len(),
        Some(Step::Txn(inner)) => txn(inner),
        Some(other) => other.encoded_len(),
        None => 0,
    };
    let compares = transaction.compares.iter().map(prost::Message::encoded_len);
    let steps = transaction.success.iter().chain(&transaction.failure);
    compares.sum::<usize>() + steps.map(step).sum::<usize>()
}

/// Of an item of a batch.
pub(super) fn item(item: &v1::BatchWriteOperation) -> usize {
    match &item.operation {
        Some(Item::Set(set)) => set.key.len() + set.value.len(),
        Some(Item::Delete(delete)) => delete.key.len(),
        Some(Item::Increment(increment)) => increment.key.len(),
        Some(Item::Expire(expire)) => expire.key.len(),
        None => 0,
    }
}

/// Of a result of a pipeline.
pub(super) fn result(result: &OpResult) -> usize {
    let record = |record: Option<&v1::Record>| {
        record.map_or(0, |record| record.key.len() + record.value.len())
    };
    let either = |one: &Option<Box<_>>, other: &Option<Box<_>>| {
        record(one.as_deref()) + record(other.as_deref())
    };
    match result {
        OpResult::Get(reply) => record(reply.record.as_ref()),
        OpResult::Set(reply) => either(&reply.previous, &reply.current),
        OpResult::Delete(reply) => either(&reply.previous, &reply.current),
        other => other.encoded_len(),
    }
}
