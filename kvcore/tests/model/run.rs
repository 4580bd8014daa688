//! The engine and the model, doing the same.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use kvcore::Record;

use crate::answers::{Answer, Rec};
use crate::engine;
use crate::looks::{Digests, Looking, equal};
use crate::model::{Limits, Model, Twist};
use crate::ops::{Op, Request, Write};
use crate::resolve::resolve;
use crate::store::{Store, options, policy_of};

/// How far the wall clock must be off to have been set, and how often that is looked at.
pub(crate) const JUMP_MS: i64 = 1000;
pub(crate) const LOOK_MS: u64 = 1000;
/// Units that may be on their way to the log.
const IN_FLIGHT: u64 = 16;
/// Operations that are told when something is wrong.
const TOLD: usize = 20;

/// What was done, by kind, and what came of it.
pub(crate) type Tally = BTreeMap<Cow<'static, str>, u64>;

/// Where engine and model part.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch {
    /// The operation's number.
    pub(crate) at: usize,
    pub(crate) what: String,
    last: VecDeque<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "  {line}")?;
        }
        write!(f, "operation {}: {}", self.at, self.what)
    }
}

/// What operations are done on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) twist: Option<Twist>,
    /// Print every operation.
    pub(crate) verbose: bool,
}

/// Does the operations on an engine and a model of their own.
pub(crate) fn run(setup: Setup, ops: &[Op]) -> Result<Tally, Mismatch> {
    let mut last = VecDeque::new();
    let wrong = |at, what, last: &VecDeque<String>| Mismatch {
        at,
        what,
        last: last.clone(),
    };
    let mut pair = Pair::new(setup).map_err(|what| wrong(0, what, &last))?;
    for (at, op) in ops.iter().enumerate() {
        pair.tally(op.kind(), 1);
        let mut op = op.clone();
        if let Op::Write(write, _) = &mut op {
            resolve(write, &pair.model);
        }
        let line = format!("{at} @{} r{} {op:?}", pair.model.now, pair.model.revision());
        if setup.verbose {
            println!("{line}");
        }
        if last.len() == TOLD {
            last.pop_front();
        }
        last.push_back(line);
        pair.step(op).map_err(|what| wrong(at, what, &last))?;
        pair.totals().map_err(|what| wrong(at, what, &last))?;
    }
    pair.tally("operations", ops.len() as u64);
    pair.count_rotations();
    Ok(pair.tally)
}

pub(crate) struct Pair {
    /// None only while it restarts.
    pub(crate) store: Option<Store>,
    pub(crate) model: Model,
    digests: Digests,
    pub(crate) tally: Tally,
    /// The highest revision that anybody was told.
    pub(crate) told: u64,
    /// How far the wall clock was set since the engine noticed last.
    pub(crate) set_ms: i64,
    /// When the engine looked last, on the machine's clock.
    pub(crate) looked: u64,
}

impl Pair {
    fn new(setup: Setup) -> Result<Self, String> {
        let store = Store::new(setup.seed)?;
        let limits = options(policy_of(setup.seed)).limits;
        let limits = Limits {
            key_bytes: limits.key_bytes,
            value_bytes: limits.value_bytes,
            operations: limits.unit_operations,
            unit_bytes: limits.unit_bytes,
            request_ms: limits.request_id_ms,
        };
        let mut model = Model::new(limits, store.wall_ms());
        model.twist = setup.twist;
        Ok(Self {
            looked: store.boot_ms(),
            store: Some(store),
            model,
            digests: Digests::default(),
            tally: Tally::new(),
            told: 1,
            set_ms: 0,
        })
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().expect("it runs")
    }

    pub(crate) fn tally(&mut self, what: impl Into<Cow<'static, str>>, count: u64) {
        *self.tally.entry(what.into()).or_default() += count;
    }

    pub(crate) fn count_rotations(&mut self) {
        let rotations = self.store().engine.status().counters.rotations;
        self.tally("rotations", rotations);
    }

