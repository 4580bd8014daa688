//! Transactions of sets, and reads to check them, asked of kvd, etcd and Redis.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use v1::txn_operation::Operation as Op;
use v1::txn_result::Result as Outcome;

use crate::Result;
use crate::client::{self, Method};
use crate::contents::{Contents, SplitMix, Truth};
use crate::driver::{Work, frame};
use crate::etcd;
use crate::resp::{self, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Kvd,
    Etcd,
    Redis,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvd => "kvd Txn",
            Self::Etcd => "etcd Txn",
            Self::Redis => "Redis MULTI/EXEC",
        })
    }
}

/// A server that is asked, and what it must hold.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    pub(super) contents: Arc<Contents>,
    pub(super) truth: Arc<Truth>,
}

pub(super) enum Line {
    Grpc(client::Connection),
    Redis(resp::Connection),
}

pub(super) enum Slot {
    Grpc(Box<Method>, BytesMut),
    Redis(resp::Connection),
}

impl Subject {
    async fn connect(&self) -> Result<Line> {
        Ok(match self.kind {
            Kind::Redis => Line::Redis(resp::Connection::new(self.address).await?),
            Kind::Kvd | Kind::Etcd => Line::Grpc(client::Connection::new(self.address).await?),
        })
    }

    fn slot(&self, line: &Line, kvd: &str, etcd: &str) -> Result<Slot> {
        Ok(match line {
            Line::Redis(connection) => Slot::Redis(connection.clone()),
            Line::Grpc(connection) => {
                let method = match self.kind {
                    Kind::Kvd => connection.method(kvd)?,
                    Kind::Etcd | Kind::Redis => connection.method_of(etcd::SERVICE, etcd)?,
                };
                Slot::Grpc(Box::new(method), BytesMut::new())
            }
        })
    }

    /// One transaction that sets these keys.
    async fn set(&self, slot: &mut Slot, numbers: &[u32], generation: u32) -> Result<()> {
        let pairs = numbers.iter().map(|&number| {
            let value = self.contents.value(number, generation);
            (self.contents.key(number), value)
        });
        let applied = match slot {
            Slot::Redis(connection) => redis_set(connection, pairs).await?,
            Slot::Grpc(method, arena) if self.kind == Kind::Kvd => {
                let reply = method.call(frame(&kvd_sets(pairs), arena)).await?;
                kvd_applied(&v1::TxnResponse::decode(reply)?, numbers.len())
            }
            Slot::Grpc(method, arena) => {
                let reply = method.call(frame(&etcd::puts(pairs), arena)).await?;
                etcd::applied(&etcd::TxnResponse::decode(reply)?, numbers.len())
            }
        };
        if !applied {
            return Err(format!("a transaction on {numbers:?} was not applied").into());
        }
        for &number in numbers {
            self.truth.set(number, generation);
        }
        Ok(())
    }

    /// Reads a key and compares it with what was acknowledged last.
    async fn get(&self, slot: &mut Slot, number: u32) -> Result<()> {
        let key = self.contents.key(number);
        let value = match slot {
            Slot::Redis(connection) => {
                let replies = connection.call(&[&[b"GET", &key]]).await?;
                match replies.into_iter().next() {
                    Some(Reply::Bulk(value)) => value,
                    other => return Err(format!("GET was answered with {other:?}").into()),
                }
            }
            Slot::Grpc(method, arena) if self.kind == Kind::Kvd => {
                let request = v1::GetRequest { key, options: None };
                let reply = method.call(frame(&request, arena)).await?;
                let record = v1::GetResponse::decode(reply)?.record;
                record.map(|record| record.value)
            }
            Slot::Grpc(method, arena) => {
                let request = etcd::RangeRequest {
                    key,
                    ..etcd::RangeRequest::default()
                };
                let reply = method.call(frame(&request, arena)).await?;
                let pair = etcd::RangeResponse::decode(reply)?.kvs.into_iter().next();
                pair.map(|pair| pair.value)
            }
        };
        let wanted = self.contents.value(number, self.truth.get(number));
        if value == Some(wanted) {
            return Ok(());
        }
        Err(format!("key {number} does not hold what was written last").into())
    }
}

fn kvd_sets(pairs: impl Iterator<Item = (Bytes, Bytes)>) -> v1::TxnRequest {
    let sets = pairs.map(|(key, value)| v1::TxnOperation {
        operation: Some(Op::Set(v1::SetRequest {
            key,
            value,
            ..v1::SetRequest::default()
        })),
    });
    v1::TxnRequest {
        success: sets.collect(),
        options: Some(v1::WriteOptions {
            durability: v1::Durability::Synced.into(),
            ..v1::WriteOptions::default()
        }),
        ..v1::TxnRequest::default()
    }
}

