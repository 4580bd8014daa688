//! The daemon and the model, doing the same.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use kvproto::v1::{self, operation::Operation as Call, operation_result::Result as Reply};

use super::draw::Rng;
use super::fit::fit;
use super::generate::{Generator, Kinds};
use super::host::Host;
use super::judge::{foresee, of_slot, of_status};
use super::model::{Limits, Model, Twist};
use super::ops::{Bytes, Look, Op, Request, Write};
use super::requests;
use super::resolve::resolve;
use crate::support::model::call;

/// How far numbering jumps after a kill.
const JUMP: u64 = 1 << 24;

/// What was done, by kind.
pub(super) type Tally = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    pub(super) seed: u64,
    pub(super) operations: u64,
    pub(super) verbose: bool,
    /// In what the model is wrong on purpose.
    pub(super) twist: Option<Twist>,
}

/// One operation, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) op: Op,
    /// None: it is no call that a pipeline takes.
    pub(super) call: Option<Call>,
    pub(super) show: bool,
}

pub(super) struct Pair {
    pub(super) host: Host,
    pub(super) model: Model,
    /// Contents of ranges by digest.
    pub(super) digests: BTreeMap<Vec<u8>, Vec<(Bytes, Bytes)>>,
    /// Requests that were sent, so that they are sent again as they were.
    sent: BTreeMap<(Bytes, u64), Ready>,
    base: u64,
}

pub(super) fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("before the year 500 million")
}

/// Tells the story of a seed; an error is where they part.
pub(super) async fn tell(story: Story) -> Result<Tally, String> {
    let limits = Limits {
        key_bytes: 64,
        value_bytes: 1024,
        operations: 16,
        unit_bytes: 64 << 10,
        request_ms: 600_000,
    };
    let base = wall_ms();
    let mut pair = Pair {
        host: Host::start(story.seed.is_multiple_of(2)).await,
        model: Model::new(limits, base),
        digests: BTreeMap::new(),
        sent: BTreeMap::new(),
        base,
    };
    pair.model.twist = story.twist;
    let mut generator = Generator::new(story.seed, Kinds { by_hand: false });
    let mut rng = Rng::new(!story.seed);
    let mut tally = Tally::new();
    let mut done = 0;
    while done < story.operations {
        if rng.once_in(50) {
            let killed = pair.restart(!rng.once_in(3)).await;
            let kind = if killed { "kills" } else { "orderly restarts" };
            *tally.entry(kind).or_default() += 1;
        }
        let together = if rng.once_in(4) { 1 + rng.below(12) } else { 1 };
        let ops: Vec<Op> = (0..together).map(|_| generator.op()).collect();
        for op in &ops {
            *tally.entry(op.kind()).or_default() += 1;
        }
        done += ops.len() as u64;
        let wrong = if together == 1 {
            pair.alone(ops, story.verbose).await
        } else {
            *tally.entry("pipelines").or_default() += 1;
            pair.pipelined(ops, story.verbose).await
        };
        wrong.map_err(|what| format!("after {done} operations: {what}"))?;
    }
    *tally.entry("operations").or_default() += done;
    Ok(tally)
}

impl Pair {
    async fn restart(&mut self, kill: bool) -> bool {
        let killed = self.host.restart(kill).await;
        if killed {
            // All that was answered was durable.
            let found = self.model.revision();
            let next = found.max(self.model.next() - 1) + JUMP;
            self.model.restart(found, next);
        }
        killed
    }

    /// An operation as it is sent, with numbers as `model` has them.
    fn ready(&mut self, mut op: Op, model: &Model) -> Ready {
        fit(&mut op, self.base);
        let Op::Write(write, request) = &mut op else {
            let call = match &op {
                Op::Look(look) => looking(look),
                _ => None,
            };
            return Ready {
                op,
                call,
                show: false,
            };
        };
        let known = request.as_ref().map(|r| (r.id.clone(), r.fingerprint));
        if let Some(ready) = known.as_ref().and_then(|known| self.sent.get(known)) {
            return ready.clone();
        }
        resolve(write, model);
        let show = model.revision().is_multiple_of(2);
        let mut call = requests::write(write, show);
        if let Some(Request {
            id, fingerprint, ..
        }) = request
        {
            // Equal for equal requests, which is what the daemon compares.
            *fingerprint = fingerprint_of(&call);
            requests::name(&mut call, &id.0);
        }
        let ready = Ready {
            op,
            call: Some(call),
            show,
        };
        if let Some(known) = known {
            self.sent.insert(known, ready.clone());
        }
        ready
    }

