//! One page of a hundred keys, asked of kvd and of etcd.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvproto::v1;
use prost::Message as _;
use v1::key_range::Range as Keys;

use crate::Result;
use crate::client::{Connection, Method};
use crate::contents::{Contents, SplitMix};
use crate::driver::{Drive, Work, frame, to_the_end};
use crate::etcd;
use crate::shapes::Shape;

/// Keys of a prefix: those that differ in their last two digits only.
pub(super) const PER_PREFIX: u32 = 100;
const DIGITS: usize = 2;
/// Puts of a transaction while etcd is filled: its limit is 128.
const PUTS: u32 = 100;
/// How long etcd's fill may take for each transaction.
const PER_TXN: Duration = Duration::from_millis(100);

/// Who is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Scan, at the default level: durable state only.
    Kvd,
    /// Range, at the default level: linearizable.
    Etcd,
    /// Range, from what the member has.
    EtcdSerializable,
}

/// Reads pages of random prefixes.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) address: SocketAddr,
    pub(super) ask: Ask,
    pub(super) contents: Arc<Contents>,
    pub(super) keys: u32,
}

impl Work for Pages {
    type Line = Connection;
    type Slot = (Method, SplitMix, BytesMut);

    async fn connect(&self) -> Result<Connection> {
        Connection::new(self.address).await
    }

    fn slot(&self, line: &Connection, seed: u64) -> Result<Self::Slot> {
        let method = match self.ask {
            Ask::Kvd => line.method("Scan")?,
            Ask::Etcd | Ask::EtcdSerializable => line.method_of(etcd::SERVICE, "Range")?,
        };
        Ok((method, SplitMix(seed), BytesMut::new()))
    }

    async fn call(&self, (method, random, arena): &mut Self::Slot) -> Result<bool> {
        let first = random.below(self.keys / PER_PREFIX) * PER_PREFIX;
        let mut expected = Expected {
            contents: &self.contents,
            left: first..first + PER_PREFIX,
        };
        let key = self.contents.key(first);
        let prefix = key.slice(..key.len() - DIGITS);
        if self.ask == Ask::Kvd {
            let request = v1::ScanRequest {
                range: Some(v1::KeyRange {
                    range: Some(Keys::Prefix(prefix)),
                }),
                ..v1::ScanRequest::default()
            };
            let mut replies = method.stream(frame(&request, arena)).await?;
            while let Some(page) = replies.next().await? {
                for record in v1::ScanResponse::decode(page)?.records {
                    expected.next(&record.key, &record.value)?;
                }
            }
        } else {
            let request = etcd::RangeRequest {
                range_end: after(&prefix),
                key: prefix,
                limit: 0,
                serializable: self.ask == Ask::EtcdSerializable,
            };
            let reply = method.call(frame(&request, arena)).await?;
            for pair in etcd::RangeResponse::decode(reply)?.kvs {
                expected.next(&pair.key, &pair.value)?;
            }
        }
        expected.end()?;
        Ok(true)
    }
}

/// The first key behind all that begin with a prefix of digits.
fn after(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// Keys that have to come, in order, with the values of the first generation.
pub(super) struct Expected<'a> {
    pub(super) contents: &'a Contents,
    pub(super) left: Range<u32>,
}

impl Expected<'_> {
    pub(super) fn next(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = self.left.next();
        let number = number.ok_or("a range holds more keys than were written")?;
        if self.contents.key(number) == key && self.contents.value(number, 0) == value {
            return Ok(());
        }
        Err(format!("key {number} or its value is not what was written").into())
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        Err(format!("a range ends before key {}", self.left.start).into())
    }
}

/// Writes every key to etcd.
pub(super) fn fill_etcd(address: SocketAddr, contents: &Arc<Contents>, keys: u32) -> Result<()> {
    let work = Puts {
        address,
        contents: Arc::clone(contents),
        keys,
        next: 0.into(),
    };
    to_the_end(
        work,
        Drive::closed(Shape::new(4, 8), 1),
        PER_TXN * (keys / PUTS + 1),
    )
}

struct Puts {
    address: SocketAddr,
    contents: Arc<Contents>,
    keys: u32,
    next: AtomicU32,
}

impl Work for Puts {
    type Line = Connection;
    type Slot = (Method, BytesMut);

    async fn connect(&self) -> Result<Connection> {
        Connection::new(self.address).await
    }

    fn slot(&self, line: &Connection, _seed: u64) -> Result<Self::Slot> {
        Ok((line.method_of(etcd::SERVICE, "Txn")?, BytesMut::new()))
    }

    async fn call(&self, (method, arena): &mut Self::Slot) -> Result<bool> {
        let first = self.next.fetch_add(PUTS, Ordering::Relaxed);
        if first >= self.keys {
            return Ok(false);
        }
        let numbers = first..self.keys.min(first + PUTS);
        let count = numbers.len();
        let contents = &self.contents;
        let txn = etcd::puts(numbers.map(|n| (contents.key(n), contents.value(n, 0))));
        let reply = method.call(frame(&txn, arena)).await?;
        if !etcd::applied(&etcd::TxnResponse::decode(reply)?, count) {
            return Err(format!("etcd did not apply the puts from key {first} on").into());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_hold_every_key_and_no_other() {
        let contents = Contents::new(300, 16, 64).unwrap();
        let mut expected = Expected {
            contents: &contents,
            left: 100..102,
        };
        let mut next = |number, generation| {
            expected.next(&contents.key(number), &contents.value(number, generation))
        };
        next(100, 0).unwrap();
        assert!(next(100, 0).is_err(), "twice");
        assert!(next(102, 0).is_err(), "one too many");
        let mut expected = Expected {
            contents: &contents,
            left: 5..7,
        };
        assert!(
            expected
                .next(&contents.key(5), &contents.value(5, 1))
                .is_err()
        );
        assert_eq!(
            expected.end().unwrap_err().to_string(),
            "a range ends before key 6"
        );
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_it() {
        assert_eq!(after(b"0019"), "001:");
        let end = after(b"0019");
        assert!(b"001999"[..] < end[..] && end[..] < b"002000"[..]);
    }
}
