//! The little of Redis's protocol that is needed beside kvd: commands as arrays of bulk
//! strings, and the replies to them.
//!
//! All calls in flight of a connection share it: each adds its commands to what is to
//! be written, and one task writes what has gathered, as a pipelining client does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;

use crate::Result;

/// How much is read at a time.
const READ: usize = 64 << 10;

/// A reply, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(Bytes),
    Error(Bytes),
    Integer(i64),
    Bulk(Option<Bytes>),
    Array(Vec<Reply>),
}

/// One connection, on one thread.
#[derive(Clone)]
pub(crate) struct Connection(Rc<Shared>);

struct Shared {
    outgoing: RefCell<BytesMut>,
    wake: Notify,
    waiting: RefCell<VecDeque<Waiting>>,
    ended: Cell<bool>,
}

/// A call that waits for its replies.
struct Waiting {
    replies: Vec<Reply>,
    wanted: usize,
    done: oneshot::Sender<Vec<Reply>>,
}

impl Connection {
    /// Connects, inside a `LocalSet`.
    pub(crate) async fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| format!("cannot connect to {address}: {e}"))?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let shared = Rc::new(Shared {
            outgoing: RefCell::default(),
            wake: Notify::new(),
            waiting: RefCell::default(),
            ended: Cell::new(false),
        });
        spawn_local(write(Rc::clone(&shared), writer));
        spawn_local(read(Rc::clone(&shared), reader));
        Ok(Self(shared))
    }

    /// Sends some commands together and returns one reply for each.
    pub(crate) async fn call(&self, commands: &[&[&[u8]]]) -> Result<Vec<Reply>> {
        const GONE: &str = "the connection ended or its replies made no sense";
        if self.0.ended.get() {
            return Err(GONE.into());
        }
        let (done, replies) = oneshot::channel();
        for command in commands {
            encode(command, &mut self.0.outgoing.borrow_mut());
        }
        self.0.waiting.borrow_mut().push_back(Waiting {
            replies: Vec::with_capacity(commands.len()),
            wanted: commands.len(),
            done,
        });
        self.0.wake.notify_one();
        Ok(replies.await.map_err(|_| GONE)?)
    }
}

/// Ends with the connection; then those that wait learn it by the reader's end.
async fn write(shared: Rc<Shared>, mut writer: OwnedWriteHalf) {
    loop {
        let chunk = shared.outgoing.borrow_mut().split();
        if chunk.is_empty() {
            shared.wake.notified().await;
        } else if writer.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

async fn read(shared: Rc<Shared>, mut reader: OwnedReadHalf) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        let more = reader.read_buf(&mut buffer).await;
        if !more.is_ok_and(|read| read > 0) || !deliver(&shared, &mut buffer) {
            // Whoever waits sees that nothing comes any more.
            shared.ended.set(true);
            shared.waiting.borrow_mut().clear();
            return;
        }
    }
}

/// Hands out the whole replies of a buffer; false: they make no sense.
fn deliver(shared: &Shared, buffer: &mut BytesMut) -> bool {
    while let Some((reply, length)) = parse(buffer) {
        buffer.advance(length);
        let mut waiting = shared.waiting.borrow_mut();
        let (Some(first), Some(reply)) = (waiting.front_mut(), reply) else {
            return false;
        };
        first.replies.push(reply);
        if first.replies.len() == first.wanted {
            let first = waiting.pop_front();
            // Nobody waits any more if the run is over.
            let _ = first.map(|first| first.done.send(first.replies));
        }
    }
    true
}

fn encode(command: &[&[u8]], into: &mut BytesMut) {
    into.put_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        into.put_slice(format!("${}\r\n", word.len()).as_bytes());
        into.put_slice(word);
        into.put_slice(b"\r\n");
    }
}

/// The first reply of some bytes and its length, once it is there to its end. A reply
/// of no known kind is `None` inside.
fn parse(bytes: &[u8]) -> Option<(Option<Reply>, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, after) = (bytes.get(1..end)?, end + 2);
    let text = || Bytes::copy_from_slice(line);
    let number = || std::str::from_utf8(line).ok()?.parse::<usize>().ok();
    match bytes[0] {
        b'+' => Some((Some(Reply::Status(text())), after)),
        b'-' => Some((Some(Reply::Error(text())), after)),
        b':' => {
            let number = std::str::from_utf8(line).ok().and_then(|n| n.parse().ok());
            Some((number.map(Reply::Integer), after))
        }
        b'$' if line == b"-1" => Some((Some(Reply::Bulk(None)), after)),
        b'$' => {
            let Some(length) = number() else {
                return Some((None, after));
            };
            let value = bytes.get(after..after + length)?;
            bytes.get(after + length + 1)?;
            let value = Bytes::copy_from_slice(value);
            Some((Some(Reply::Bulk(Some(value))), after + length + 2))
        }
        b'*' => {
            let Some(count) = number() else {
                return Some((None, after));
            };
            let (mut items, mut at) = (Vec::new(), after);
            for _ in 0..count {
                let (item, length) = parse(&bytes[at..])?;
                at += length;
                match item {
                    Some(item) => items.push(item),
                    None => return Some((None, at)),
                }
            }
            Some((Some(Reply::Array(items)), at))
        }
        _ => Some((None, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut bytes = BytesMut::new();
        encode(&[b"SET", b"k", b""], &mut bytes);
        assert_eq!(bytes, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }

    #[test]
    fn replies_are_taken_when_they_are_whole() {
        let ok = || Reply::Status("OK".into());
        for (bytes, expected) in [
            (&b"+OK\r\n"[..], ok()),
            (b"-ERR no\r\n", Reply::Error("ERR no".into())),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$-1\r\n", Reply::Bulk(None)),
            (b"$4\r\na\r\nb\r\n", Reply::Bulk(Some("a\r\nb".into()))),
            (b"*2\r\n+OK\r\n+OK\r\n", Reply::Array(vec![ok(), ok()])),
        ] {
            assert_eq!(parse(bytes), Some((Some(expected), bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), None, "cut at {cut}");
            }
        }
        assert_eq!(parse(b"?\r\n"), Some((None, 3)));
    }
}
