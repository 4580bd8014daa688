//! Filling a store, and reading it back, with some thousand operations unanswered:
//! kvd through Pipeline, Redis through its own pipelining.

pub(crate) mod redis;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use v1::operation::Operation as Op;
use v1::operation_result::Result as Outcome;

use crate::Result;
use crate::client::Connection;
use crate::contents::Contents;
use crate::driver::{frame, on_this_thread, settle};

/// Operations of a message, and those that may be unanswered: half of what the server
/// takes, so that it never has to stop reading.
const BATCH: usize = 128;
const UNANSWERED: usize = 2_048;
/// How long a fill may take: this, and as much for every key.
const GRACE: Duration = Duration::from_secs(60);
const PER_KEY: Duration = Duration::from_micros(200);

/// Writes the first generation of some keys, and waits until all is on stable storage.
/// `answered` follows: the keys below it are written.
pub(crate) fn pipeline(
    address: SocketAddr,
    contents: &Contents,
    keys: Range<u32>,
    expiry: Option<v1::Expiry>,
    answered: &AtomicU32,
) -> Result<()> {
    let operation = |number| set(contents, number, 0, expiry);
    through(address, keys, operation, |result, number| {
        written(result, number)?;
        answered.store(number + 1, Ordering::Release);
        Ok(())
    })?;
    settle(address)
}

/// Writes a generation of some keys, and waits until all is on stable storage.
pub(crate) fn generation(
    address: SocketAddr,
    contents: &Contents,
    keys: Range<u32>,
    generation: u32,
) -> Result<()> {
    let operation = |number| set(contents, number, generation, None);
    through(address, keys, operation, written)?;
    settle(address)
}

/// Reads some keys: those below `mark` must be of generation 1, the others of 0.
pub(crate) fn read_back(
    address: SocketAddr,
    contents: &Contents,
    keys: Range<u32>,
    mark: u32,
) -> Result<()> {
    through(
        address,
        keys,
        |number| get(contents, number),
        |result, number| {
            let Some(Outcome::Get(reply)) = &result.result else {
                return Err(
                    format!("the read of key {number} was answered with {result:?}").into(),
                );
            };
            let record = reply.record.as_ref().filter(|_| reply.found);
            let wanted = contents.value(number, u32::from(number < mark));
            if result.id == u64::from(number)
                && record.is_some_and(|r| r.key == contents.key(number) && r.value == wanted)
            {
                return Ok(());
            }
            Err(format!("key {number} does not hold what was written last").into())
        },
    )
}

/// Sends one operation for each key through one stream, some of them unanswered, and
/// checks each result.
fn through(
    address: SocketAddr,
    keys: Range<u32>,
    operation: impl Fn(u32) -> v1::Operation,
    check: impl Fn(&v1::OperationResult, u32) -> Result<()>,
) -> Result<()> {
    let limit = GRACE + PER_KEY * keys.len().try_into()?;
    on_this_thread(limit, async {
        let mut method = Connection::new(address).await?.method("Pipeline")?;
        let (mut requests, mut replies) = method.open().await?;
        let (mut next, mut done) = (keys.start, keys.start);
        let mut arena = BytesMut::new();
        while done < keys.end {
            while next < keys.end && (next - done) as usize + BATCH <= UNANSWERED {
                let end = keys.end.min(next + u32::try_from(BATCH)?);
                let message = v1::PipelineRequest {
                    operations: (next..end).map(&operation).collect(),
                    require: Vec::new(),
                };
                requests.send(frame(&message, &mut arena), false)?;
                next = end;
            }
            let reply = replies.next().await?.ok_or("the pipeline ended early")?;
            for result in v1::PipelineResponse::decode(reply)?.results {
                check(&result, done)?;
                done += 1;
            }
        }
        requests.send(Bytes::new(), true)?;
        match replies.next().await? {
            None => Ok(()),
            Some(_) => Err("the pipeline answered what was not asked".into()),
        }
    })
}

fn set(
    contents: &Contents,
    number: u32,
    generation: u32,
    expiry: Option<v1::Expiry>,
) -> v1::Operation {
    let set = v1::SetRequest {
        key: contents.key(number),
        value: contents.value(number, generation),
        expiry,
        options: Some(v1::WriteOptions {
            durability: v1::Durability::None.into(),
            ..v1::WriteOptions::default()
        }),
        ..v1::SetRequest::default()
    };
    v1::Operation {
        id: number.into(),
        operation: Some(Op::Set(set)),
    }
}

fn get(contents: &Contents, number: u32) -> v1::Operation {
    let get = v1::GetRequest {
        key: contents.key(number),
        options: None,
    };
    v1::Operation {
        id: number.into(),
        operation: Some(Op::Get(get)),
    }
}

fn written(result: &v1::OperationResult, number: u32) -> Result<()> {
    match &result.result {
        Some(Outcome::Set(set)) if set.applied && result.id == u64::from(number) => Ok(()),
        other => Err(format!("the write of key {number} was answered with {other:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor_map::FloorMap;
    use crate::floor_server::in_process;

    #[test]
    fn every_key_is_written_and_answered() {
        let server = in_process(FloorMap::new());
        let contents = Contents::new(5_000, 16, 64).unwrap();
        let answered = AtomicU32::new(0);
        pipeline(server.address, &contents, 10..5_000, None, &answered).unwrap();
        assert_eq!(answered.into_inner(), 5_000);
        assert_eq!(server.map.revision(), 1 + 4_990);
        let last = server.map.get(&contents.key(4_999)).unwrap();
        assert_eq!(last.value, contents.value(4_999, 0));
        assert!(server.map.get(&contents.key(9)).is_none());
    }

    #[test]
    fn a_value_of_another_generation_is_noticed() {
        let server = in_process(FloorMap::new());
        let contents = Contents::new(3_000, 16, 64).unwrap();
        generation(server.address, &contents, 0..3_000, 0).unwrap();
        generation(server.address, &contents, 0..500, 1).unwrap();
        let read = |mark| read_back(server.address, &contents, 0..3_000, mark);
        read(500).unwrap();
        for wrong in [499, 501] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("does not hold what was written"), "{error}");
        }
    }
}
