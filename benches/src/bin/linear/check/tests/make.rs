//! What histories made by hand are made of. A record is its token and its numbers.

use super::super::{Kind, check};
use crate::op::{
    Action, Answer, Beside, Header, Key, Meta, Op, Outcome, Record, Reply, Step, TOKEN, Target,
    Test, TxnStep, Until,
};

/// Created, modified, version.
pub(super) type Numbers = (i64, i64, i64);

pub(super) fn meta((created, modified, version): Numbers) -> Meta {
    Meta {
        created,
        modified,
        version,
        expires: 0,
    }
}

pub(super) fn record(token: i64, numbers: Numbers) -> Record {
    Record {
        value: (token * TOKEN).to_string(),
        meta: meta(numbers),
    }
}

pub(super) fn put(token: i64) -> Step {
    Step::Set {
        value: (token * TOKEN).to_string(),
        until: Until::Never,
    }
}

pub(super) fn op(times: (u64, u64), action: Action, outcome: Outcome) -> Op {
    Op {
        process: 0,
        daemon: 0,
        action,
        invoked: times.0,
        returned: times.1,
        wall: 0,
        outcome,
    }
}

pub(super) fn answered(times: (u64, u64), action: Action, reply: Reply) -> Op {
    op(times, action, Outcome::Answered(reply, Header::default()))
}

pub(super) fn one(key: Key, step: Step, condition: Option<Target>) -> Action {
    Action::One {
        key,
        step,
        condition,
        previous: false,
    }
}

pub(super) fn set(times: (u64, u64), key: Key, token: i64, numbers: Numbers) -> Op {
    let reply = Reply::One(Answer::Set(Some(meta(numbers)), Beside::NotAsked));
    answered(times, one(key, put(token), None), reply)
}

/// A Set on condition that the key was last modified at `modified`.
pub(super) fn cas(times: (u64, u64), key: Key, token: i64, modified: i64, numbers: Numbers) -> Op {
    let action = one(key, put(token), Some(Target::Modified(modified)));
    let reply = Reply::One(Answer::Set(Some(meta(numbers)), Beside::NotAsked));
    answered(times, action, reply)
}

pub(super) fn get(times: (u64, u64), key: Key, seen: Option<Record>) -> Op {
    answered(
        times,
        one(key, Step::Get, None),
        Reply::One(Answer::Got(seen)),
    )
}

pub(super) fn increment(times: (u64, u64), delta: i64, value: i64, numbers: Numbers) -> Op {
    let reply = Reply::One(Answer::Increment(value, meta(numbers)));
    answered(times, one(0, Step::Increment(delta), None), reply)
}

pub(super) fn lost(times: (u64, u64), step: Step) -> Op {
    let outcome = Outcome::Undecided("connection lost".into());
    op(times, one(0, step, None), outcome)
}

pub(super) fn txn(
    times: (u64, u64),
    compares: Vec<(Key, Test)>,
    steps: Vec<(TxnStep, Answer)>,
    revision: i64,
) -> Op {
    let (success, answers) = steps.into_iter().unzip();
    let action = Action::Txn {
        compares,
        success,
        failure: Vec::new(),
    };
    let reply = Reply::Txn {
        succeeded: true,
        answers,
        revision,
    };
    answered(times, action, reply)
}

pub(super) fn put_in_txn(key: Key, token: i64, numbers: Numbers) -> (TxnStep, Answer) {
    let answer = Answer::Set(Some(meta(numbers)), Beside::NotAsked);
    (TxnStep::On(key, put(token)), answer)
}

pub(super) fn range(seen: Vec<(Key, Record)>) -> (TxnStep, Answer) {
    (TxnStep::Range, Answer::Range(seen))
}

pub(super) fn both(times: (u64, u64), seen: &[Option<Record>; 2]) -> Op {
    answered(
        times,
        Action::BatchGet(vec![0, 1]),
        Reply::BatchGet(seen.to_vec()),
    )
}

pub(super) fn good(ops: &[Op]) {
    let violations = check(ops, 3).violations;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Every kind is raised, and if the history is wrong for one key alone, by that check.
pub(super) fn bad(ops: &[Op], kinds: &[Kind]) {
    let violations = check(ops, 3).violations;
    for kind in kinds {
        let raised = violations.iter().any(|violation| violation.kind == *kind);
        assert!(raised, "no {kind:?} in {violations:#?}");
    }
    if !kinds.contains(&Kind::Key) {
        let key = violations
            .iter()
            .any(|violation| violation.kind == Kind::Key);
        assert!(!key, "each key alone is right: {violations:#?}");
    }
}
