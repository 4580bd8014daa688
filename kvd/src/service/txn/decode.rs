//! A transaction off the wire, with every check that needs no store. What is wrong is
//! named by its path: `success[2].txn.failure[0].increment.delta`.

use kvproto::v1::{self, ErrorReason as Reason, compare, txn_operation::Operation as Op};

use super::super::batch::part;
use super::super::convert::{self, unsupported};
use super::super::limits::{Limits, TXN_DEPTH};
use super::super::mutations::Change;
use super::super::ranges::range;
use super::super::status::Refusal;
use crate::backend::{Action, Compare, Mutation, Operator, Target, Txn, TxnOp};

type Result<T> = std::result::Result<T, Refusal>;

/// The outermost transaction, whose options are looked at elsewhere.
pub(super) fn txn<'a>(request: &'a v1::TxnRequest, limits: &'a Limits) -> Result<Txn<'a>> {
    let mut decoder = Decoder {
        limits,
        compares: 0,
        operations: 0,
        bytes: 0,
    };
    let txn = decoder.txn(request, 0)?;
    decoder.within("compares", decoder.compares)?;
    decoder.within("operations", decoder.operations)?;
    if decoder.bytes > limits.batch_bytes {
        return Err(Refusal::new(
            Reason::BatchTooLarge,
            format!(
                "the transaction has {} bytes of keys and values; the limit is {}",
                decoder.bytes, limits.batch_bytes
            ),
        )
        .with("size", decoder.bytes)
        .with("limit", limits.batch_bytes));
    }
    Ok(txn)
}

/// What has been read so far, nested transactions included.
struct Decoder<'a> {
    limits: &'a Limits,
    compares: usize,
    operations: usize,
    bytes: usize,
}

