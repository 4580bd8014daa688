//! Accepting connections: prepare each socket, hold it against the caps, deal it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{Caps, Socket};
use crate::runtime::Dealer;

const BACKLOG: i32 = 1024;
/// How long to wait when there are no descriptors or no memory for a connection:
/// trying on at once would only burn the core that should close some.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// When the kernel asks whether a silent peer is still there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Listens on `address`. Must be called inside a runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until dropped.
pub async fn accept(listener: TcpListener, dealer: Dealer, caps: Arc<Caps>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Over a cap the stream is dropped here, and so closed.
                if let Some(place) = caps.admit(peer.ip())
                    && let Ok(stream) = prepare(stream)
                {
                    dealer.deal(Socket {
                        stream,
                        peer,
                        place,
                    });
                }
            }
            Err(error) => {
                caps.accept_errors.fetch_add(1, Ordering::Relaxed);
                if exhausted(&error) {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

fn prepare(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_EVERY);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    stream.into_std()
}

fn exhausted(error: &io::Error) -> bool {
    let out_of = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| out_of.contains(&errno))
}
