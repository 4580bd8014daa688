//! Replies as answers, looked at closely.

use kvproto::v1;

use super::super::op::{Action, Answer, Beside, Key, Meta, Record, Reply, Step, TxnStep};
use super::{Made, Wire};

impl Wire {
    pub(super) fn record(&self, key: Key, record: &v1::Record) -> Result<Record, String> {
        if record.key != self.key(key) {
            return Err(format!("asked for key {key}, got {:?}", record.key));
        }
        Ok(plain(record))
    }

    pub(super) fn got(&self, key: Key, reply: v1::GetResponse) -> Result<Answer, String> {
        if reply.found != reply.record.is_some() {
            return Err("found and record contradict each other".into());
        }
        let record = reply.record.map(|record| self.record(key, &record));
        record.transpose().map(Answer::Got)
    }

    pub(super) fn txn(&self, action: &Action, reply: v1::TxnResponse) -> Made {
        let Action::Txn {
            success, failure, ..
        } = action
        else {
            return Err("not a Txn".into());
        };
        let steps = if reply.succeeded { success } else { failure };
        if steps.len() != reply.responses.len() {
            return Err("another number of results than steps".into());
        }
        let revision = reply.revision;
        let answers = steps.iter().zip(reply.responses);
        let answers = answers.map(|(step, result)| self.txn_answer(step, result, revision));
        Ok(Reply::Txn {
            succeeded: reply.succeeded,
            answers: answers.collect::<Result<_, _>>()?,
            revision,
        })
    }

    fn txn_answer(
        &self,
        step: &TxnStep,
        result: v1::TxnResult,
        revision: i64,
    ) -> Result<Answer, String> {
        use v1::txn_result::Result as R;
        match (step, result.result) {
            (TxnStep::Range, Some(R::RangeGet(found))) => {
                let records = found.records.iter().map(|record| {
                    let name = record.key.strip_prefix(self.prefix.as_bytes());
                    let key = name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
                    Ok((key.ok_or("a key from elsewhere")?, plain(record)))
                });
                records.collect::<Result<_, String>>().map(Answer::Range)
            }
            (TxnStep::On(key, Step::Get), Some(R::Get(reply))) => self.got(*key, reply),
            (TxnStep::On(_, Step::Set { .. }), Some(R::Set(reply))) => was_set(&reply, false),
            (TxnStep::On(_, Step::Delete), Some(R::Delete(reply))) => {
                was_deleted(&reply, false, revision)
            }
            (TxnStep::On(_, Step::Increment(_)), Some(R::Increment(reply))) => {
                was_incremented(&reply)
            }
            (TxnStep::On(_, Step::Expire(..)), Some(R::Expire(reply))) => was_expired(&reply),
            (step, other) => Err(format!("{other:?} for {step:?}")),
        }
    }
}

fn plain(record: &v1::Record) -> Record {
    Record {
        value: String::from_utf8_lossy(&record.value).into_owned(),
        meta: numbers(record),
    }
}

fn numbers(record: &v1::Record) -> Meta {
    Meta {
        created: record.create_revision,
        modified: record.mod_revision,
        version: record.version,
        expires: record.expires_at_ms,
    }
}

pub(super) fn odd_revision() -> String {
    "applied, revision and record contradict one another".into()
}

pub(super) fn check_revision(
    applied: bool,
    revision: i64,
    record: Option<&v1::Record>,
) -> Result<(), String> {
    let of_record = record.map(|record| record.mod_revision);
    let fits = if applied {
        revision > 0 && of_record == Some(revision)
    } else {
        revision == 0 && record.is_none()
    };
    fits.then_some(()).ok_or_else(odd_revision)
}

fn beside(record: Option<&v1::Record>) -> Beside {
    record.map_or(Beside::Absent, |record| Beside::Record(plain(record)))
}

pub(super) fn was_set(reply: &v1::SetResponse, previous: bool) -> Result<Answer, String> {
    let shown = match (reply.applied, previous) {
        (true, true) => beside(reply.previous.as_deref()),
        (true, false) => Beside::NotAsked,
        (false, _) => beside(reply.current.as_deref()),
    };
    let meta = reply.record.as_ref().map(numbers);
    let fits = reply.applied == meta.is_some();
    fits.then_some(Answer::Set(meta, shown))
        .ok_or_else(odd_revision)
}

pub(super) fn was_deleted(
    reply: &v1::DeleteResponse,
    previous: bool,
    revision: i64,
) -> Result<Answer, String> {
    if !reply.deleted {
        return Ok(Answer::Delete(None, beside(reply.current.as_deref())));
    }
    let shown = if previous {
        beside(reply.previous.as_deref())
    } else {
        Beside::NotAsked
    };
    match revision {
        0 => Err(odd_revision()),
        _ => Ok(Answer::Delete(Some(revision), shown)),
    }
}

pub(super) fn was_incremented(reply: &v1::IncrementResponse) -> Result<Answer, String> {
    let meta = reply.record.as_ref().map(numbers);
    meta.map(|meta| Answer::Increment(reply.value, meta))
        .ok_or_else(odd_revision)
}

pub(super) fn was_expired(reply: &v1::ExpireResponse) -> Result<Answer, String> {
    if reply.found != reply.record.is_some() {
        return Err("found and record contradict each other".into());
    }
    Ok(Answer::Expire {
        applied: reply.applied,
        meta: reply.record.as_ref().map(numbers),
    })
}
