//! What is wrong with a request before anybody looks at what is stored. If several things
//! are, the store may name any of them; it may not do the request.

use super::answers::Refusal;
use super::model::Limits;
use super::ops::{
    Action, Bytes, Change, Expiry, Increment, Operator, Range, Request, Target, Txn, TxnOp, Write,
};

const TTL_MAX_MS: u64 = 100 * 366 * 86_400_000;
const NESTING: usize = 8;

pub(crate) fn defects(write: &Write, request: Option<&Request>, limits: &Limits) -> Vec<Refusal> {
    let mut found = Vec::new();
    match write {
        Write::One(change) => found.extend(of_change(&change.key, &change.action, limits)),
        Write::All(changes) => of_all(changes, limits, &mut found),
        Write::Txn(txn) => of_root(txn, limits, &mut found),
        Write::DeleteRange { .. } | Write::Chunk { .. } => {}
    }
    if let Some(request) = request
        && !(1..=64).contains(&request.id.len())
    {
        found.push(Refusal::new("BadRequestId"));
    }
    found
}

pub(crate) fn of_key(key: &Bytes, limits: &Limits) -> Option<Refusal> {
    if key.is_empty() {
        return Some(Refusal::new("EmptyKey"));
    }
    (key.len() > limits.key_bytes).then(|| Refusal::new("KeyTooLarge"))
}

fn of_change(key: &Bytes, action: &Action, limits: &Limits) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = of_key(key, limits).into_iter().collect();
    match action {
        Action::Set { value, expiry } => {
            if value.len() > limits.value_bytes {
                found.push(Refusal::new("ValueTooLarge"));
            }
            found.extend(of_expiry(*expiry));
        }
        Action::Delete => {}
        Action::Increment(Increment {
            delta,
            min,
            max,
            expiry,
            ..
        }) => {
            if *delta == 0 || min > max {
                found.push(Refusal::new("BadNumber"));
            }
            found.extend(of_expiry(*expiry));
        }
        Action::Expire { to, .. } => {
            if *to == Expiry::Keep {
                found.push(Refusal::new("BadNumber"));
            }
            found.extend(of_expiry(*to));
        }
    }
    found
}

fn of_expiry(expiry: Expiry) -> Option<Refusal> {
    match expiry {
        Expiry::After(ms) if !(1..=TTL_MAX_MS).contains(&ms) => Some(Refusal::new("BadTtl")),
        _ => None,
    }
}

fn bytes_of(key: &Bytes, action: &Action) -> usize {
    let value = match action {
        Action::Set { value, .. } => value.len(),
        _ => 0,
    };
    key.len() + value
}

fn of_all(changes: &[Change], limits: &Limits, found: &mut Vec<Refusal>) {
    if changes.is_empty() || changes.len() > limits.operations {
        found.push(Refusal::new("TooManyOperations"));
    }
    let mut bytes = 0;
    for (index, change) in changes.iter().enumerate() {
        found.extend(of_change(&change.key, &change.action, limits));
        bytes += bytes_of(&change.key, &change.action);
        if changes[..index].iter().any(|other| other.key == change.key) {
            found.push(Refusal::new("DuplicateKey"));
        }
    }
    if bytes > limits.unit_bytes {
        found.push(Refusal::new("UnitTooLarge"));
    }
}

fn of_root(txn: &Txn, limits: &Limits, found: &mut Vec<Refusal>) {
    let mut sum = Sum::default();
    of_txn(txn, limits, &mut sum, found);
    // Where such a refusal points to is not promised.
    if sum.compares > limits.operations || sum.operations > limits.operations {
        found.push(Refusal::new("TooManyOperations"));
    }
    if depth(txn) > NESTING {
        found.push(Refusal::new("NestedTooDeep"));
    }
    if sum.bytes > limits.unit_bytes {
        found.push(Refusal::new("UnitTooLarge"));
    }
}

#[derive(Default)]
struct Sum {
    compares: usize,
    operations: usize,
    bytes: usize,
}

fn of_txn(txn: &Txn, limits: &Limits, sum: &mut Sum, found: &mut Vec<Refusal>) {
    sum.compares += txn.compares.len();
    for (index, compare) in txn.compares.iter().enumerate() {
        let mut bad = Vec::new();
        if let Range::Key(key) = &compare.range
            && !key.is_empty()
        {
            bad.extend(of_key(key, limits));
        }
        let ordered = matches!(compare.operator, Operator::Greater | Operator::Less);
        if ordered && matches!(compare.target, Target::Exists(_)) {
            bad.push(Refusal::new("BadNumber"));
        }
        found.extend(bad.into_iter().map(|one| one.within("compares", index)));
    }
    for (name, ops) in [("success", &txn.success), ("failure", &txn.failure)] {
        sum.operations += ops.len();
        for (index, op) in ops.iter().enumerate() {
            let mut bad = Vec::new();
            match op {
                TxnOp::Get(key) => bad.extend(of_key(key, limits)),
                TxnOp::Change { key, action, .. } => {
                    bad = of_change(key, action, limits);
                    sum.bytes += bytes_of(key, action);
                }
                TxnOp::RangeGet { .. } | TxnOp::RangeDelete { .. } => {}
                TxnOp::Txn(inner) => of_txn(inner, limits, sum, &mut bad),
            }
            if ops[..index].iter().any(|earlier| collide(earlier, op)) {
                bad.push(Refusal::new("DuplicateKey"));
            }
            found.extend(bad.into_iter().map(|one| one.within(name, index)));
        }
    }
}

fn depth(txn: &Txn) -> usize {
    let ops = txn.success.iter().chain(&txn.failure);
    let inner = ops.map(|op| match op {
        TxnOp::Txn(inner) => 1 + depth(inner),
        _ => 0,
    });
    inner.max().unwrap_or(0)
}

/// What an operation may change.
fn touched(op: &TxnOp, keys: &mut Vec<Bytes>, ranges: &mut Vec<Range>) {
    match op {
        TxnOp::Get(_) | TxnOp::RangeGet { .. } => {}
        TxnOp::Change { key, .. } => keys.push(key.clone()),
        TxnOp::RangeDelete { range, .. } => ranges.push(range.clone()),
        TxnOp::Txn(txn) => {
            for op in txn.success.iter().chain(&txn.failure) {
                touched(op, keys, ranges);
            }
        }
    }
}

/// Both operations of a list may change one key. Two range deletes may meet: the second
/// finds nothing.
fn collide(one: &TxnOp, other: &TxnOp) -> bool {
    let mut keys = [Vec::new(), Vec::new()];
    let mut ranges = [Vec::new(), Vec::new()];
    for (i, op) in [one, other].into_iter().enumerate() {
        touched(op, &mut keys[i], &mut ranges[i]);
    }
    let within = |keys: &[Bytes], ranges: &[Range]| {
        keys.iter()
            .any(|key| ranges.iter().any(|range| range.contains(key)))
    };
    keys[0].iter().any(|key| keys[1].contains(key))
        || within(&keys[0], &ranges[1])
        || within(&keys[1], &ranges[0])
}
