//! The clients: each is one process that does one thing after the other. One that does
//! not know what became of an operation goes on as another process, when the daemon is
//! back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use super::generate::Generator;
use super::history::History;
use super::op::{Action, Answer, Beside, Key, Outcome, Record, Reply, Step, TxnStep};
use super::wire::Wire;

/// The daemon that runs now: its number and where it listens.
pub(crate) type Running = Option<(usize, String)>;

/// One client of a run.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) history: History,
    pub(crate) generator: Generator,
    pub(crate) wire: Wire,
    pub(crate) running: watch::Receiver<Running>,
    pub(crate) stop: Rc<Cell<bool>>,
}

impl Worker {
    /// Works until it is told to stop.
    pub(crate) async fn work(mut self) {
        let mut last = None;
        let mut process = self.history.process();
        let mut seen: Vec<Option<Record>> = vec![None; self.generator.keys];
        while let Some((daemon, mut client)) = self.connect(last).await {
            last = Some(daemon);
            while !self.stop.get() {
                let action = self.generator.action(&seen);
                let id = self.history.invoke(process, daemon, action.clone());
                let outcome = self.wire.call(&mut client, &action).await;
                remember(&mut seen, &action, &outcome);
                let undecided = matches!(outcome, Outcome::Undecided(_));
                let refused = matches!(outcome, Outcome::Refused(_));
                self.history.outcome(id, outcome);
                if undecided {
                    process = self.history.process();
                    break;
                }
                if refused {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    /// Waits for another daemon than the last. `None`: it is time to stop.
    async fn connect(&mut self, last: Option<usize>) -> Option<(usize, KvServiceClient<Channel>)> {
        loop {
            if self.stop.get() {
                return None;
            }
            let running = self.running.borrow_and_update().clone();
            if let Some((daemon, endpoint)) = running
                && last != Some(daemon)
            {
                let endpoint = Endpoint::from_shared(endpoint).ok()?;
                if let Ok(channel) = endpoint.connect().await {
                    return Some((daemon, KvServiceClient::new(channel)));
                }
            }
            // Also wakes up to stop, or to connect again.
            let _ = tokio::time::timeout(Duration::from_millis(20), self.running.changed()).await;
        }
    }
}

/// Keeps what an answer shows of the keys.
fn remember(seen: &mut [Option<Record>], action: &Action, outcome: &Outcome) {
    let Outcome::Answered(reply, _) = outcome else {
        return;
    };
    match (action, reply) {
        (Action::One { key, step, .. }, Reply::One(answer)) => {
            remember_one(seen, *key, step, answer);
        }
        (Action::BatchGet(keys), Reply::BatchGet(records)) => {
            for (key, record) in keys.iter().zip(records) {
                seen[*key].clone_from(record);
            }
        }
        (
            Action::Txn {
                success, failure, ..
            },
            Reply::Txn {
                succeeded, answers, ..
            },
        ) => {
            let steps = if *succeeded { success } else { failure };
            for (step, answer) in steps.iter().zip(answers) {
                match (step, answer) {
                    (TxnStep::On(key, step), _) => remember_one(seen, *key, step, answer),
                    (TxnStep::Range, Answer::Range(records)) => {
                        seen.fill(None);
                        for (key, record) in records {
                            seen[*key] = Some(record.clone());
                        }
                    }
                    _ => (),
                }
            }
        }
        _ => (),
    }
}

fn remember_one(seen: &mut [Option<Record>], key: Key, step: &Step, answer: &Answer) {
    match (step, answer) {
        (_, Answer::Got(record)) => seen[key].clone_from(record),
        (Step::Set { value, .. }, Answer::Set(Some(meta), _)) => {
            let (value, meta) = (value.clone(), *meta);
            seen[key] = Some(Record { value, meta });
        }
        (_, Answer::Increment(value, meta)) => {
            let (value, meta) = (value.to_string(), *meta);
            seen[key] = Some(Record { value, meta });
        }
        (_, Answer::Set(None, Beside::Record(record))) => seen[key] = Some(record.clone()),
        (_, Answer::Delete(Some(_), _)) => seen[key] = None,
        _ => (),
    }
}
