//! Clients that mean harm, against a daemon in a process of its own: its resident
//! memory stays bounded, and others are served all along.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::support::raw::{connect, framed, head};
use super::support::{Process, channel, command, get, set};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

const GET: &str = "/kvd.v1.KvService/Get";
const SET: &str = "/kvd.v1.KvService/Set";
/// How far resident memory may rise under abuse.
const RISE: u64 = 160 << 20;

struct Victim {
    process: Process,
    /// Resident bytes before the abuse.
    before: u64,
    _dir: TempDir,
}

impl Victim {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().display().to_string();
        let process = Process::spawn(&mut command(&[
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "off",
            "--allow-volatile",
            "--data-dir",
            &data,
            "--set",
            "server.request_memory=32MiB",
            "--set",
            "server.reply_memory=16MiB",
        ]));
        let mut victim = Self {
            process,
            before: 0,
            _dir: dir,
        };
        victim.serves_others().await;
        victim.before = victim.process.resident();
        victim
    }

    /// A well-behaved client writes and reads.
    async fn serves_others(&self) {
        let mut kv = KvServiceClient::new(channel(self.process.address()).await);
        let write = async {
            kv.set(set("other", "v")).await.expect("written");
            assert!(kv.get(get("other")).await.expect("read").into_inner().found);
        };
        tokio::time::timeout(Duration::from_secs(10), write)
            .await
            .expect("in time");
    }

    async fn holds(&self, what: &str) {
        self.serves_others().await;
        let now = self.process.resident();
        let rise = now.saturating_sub(self.before);
        assert!(
            rise < RISE,
            "{what}: resident memory rose by {rise} bytes to {now}"
        );
    }
}

#[tokio::test]
async fn ten_thousand_streams_that_never_send() {
    let victim = Victim::start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut client = connect(victim.process.address()).await;
        for _ in 0..1000 {
            client = client.ready().await.unwrap();
            streams.push(client.send_request(head(SET, &[]), false).unwrap());
        }
    }
    assert_eq!(streams.len(), 10_000);
    tokio::time::sleep(Duration::from_millis(500)).await;
    victim.holds("10,000 open streams").await;
}

