//! Reads and writes of single keys, asked of kvd, Redis and etcd alike.
//!
//! All writes of a run are of one generation, so a value that is read is either the one
//! that was acknowledged before the read was sent, or that of the run.

pub(crate) mod gated;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::{self, Method};
use crate::contents::{Contents, SplitMix, Truth};
use crate::driver::{Work, frame};
use crate::etcd;
use crate::resp::{self, Reply};
use crate::zipf::Zipf;

/// Whose protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Kvd,
    Redis,
    Etcd,
}

/// What is asked for, in percent; the rest are reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    pub(crate) writes: u32,
    /// Of the writes, whether each reads its key first.
    pub(crate) read_first: bool,
}

impl Mix {
    pub(crate) const READ: Self = Self::writes(0);
    pub(crate) const WRITE: Self = Self::writes(100);

    pub(crate) const fn writes(percent: u32) -> Self {
        Self {
            writes: percent,
            read_first: false,
        }
    }
}

/// Which keys are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Uniform,
    Zipf(Arc<Zipf>),
    /// Each once; the next one.
    InOrder(Arc<AtomicU32>),
}

/// A server, and what it must hold.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Of kvd's writes.
    pub(crate) durability: v1::Durability,
    pub(crate) contents: Arc<Contents>,
    pub(crate) truth: Arc<Truth>,
}

#[derive(Clone)]
pub(crate) struct Single {
    pub(crate) target: Target,
    pub(crate) mix: Mix,
    pub(crate) choice: Choice,
    pub(crate) keys: Range<u32>,
    pub(crate) generation: u32,
}

pub(crate) enum Line {
    Grpc(client::Connection),
    Redis(resp::Connection),
}

pub(crate) struct Slot {
    way: Way,
    random: SplitMix,
}

enum Way {
    Grpc(Box<Calls>),
    Redis(resp::Connection),
}

struct Calls {
    read: Method,
    write: Method,
    arena: BytesMut,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvd => "kvd",
            Self::Redis => "Redis",
            Self::Etcd => "etcd",
        })
    }
}

impl Work for Single {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        self.target.connect().await
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Slot> {
        Ok(Slot {
            way: self.target.way(line)?,
            random: SplitMix(u64::from(self.generation) << 40 | seed),
        })
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        let Some(number) = self.choose(&mut slot.random) else {
            return Ok(false);
        };
        let writes = slot.random.below(100) < self.mix.writes;
        if !writes || self.mix.read_first {
            self.read(&mut slot.way, number).await?;
        }
        if writes {
            let target = &self.target;
            let value = target.contents.value(number, self.generation);
            target.write(&mut slot.way, number, value).await?;
            target.truth.set(number, self.generation);
        }
        Ok(true)
    }
}

impl Single {
    fn choose(&self, random: &mut SplitMix) -> Option<u32> {
        let Range { start, end } = self.keys;
        match &self.choice {
            Choice::Uniform => Some(start + random.below(end - start)),
            Choice::Zipf(zipf) => Some(start + zipf.draw(random) % (end - start)),
            Choice::InOrder(next) => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < end).then_some(number)
            }
        }
    }

    async fn read(&self, way: &mut Way, number: u32) -> Result<()> {
        let target = &self.target;
        let acknowledged = target.truth.get(number);
        let value = target.read(way, number).await?;
        let value = value.ok_or_else(|| format!("key {number} is not there"))?;
        let is = |generation| value == target.contents.value(number, generation);
        if is(acknowledged) || (self.mix.writes > 0 && is(self.generation)) {
            return Ok(());
        }
        Err(
            format!("key {number} does not hold what was written last (generation {acknowledged})")
                .into(),
        )
    }
}

impl Target {
    async fn connect(&self) -> Result<Line> {
        Ok(match self.protocol {
            Protocol::Redis => Line::Redis(resp::Connection::new(self.address).await?),
            _ => Line::Grpc(client::Connection::new(self.address).await?),
        })
    }

    fn way(&self, line: &Line) -> Result<Way> {
        let connection = match line {
            Line::Redis(connection) => return Ok(Way::Redis(connection.clone())),
            Line::Grpc(connection) => connection,
        };
        let method = |kvd, etcd| match self.protocol {
            Protocol::Etcd => connection.method_of(etcd::SERVICE, etcd),
            _ => connection.method(kvd),
        };
        Ok(Way::Grpc(Box::new(Calls {
            read: method("Get", "Range")?,
            write: method("Set", "Put")?,
            arena: BytesMut::new(),
        })))
    }

    async fn read(&self, way: &mut Way, number: u32) -> Result<Option<Bytes>> {
        let key = self.contents.key(number);
        match way {
            Way::Redis(connection) => {
                let replies = connection.call(&[&[b"GET", &key]]).await?;
                match replies.into_iter().next() {
                    Some(Reply::Bulk(value)) => Ok(value),
                    other => Err(format!("GET was answered with {other:?}").into()),
                }
            }
            Way::Grpc(calls) if self.protocol == Protocol::Kvd => {
                let request = v1::GetRequest { key, options: None };
                let reply = calls.read.call(frame(&request, &mut calls.arena)).await?;
                let record = v1::GetResponse::decode(reply)?.record;
                Ok(record.map(|record| record.value))
            }
            Way::Grpc(calls) => {
                let request = etcd::RangeRequest {
                    key,
                    ..etcd::RangeRequest::default()
                };
                let reply = calls.read.call(frame(&request, &mut calls.arena)).await?;
                let pair = etcd::RangeResponse::decode(reply)?.kvs.into_iter().next();
                Ok(pair.map(|pair| pair.value))
            }
        }
    }

    /// An error if it was not applied, or is not as durable as was asked for.
    async fn write(&self, way: &mut Way, number: u32, value: Bytes) -> Result<()> {
        let key = self.contents.key(number);
        match way {
            Way::Redis(connection) => {
                let replies = connection.call(&[&[b"SET", &key, &value]]).await?;
                match replies.first() {
                    Some(Reply::Status(status)) if status == "OK" => Ok(()),
                    other => Err(format!("SET was answered with {other:?}").into()),
                }
            }
            Way::Grpc(calls) if self.protocol == Protocol::Kvd => {
                let set = self.set(key, value);
                let reply = calls.write.call(frame(&set, &mut calls.arena)).await?;
                self.applied(&v1::SetResponse::decode(reply)?, number)
            }
            Way::Grpc(calls) => {
                let put = etcd::PutRequest { key, value };
                let reply = calls.write.call(frame(&put, &mut calls.arena)).await?;
                etcd::PutResponse::decode(reply)?;
                Ok(())
            }
        }
    }

    pub(crate) fn set(&self, key: Bytes, value: Bytes) -> v1::SetRequest {
        v1::SetRequest {
            key,
            value,
            options: Some(v1::WriteOptions {
                durability: self.durability.into(),
                ..v1::WriteOptions::default()
            }),
            ..v1::SetRequest::default()
        }
    }

    fn applied(&self, reply: &v1::SetResponse, number: u32) -> Result<()> {
        let durable = reply.header.as_ref().is_some_and(|header| header.durable);
        if !reply.applied || reply.revision < 2 {
            return Err(format!("the write of key {number} was not applied").into());
        }
        if self.durability == v1::Durability::Synced && !durable {
            return Err(format!("the synced write of key {number} is not durable").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
