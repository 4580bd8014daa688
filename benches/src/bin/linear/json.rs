//! A history as JSON, one operation a line, complete.
//!
//! `history.jsonl`: `{id, process, daemon, invoked_ns, returned_ns | null, wall_ms, action,
//! outcome}`. Keys are numbers, expiries ms, and what is absent is null. Of an undecided
//! operation, `returned_ns` is the moment of the death of its daemon.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::op::{
    Action, Answer, Beside, Change, Key, Meta, Op, Outcome, Record, Reply, Step, Target, Test,
    TxnStep, Until,
};

/// Writes `history.jsonl` in `dir`.
pub(crate) fn write(dir: &Path, ops: &[Op]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = BufWriter::new(File::create(dir.join("history.jsonl"))?);
    for (id, op) in ops.iter().enumerate() {
        let line = json!({
            "id": id,
            "process": op.process,
            "daemon": op.daemon,
            "invoked_ns": op.invoked,
            "returned_ns": (op.returned != u64::MAX).then_some(op.returned),
            "wall_ms": op.wall,
            "action": action(&op.action),
            "outcome": outcome(&op.outcome),
        });
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn action(action: &Action) -> Value {
    match action {
        Action::One {
            key,
            step: what,
            condition,
            previous,
        } => json!({
            "key": key,
            "step": step(what),
            "condition": condition.as_ref().map(target),
            "return_previous": previous,
        }),
        Action::BatchGet(keys) => json!({ "batch_get": keys }),
        Action::Txn {
            compares,
            success,
            failure,
        } => json!({
            "compares": compares.iter().map(compare).collect::<Vec<_>>(),
            "success": success.iter().map(txn_step).collect::<Vec<_>>(),
            "failure": failure.iter().map(txn_step).collect::<Vec<_>>(),
        }),
    }
}

fn compare((key, test): &(Key, Test)) -> Value {
    let operator = format!("{:?}", test.operator);
    json!({ "key": key, "operator": operator, "target": target(&test.target) })
}

fn txn_step(what: &TxnStep) -> Value {
    match what {
        TxnStep::On(key, what) => json!({ "key": key, "step": step(what) }),
        TxnStep::Range => json!("range"),
    }
}

fn step(step: &Step) -> Value {
    match step {
        Step::Get => json!("get"),
        Step::Delete => json!("delete"),
        Step::Increment(delta) => json!({ "increment": delta }),
        Step::Set { value, until } => {
            let until = match until {
                Until::Never => Value::Null,
                Until::Keep => json!("keep"),
                Until::At(at) => json!({ "at_ms": at }),
                Until::Within(ttl) => json!({ "ttl_ms": ttl }),
            };
            json!({ "set": value, "expiry": until })
        }
        Step::Expire(change, when) => {
            let change = match change {
                Change::Persist => json!("persist"),
                Change::At(at) => json!({ "at_ms": at }),
                Change::Within(ttl) => json!({ "ttl_ms": ttl }),
            };
            json!({ "expire": change, "when": format!("{when:?}") })
        }
    }
}

fn target(target: &Target) -> Value {
    match target {
        Target::Exists(is) => json!({ "exists": is }),
        Target::Modified(is) => json!({ "mod_revision": is }),
        Target::Created(is) => json!({ "create_revision": is }),
        Target::Version(is) => json!({ "version": is }),
        Target::Value(is) => json!({ "value": is }),
    }
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Refused(reason) => json!({ "refused": reason }),
        Outcome::Undecided(why) => json!({ "undecided": why }),
        Outcome::Answered(what, header) => json!({
            "reply": reply(what),
            "store_revision": header.store,
            "durable_revision": header.durable,
        }),
    }
}

fn reply(reply: &Reply) -> Value {
    match reply {
        Reply::One(what) => answer(what),
        Reply::BatchGet(records) => {
            let records = records.iter().map(|found| found.as_ref().map(record));
            json!(records.collect::<Vec<_>>())
        }
        Reply::Txn {
            succeeded,
            answers,
            revision,
        } => json!({
            "succeeded": succeeded,
            "answers": answers.iter().map(answer).collect::<Vec<_>>(),
            "revision": revision,
        }),
        Reply::Garbled(what) => json!({ "garbled": what }),
    }
}

fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::Got(found) => json!({ "record": found.as_ref().map(record) }),
        Answer::Set(numbers, shown) => {
            json!({ "applied": numbers.map(meta), "beside": beside(shown) })
        }
        Answer::Delete(revision, shown) => {
            json!({ "deleted": revision, "beside": beside(shown) })
        }
        Answer::Increment(value, numbers) => json!({ "value": value, "record": meta(*numbers) }),
        Answer::NotAnInteger => json!("NOT_AN_INTEGER"),
        Answer::Expire {
            applied,
            meta: numbers,
        } => json!({ "applied": applied, "record": numbers.map(meta) }),
        Answer::Range(records) => {
            let records = records.iter();
            let records =
                records.map(|(key, found)| json!({ "key": key, "record": record(found) }));
            json!({ "records": records.collect::<Vec<_>>() })
        }
    }
}

fn beside(beside: &Beside) -> Value {
    match beside {
        Beside::NotAsked => json!("not asked"),
        Beside::Absent => Value::Null,
        Beside::Record(found) => record(found),
    }
}

fn record(found: &Record) -> Value {
    let mut numbers = meta(found.meta);
    numbers["value"] = json!(found.value);
    numbers
}

fn meta(meta: Meta) -> Value {
    json!({
        "create_revision": meta.created,
        "mod_revision": meta.modified,
        "version": meta.version,
        "expires_at_ms": meta.expires,
    })
}