fn kvd_applied(reply: &v1::TxnResponse, count: usize) -> bool {
    let durable = reply.header.as_ref().is_some_and(|header| header.durable);
    let set =
        |result: &v1::TxnResult| matches!(&result.result, Some(Outcome::Set(set)) if set.applied);
    let all = reply.responses.len() == count && reply.responses.iter().all(set);
    durable && reply.succeeded && reply.revision > 1 && all
}

async fn redis_set(
    connection: &resp::Connection,
    pairs: impl Iterator<Item = (Bytes, Bytes)>,
) -> Result<bool> {
    let pairs: Vec<_> = pairs.collect();
    let sets: Vec<[&[u8]; 3]> = pairs
        .iter()
        .map(|(key, value)| [&b"SET"[..], key, value])
        .collect();
    let mut commands: Vec<&[&[u8]]> = vec![&[b"MULTI"]];
    commands.extend(sets.iter().map(<[_; 3]>::as_slice));
    commands.push(&[b"EXEC"]);
    Ok(redis_applied(
        &connection.call(&commands).await?,
        pairs.len(),
    ))
}

fn redis_applied(replies: &[Reply], count: usize) -> bool {
    let status = |reply: &Reply, text: &[u8]| matches!(reply, Reply::Status(s) if s == text);
    let [begun, queued @ .., Reply::Array(done)] = replies else {
        return false;
    };
    status(begun, b"OK")
        && queued.len() == count
        && queued.iter().all(|reply| status(reply, b"QUEUED"))
        && done.len() == count
        && done.iter().all(|reply| status(reply, b"OK"))
}

/// Transactions on keys beside one another: from random places, or through all of them.
pub(super) struct Sets {
    pub(super) subject: Subject,
    pub(super) size: u32,
    pub(super) generation: u32,
    pub(super) in_order: Option<AtomicU32>,
}

impl Work for Sets {
    type Line = Line;
    type Slot = (Slot, SplitMix);

    async fn connect(&self) -> Result<Line> {
        self.subject.connect().await
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Self::Slot> {
        let random = SplitMix(u64::from(self.generation) << 40 | seed);
        Ok((self.subject.slot(line, "Txn", "Txn")?, random))
    }

    async fn call(&self, (slot, random): &mut Self::Slot) -> Result<bool> {
        let count = self.subject.contents.count();
        let numbers: Vec<u32> = match &self.in_order {
            None => {
                let first = random.below(count);
                (0..self.size).map(|n| (first + n) % count).collect()
            }
            Some(next) => {
                let first = next.fetch_add(self.size, Ordering::Relaxed);
                (first..count.min(first.saturating_add(self.size))).collect()
            }
        };
        if numbers.is_empty() {
            return Ok(false);
        }
        self.subject.set(slot, &numbers, self.generation).await?;
        Ok(true)
    }
}

/// Reads every key once.
pub(super) struct Reads {
    pub(super) subject: Subject,
    pub(super) next: AtomicU32,
}

impl Work for Reads {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        self.subject.connect().await
    }

    fn slot(&self, line: &Line, _seed: u64) -> Result<Slot> {
        self.subject.slot(line, "Get", "Range")
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.subject.contents.count() {
            return Ok(false);
        }
        self.subject.get(slot, number).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_counts_only_if_every_reply_says_so() {
        let status = |text: &'static str| Reply::Status(text.into());
        let good = vec![
            status("OK"),
            status("QUEUED"),
            status("QUEUED"),
            Reply::Array(vec![status("OK"), status("OK")]),
        ];
        assert!(redis_applied(&good, 2) && !redis_applied(&good, 1));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = Reply::Error("ERR".into());
            assert!(!redis_applied(&bad, 2), "{at}");
        }
        let mut aborted = good;
        aborted[3] = Reply::Bulk(None);
        assert!(!redis_applied(&aborted, 2));
        assert!(!redis_applied(&[], 0));
    }

    #[test]
    fn an_answer_that_is_not_durable_does_not_count() {
        let set = v1::SetResponse {
            applied: true,
            ..v1::SetResponse::default()
        };
        let mut reply = v1::TxnResponse {
            header: Some(v1::ResponseHeader {
                durable: true,
                ..v1::ResponseHeader::default()
            }),
            succeeded: true,
            responses: vec![v1::TxnResult {
                result: Some(Outcome::Set(set)),
            }],
            revision: 2,
            replayed: false,
        };
        assert!(kvd_applied(&reply, 1) && !kvd_applied(&reply, 2));
        reply.header = Some(v1::ResponseHeader::default());
        assert!(!kvd_applied(&reply, 1));
    }
}
