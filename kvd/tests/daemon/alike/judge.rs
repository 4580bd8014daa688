//! An answer of the daemon, held against what the model expects.

use std::fmt::Debug;

use kvproto::v1::{
    self, ErrorReason as Reason, batch_write_result::Result as Item,
    operation_result::Result as Reply,
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::answers::{Answer, Expected, Refusal};
use super::defects::defects;
use super::model::Model;
use super::ops::{Action, Change, Expiry, Op, Request, Txn, TxnOp, Write};
use super::replies::{item, kind, reply};
use super::run::{Pair, Ready, request_of};
use crate::support::reason;

pub(super) type Checked = Result<(), String>;

const REUSED: &str = "RequestIdReused";
/// How far the daemon's clock may be from the test's, ms.
const SLACK: u64 = 60_000;

/// A refusal as the wire tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    kind: String,
    field: String,
    index: Option<String>,
}

pub(super) fn of_status(status: &Status) -> Refused {
    let details = status.get_error_details();
    let metadata = details.error_info().map(|info| info.metadata.clone());
    let metadata = metadata.unwrap_or_default();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let field = violations.and_then(|all| all.first().map(|one| one.field.clone()));
    Refused {
        kind: reason(status).map_or_else(|| format!("{status:?}"), kind),
        field: field
            .or_else(|| metadata.get("field").cloned())
            .unwrap_or_default(),
        index: metadata.get("operation_index").cloned(),
    }
}

/// In a pipeline the field begins with the name of the slot.
pub(super) fn of_slot(error: &v1::Error) -> Refused {
    let mut refused = of_item(error);
    if let Some((_, field)) = refused.field.split_once('.') {
        refused.field = field.to_owned();
    }
    refused
}

fn of_item(error: &v1::Error) -> Refused {
    Refused {
        kind: Reason::try_from(error.reason).map_or_else(|_| format!("{error:?}"), kind),
        field: error.field.clone(),
        index: error.metadata.get("operation_index").cloned(),
    }
}

impl Refused {
    /// Where a refusal points to is compared if it points to one operation.
    pub(super) fn is(&self, expected: &Refusal) -> bool {
        let run_time = ["NotAnInteger", "OutOfBounds"].contains(&expected.kind.as_str());
        let index = expected.place.split(['[', ']']).nth(1);
        self.kind == expected.kind
            && self.field.starts_with(&expected.place)
            && (!run_time || self.index.as_deref() == index)
    }
}

pub(super) fn equal<T: Debug + PartialEq>(what: &str, expected: &T, found: &T) -> Checked {
    if expected == found {
        return Ok(());
    }
    Err(format!(
        "{what}\n  expected {expected:?}\n  found    {found:?}"
    ))
}

/// Does to the model what the daemon is about to be asked.
pub(super) fn foresee(model: &mut Model, ready: &Ready) {
    if let Op::Write(write, request) = &ready.op {
        if let Write::All(changes) = write {
            for (i, change) in (0..).zip(changes) {
                let of_item = item_request(request.as_ref(), i);
                let one = Write::One(change.clone());
                if is_reused(&model.write(&one, of_item.as_ref(), false)) {
                    return;
                }
            }
            return;
        }
        model.begin(write, request.as_ref());
        model.write(write, request.as_ref(), false);
    }
}

fn is_reused(expected: &Expected) -> bool {
    matches!(&expected.answers[..], [Answer::Refused(refusal)] if refusal.kind == REUSED)
}

fn item_request(request: Option<&Request>, item: u32) -> Option<Request> {
    request.map(|request| Request {
        item,
        ..request.clone()
    })
}

impl Pair {
    pub(super) fn judge(
        &mut self,
        ready: &Ready,
        found: Result<Reply, Refused>,
        window: (u64, u64),
    ) -> Checked {
        let header = match found.clone() {
            Ok(mut reply) => Some(take_header(&mut reply)),
            Err(_) => None,
        };
        let found = found.map(|mut reply| {
            take_header(&mut reply);
            reply
        });
        match &ready.op {
            Op::Look(look) => self.looked(look, found)?,
            Op::Write(Write::All(changes), request) => {
                self.batch(changes, request.as_ref(), ready.show, found, window)?;
            }
            _ => self.written(ready, &found, window)?,
        }
        let revision = self.model.revision();
        self.model.durable(revision);
        match header.flatten() {
            Some(header) => self.headed(&header),
            None => Ok(()),
        }
    }

    pub(super) fn headed(&self, header: &v1::ResponseHeader) -> Checked {
        let newest = self.model.revision().cast_signed();
        equal("store revision", &newest, &header.store_revision)?;
        equal("all of it durable", &true, &header.durable)
    }

    fn written(
        &mut self,
        ready: &Ready,
        found: &Result<Reply, Refused>,
        window: (u64, u64),
    ) -> Checked {
        let (write, request) = request_of(&ready.op);
        self.learn_now(&ttls(write), found, window);
        self.model.begin(write, request);
        let expected = self.model.write(write, request, false);
        compare(&expected, found, |answer| reply(write, ready.show, answer))
    }

