//! Takes operations apart into facts about single keys.
//!
//! The facts of one operation about one key hold in their order, at one moment. What an
//! undecided operation may have done are alternatives, besides nothing at all.

use std::collections::BTreeMap;

use super::super::op::{
    Action, Answer, Beside, Change, Key, Meta, Op, Outcome, Record, Reply, Step, Target, Test,
    TxnStep, Until, When,
};

/// What one operation says about one key, or does to it. `told` is absent if nobody was
/// told.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Test(Test, bool),
    Saw(Option<Record>),
    NotAnInteger,
    Set {
        value: String,
        until: Until,
        wall: i64,
        told: Option<Meta>,
    },
    /// `true` if it certainly removed something.
    Delete(bool),
    Increment {
        delta: i64,
        told: Option<(i64, Meta)>,
    },
    Expire {
        change: Change,
        when: When,
        wall: i64,
        told: Option<(bool, Option<Meta>)>,
    },
}

impl Fact {
    /// Whether it is a write that was applied, or that may have been.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Test(..) | Self::Saw(_) | Self::NotAnInteger => false,
            Self::Expire { told, .. } => told.is_none_or(|(applied, _)| applied),
            Self::Set { .. } | Self::Delete(_) | Self::Increment { .. } => true,
        }
    }
}

/// One way in which an operation may have happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) facts: BTreeMap<Key, Vec<Fact>>,
    pub(crate) revision: Option<i64>,
    /// At least one of these tests failed.
    pub(crate) one_failed: Vec<(Key, Test)>,
}

impl Way {
    fn push(&mut self, key: Key, fact: Fact) {
        self.facts.entry(key).or_default().push(fact);
    }

    fn tests(compares: &[(Key, Test)], held: bool) -> Self {
        let mut way = Self::default();
        match compares {
            [(key, test)] => way.push(*key, Fact::Test(test.clone(), held)),
            _ if held => {
                for (key, test) in compares {
                    way.push(*key, Fact::Test(test.clone(), true));
                }
            }
            _ => way.one_failed = compares.to_vec(),
        }
        way
    }
}

/// The ways in which `op` may have happened: one if it was answered, none if it had no
/// effect and says nothing. `keys` is how many keys there are.
///
/// # Errors
///
/// If the reply does not fit the request.
pub(crate) fn ways(op: &Op, keys: usize) -> Result<Vec<Way>, String> {
    match &op.outcome {
        Outcome::Refused(_) => Ok(Vec::new()),
        Outcome::Undecided(_) if !op.action.writes() => Ok(Vec::new()),
        Outcome::Undecided(_) => Ok(guesses(op)),
        Outcome::Answered(reply, _) => {
            let mut way = answered(op, reply, keys)?;
            way.revision = op.revision();
            let wrote = way.facts.values().flatten().any(Fact::writes);
            if wrote != way.revision.is_some() {
                return Err(format!("revision {:?} for this reply", way.revision));
            }
            Ok(vec![way])
        }
    }
}

fn answered(op: &Op, reply: &Reply, keys: usize) -> Result<Way, String> {
    let mut way = Way::default();
    match (&op.action, reply) {
        (
            Action::One {
                key,
                step,
                condition,
                ..
            },
            Reply::One(answer),
        ) => {
            for fact in conditional(op, step, condition.as_ref(), answer)? {
                way.push(*key, fact);
            }
        }
        (Action::BatchGet(asked), Reply::BatchGet(found)) if asked.len() == found.len() => {
            for (key, record) in asked.iter().zip(found) {
                way.push(*key, Fact::Saw(record.clone()));
            }
        }
        (
            Action::Txn {
                compares,
                success,
                failure,
            },
            Reply::Txn {
                succeeded, answers, ..
            },
        ) => {
            way = Way::tests(compares, *succeeded);
            let steps = if *succeeded { success } else { failure };
            if steps.len() != answers.len() {
                return Err("another number of answers than steps".into());
            }
            for (step, answer) in steps.iter().zip(answers) {
                txn_step(op, &mut way, step, answer, keys)?;
            }
        }
        (_, Reply::Garbled(what)) => return Err(what.clone()),
        _ => return Err("a reply of another kind".into()),
    }
    Ok(way)
}

