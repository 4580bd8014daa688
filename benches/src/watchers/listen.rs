//! The watchers: a stream each, on a thread of their own, each event checked for its place
//! in the order. Of a message only what that takes is decoded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use tokio::task::spawn_local;

use crate::Result;
use crate::client::{Connection, Method, Replies, Requests};
use crate::driver::{frame, on_this_thread};
use crate::etcd;
use crate::single::Protocol;

/// How long all may take to begin, and to get what is still on its way.
const WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(1);

/// A response of kvd's, with the fields that are looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "3")]
    created: Option<Created>,
    #[prost(message, optional, tag = "4")]
    events: Option<Events>,
    #[prost(message, optional, tag = "8")]
    canceled: Option<Created>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Created {}

#[derive(Clone, PartialEq, prost::Message)]
struct Events {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(message, optional, tag = "3")]
    record: Option<Record>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(int64, tag = "4")]
    mod_revision: i64,
}

/// Which keys one of them watches.
#[derive(Clone, Debug)]
pub(super) enum Range {
    Prefix(Bytes),
    Key(Bytes),
}

/// What the watchers got until now: each, and all together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) all: AtomicU64,
    each: Vec<AtomicU64>,
}

/// All watchers of a window.
pub(super) struct Listeners {
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Listeners {
    /// Begins all of them, and waits until they have begun.
    pub(super) fn begin(
        protocol: Protocol,
        address: SocketAddr,
        ranges: Vec<Range>,
        connections: usize,
        limit: Duration,
    ) -> Result<Self> {
        let counts = Arc::new(Counts {
            all: AtomicU64::new(0),
            each: ranges.iter().map(|_| AtomicU64::new(0)).collect(),
        });
        let over = Arc::<AtomicBool>::default();
        let (ready, begun) = mpsc::channel();
        let listen = Listen {
            protocol,
            counts: Arc::clone(&counts),
            over: Arc::clone(&over),
        };
        let thread = thread::Builder::new()
            .name("bench-listen".into())
            .spawn(move || {
                on_this_thread(limit + WITHIN * 2, async {
                    listen.all(address, &ranges, connections, &ready).await
                })
            })?;
        if begun.recv_timeout(WITHIN).is_err() {
            over.store(true, Ordering::Release);
            thread.join().map_err(|_| "the watchers panicked")??;
            return Err("the watchers did not begin in time".into());
        }
        Ok(Self {
            counts,
            over,
            thread,
        })
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Waits until all of them together have got so many, and a moment longer for what must
    /// not come; then ends them. How many each got.
    pub(super) fn end(self, expected: u64) -> Result<Vec<u64>> {
        let until = Instant::now() + WITHIN;
        while self.counts.all.load(Ordering::Acquire) < expected
            && Instant::now() < until
            && !self.thread.is_finished()
        {
            thread::sleep(LOOK);
        }
        thread::sleep(LOOK * 50);
        self.over.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the watchers panicked")??;
        let each = self.counts.each.iter();
        Ok(each.map(|count| count.load(Ordering::Acquire)).collect())
    }
}

struct Listen {
    protocol: Protocol,
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
}

impl Listen {
    async fn all(
        &self,
        address: SocketAddr,
        ranges: &[Range],
        connections: usize,
        ready: &mpsc::Sender<()>,
    ) -> Result<()> {
        let mut lines = Vec::new();
        for _ in 0..connections {
            let line = Connection::new(address).await?;
            lines.push(match self.protocol {
                Protocol::Etcd => line.method_of(etcd::WATCH, "Watch")?,
                _ => line.method_of("kvd.v1.WatchService", "Watch")?,
            });
        }
        let mut tasks = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let method = &mut lines[at % connections];
            let listener = Listener::open(self.protocol, method, range).await?;
            let (counts, over) = (Arc::clone(&self.counts), Arc::clone(&self.over));
            tasks.push(spawn_local(async move {
                let ended = listener.listen(&counts, at).await;
                // Only a failure ends it: the others need not go on.
                over.store(true, Ordering::Release);
                ended
            }));
        }
        let _ = ready.send(());
        while !self.over.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
        }
        for task in tasks {
            if task.is_finished() {
                task.await??;
            } else {
                task.abort();
            }
        }
        Ok(())
    }
}

/// One watcher.
struct Listener {
    protocol: Protocol,
    /// Held, or the stream would end.
    _requests: Requests,
    replies: Replies,
    newest: i64,
}