    fn step(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Write(write, request) => {
                self.make_room()?;
                self.write(&write, request.as_ref())
            }
            Op::Look(look) => {
                let live = self.model.live().count() as u64;
                self.tally("records there at looks", live);
                self.make_room()?;
                let mut looking = Looking {
                    store: self.store.as_mut().expect("it runs"),
                    model: &mut self.model,
                    digests: &mut self.digests,
                };
                looking.look(&look)
            }
            Op::Advance(ms) => {
                self.store().clock.advance(ms);
                self.model.now += ms;
                Ok(())
            }
            Op::SetWall(ms) => {
                self.store().clock.jump_wall(ms);
                self.set_ms += ms;
                Ok(())
            }
            Op::Sweep => {
                self.make_room()?;
                self.sweep()
            }
            Op::Turn => self.turn(),
            Op::Restart { end, away, seed } => self.restart(&end, away, seed),
        }
    }

    /// So much in flight that no operation has to wait.
    fn make_room(&mut self) -> Result<(), String> {
        let (logged, _) = self.store().reached();
        if self.model.revision() - logged > IN_FLIGHT {
            return self.turn();
        }
        Ok(())
    }

    fn write(&mut self, write: &Write, request: Option<&Request>) -> Result<(), String> {
        self.model.begin(write, request);
        let written = self.store().write(write, request)?;
        for removal in &written.removals {
            let mut due = removal.due.clone();
            due.sort_by(|a, b| a.key.cmp(&b.key));
            due.dedup();
            let revision = self.model.expire(&due)?;
            equal("revision of a removal", &revision, &removal.revision)?;
            self.tally("expired keys in the way", due.len() as u64);
        }
        let remembers = written.answer.remembers();
        let expected = self.model.write(write, request, remembers);
        if let Some(key) = self.model.stumbled() {
            let answer = written.answer;
            return Err(format!(
                "{key:?} has expired and was passed over: {answer:?}"
            ));
        }
        if !expected.answers.iter().any(|e| same(e, &written.answer)) {
            let found = vec![written.answer];
            return equal("answer", &expected.answers, &found);
        }
        let newest = self.model.revision();
        equal("store revision", &newest, &written.store_revision)?;
        if !expected.reveals.fits(written.revealed) || written.revealed > newest {
            let (wanted, found) = (expected.reveals, written.revealed);
            return Err(format!("reveals {wanted:?}, and it says {found}"));
        }
        self.told = self.told.max(newest);
        self.tally(outcome(&written.answer), 1);
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), String> {
        let before = self.store().engine.store_revision().0;
        let swept = self.store().engine.sweep_turn();
        // The first change after an unclean start is far above the one before.
        let newest = self.store().engine.store_revision().0;
        let units = if newest == before {
            0
        } else {
            newest + 1 - self.model.next()
        };
        if units > swept {
            return Err(format!("{units} units took {swept} keys away"));
        }
        let wanted = self.model.sweep(units);
        self.told = self.told.max(self.model.revision());
        self.tally("keys swept", swept);
        equal("keys swept", &wanted, &swept)
    }

    fn turn(&mut self) -> Result<(), String> {
        self.store().turn();
        let (_, durable) = self.store().reached();
        self.model.durable(durable);
        self.look_at_the_wall();
        let skew = self.store().skew();
        equal("wall clock less engine's", &self.model.skew, &skew)
    }

    /// The log's writer looks at the wall clock once a second.
    pub(crate) fn look_at_the_wall(&mut self) {
        let now = self.store().boot_ms();
        if now - self.looked < LOOK_MS {
            return;
        }
        self.looked = now;
        if self.set_ms.abs() >= JUMP_MS {
            self.model.skew += std::mem::take(&mut self.set_ms);
            self.tally("wall clock jumps noticed", 1);
        }
    }

    /// All that users find.
    pub(crate) fn content(&mut self) -> Result<(), String> {
        let mut found: Vec<Rec> = Vec::new();
        self.store()
            .engine
            .for_each(|record| found.push(engine::rec(record)));
        let wanted: Vec<Rec> = self.model.live().cloned().collect();
        equal("content", &wanted, &found)
    }

    /// Keys and bytes, those of expired keys too.
    pub(crate) fn totals(&mut self) -> Result<(), String> {
        let status = self.store().engine.status();
        let keys = self.model.records().count() as u64;
        equal("keys", &keys, &status.keys)?;
        let bytes =
            |rec: &Rec| Record::new(&rec.key.0, &rec.value.0, rec.deadline, 0).accounted_bytes();
        let bytes: u64 = self.model.records().map(bytes).sum();
        equal("accounted bytes", &bytes, &status.memory_bytes)?;
        let newest = self.model.revision();
        equal("store revision", &newest, &status.store_revision.0)
    }
}

/// Where a refusal points to is compared if it points to one operation.
fn same(expected: &Answer, found: &Answer) -> bool {
    match (expected, found) {
        (Answer::Refused(expected), Answer::Refused(found)) => {
            expected.kind == found.kind
                && (expected.place.is_empty() || expected.place == found.place)
        }
        _ => expected == found,
    }
}

fn outcome(answer: &Answer) -> Cow<'static, str> {
    let revision = match answer {
        Answer::Refused(refusal) => return format!("refused: {}", refusal.kind).into(),
        Answer::NoChunk => return "answer: without effect".into(),
        _ if answer.remembers() => return "answer: replayed".into(),
        Answer::One { revision, .. }
        | Answer::All { revision, .. }
        | Answer::Txn { revision, .. }
        | Answer::Range { revision, .. } => *revision,
    };
    let without = revision == 0;
    Cow::from(if without {
        "answer: without effect"
    } else {
        "answer: applied"
    })
}
