//! Filling a store through Pipeline: one stream, some thousand operations unanswered.

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
    let limit = GRACE + PER_KEY * keys.len().try_into()?;
    on_this_thread(limit, async {
        let mut method = Connection::new(address).await?.method("Pipeline")?;
        let (mut requests, mut replies) = method.open().await?;
        let (mut next, mut done) = (keys.start, keys.start);
        let mut arena = BytesMut::new();
        while done < keys.end {
            while next < keys.end && (next - done) as usize + BATCH <= UNANSWERED {
                let end = keys.end.min(next + u32::try_from(BATCH)?);
                let operations = (next..end).map(|number| set(contents, number, expiry));
                let message = v1::PipelineRequest {
                    operations: operations.collect(),
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
            answered.store(done, Ordering::Release);
        }
        requests.send(Bytes::new(), true)?;
        match replies.next().await? {
            None => Ok(()),
            Some(_) => Err("the pipeline answered what was not asked".into()),
        }
    })?;
    settle(address)
}

fn set(contents: &Contents, number: u32, expiry: Option<v1::Expiry>) -> v1::Operation {
    let set = v1::SetRequest {
        key: contents.key(number),
        value: contents.value(number, 0),
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

fn check(result: &v1::OperationResult, number: u32) -> Result<()> {
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
}