#[tokio::test]
async fn announcing_and_never_sending() {
    let victim = Victim::start().await;
    let mut streams = Vec::new();
    let announcement = Bytes::from_static(&[0, 0, 0x80, 0, 0]);
    for _ in 0..4 {
        let mut client = connect(victim.process.address()).await;
        for _ in 0..1000 {
            client = client.ready().await.unwrap();
            let (reply, mut send) = client.send_request(head(SET, &[]), false).unwrap();
            send.send_data(announcement.clone(), false).unwrap();
            streams.push((reply, send));
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    victim.holds("32 GiB announced").await;
}

#[tokio::test]
async fn sending_almost_everything_on_every_stream() {
    let victim = Victim::start().await;
    let mut client = connect(victim.process.address()).await;
    let (mut replies, mut open) = (Vec::new(), Vec::new());
    let mut begun = BytesMut::from(&[0, 0, 0x80, 0, 0][..]);
    begun.put_bytes(7, 1 << 20);
    let begun = begun.freeze();
    for _ in 0..300 {
        client = client.ready().await.unwrap();
        let (reply, mut send) = client.send_request(head(SET, &[]), false).unwrap();
        // Refused streams cannot be sent to any more, which is the point.
        let _ = send.send_data(begun.clone(), false);
        replies.push(reply);
        open.push(send);
        tokio::task::yield_now().await;
    }
    let refusals = async {
        let mut refused = 0;
        let mut replies: FuturesUnordered<_> = replies.into_iter().collect();
        while refused < 200 {
            // Who goes on sending to refused streams may also lose the connection.
            let Some(Ok(reply)) = replies.next().await else {
                break;
            };
            let status = tonic::Status::from_header_map(reply.headers()).unwrap();
            assert_eq!(
                super::support::reason(&status),
                Some(kvproto::v1::ErrorReason::Overloaded)
            );
            refused += 1;
        }
    };
    // How many are refused, and how soon, is the machine's business; that the rest is bounded is not.
    let _ = tokio::time::timeout(Duration::from_secs(5), refusals).await;
    victim.holds("300 MiB begun").await;
    drop(open);
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut kv = KvServiceClient::new(channel(victim.process.address()).await);
    kv.set(set("large", vec![7; 1 << 20]))
        .await
        .expect("the budget was given back");
}

/// A socket that stops reading when told.
struct Deaf {
    stream: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn asking_for_much_and_never_reading() {
    let victim = Victim::start().await;
    let mut kv = KvServiceClient::new(channel(victim.process.address()).await);
    kv.set(set("large", vec![7; 1 << 20])).await.unwrap();
    let request = framed(&get("large"));
    let mut held = Vec::new();
    for _ in 0..2 {
        let deaf = Arc::new(AtomicBool::new(false));
        let stream = TcpStream::connect(victim.process.address()).await.unwrap();
        let (client, connection) = h2::client::Builder::new()
            .initial_window_size((1 << 31) - 1)
            .initial_connection_window_size((1 << 31) - 1)
            .handshake(Deaf {
                stream,
                deaf: Arc::clone(&deaf),
            })
            .await
            .unwrap();
        tokio::spawn(connection);
        // One answer first, so that both sides know each other's settings.
        let mut client = client.ready().await.unwrap();
        let (reply, mut send) = client.send_request(head(GET, &[]), false).unwrap();
        send.send_data(framed(&get("other")), true).unwrap();
        reply.await.unwrap();
        deaf.store(true, Ordering::SeqCst);
        for _ in 0..500 {
            client = client.ready().await.unwrap();
            let (reply, mut send) = client.send_request(head(GET, &[]), false).unwrap();
            send.send_data(request.clone(), true).unwrap();
            held.push((reply, send));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    victim.holds("1,000 unread replies of 1 MiB").await;
}

#[tokio::test]
async fn resetting_at_once() {
    let victim = Victim::start().await;
    for _ in 0..5 {
        let mut client = connect(victim.process.address()).await;
        for _ in 0..10_000 {
            // The server may end the connection at any time: that is its defence.
            let Ok(ready) = client.ready().await else {
                break;
            };
            client = ready;
            let Ok((_, mut send)) = client.send_request(head(SET, &[]), false) else {
                break;
            };
            send.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    }
    victim.holds("50,000 resets").await;
}

/// A frame of HTTP/2 by hand: length, type, flags, stream.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_uint(payload.len() as u64, 3);
    bytes.put_u8(kind);
    bytes.put_u8(flags);
    bytes.put_u32(stream);
    bytes.put_slice(payload);
    bytes
}

#[tokio::test]
async fn making_the_server_reset_streams_ends_the_connection() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    const END_HEADERS: u8 = 4;
    let victim = Victim::start().await;
    let stream = TcpStream::connect(victim.process.address()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    // POST, http, the path, the authority.
    let mut block = vec![0x83, 0x86, 0x04, u8::try_from(SET.len()).unwrap()];
    block.extend_from_slice(SET.as_bytes());
    block.extend_from_slice(b"\x01\x03kvd");
    let sending = tokio::spawn(async move {
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        write.write_all(&hello).await?;
        for stream in (1..20_000).step_by(2) {
            let mut bytes = frame(HEADERS, END_HEADERS, stream, &block);
            // A window cannot be opened by nothing: an error of the stream, by rule.
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
            write.write_all(&bytes).await?;
        }
        io::Result::Ok(())
    });
    let mut gone = false;
    let reading = async {
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if read.read_exact(&mut payload).await.is_err() {
                break;
            }
            gone |= head[3] == GOAWAY;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("ended by the server");
    assert!(gone, "the server ended the connection without saying so");
    let _ = sending.await.unwrap();
    victim.holds("10,000 provoked resets").await;
}