impl Listener {
    async fn open(protocol: Protocol, method: &mut Method, range: &Range) -> Result<Self> {
        let (mut requests, replies) = method.open().await?;
        let mut arena = BytesMut::new();
        let request = match protocol {
            Protocol::Etcd => frame(&of_etcd(range), &mut arena),
            _ => frame(&of_kvd(range), &mut arena),
        };
        requests.send(request, false)?;
        let mut listener = Self {
            protocol,
            _requests: requests,
            replies,
            newest: 0,
        };
        let first = listener.next().await?;
        let created = match protocol {
            Protocol::Etcd => etcd::WatchResponse::decode(first)?.created,
            _ => Response::decode(first)?.created.is_some(),
        };
        if created {
            return Ok(listener);
        }
        Err("a watch was not begun".into())
    }

    async fn next(&mut self) -> Result<Bytes> {
        let message = self.replies.next().await?;
        Ok(message.ok_or("a stream of watches ended")?)
    }

    /// Takes events until something is wrong.
    async fn listen(mut self, counts: &Counts, at: usize) -> Result<()> {
        loop {
            let message = self.next().await?;
            let count = self.take(message)?;
            counts.each[at].fetch_add(count, Ordering::AcqRel);
            counts.all.fetch_add(count, Ordering::AcqRel);
        }
    }

    /// How many events a message holds, each of a newer revision than the one before.
    fn take(&mut self, message: Bytes) -> Result<u64> {
        let revisions: Vec<i64> = if self.protocol == Protocol::Etcd {
            let response = etcd::WatchResponse::decode(message)?;
            if response.canceled {
                return Err("etcd has canceled a watch".into());
            }
            let changed = response.events.into_iter().filter_map(|event| event.kv);
            changed.map(|kv| kv.mod_revision).collect()
        } else {
            let response = Response::decode(message)?;
            if response.canceled.is_some() {
                return Err("kvd has canceled a watch".into());
            }
            let events = response.events.unwrap_or_default().events.into_iter();
            let changed = events.filter_map(|event| event.record);
            changed.map(|record| record.mod_revision).collect()
        };
        for &revision in &revisions {
            if revision <= self.newest {
                let newest = self.newest;
                return Err(format!("revision {revision} was told behind {newest}").into());
            }
            self.newest = revision;
        }
        Ok(u64::try_from(revisions.len())?)
    }
}

fn of_kvd(range: &Range) -> v1::WatchRequest {
    let range = match range {
        Range::Prefix(prefix) => v1::key_range::Range::Prefix(prefix.clone()),
        Range::Key(key) => v1::key_range::Range::Key(key.clone()),
    };
    let create = v1::WatchCreate {
        range: Some(v1::KeyRange { range: Some(range) }),
        ..v1::WatchCreate::default()
    };
    v1::WatchRequest {
        request: Some(v1::watch_request::Request::Create(create)),
    }
}

fn of_etcd(range: &Range) -> etcd::WatchRequest {
    let create = match range {
        Range::Key(key) => etcd::WatchCreateRequest {
            key: key.clone(),
            range_end: Bytes::new(),
        },
        Range::Prefix(prefix) => {
            // Prefixes are digits, which have a successor.
            let mut end = BytesMut::from(&prefix[..]);
            if let Some(last) = end.last_mut() {
                *last += 1;
            }
            etcd::WatchCreateRequest {
                key: prefix.clone(),
                range_end: end.freeze(),
            }
        }
    };
    etcd::WatchRequest {
        create: Some(create),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_message_of_kvds_the_revisions_are_seen() {
        let event = |revision| v1::Event {
            record: Some(v1::Record {
                key: "k".into(),
                value: "v".into(),
                mod_revision: revision,
                ..v1::Record::default()
            }),
            ..v1::Event::default()
        };
        let events = v1::WatchEvents {
            events: vec![event(7), event(9)],
            ..v1::WatchEvents::default()
        };
        let message = v1::WatchResponse {
            watch_id: 3,
            response: Some(v1::watch_response::Response::Events(events)),
            ..v1::WatchResponse::default()
        };
        let seen = Response::decode(&message.encode_to_vec()[..]).unwrap();
        let seen = seen.events.unwrap().events.into_iter();
        let seen: Vec<i64> = seen.map(|e| e.record.unwrap().mod_revision).collect();
        assert_eq!(seen, [7, 9]);
    }

    #[test]
    fn a_prefix_of_etcds_ends_before_the_next_one() {
        let create = of_etcd(&Range::Prefix("0129".into())).create.unwrap();
        assert_eq!(
            (create.key, create.range_end),
            ("0129".into(), "012:".into())
        );
    }
}
