//! Makes operations such as the wire can say and real time can judge.

use super::ops::{
    Action, Bytes, Change, Condition, Expiry, Moment, Number, Op, Range, Request, Target, Txn,
    TxnOp, When, Write,
};
use super::ops::{Look, PageOf};

const HOUR: u64 = 3_600_000;
const TTL_MAX: u64 = 100 * 366 * 24 * HOUR;

/// Moments are counted from `base`, so that they are equal or hours apart.
pub(super) fn fit(op: &mut Op, base: u64) {
    let fit = Fit { base };
    match op {
        Op::Write(write, request) => {
            fit.write(write);
            if let Some(Request { id, item, .. }) = request {
                // An empty id is none, and which item it is only the daemon says.
                *item = 0;
                if id.is_empty() {
                    *request = None;
                }
            }
        }
        Op::Look(look) => match look {
            Look::Page(PageOf { range, .. }, _)
            | Look::Scan(PageOf { range, .. })
            | Look::Count { range, .. }
            | Look::Hash(range) => nameable(range),
            Look::Get(_) | Look::Batch(_) => {}
        },
        _ => {}
    }
}

struct Fit {
    base: u64,
}

impl Fit {
    fn write(&self, write: &mut Write) {
        match write {
            Write::One(change) => self.change(change),
            Write::All(changes) => changes.iter_mut().for_each(|c| self.change(c)),
            Write::Txn(txn) => self.txn(txn),
            Write::DeleteRange { range, .. } | Write::Chunk { range, .. } => nameable(range),
        }
    }

    fn change(&self, change: &mut Change) {
        self.action(&mut change.action);
        match &mut change.condition {
            Some(Condition::Value(value)) => short(value),
            Some(Condition::Modified(n) | Condition::Created(n) | Condition::Version(n)) => {
                signed(n);
            }
            Some(Condition::Exists(_)) | None => {}
        }
        if matches!(change.action, Action::Increment(_) | Action::Expire { .. }) {
            change.condition = None;
        }
    }

    fn action(&self, action: &mut Action) {
        match action {
            Action::Set { expiry, .. } => self.expiry(expiry),
            Action::Increment(increment) => self.expiry(&mut increment.expiry),
            Action::Expire { to, when } => {
                if *to == Expiry::Keep {
                    *to = Expiry::Never;
                }
                if let (Expiry::After(ms @ 1..=HOUR), When::IfLater | When::IfEarlier) =
                    (*to, *when)
                {
                    // Which is later must not depend on the pace of the test.
                    *to = Expiry::At(Moment::FromNow(ms.cast_signed()));
                }
                self.expiry(to);
            }
            Action::Delete => {}
        }
    }

    /// Nothing ends while the test runs: hours from now, or long ago.
    fn expiry(&self, expiry: &mut Expiry) {
        match *expiry {
            Expiry::After(ms @ 1..TTL_MAX) => *expiry = Expiry::After((2 + ms % 7) * HOUR),
            Expiry::At(Moment::FromNow(ms)) if ms >= 0 => {
                let hours = 2 + ms.unsigned_abs() % 7;
                *expiry = Expiry::At(Moment::Wall(self.base + hours * HOUR));
            }
            Expiry::At(_) => *expiry = Expiry::At(Moment::Wall(self.base - HOUR)),
            Expiry::After(_) | Expiry::Never | Expiry::Keep => {}
        }
    }

    fn txn(&self, txn: &mut Txn) {
        for compare in &mut txn.compares {
            nameable(&mut compare.range);
            match &mut compare.target {
                Target::Value(value) => short(value),
                Target::Version(n) | Target::Created(n) | Target::Modified(n) => signed(n),
                Target::Lease(_) | Target::Exists(_) => {}
            }
        }
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match op {
                TxnOp::Get(_) => {}
                TxnOp::Change { action, .. } => self.action(action),
                TxnOp::RangeGet { range, .. } => nameable(range),
                TxnOp::RangeDelete { range, limit } => {
                    nameable(range);
                    *limit = 0;
                }
                TxnOp::Txn(inner) => self.txn(inner),
            }
        }
    }
}

/// What the wire refuses as a range has tests of its own.
fn nameable(range: &mut Range) {
    let fine = |key: &Bytes| !key.is_empty() && key.len() <= 64;
    let good = match range {
        Range::All => true,
        Range::Key(key) | Range::Prefix(key) => fine(key),
        Range::Span(start, end) => fine(start) && (end.is_empty() || (fine(end) && start < end)),
    };
    if !good {
        *range = Range::All;
    }
}

fn short(value: &mut Bytes) {
    value.0.truncate(1000);
}

fn signed(number: &mut Number) {
    if let Number::Exactly(number) = number {
        *number = (*number).min(i64::MAX.unsigned_abs());
    }
}
