//! Gives an operation the numbers that are meant by "as the key has it" and "from now".

use super::answers::Rec;
use super::model::Model;
use super::ops::{
    Action, Change, Compare, Condition, Expiry, Moment, Number, Range, Target, Txn, TxnOp, Write,
};

pub(crate) fn resolve(write: &mut Write, model: &Model) {
    match write {
        Write::One(change) => of_change(change, model),
        Write::All(changes) => changes.iter_mut().for_each(|c| of_change(c, model)),
        Write::Txn(txn) => of_txn(txn, model),
        Write::DeleteRange { .. } | Write::Chunk { .. } => {}
    }
}

fn of_change(change: &mut Change, model: &Model) {
    of_action(&mut change.action, model);
    let rec = first(&Range::Key(change.key.clone()), model);
    match &mut change.condition {
        Some(Condition::Modified(number)) => look_up(number, rec, |rec| rec.modified),
        Some(Condition::Created(number)) => look_up(number, rec, |rec| rec.created),
        Some(Condition::Version(number)) => look_up(number, rec, |rec| rec.version),
        Some(Condition::Exists(_) | Condition::Value(_)) | None => {}
    }
}

fn of_action(action: &mut Action, model: &Model) {
    let expiry = match action {
        Action::Set { expiry, .. } => expiry,
        Action::Increment(increment) => &mut increment.expiry,
        Action::Expire { to, .. } => to,
        Action::Delete => return,
    };
    if let Expiry::At(moment) = expiry
        && let Moment::FromNow(ms) = *moment
    {
        let shown = model.now.saturating_add_signed(model.skew);
        *moment = Moment::Wall(shown.saturating_add_signed(ms));
    }
}

fn of_txn(txn: &mut Txn, model: &Model) {
    for Compare { range, target, .. } in &mut txn.compares {
        let rec = first(range, model);
        match target {
            Target::Version(number) => look_up(number, rec, |rec| rec.version),
            Target::Created(number) => look_up(number, rec, |rec| rec.created),
            Target::Modified(number) => look_up(number, rec, |rec| rec.modified),
            Target::Value(_) | Target::Lease(_) | Target::Exists(_) => {}
        }
    }
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op {
            TxnOp::Change { action, .. } => of_action(action, model),
            TxnOp::Txn(inner) => of_txn(inner, model),
            TxnOp::Get(_) | TxnOp::RangeGet { .. } | TxnOp::RangeDelete { .. } => {}
        }
    }
}

fn first<'a>(range: &Range, model: &'a Model) -> Option<&'a Rec> {
    model.live().find(|rec| range.contains(&rec.key))
}

fn look_up(number: &mut Number, rec: Option<&Rec>, of: fn(&Rec) -> u64) {
    if let Number::Current(more) = *number {
        *number = Number::Exactly(rec.map_or(0, of).saturating_add_signed(more));
    }
}
