//! One accepted connection: its socket, its place in the caps, and what its peer has
//! not read yet.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::socket::{Origin, PeerAddress, Registered, Stream};

/// How many connections there may be, in all and from one address or user, and how many
/// there are and were.
#[derive(Debug)]
pub struct Caps {
    total: AtomicUsize,
    per_ip: AtomicUsize,
    open: Mutex<HashMap<Origin, usize>>,
    now: AtomicUsize,
    pub accepted: AtomicU64,
    pub refused_total: AtomicU64,
    pub refused_per_ip: AtomicU64,
    /// For want of a file descriptor.
    pub refused_descriptors: AtomicU64,
    pub accept_errors: AtomicU64,
}

impl Caps {
    pub fn new(total: usize, per_ip: usize) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(total),
            per_ip: AtomicUsize::new(per_ip),
            open: Mutex::default(),
            now: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused_total: AtomicU64::new(0),
            refused_per_ip: AtomicU64::new(0),
            refused_descriptors: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
        })
    }

    /// Changes the caps. Those that are open stay, however many they are.
    pub fn set(&self, total: usize, per_ip: usize) {
        self.total.store(total, Ordering::Relaxed);
        self.per_ip.store(per_ip, Ordering::Relaxed);
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// A place for a connection from `origin`, unless a cap is reached: counted then.
    pub fn admit(self: &Arc<Self>, origin: Origin) -> Option<Place> {
        let mut open = self.open.lock();
        if self.now.load(Ordering::Relaxed) >= self.total.load(Ordering::Relaxed) {
            self.refused_total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let already = open.get(&origin).copied().unwrap_or_default();
        if already >= self.per_ip.load(Ordering::Relaxed) {
            self.refused_per_ip.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        open.insert(origin, already + 1);
        self.now.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            caps: Arc::clone(self),
            origin,
        })
    }
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    origin: Origin,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.caps.open.lock();
        self.caps.now.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = open.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.origin);
            }
        }
    }
}

/// An accepted socket on its way to the runtime that will serve it.
#[derive(Debug)]
pub struct Socket {
    pub stream: Stream,
    pub peer: PeerAddress,
    pub place: Place,
}

/// What handlers know of the connection they serve; an extension of each request.
#[derive(Clone, Debug)]
pub struct Peer(Arc<PeerState>);

#[derive(Debug)]
struct PeerState {
    address: PeerAddress,
    unread: AtomicUsize,
}

impl Peer {
    pub fn address(&self) -> PeerAddress {
        self.0.address
    }

    /// Bytes of replies that were made and have not left through the socket.
    pub fn unread(&self) -> usize {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// A reply of `bytes` was made. Never more than will be sent: the difference would
    /// stay for as long as the connection lives.
    pub fn owes(&self, bytes: usize) {
        self.0.unread.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `bytes` that were counted will not be sent, or are counted anew.
    pub fn forgives(&self, bytes: usize) {
        self.sent(bytes);
    }

    /// `bytes` left. What the protocol itself sends counts too, so this may pass
    /// what was owed.
    fn sent(&self, bytes: usize) {
        // Only the connection's own thread subtracts (its handlers run on it), and adders
        // only add.
        let unread = self.unread();
        self.0
            .unread
            .fetch_sub(bytes.min(unread), Ordering::Relaxed);
    }
}

/// A socket on the runtime that serves it.
#[derive(Debug)]
pub struct Connection {
    stream: Registered,
    peer: Peer,
    _place: Place,
}

impl Connection {
    /// Registers the socket with the current runtime.
    pub fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            stream: socket.stream.register()?,
            peer: Peer(Arc::new(PeerState {
                address: socket.peer,
                unread: AtomicUsize::new(0),
            })),
            _place: socket.place,
        })
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.peer.sent(*bytes);
        }
        written
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