    /// Calls of their own.
    async fn alone(&mut self, ops: Vec<Op>, verbose: bool) -> Result<(), String> {
        for op in ops {
            let model = self.model.clone();
            let ready = self.ready(op, &model);
            self.send(ready, verbose).await?;
        }
        Ok(())
    }

    async fn send(&mut self, ready: Ready, verbose: bool) -> Result<(), String> {
        if verbose {
            println!("r{} {:?}", self.model.revision(), ready.op);
        }
        let Some(request) = ready.call.clone() else {
            return self.look_apart(&ready.op).await;
        };
        let before = wall_ms();
        let reply = call(&mut self.host.kv, request).await;
        let reply = reply.map_err(|status| of_status(&status));
        self.judge(&ready, reply, (before, wall_ms()))
            .map_err(|what| format!("{:?}\n{what}", ready.op))
    }

    /// As one message; scans and digests, which pipelines do not take, go before it.
    async fn pipelined(&mut self, ops: Vec<Op>, verbose: bool) -> Result<(), String> {
        let mut model = self.model.clone();
        let mut sent = Vec::new();
        for op in ops {
            let ready = self.ready(op, &model);
            if ready.call.is_none() {
                self.send(ready, verbose).await?;
                continue;
            }
            // What comes later names numbers that this one makes.
            foresee(&mut model, &ready);
            sent.push(ready);
        }
        if sent.is_empty() {
            return Ok(());
        }
        let operations = (0..).zip(&sent).map(|(id, ready)| v1::Operation {
            id,
            operation: ready.call.clone(),
        });
        let request = v1::PipelineRequest {
            operations: operations.collect(),
            require: Vec::new(),
        };
        let before = wall_ms();
        let replies = self.host.kv.pipeline(tokio_stream::once(request)).await;
        let mut replies = replies.expect("a stream").into_inner();
        let mut results = Vec::new();
        while let Some(reply) = replies.message().await.expect("a message") {
            results.extend(reply.results);
        }
        let window = (before, wall_ms());
        if results.len() != sent.len() {
            return Err(format!("{} results to {}", results.len(), sent.len()));
        }
        for (id, (ready, result)) in (0..).zip(sent.iter().zip(results)) {
            if verbose {
                println!("r{} | {:?}", self.model.revision(), ready.op);
            }
            if result.id != id {
                return Err(format!("result {} came at place {id}", result.id));
            }
            let reply = match result.result.expect("a result") {
                Reply::Error(error) => Err(of_slot(&error)),
                reply => Ok(reply),
            };
            self.judge(ready, reply, window)
                .map_err(|what| format!("in a pipeline: {:?}\n{what}", ready.op))?;
        }
        Ok(())
    }
}

fn looking(look: &Look) -> Option<Call> {
    Some(match look {
        Look::Get(key) => Call::Get(v1::GetRequest {
            key: key.0.clone().into(),
            options: None,
        }),
        Look::Batch(keys) => Call::BatchGet(v1::BatchGetRequest {
            keys: keys.iter().map(|key| key.0.clone().into()).collect(),
            options: None,
        }),
        Look::Count { range, .. } => Call::Count(v1::CountRequest {
            range: Some(requests::range(range)),
            options: None,
        }),
        Look::Page(..) | Look::Scan(_) | Look::Hash(_) => return None,
    })
}

/// Of a call without options.
fn fingerprint_of(call: &Call) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    format!("{call:?}").hash(&mut hasher);
    hasher.finish()
}

/// A write and its request id.
pub(super) fn request_of(op: &Op) -> (&Write, Option<&Request>) {
    match op {
        Op::Write(write, request) => (write, request.as_ref()),
        op => unreachable!("{op:?} is no write"),
    }
}
