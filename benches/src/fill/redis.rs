//! The same for Redis: commands in batches, several batches in flight.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::{BATCH, PER_KEY, UNANSWERED};
use crate::Result;
use crate::contents::Contents;
use crate::driver::{Drive, Work, to_the_end};
use crate::resp::{Connection, Reply};
use crate::shapes::Shape;

const IN_FLIGHT: Shape = Shape::new(1, UNANSWERED / BATCH);

/// Writes a generation of some keys.
pub(crate) fn generation(
    address: SocketAddr,
    contents: &Arc<Contents>,
    keys: Range<u32>,
    generation: u32,
) -> Result<()> {
    let of = Of::Written(generation);
    batches(address, contents, keys, of)
}

/// Reads some keys: those below `mark` must be of generation 1, the others of 0.
pub(crate) fn read_back(
    address: SocketAddr,
    contents: &Arc<Contents>,
    keys: Range<u32>,
    mark: u32,
) -> Result<()> {
    batches(address, contents, keys, Of::Read { mark })
}

fn batches(address: SocketAddr, contents: &Arc<Contents>, keys: Range<u32>, of: Of) -> Result<()> {
    let extra = PER_KEY * keys.len().try_into()?;
    let work = Batches {
        address,
        contents: Arc::clone(contents),
        next: AtomicU32::new(keys.start),
        end: keys.end,
        of,
    };
    to_the_end(work, Drive::closed(IN_FLIGHT, 1), extra)
}

#[derive(Clone, Copy)]
enum Of {
    Written(u32),
    Read { mark: u32 },
}

struct Batches {
    address: SocketAddr,
    contents: Arc<Contents>,
    next: AtomicU32,
    end: u32,
    of: Of,
}

impl Work for Batches {
    type Line = Connection;
    type Slot = Connection;

    async fn connect(&self) -> Result<Connection> {
        Connection::new(self.address).await
    }

    fn slot(&self, line: &Connection, _seed: u64) -> Result<Connection> {
        Ok(line.clone())
    }

    async fn call(&self, slot: &mut Connection) -> Result<bool> {
        let length = u32::try_from(BATCH)?;
        let first = self.next.fetch_add(length, Ordering::Relaxed);
        let numbers = first..self.end.min(first.saturating_add(length));
        if numbers.is_empty() {
            return Ok(false);
        }
        let replies = match self.of {
            Of::Written(generation) => self.set(slot, numbers.clone(), generation).await?,
            Of::Read { .. } => self.get(slot, numbers.clone()).await?,
        };
        for (number, reply) in numbers.zip(&replies) {
            self.check(number, reply)?;
        }
        Ok(true)
    }
}

impl Batches {
    async fn set(
        &self,
        connection: &Connection,
        numbers: Range<u32>,
        generation: u32,
    ) -> Result<Vec<Reply>> {
        let pair = |number| {
            let value = self.contents.value(number, generation);
            (self.contents.key(number), value)
        };
        let pairs: Vec<(Bytes, Bytes)> = numbers.map(pair).collect();
        let words = pairs.iter().map(|(key, value)| [&b"SET"[..], key, value]);
        let words: Vec<[&[u8]; 3]> = words.collect();
        let commands: Vec<&[&[u8]]> = words.iter().map(<[_; 3]>::as_slice).collect();
        connection.call(&commands).await
    }

    async fn get(&self, connection: &Connection, numbers: Range<u32>) -> Result<Vec<Reply>> {
        let keys: Vec<Bytes> = numbers.map(|number| self.contents.key(number)).collect();
        let words: Vec<[&[u8]; 2]> = keys.iter().map(|key| [&b"GET"[..], key]).collect();
        let commands: Vec<&[&[u8]]> = words.iter().map(<[_; 2]>::as_slice).collect();
        connection.call(&commands).await
    }

    fn check(&self, number: u32, reply: &Reply) -> Result<()> {
        match (self.of, reply) {
            (Of::Written(_), Reply::Status(status)) if status == "OK" => Ok(()),
            (Of::Read { mark }, Reply::Bulk(Some(value))) => {
                let generation = u32::from(number < mark);
                if *value == self.contents.value(number, generation) {
                    return Ok(());
                }
                Err(format!("key {number} does not hold what was written last").into())
            }
            (_, other) => Err(format!("key {number} was answered with {other:?}").into()),
        }
    }
}
