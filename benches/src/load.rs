//! Reads and writes of single keys.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::{Connection, Method};
use crate::contents::{Contents, SplitMix, Truth};
use crate::driver::{self, Drive, Work, frame};
use crate::shapes::Call;

/// How long asking for each key once may take, for each key.
const PER_KEY: Duration = Duration::from_micros(200);

/// What is asked of which server.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) call: Call,
    /// Of the values that are written.
    pub(crate) generation: u32,
    pub(crate) contents: Arc<Contents>,
    /// The keys that are asked for, by number.
    pub(crate) keys: Range<u32>,
    pub(crate) truth: Arc<Truth>,
}

/// Calls once for every key, in order.
pub(crate) fn every_key(load: &Load, drive: Drive) -> Result<()> {
    let work = EveryKey {
        next: AtomicU32::new(load.keys.start),
        load: load.clone(),
    };
    driver::to_the_end(work, drive, PER_KEY * load.keys.len().try_into()?)
}

/// A connection with what requests are cut from.
pub(crate) struct Line {
    open: Connection,
    arena: Rc<RefCell<BytesMut>>,
}

pub(crate) struct Slot {
    method: Method,
    random: SplitMix,
    arena: Rc<RefCell<BytesMut>>,
}

impl Work for Load {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        Ok(Line {
            open: Connection::new(self.address).await?,
            arena: Rc::default(),
        })
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Slot> {
        let name = if self.call == Call::Get { "Get" } else { "Set" };
        Ok(Slot {
            method: line.open.method(name)?,
            random: SplitMix(u64::from(self.generation) << 40 | seed),
            arena: Rc::clone(&line.arena),
        })
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        let keys = &self.keys;
        let number = keys.start + slot.random.below(keys.end - keys.start);
        self.ask(number, slot).await?;
        Ok(true)
    }
}

struct EveryKey {
    load: Load,
    next: AtomicU32,
}

impl Work for EveryKey {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        self.load.connect().await
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Slot> {
        self.load.slot(line, seed)
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.load.keys.end {
            return Ok(false);
        }
        self.load.ask(number, slot).await?;
        Ok(true)
    }
}

impl Load {
    async fn ask(&self, number: u32, slot: &mut Slot) -> Result<()> {
        let request = self.request(number, &mut slot.arena.borrow_mut());
        self.check(number, slot.method.call(request).await?)
    }

    fn request(&self, number: u32, arena: &mut BytesMut) -> Bytes {
        let key = self.contents.key(number);
        let Some(durability) = self.call.durability() else {
            return frame(&v1::GetRequest { key, options: None }, arena);
        };
        let set = v1::SetRequest {
            key,
            value: self.contents.value(number, self.generation),
            options: Some(v1::WriteOptions {
                durability: durability.into(),
                ..v1::WriteOptions::default()
            }),
            ..v1::SetRequest::default()
        };
        frame(&set, arena)
    }

    /// Holds a reply against what it must be.
    fn check(&self, number: u32, reply: Bytes) -> Result<()> {
        let (contents, truth) = (&self.contents, &self.truth);
        let Some(durability) = self.call.durability() else {
            let reply = v1::GetResponse::decode(reply)?;
            let record = reply.record.filter(|_| reply.found);
            let record = record.ok_or_else(|| format!("key {number} is not there"))?;
            let generation = truth.get(number);
            if record.key == contents.key(number)
                && record.value == contents.value(number, generation)
            {
                return Ok(());
            }
            return Err(format!(
                "key {number} does not hold what was written last (generation {generation})"
            )
            .into());
        };
        let reply = v1::SetResponse::decode(reply)?;
        let durable = reply.header.is_some_and(|header| header.durable);
        if !reply.applied || reply.revision < 2 {
            return Err(format!("the write of key {number} was not applied").into());
        }
        if durability == v1::Durability::Synced && !durable {
            return Err(format!("the synced write of key {number} is not durable").into());
        }
        truth.set(number, self.generation);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