impl<'a> Decoder<'a> {
    fn within(&self, what: &str, number: usize) -> Result<()> {
        let limit = self.limits.batch_operations;
        if number <= limit {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::TooManyOperations,
            format!(
                "the transaction has {number} {what}, nested ones included; the limit is {limit}"
            ),
        )
        .field(if what == "compares" { what } else { "success" })
        .with("size", number)
        .with("limit", limit))
    }

    fn txn(&mut self, request: &'a v1::TxnRequest, depth: usize) -> Result<Txn<'a>> {
        if depth > TXN_DEPTH {
            return Err(Refusal::new(
                Reason::NestedTooDeep,
                format!("transactions are nested deeper than {TXN_DEPTH}"),
            )
            .with("limit", TXN_DEPTH));
        }
        self.compares += request.compares.len();
        self.operations += request.success.len() + request.failure.len();
        Ok(Txn {
            compares: each("compares", &request.compares, |one| self.compare(one))?,
            success: each("success", &request.success, |one| {
                self.operation(one, depth)
            })?,
            failure: each("failure", &request.failure, |one| {
                self.operation(one, depth)
            })?,
        })
    }

    fn compare(&mut self, compare: &'a v1::Compare) -> Result<Compare<'a>> {
        use compare::Target as Asked;
        let range = range(compare.range.as_ref(), self.limits)?;
        self.bytes += range.start().len() + range.end().map_or(0, <[u8]>::len);
        let operator = match v1::CompareOperator::try_from(compare.operator) {
            Ok(v1::CompareOperator::Equal) => Operator::Equal,
            Ok(v1::CompareOperator::NotEqual) => Operator::NotEqual,
            Ok(v1::CompareOperator::Greater) => Operator::Greater,
            Ok(v1::CompareOperator::Less) => Operator::Less,
            Ok(v1::CompareOperator::Unspecified) => {
                return Err(Refusal::new(
                    Reason::MissingField,
                    "there is no operator: say how to compare",
                )
                .field("operator"));
            }
            Err(_) => return Err(convert::unknown_number("operator", compare.operator)),
        };
        let revision = |field, number| convert::revision(field, number).map(kvcore::Revision);
        let target = match &compare.target {
            Some(Asked::Version(number)) => Target::Version(convert::revision("version", *number)?),
            Some(Asked::CreateRevision(number)) => {
                Target::CreateRevision(revision("create_revision", *number)?)
            }
            Some(Asked::ModRevision(number)) => {
                Target::ModRevision(revision("mod_revision", *number)?)
            }
            Some(Asked::Value(value)) => {
                convert::value(value, self.limits)?;
                self.bytes += value.len();
                Target::Value(value)
            }
            Some(Asked::LeaseId(number)) => Target::Lease(convert::revision("lease_id", *number)?),
            Some(Asked::Exists(exists)) => Target::Exists(*exists),
            None => return Err(unsupported("target", "nothing is set to compare with")),
        };
        if matches!(target, Target::Exists(_))
            && !matches!(operator, Operator::Equal | Operator::NotEqual)
        {
            return Err(convert::conflict(
                "operator",
                "existence is equal or not: GREATER and LESS do not go with exists",
            ));
        }
        Ok(Compare {
            range,
            operator,
            target,
        })
    }

    fn operation(&mut self, operation: &'a v1::TxnOperation, depth: usize) -> Result<TxnOp<'a>> {
        let limits = self.limits;
        match &operation.operation {
            Some(Op::Get(get)) => self.get(get).map_err(inside("get")),
            Some(Op::Set(set)) => unconditional(set.condition.as_ref())
                .and_then(|()| self.change(set, set.return_previous))
                .map_err(inside("set")),
            Some(Op::Delete(delete)) => unconditional(delete.condition.as_ref())
                .and_then(|()| self.change(delete, delete.return_previous))
                .map_err(inside("delete")),
            Some(Op::Increment(increment)) => {
                self.change(increment, false).map_err(inside("increment"))
            }
            Some(Op::Expire(expire)) => self.change(expire, false).map_err(inside("expire")),
            Some(Op::RangeGet(get)) => self.range_get(get).map_err(inside("range_get")),
            Some(Op::RangeDelete(delete)) => range(delete.range.as_ref(), limits)
                .map(|range| TxnOp::RangeDelete { range, limit: 0 })
                .map_err(inside("range_delete")),
            Some(Op::Txn(txn)) => convert::no_options(txn.options.as_ref())
                .and_then(|()| self.txn(txn, depth + 1))
                .map(TxnOp::Txn)
                .map_err(inside("txn")),
            None => Err(Refusal::new(
                Reason::UnsupportedOption,
                "no operation that this version knows is set",
            )),
        }
    }

    fn get(&mut self, get: &'a v1::GetRequest) -> Result<TxnOp<'a>> {
        convert::no_options(get.options.as_ref())?;
        convert::key(&get.key, self.limits)?;
        self.bytes += get.key.len();
        Ok(TxnOp::Get { key: &get.key })
    }

    fn range_get(&mut self, get: &'a v1::RangeGet) -> Result<TxnOp<'a>> {
        let limit = convert::limit("limit", get.limit)?.unwrap_or(0);
        Ok(TxnOp::RangeGet {
            range: range(get.range.as_ref(), self.limits)?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            reverse: get.reverse,
        })
    }

    fn change<R: Change>(&mut self, request: &'a R, return_previous: bool) -> Result<TxnOp<'a>> {
        let Mutation { key, action, .. } = part(request, self.limits)?;
        self.bytes += key.len();
        Ok(match action {
            Action::Set { value, expiry } => {
                self.bytes += value.len();
                TxnOp::Set {
                    key,
                    value,
                    expiry,
                    return_previous,
                }
            }
            Action::Delete => TxnOp::Delete {
                key,
                return_previous,
            },
            Action::Increment(increment) => TxnOp::Increment { key, increment },
            Action::Expire(expire) => TxnOp::Expire { key, expire },
        })
    }
}

fn unconditional(condition: Option<&v1::Condition>) -> Result<()> {
    match condition {
        None => Ok(()),
        Some(_) => Err(convert::conflict(
            "condition",
            "an operation of a transaction has no condition of its own: add a compare",
        )),
    }
}

fn inside(place: &'static str) -> impl Fn(Refusal) -> Refusal {
    move |refusal| refusal.inside(place)
}

/// Decodes a list, and names the item that is at fault.
fn each<'a, T, U>(
    name: &str,
    items: &'a [T],
    mut decode: impl FnMut(&'a T) -> Result<U>,
) -> Result<Vec<U>> {
    let decode = |(i, item)| decode(item).map_err(|e| e.inside(&format!("{name}[{i}]")));
    items.iter().enumerate().map(decode).collect()
}