fn txn_step(
    op: &Op,
    way: &mut Way,
    step: &TxnStep,
    answer: &Answer,
    keys: usize,
) -> Result<(), String> {
    match (step, answer) {
        (TxnStep::Range, Answer::Range(records)) => {
            let mut seen: Vec<Option<Record>> = vec![None; keys];
            if !records.is_sorted_by(|a, b| a.0 < b.0) {
                return Err("a range out of order".into());
            }
            for (key, record) in records {
                *seen.get_mut(*key).ok_or("a key from elsewhere")? = Some(record.clone());
            }
            for (key, record) in seen.into_iter().enumerate() {
                way.push(key, Fact::Saw(record));
            }
        }
        (TxnStep::On(key, step), answer) => {
            for fact in conditional(op, step, None, answer)? {
                way.push(*key, fact);
            }
        }
        _ => return Err("an answer of another kind".into()),
    }
    Ok(())
}

/// Facts of one answered step.
fn conditional(
    op: &Op,
    step: &Step,
    condition: Option<&Target>,
    answer: &Answer,
) -> Result<Vec<Fact>, String> {
    let test = |held| condition.map(|target| Fact::Test(Test::equal(target.clone()), held));
    let mut facts = Vec::new();
    match (step, answer) {
        (Step::Get, Answer::Got(record)) => facts.push(Fact::Saw(record.clone())),
        (Step::Set { .. }, Answer::Set(Some(meta), beside)) => {
            facts.extend(test(true));
            facts.extend(saw(beside));
            facts.push(write(op, step, Some(meta)));
        }
        (Step::Set { .. }, Answer::Set(None, beside)) => {
            facts.push(test(false).ok_or("a Set without condition was not applied")?);
            facts.extend(saw(beside));
        }
        (Step::Delete, Answer::Delete(Some(_), beside)) => {
            facts.extend(test(true));
            facts.extend(saw(beside));
            facts.push(Fact::Delete(true));
        }
        (Step::Delete, Answer::Delete(None, beside)) => {
            if let Beside::Record(_) = beside {
                facts.push(test(false).ok_or("a Delete without condition left a record")?);
                facts.extend(saw(beside));
            } else {
                facts.push(Fact::Saw(None));
            }
        }
        (Step::Increment(delta), Answer::Increment(value, meta)) => facts.push(Fact::Increment {
            delta: *delta,
            told: Some((*value, *meta)),
        }),
        (Step::Increment(_), Answer::NotAnInteger) => facts.push(Fact::NotAnInteger),
        (Step::Expire(change, when), Answer::Expire { applied, meta }) => {
            facts.push(Fact::Expire {
                change: *change,
                when: *when,
                wall: op.wall,
                told: Some((*applied, *meta)),
            });
        }
        _ => return Err("an answer of another kind".into()),
    }
    Ok(facts)
}

fn saw(beside: &Beside) -> Option<Fact> {
    match beside {
        Beside::NotAsked => None,
        Beside::Absent => Some(Fact::Saw(None)),
        Beside::Record(record) => Some(Fact::Saw(Some(record.clone()))),
    }
}

fn write(op: &Op, step: &Step, told: Option<&Meta>) -> Fact {
    match step {
        Step::Set { value, until } => Fact::Set {
            value: value.clone(),
            until: *until,
            wall: op.wall,
            told: told.copied(),
        },
        Step::Increment(delta) => Fact::Increment {
            delta: *delta,
            told: None,
        },
        Step::Expire(change, when) => Fact::Expire {
            change: *change,
            when: *when,
            wall: op.wall,
            told: None,
        },
        Step::Get | Step::Delete => Fact::Delete(false),
    }
}

/// What an undecided operation may have done.
fn guesses(op: &Op) -> Vec<Way> {
    match &op.action {
        Action::One {
            key,
            step,
            condition,
            ..
        } => {
            let mut way = Way::default();
            if let Some(target) = condition {
                way.push(*key, Fact::Test(Test::equal(target.clone()), true));
            }
            way.push(*key, write(op, step, None));
            vec![way]
        }
        Action::BatchGet(_) => Vec::new(),
        Action::Txn {
            compares,
            success,
            failure,
        } => {
            let branches = [(success, true), (failure, false)];
            let ways = branches.into_iter().map(|(steps, held)| {
                let mut way = Way::tests(compares, held);
                for step in steps {
                    if let TxnStep::On(key, step) = step
                        && step.writes()
                    {
                        way.push(*key, write(op, step, None));
                    }
                }
                way
            });
            ways.filter(|way| way.facts.values().flatten().any(Fact::writes))
                .collect()
        }
    }
}