    /// Items stand or fail alone, once the whole is sound.
    fn batch(
        &mut self,
        changes: &[Change],
        request: Option<&Request>,
        show: bool,
        found: Result<Reply, Refused>,
        window: (u64, u64),
    ) -> Checked {
        let write = Write::All(changes.to_vec());
        let mut defects = defects(&write, request, &self.model.limits);
        // Its items come one after the other, so a key may come twice.
        defects.retain(|defect| defect.kind != "DuplicateKey");
        let results: Vec<Result<Item, Refused>> = match &found {
            Err(refused) if defects.iter().any(|defect| refused.is(defect)) => return Ok(()),
            // Told of the whole: of each of its items.
            Err(refused) if defects.is_empty() && refused.kind == REUSED => {
                vec![Err(refused.clone()); changes.len()]
            }
            Ok(Reply::BatchWrite(reply)) if defects.is_empty() => reply
                .results
                .iter()
                .map(|result| match result.result.clone().expect("a result") {
                    Item::Error(error) => Err(of_item(&error)),
                    result => Ok(result),
                })
                .collect(),
            found => return Err(format!("expected {defects:?}, found {found:?}")),
        };
        let whole = found.is_err();
        equal("items", &changes.len(), &results.len())?;
        let (mut applied, mut repeated) = (false, true);
        for (at, (change, found)) in changes.iter().zip(&results).enumerate() {
            let i = u32::try_from(at).expect("few");
            let one = Write::One(change.clone());
            self.learn_now(&ttls(&one), found, window);
            let of_item = item_request(request, i);
            let expected = self.model.write(&one, of_item.as_ref(), false);
            if is_reused(&expected) {
                return Self::reused(applied, whole, &results[at..]);
            }
            compare(&expected, found, |answer| item(change, show, answer))
                .map_err(|what| format!("item {i}: {what}"))?;
            if let Answer::One {
                applied: true,
                replayed,
                ..
            } = expected.answers[0]
            {
                (applied, repeated) = (true, repeated && replayed);
            }
        }
        let Ok(Reply::BatchWrite(reply)) = found else {
            return Err("all items went well, and it is refused".to_owned());
        };
        equal("replayed", &(applied && repeated), &reply.replayed)
    }

    /// The id is another request's: nothing of this one is done from here on. Unless
    /// something was, the whole is refused.
    fn reused(applied: bool, whole: bool, rest: &[Result<Item, Refused>]) -> Checked {
        equal("refused as a whole", &!applied, &whole)?;
        let other = rest
            .iter()
            .find(|one| !matches!(one, Err(refused) if refused.kind == REUSED));
        equal("an item behind a reused id", &None, &other)
    }

    /// What the daemon took for now, by what it answers to a time to live.
    fn learn_now<T: Debug>(&mut self, ttls: &[u64], found: &T, (from, to): (u64, u64)) {
        self.model.now = to;
        let text = format!("{found:?}");
        let shown = text.split("expires_at_ms: ").skip(1);
        let shown = shown.filter_map(|rest| rest.split([',', ' ']).next()?.parse::<u64>().ok());
        let moments =
            shown.flat_map(|end| ttls.iter().filter_map(move |ttl| end.checked_sub(*ttl)));
        let near = moments.filter(|now| (from - SLACK..to + SLACK).contains(now));
        if let Some(now) = near.max() {
            self.model.now = now;
        }
    }
}

fn compare<T: Debug + PartialEq>(
    expected: &Expected,
    found: &Result<T, Refused>,
    reply: impl Fn(&Answer) -> T,
) -> Checked {
    for answer in &expected.answers {
        let same = match (answer, found) {
            (Answer::Refused(refusal), Err(refused)) => refused.is(refusal),
            (Answer::Refused(_), Ok(_)) | (_, Err(_)) => false,
            (answer, Ok(found)) => reply(answer) == *found,
        };
        if same {
            return Ok(());
        }
    }
    let wanted = expected.answers.iter().map(|answer| match answer {
        Answer::Refused(refusal) => format!("{refusal:?}"),
        answer => format!("{:?}", reply(answer)),
    });
    let wanted: Vec<String> = wanted.collect();
    Err(format!(
        "expected {}\n  found    {found:?}",
        wanted.join(" or ")
    ))
}

/// The times to live that a write names.
fn ttls(write: &Write) -> Vec<u64> {
    let mut all = Vec::new();
    match write {
        Write::One(change) => all.extend(ttl(&change.action)),
        Write::All(changes) => all.extend(changes.iter().filter_map(|c| ttl(&c.action))),
        Write::Txn(txn) => of_txn(txn, &mut all),
        Write::DeleteRange { .. } | Write::Chunk { .. } => {}
    }
    all
}

fn of_txn(txn: &Txn, all: &mut Vec<u64>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            TxnOp::Change { action, .. } => all.extend(ttl(action)),
            TxnOp::Txn(inner) => of_txn(inner, all),
            TxnOp::Get(_) | TxnOp::RangeGet { .. } | TxnOp::RangeDelete { .. } => {}
        }
    }
}

fn ttl(action: &Action) -> Option<u64> {
    let expiry = match action {
        Action::Set { expiry, .. } => *expiry,
        Action::Increment(increment) => increment.expiry,
        Action::Expire { to, .. } => *to,
        Action::Delete => return None,
    };
    match expiry {
        Expiry::After(ms) => Some(ms),
        _ => None,
    }
}

fn take_header(reply: &mut Reply) -> Option<v1::ResponseHeader> {
    match reply {
        Reply::Get(reply) => reply.header.take(),
        Reply::Set(reply) => reply.header.take(),
        Reply::Delete(reply) => reply.header.take(),
        Reply::Increment(reply) => reply.header.take(),
        Reply::Expire(reply) => reply.header.take(),
        Reply::BatchGet(reply) => reply.header.take(),
        Reply::BatchWrite(reply) => reply.header.take(),
        Reply::Txn(reply) => reply.header.take(),
        Reply::Count(reply) => reply.header.take(),
        Reply::DeleteRange(reply) => reply.header.take(),
        Reply::Error(_) => None,
    }
}
