//! Many operations at once: kvd's Pipeline, the floor's, and Redis' pipelining.
//!
//! One call of the driver is one batch: all of it is sent, then all of it is answered.
//! So the three have the same number of operations unanswered on a connection.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use v1::operation::Operation as Op;
use v1::operation_result::Result as Outcome;

use crate::Result;
use crate::client::{self, Replies, Requests};
use crate::contents::SplitMix;
use crate::driver::{Work, frame};
use crate::resp::{self, Reply};
use crate::single::{Protocol, Target};

/// Batches of reads, or of writes, of random keys.
#[derive(Clone)]
pub(crate) struct Batches {
    pub(crate) target: Target,
    pub(crate) writes: bool,
    /// Operations that are sent before one is waited for.
    pub(crate) batch: u32,
    /// Operations of one message of a stream; Redis has no messages.
    pub(crate) message: u32,
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
    numbers: Vec<u32>,
}

enum Way {
    Unopened(client::Connection),
    Stream(Box<Stream>),
    Redis(resp::Connection),
}

struct Stream {
    requests: Requests,
    replies: Replies,
    arena: BytesMut,
}

impl Work for Batches {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        let address = self.target.address;
        Ok(match self.target.protocol {
            Protocol::Redis => Line::Redis(resp::Connection::new(address).await?),
            Protocol::Kvd => Line::Grpc(client::Connection::new(address).await?),
            Protocol::Etcd => return Err("etcd has no pipelining".into()),
        })
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Slot> {
        Ok(Slot {
            way: match line {
                Line::Grpc(connection) => Way::Unopened(connection.clone()),
                Line::Redis(connection) => Way::Redis(connection.clone()),
            },
            random: SplitMix(u64::from(self.generation) << 40 | seed),
            numbers: Vec::new(),
        })
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        let Range { start, end } = self.keys;
        slot.numbers.clear();
        for _ in 0..self.batch {
            slot.numbers.push(start + slot.random.below(end - start));
        }
        if let Way::Unopened(connection) = &slot.way {
            let (requests, replies) = connection.method("Pipeline")?.open().await?;
            slot.way = Way::Stream(Box::new(Stream {
                requests,
                replies,
                arena: BytesMut::new(),
            }));
        }
        match &mut slot.way {
            Way::Unopened(_) => {}
            Way::Stream(stream) => self.stream(stream, &slot.numbers).await?,
            Way::Redis(connection) => self.redis(connection, &slot.numbers).await?,
        }
        if self.writes {
            for &number in &slot.numbers {
                self.target.truth.set(number, self.generation);
            }
        }
        Ok(true)
    }
}

impl Batches {
    async fn stream(&self, stream: &mut Stream, numbers: &[u32]) -> Result<()> {
        for chunk in numbers.chunks(self.message as usize) {
            let message = v1::PipelineRequest {
                operations: chunk.iter().map(|&number| self.operation(number)).collect(),
                require: Vec::new(),
            };
            let message = frame(&message, &mut stream.arena);
            stream.requests.send(message, false)?;
        }
        let mut left = numbers;
        while !left.is_empty() {
            let reply = stream.replies.next().await?.ok_or("the pipeline ended")?;
            let reply = v1::PipelineResponse::decode(reply)?;
            let durable = reply.header.is_some_and(|header| header.durable);
            for result in reply.results {
                let (&number, rest) = left.split_first().ok_or("too many results")?;
                self.check(number, &result, durable)?;
                left = rest;
            }
        }
        Ok(())
    }

    fn operation(&self, number: u32) -> v1::Operation {
        let key = self.target.contents.key(number);
        let operation = if self.writes {
            let value = self.target.contents.value(number, self.generation);
            Op::Set(self.target.set(key, value))
        } else {
            Op::Get(v1::GetRequest { key, options: None })
        };
        v1::Operation {
            id: number.into(),
            operation: Some(operation),
        }
    }

    fn check(&self, number: u32, result: &v1::OperationResult, durable: bool) -> Result<()> {
        let good = result.id == u64::from(number)
            && match &result.result {
                Some(Outcome::Set(set)) if self.writes => {
                    let durable = durable || set.header.as_ref().is_some_and(|h| h.durable);
                    set.applied && (durable || self.target.durability != v1::Durability::Synced)
                }
                Some(Outcome::Get(get)) if !self.writes => {
                    let record = get.record.as_ref().filter(|_| get.found);
                    record.is_some_and(|record| self.is_right(number, &record.value))
                }
                _ => false,
            };
        if good {
            return Ok(());
        }
        Err(format!("key {number} in a pipeline was answered with {result:?}").into())
    }

    fn is_right(&self, number: u32, value: &Bytes) -> bool {
        let target = &self.target;
        *value == target.contents.value(number, target.truth.get(number))
    }

    async fn redis(&self, connection: &resp::Connection, numbers: &[u32]) -> Result<()> {
        let contents = &self.target.contents;
        let pairs: Vec<(Bytes, Bytes)> = numbers
            .iter()
            .map(|&number| {
                (
                    contents.key(number),
                    contents.value(number, self.generation),
                )
            })
            .collect();
        let words: Vec<[&[u8]; 3]> = pairs
            .iter()
            .map(|(key, value)| [if self.writes { b"SET" } else { b"GET" }, &key[..], value])
            .collect();
        let length = if self.writes { 3 } else { 2 };
        let commands: Vec<&[&[u8]]> = words.iter().map(|words| &words[..length]).collect();
        let replies = connection.call(&commands).await?;
        for (&number, reply) in numbers.iter().zip(&replies) {
            let good = match reply {
                Reply::Status(status) => self.writes && status == "OK",
                Reply::Bulk(Some(value)) => !self.writes && self.is_right(number, value),
                _ => false,
            };
            if !good {
                return Err(
                    format!("key {number} in a pipeline was answered with {reply:?}").into(),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::contents::{Contents, Truth};
    use crate::driver::{self, Drive, Window};
    use crate::floor_map::FloorMap;
    use crate::floor_server::in_process;
    use crate::shapes::Shape;

    #[test]
    fn batches_are_answered_whole_and_every_value_is_checked() {
        let server = in_process(FloorMap::new());
        let contents = Arc::new(Contents::new(300, 16, 64).unwrap());
        for number in 0..300 {
            server
                .map
                .set(&contents.key(number), &contents.value(number, 0));
        }
        let before = server.map.revision();
        let batches = Batches {
            target: Target {
                protocol: Protocol::Kvd,
                address: server.address,
                durability: v1::Durability::Synced,
                contents: Arc::clone(&contents),
                truth: Arc::new(Truth::new(300)),
            },
            writes: false,
            batch: 64,
            message: 16,
            keys: 0..300,
            generation: 1,
        };
        let run = |batches: Batches| {
            let window = Window::after(Duration::ZERO, Duration::from_millis(50));
            let drive = Drive::closed(Shape::new(1, 2), 1);
            driver::measured(batches, drive, std::process::id(), window).map(|run| run.ops)
        };
        run(batches.clone()).unwrap();
        let writes = Batches {
            writes: true,
            message: 1,
            ..batches.clone()
        };
        run(writes).unwrap();
        let written = server.map.revision() - before;
        assert!(written > 0 && written % 64 == 0, "{written}");
        run(batches.clone()).unwrap();
        server.map.set(&contents.key(7), b"other");
        let error = run(batches).unwrap_err().to_string();
        assert!(error.contains("key 7 in a pipeline"), "{error}");
    }
}
