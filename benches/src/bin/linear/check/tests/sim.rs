//! Histories of many clients of one store, with crashes that leave operations undecided;
//! of a store that is right, or of one with a known fault.

use std::cell::Cell;
use std::rc::Rc;

use kvbench::rng::Rng;

use super::store::{Fails, Store, WALL};
use crate::generate::{Generator, Mix};
use crate::op::{Action, Header, Op, Outcome, Step};

/// What is wrong with a store. Faults happen now and then, not always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// A read shows an earlier state.
    StaleRead,
    /// A read of several keys shows one of them as it was before.
    MixedRead,
    /// A write is judged and carried out on an earlier state of its keys.
    LostUpdate,
    /// A crash takes the last acknowledged writes with it.
    LostWrite,
    /// What was under way in a crash is done once more after it.
    Twice,
    /// What was under way in a crash is done after it.
    Late,
    /// Writes take revisions in another order than they happen.
    Revisions,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::StaleRead,
        Self::MixedRead,
        Self::LostUpdate,
        Self::LostWrite,
        Self::Twice,
        Self::Late,
        Self::Revisions,
    ];
}

/// Where a client is.
enum Client {
    Idle,
    Asked(usize),
    Done(usize, Outcome),
}

/// A history of `count` operations on `keys` keys.
pub(super) fn history(
    fault: Fault,
    seed: u64,
    clients: usize,
    keys: usize,
    count: usize,
) -> Vec<Op> {
    let mut sim = Sim::new(seed, clients, keys);
    sim.fault = fault;
    while sim.ops.len() < count || sim.clients.iter().any(|at| !matches!(at, Client::Idle)) {
        let at = usize::try_from(sim.rng.below(clients as u64)).unwrap();
        sim.step(at, count);
        if sim.rng.below(20 * clients as u64) == 0 {
            sim.crash();
        }
    }
    for key in 0..keys {
        let id = sim.ask(
            clients,
            Action::One {
                key,
                step: Step::Get,
                condition: None,
                previous: false,
            },
        );
        let outcome = sim.execute(id);
        sim.answer(id, outcome);
    }
    sim.ops
}

struct Sim {
    fault: Fault,
    /// The store before each of the last operations.
    past: Vec<Store>,
    /// To be done after a crash.
    zombies: Vec<Action>,
    rng: Rng,
    generator: Generator,
    store: Store,
    clients: Vec<Client>,
    ops: Vec<Op>,
    time: u64,
    daemon: usize,
}

impl Sim {
    fn new(seed: u64, clients: usize, keys: usize) -> Self {
        let mix = Mix {
            txn_delete: true,
            increment: true,
            expire: true,
            txn: true,
            range: true,
            version: true,
            value: true,
            created: true,
            previous: true,
            etcd: false,
        };
        Self {
            fault: Fault::None,
            past: Vec::new(),
            zombies: Vec::new(),
            rng: Rng::new(seed),
            generator: Generator {
                rng: Rng::new(seed ^ 0xabcd),
                mix,
                keys,
                tokens: Rc::new(Cell::new(0)),
                wall: WALL,
            },
            store: Store {
                revision: 1,
                records: vec![None; keys],
            },
            clients: (0..clients).map(|_| Client::Idle).collect(),
            ops: Vec::new(),
            time: 0,
            daemon: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    fn ask(&mut self, process: usize, action: Action) -> usize {
        let invoked = self.tick();
        self.ops.push(Op {
            process,
            daemon: self.daemon,
            action,
            invoked,
            returned: u64::MAX,
            wall: WALL,
            outcome: Outcome::Undecided("open".into()),
        });
        self.ops.len() - 1
    }

    /// The store as it was a few changes ago, now and then.
    fn earlier(&mut self) -> Option<Store> {
        let back = 1 + usize::try_from(self.rng.below(6)).unwrap();
        let seldom = self.rng.below(6) == 0;
        let past = self.past.iter().rev().nth(back).cloned();
        past.filter(|past| seldom && past.records != self.store.records)
    }

    fn execute(&mut self, id: usize) -> Outcome {
        let action = self.ops[id].action.clone();
        let before = self.store.clone();
        self.past.push(before.clone());
        if let Some(zombie) = self.zombies.pop() {
            let _ = self.store.execute(&zombie);
        }
        let earlier = self.earlier();
        let result = match (self.fault, earlier) {
            (Fault::StaleRead, Some(mut earlier)) if !action.writes() => earlier.execute(&action),
            (Fault::MixedRead, Some(earlier)) if !action.writes() => {
                let key = usize::try_from(self.rng.below(before.records.len() as u64)).unwrap();
                let mut mixed = self.store.clone();
                mixed.records[key].clone_from(&earlier.records[key]);
                mixed.execute(&action)
            }
            (Fault::LostUpdate, Some(earlier)) if action.writes() => {
                self.store.records = earlier.records;
                self.store.execute(&action)
            }
            (Fault::Revisions, Some(_)) if action.writes() => {
                let gap = 1 + i64::try_from(self.rng.below(3)).unwrap();
                self.store.revision -= gap;
                let result = self.store.execute(&action);
                self.store.revision = before.revision.max(self.store.revision);
                result
            }
            _ => self.store.execute(&action),
        };
        match result {
            Ok(reply) => {
                // The headers have their own tests.
                let (store, durable) = match self.fault {
                    Fault::None => (self.store.revision, self.store.revision),
                    _ => (0, 0),
                };
                Outcome::Answered(reply, Header { store, durable })
            }
            Err(Fails) => Outcome::Refused("NOT_AN_INTEGER".into()),
        }
    }

    fn answer(&mut self, id: usize, outcome: Outcome) {
        self.ops[id].returned = self.tick();
        self.ops[id].outcome = outcome;
    }

    /// One client goes on: asks, has it done, or hears of it.
    fn step(&mut self, at: usize, count: usize) {
        match std::mem::replace(&mut self.clients[at], Client::Idle) {
            Client::Idle if self.ops.len() < count => {
                let seen = self.store.records.clone();
                let action = self.generator.action(&seen);
                self.clients[at] = Client::Asked(self.ask(at, action));
            }
            Client::Idle => (),
            Client::Asked(id) => self.clients[at] = Client::Done(id, self.execute(id)),
            Client::Done(id, outcome) => self.answer(id, outcome),
        }
    }

    /// Of what is open, some took effect and some did not; nobody hears.
    fn crash(&mut self) {
        for at in 0..self.clients.len() {
            let client = std::mem::replace(&mut self.clients[at], Client::Idle);
            if let Client::Asked(id) | Client::Done(id, _) = client {
                self.ops[id].returned = self.tick();
                let done = matches!(client, Client::Done(..));
                let again = match self.fault {
                    Fault::Twice => done,
                    Fault::Late => !done,
                    _ => false,
                };
                if again {
                    self.zombies.push(self.ops[id].action.clone());
                }
            }
        }
        if self.fault == Fault::LostWrite
            && let Some(past) = self.past.iter().rev().nth(4)
        {
            self.store.records.clone_from(&past.records);
        }
        self.store.revision += 50;
        self.daemon += 1;
    }
}
