//! The watcher: what it was told, as records, and whether that can be.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use v1::watch_request::Request as Ask;
use v1::watch_response::Response;

use crate::Result;
use crate::client::{Connection, Replies, Requests};
use crate::driver::frame;

/// Windows so small that a client that does not read stops the daemon at once. (The protocol
/// begins with as much.)
const WINDOW: u32 = 65_535;
const LOOK: Duration = Duration::from_millis(20);

/// What a stream told.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) records: HashMap<Bytes, v1::Record>,
    /// Changes, without the records of the beginning.
    pub(super) events: u64,
    /// The newest revision that was told whole.
    newest: i64,
    begun: bool,
}

impl Mirror {
    fn take(&mut self, message: v1::WatchResponse) -> Result<()> {
        match message.response {
            Some(Response::Events(events)) => {
                for event in events.events {
                    self.event(event)?;
                }
            }
            Some(Response::ResyncBegin(_)) if !self.begun => {}
            Some(Response::ResyncEnd(end)) if !self.begun => {
                self.begun = true;
                self.newest = end.revision;
            }
            other => return Err(format!("the watch told {other:?}").into()),
        }
        Ok(())
    }

    fn event(&mut self, event: v1::Event) -> Result<()> {
        let state = event.cause() == v1::EventCause::State;
        let is_set = event.r#type() == v1::EventType::Set;
        let mut record = event.record.ok_or("an event without a record")?;
        if state == self.begun || !is_set {
            return Err(format!("an event that cannot be: {record:?}").into());
        }
        if !state {
            // Each write took one revision, and all are of the range.
            if record.mod_revision != self.newest + 1 {
                let (got, last) = (record.mod_revision, self.newest);
                return Err(format!("revision {got} was told behind {last}").into());
            }
            self.newest = record.mod_revision;
            self.events += 1;
        }
        // Not a part of the whole message.
        record.key = Bytes::copy_from_slice(&record.key);
        record.value = Bytes::copy_from_slice(&record.value);
        self.records.insert(record.key.clone(), record);
        Ok(())
    }

    /// Holds it against the store.
    pub(super) async fn compare(&self, address: SocketAddr) -> Result<()> {
        let mut method = Connection::new(address).await?.method("Scan")?;
        let request = v1::ScanRequest {
            range: Some(everything()),
            ..v1::ScanRequest::default()
        };
        let mut pages = method.stream(frame(&request, &mut BytesMut::new())).await?;
        let mut count = 0;
        while let Some(page) = pages.next().await? {
            for record in v1::ScanResponse::decode(page)?.records {
                if self.records.get(&record.key) != Some(&record) {
                    return Err(format!("the mirror does not hold {record:?}").into());
                }
                count += 1;
            }
        }
        if count == self.records.len() {
            return Ok(());
        }
        Err(format!(
            "the mirror holds {} records, the store {count}",
            self.records.len()
        )
        .into())
    }
}

fn everything() -> v1::KeyRange {
    v1::KeyRange {
        range: Some(v1::key_range::Range::All(v1::AllKeys {})),
    }
}

/// A stream with one watch.
pub(super) struct Watcher {
    /// Held, or the stream would end.
    _requests: Requests,
    replies: Replies,
    pub(super) mirror: Mirror,
}

impl Watcher {
    /// Begins, and takes the records that are there.
    pub(super) async fn begin(address: SocketAddr) -> Result<Self> {
        let connection = Connection::with_windows(address, WINDOW, WINDOW).await?;
        let mut method = connection.method_of("kvd.v1.WatchService", "Watch")?;
        let (mut requests, mut replies) = method.open().await?;
        let start = v1::watch_start::Start::CurrentState(v1::StartCurrentState {});
        let create = v1::WatchCreate {
            range: Some(everything()),
            start: Some(v1::WatchStart { start: Some(start) }),
            ..v1::WatchCreate::default()
        };
        let request = v1::WatchRequest {
            request: Some(Ask::Create(create)),
        };
        requests.send(frame(&request, &mut BytesMut::new()), false)?;
        match next(&mut replies).await?.response {
            Some(Response::Created(_)) => {}
            other => return Err(format!("the watch was answered with {other:?}").into()),
        }
        let mut watcher = Self {
            _requests: requests,
            replies,
            mirror: Mirror::default(),
        };
        while !watcher.mirror.begun {
            watcher.step().await?;
        }
        Ok(watcher)
    }

    /// Does not read until `upto` is set; then up to that revision.
    pub(super) async fn pause_then_read(&mut self, upto: &AtomicU64) -> Result<()> {
        let upto = loop {
            match upto.load(Ordering::Acquire) {
                0 => tokio::time::sleep(LOOK).await,
                upto => break i64::try_from(upto)?,
            }
        };
        while self.mirror.newest < upto {
            self.step().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<()> {
        let message = next(&mut self.replies).await?;
        self.mirror.take(message)
    }
}

async fn next(replies: &mut Replies) -> Result<v1::WatchResponse> {
    let message = replies.next().await?;
    Ok(v1::WatchResponse::decode(
        message.ok_or("the stream of watches ended")?,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cause: v1::EventCause, revision: i64) -> v1::Event {
        let record = v1::Record {
            key: "k".into(),
            mod_revision: revision,
            ..v1::Record::default()
        };
        v1::Event {
            r#type: v1::EventType::Set.into(),
            cause: cause.into(),
            record: Some(record),
            ..v1::Event::default()
        }
    }

    #[test]
    fn what_is_left_out_or_told_twice_is_noticed() {
        let begun = || Mirror {
            begun: true,
            newest: 7,
            ..Mirror::default()
        };
        let written = v1::EventCause::Written;
        let mut mirror = begun();
        mirror.event(set(written, 8)).unwrap();
        assert!(mirror.event(set(written, 8)).is_err(), "twice");
        assert!(begun().event(set(written, 9)).is_err(), "one is missing");
        assert!(begun().event(set(v1::EventCause::State, 8)).is_err());
        assert!(Mirror::default().event(set(written, 8)).is_err());
        assert_eq!(mirror.events, 1);
    }

    #[test]
    fn a_watch_that_ends_is_noticed() {
        let canceled = v1::WatchResponse {
            response: Some(Response::Canceled(v1::WatchCanceled::default())),
            ..v1::WatchResponse::default()
        };
        assert!(Mirror::default().take(canceled).is_err());
    }
}
